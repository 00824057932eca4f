"""A frozen copy answers as the model does."""

import pytest
import torch

from exuno.models.classifier import Classifier, fuse_batchnorm
from exuno.models.load import load_model


def trained_looking(spec: str) -> Classifier:
    """Random weights, and running statistics that are not those of a new batch normalisation."""
    torch.manual_seed(0)
    model = load_model(spec, classes=10, pretrained=False).eval()
    for name, buffer in model.net.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.copy_(torch.rand_like(buffer) + 0.5)
    return model


@pytest.mark.parametrize("spec", ["exuno:resnet20", "exuno:wrn_16_1", "exuno:convnet_2_16", "exuno:convnet_2_8-batch"])
def test_the_logits_are_the_same_and_the_model_is_untouched(spec: str) -> None:
    model, pixels = trained_looking(spec), torch.rand(4, 3, 32, 32)
    state = {name: value.clone() for name, value in model.net.state_dict().items()}
    copy = fuse_batchnorm(model)
    with torch.no_grad():
        torch.testing.assert_close(copy(pixels), model(pixels), rtol=1e-4, atol=1e-4)
    assert all(torch.equal(value, state[name]) for name, value in model.net.state_dict().items())
    assert not any(parameter.requires_grad for parameter in copy.parameters())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_batch_normalisations_after_a_convolution_are_gone() -> None:
    copy = fuse_batchnorm(trained_looking("exuno:resnet20"))
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in copy.net.modules())

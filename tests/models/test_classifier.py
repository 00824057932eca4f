import pytest
import torch
from torch import nn

from exuno.engine.errors import ExunoError
from exuno.models.card import ModelCard
from exuno.models.classifier import Classifier, match_channels
from exuno.models.load import load_model


def identity(chans: int, size: tuple[int, int] = (4, 4), mean: float = 0.0, std: float = 1.0) -> Classifier:
    """Shows what the network gets."""
    card = ModelCard("test:identity", 1, chans, size, (mean,) * chans, (std,) * chans)
    return Classifier(nn.Identity(), card)


def test_normalises_each_channel() -> None:
    card = ModelCard("t", 1, 3, (4, 4), (0.1, 0.2, 0.3), (0.5, 0.25, 2.0))
    x = torch.rand(2, 3, 4, 4)
    out = Classifier(nn.Identity(), card)(x)
    for k, (mean, std) in enumerate(((0.1, 0.5), (0.2, 0.25), (0.3, 2.0))):
        torch.testing.assert_close(out[:, k], (x[:, k] - mean) / std)


def test_gray_becomes_three_equal_channels() -> None:
    x = torch.rand(2, 1, 4, 4)
    assert torch.equal(identity(3)(x), x.expand(2, 3, 4, 4))


def test_rgb_becomes_luma() -> None:
    red, green, blue = (identity(1)(torch.eye(3).view(3, 3, 1, 1).expand(3, 3, 4, 4)))[:, 0, 0, 0]
    assert (red.item(), green.item(), blue.item()) == pytest.approx((0.299, 0.587, 0.114))
    gray = torch.rand(2, 1, 4, 4)
    torch.testing.assert_close(identity(1)(gray.expand(2, 3, 4, 4)), gray)


def test_other_channel_counts_are_refused() -> None:
    with pytest.raises(ExunoError, match="4 channels for a model of 3"):
        match_channels(torch.rand(1, 4, 2, 2), 3)


def test_resizes_with_antialiasing_before_normalising() -> None:
    x = torch.rand(1, 1, 12, 8)
    out = identity(1, (3, 4), mean=0.5, std=0.25)(x)
    expected = nn.functional.interpolate(x, (3, 4), mode="bilinear", antialias=True)
    torch.testing.assert_close(out, (expected - 0.5) / 0.25)


def test_any_size_and_channel_goes_in() -> None:
    model = load_model("exuno:resnet8", classes=3, in_chans=1, input_size=(8, 8), pretrained=False)
    for shape in ((2, 1, 8, 8), (2, 3, 8, 8), (2, 3, 20, 9)):
        assert model(torch.rand(shape)).shape == (2, 3)


def test_preprocessing_lets_gradients_through() -> None:
    x = torch.rand(1, 3, 6, 6, requires_grad=True)
    identity(1)(x).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().min() > 0


def test_state_dict_is_that_of_the_network() -> None:
    model = load_model("exuno:resnet8", classes=3, pretrained=False)
    assert all(key.startswith("net.") for key in model.state_dict())

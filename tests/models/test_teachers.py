"""Golden: the published CIFAR-10 ResNets (akamaster/pytorch_resnet_cifar10) on the bit-exact test set.

Recipe: load_model("file:cifar10_resnetN.safetensors"), logits of pixels / 255, argmax. The accuracies are those
published with the weights; the quick check takes every tenth image of the set sorted by class (912 of 1000 right,
measured with torch 2.15 on a CPU).
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from exuno.models.load import load_model


def right(shared: Path, depth: int, images: np.ndarray, labels: np.ndarray, half: bool = False) -> int:
    model = load_model(f"file:{shared}/data/teachers/cifar10_resnet{depth}.safetensors", classes=10, pretrained=True)
    assert model.card.arch == f"exuno:resnet{depth}"
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
        model.eval()
        parts = [model(part.float() / 255).argmax(1) for part in torch.from_numpy(images).split(500)]
    return int((torch.cat(parts).numpy() == labels).sum())


def test_resnet20_on_a_thousand(shared: Path, cifar10_test: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = cifar10_test
    # One image at the boundary may fall to either side with another order of summation.
    assert abs(right(shared, 20, images[::10].copy(), labels[::10]) - 912) <= 1


@pytest.mark.slow
@pytest.mark.parametrize(("depth", "published"), [(20, 0.9173), (32, 0.9263), (56, 0.9339)])
def test_published_accuracy(
    depth: int, published: float, shared: Path, cifar10_test: tuple[np.ndarray, np.ndarray]
) -> None:
    assert right(shared, depth, *cifar10_test) / 10_000 == pytest.approx(published, abs=1.5e-4)


@pytest.mark.slow
@pytest.mark.parametrize("depth", [20, 32, 56])
def test_a_teacher_in_bf16_is_as_right_within_a_tenth_of_a_point(
    depth: int, shared: Path, cifar10_test: tuple[np.ndarray, np.ndarray]
) -> None:
    """What ``--precision auto`` takes on a GPU, docs/gpu.md."""
    full, half = (right(shared, depth, *cifar10_test, half) for half in (False, True))
    assert abs(full - half) <= 10

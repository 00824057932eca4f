"""``torchvision:r3d_18`` and the like: torchvision's networks for clips."""

from typing import Any

from torch import nn

from exuno.models.card import ModelCard

FRAMES = 16
"""Frames of a clip: the networks with positions are made for so many, the others were trained on them or take any."""


def video_names() -> list[str]:
    """Names of torchvision's networks for clips."""
    import torchvision

    return torchvision.models.list_models(module=torchvision.models.video)


def build_video(name: str, classes: int, options: dict[str, Any]) -> nn.Module:
    """A network of torchvision for clips [B, 3, T, H, W], with random weights."""
    import torchvision

    return torchvision.models.get_model(name, weights=None, num_classes=classes, **options)


def video_card(
    name: str, classes: int | None, size: tuple[int, int] | None, class_names: tuple[str, ...] | None
) -> ModelCard:
    """The card of one of them, with the frame size, mean and std of its published weights; it takes RGB.

    MViT and S3D need frames of 224 pixels, to which clips are resized, whatever ``size`` is; the others take any.
    """
    import torchvision

    weights = torchvision.models.get_model_weights(name)["DEFAULT"]
    transform = weights.transforms()
    own = (transform.crop_size[0], transform.crop_size[-1])
    fitted = own if size is None or name.startswith(("mvit", "s3d")) else size
    mean, std = tuple(transform.mean), tuple(transform.std)
    return ModelCard(f"torchvision:{name}", classes or 400, 3, fitted, mean, std, class_names, frames=FRAMES)

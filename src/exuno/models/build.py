"""Architecture with random weights, from a card: exuno's own networks, timm's or torchvision's."""

from typing import Any

from torch import nn

from exuno.engine.errors import ExunoError
from exuno.models.card import ModelCard
from exuno.models.registry import build_exuno


def build_net(card: ModelCard) -> nn.Module:
    """The network of ``card.arch`` with random weights (drawn from torch's global generator: seed it before).

    Raises:
        ExunoError: for an unknown prefix or name.
    """
    prefix, _, name = card.arch.partition(":")
    if prefix == "exuno":
        return build_exuno(name, card.classes, card.in_chans, card.input_size)
    if prefix == "timm":
        from exuno.models.foreign import build_timm

        return build_timm(name, card.classes, card.in_chans, card.options)
    if prefix == "torchvision":
        from exuno.models.foreign import build_torchvision

        return build_torchvision(name, card.classes, card.options)
    raise ExunoError(
        f"unknown architecture '{card.arch}'", "Architectures are exuno:NAME, timm:NAME, torchvision:NAME."
    )


def random_card(
    arch: str,
    classes: int,
    in_chans: int,
    input_size: tuple[int, int],
    mean: tuple[float, ...] | None,
    std: tuple[float, ...] | None,
    class_names: tuple[str, ...] | None,
    options: dict[str, Any] | None = None,
) -> ModelCard:
    """The card of a network that has no history: without other statistics pixels are mapped to [-1, 1]."""
    middle = (0.5,) * in_chans
    return ModelCard(
        arch,
        classes,
        in_chans,
        input_size,
        mean or middle,
        std or middle,
        class_names,
        options or {},
        {"init": "random"},
    )

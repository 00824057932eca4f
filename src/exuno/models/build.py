"""Architecture with random weights, from a card: exuno's own networks, timm's or torchvision's."""

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

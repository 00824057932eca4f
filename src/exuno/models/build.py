"""Architecture with random weights, from a card: exuno's own networks, timm's or torchvision's."""

import torch
from torch import nn

from exuno.engine.errors import ExunoError
from exuno.models.card import ModelCard
from exuno.models.registry import build_exuno


def build_net(card: ModelCard) -> nn.Module:
    """The network of ``card.arch`` with random weights (drawn from torch's global generator: seed it before), which
    takes what the card says.

    Raises:
        ExunoError: for an unknown prefix or name, and a network that cannot take images of the card's size.
    """
    from exuno.models.fits import check_fits

    check_fits(card)
    net = built(card)
    if card.arch.startswith("exuno:"):
        check_fits(card, net)
    return net


def outline(card: ModelCard) -> nn.Module:
    """The network without memory for its weights, which draws nothing: names, shapes and structure."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        return built(card)


def built(card: ModelCard) -> nn.Module:
    """As :func:`build_net`, without trying the network."""
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

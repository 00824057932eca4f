"""Layouts in which published files keep the weights of networks that exuno has, brought to exuno's names and shapes."""

from pathlib import Path
from typing import Any, NamedTuple

from exuno.models.card import ModelCard
from exuno.models.mobilenet import name_of
from exuno.models.quantised import dequantised, is_quantised
from exuno.models.weights import State
from exuno.models.wide_resnet_tf import from_keras, is_keras


class Translated(NamedTuple):
    """Weights in exuno's names and shapes."""

    state: State
    told: dict[str, Any]
    """What was done, for the lineage."""
    card: ModelCard | None
    """Where the layout tells more than the translated weights would."""


def translated(state: State, path: Path) -> Translated:
    """Weights of any layout; those that are in exuno's names already stay as they are.

    Raises:
        ExunoError: for a file of a known layout that is not whole.
    """
    if is_keras(state):
        state, dropped, card = from_keras(state, path)
        return Translated(state, {"dropped": list(dropped)} if dropped else {}, card)
    told: dict[str, Any] = {}
    if is_quantised(state):
        state = dequantised(state, path)
        told["dequantised"] = "8 bit integers"
    if name_of(state) and state["classifier.weight"].ndim == 4:  # a 1x1 convolution, which is a linear layer
        state = {**state, "classifier.weight": state["classifier.weight"].flatten(1)}
    return Translated(state, told, None)

"""Layouts in which published files keep the weights of networks that exuno has, brought to exuno's names and shapes."""

from pathlib import Path
from typing import Any

from exuno.models.mobilenet import name_of
from exuno.models.quantised import dequantised, is_quantised
from exuno.models.weights import State


def translated(state: State, path: Path) -> tuple[State, dict[str, Any]]:
    """Weights in exuno's names and shapes, and what was done, for the lineage; others as they are.

    Raises:
        ExunoError: for a file of a known layout that is not whole.
    """
    told: dict[str, Any] = {}
    if is_quantised(state):
        state = dequantised(state, path)
        told["dequantised"] = "8 bit integers"
    if name_of(state) and state["classifier.weight"].ndim == 4:  # a 1x1 convolution, which is a linear layer
        state = {**state, "classifier.weight": state["classifier.weight"].flatten(1)}
    return state, told

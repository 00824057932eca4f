"""Putting weights into a network: all of them, or an error that says what does not fit."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from exuno.engine.errors import ExunoError
from exuno.models.formats.weights import State
from exuno.models.formats.wrapped import stripped

SHOWN = 4


ANOTHER = (
    "Name the architecture that they belong to, file:PATH@timm:NAME or @torchvision:NAME; where they have no last "
    "layer, @timm:NAME?num_classes=0."
)


def load_strictly(net: nn.Module, state: State, arch: str, source: str, todo: str = ANOTHER) -> None:
    """Load ``state`` into ``net``; both must have the same keys and shapes.

    Args:
        net: the network of architecture ``arch``.
        state: weights.
        arch: what the network is, for the message.
        source: where the weights come from, for the message (path, and architecture if recognised).
        todo: what to do where they do not fit.

    Raises:
        ExunoError: naming the first keys and shapes that differ. The network is then unchanged.
    """
    own = net.state_dict()
    # Checkpoints from before torch 0.4.1 lack this counter, which no result depends on.
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    extra = [key for key in state if key not in own and not key.endswith("num_batches_tracked")]
    shapes = [
        f"{key} is {tuple(state[key].shape)} in the file, {tuple(own[key].shape)} in the model"
        for key in own
        if key in state and own[key].shape != state[key].shape
    ]
    if missing or extra or shapes:
        parts = [f"missing {_some(missing)}"] if missing else []
        parts += [f"unknown {_some(extra)}"] if extra else []
        parts += [_some(shapes)] if shapes else []
        raise ExunoError(
            f"the weights of {source} do not fit {arch}: {'; '.join(parts)}",
            todo,
        )
    net.load_state_dict(state, strict=False)


def fitting(state: State, own: Mapping[str, Tensor]) -> State:
    """``state`` without the first parts of its names, as far as all share them and none is a name of ``own``."""
    return next((each for each in stripped(state) if own.keys() & each.keys()), state)


def refuse_not_finite(state: State, path: Path) -> None:
    """Raises ExunoError, naming the first, if a tensor holds NaN or infinite numbers (masks may) or none that can be
    read."""
    for key, value in state.items():
        if value.layout != torch.strided or value.is_quantized or value.is_meta:
            raise ExunoError(
                f"{path} holds {key} as a sparse, quantised or empty tensor",
                "Save it as plain numbers: tensor.to_dense().",
            )
        if value.is_floating_point() and not key.endswith("mask") and not value.isfinite().all():
            kind = "NaN" if value.isnan().any() else "infinite numbers"
            raise ExunoError(
                f"{path} holds {kind} in {key}", "Its training diverged, or it is damaged: take an earlier checkpoint."
            )


def _some(items: list[str]) -> str:
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(items[:SHOWN]) + more

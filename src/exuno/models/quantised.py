"""Quantised weights: integers with a scale and a zero point beside them, made floating point again.

For each layer L there are ``L.weight`` (uint8), ``L.weight_scale`` (float32 [1]), ``L.weight_zero_point`` (int32 [1])
and ``L.bias``; the real weight is (weight - zero point) * scale (Jacob et al., CVPR 2018, equation 1).
"""

from pathlib import Path

import torch
from torch import Tensor

from exuno.engine.errors import ExunoError

SCALE, ZERO = "_scale", "_zero_point"

State = dict[str, Tensor]


def is_quantised(state: State) -> bool:
    """Whether integers with scales are among these weights."""
    return any(key.endswith("weight" + SCALE) for key in state)


def dequantised(state: State, path: Path) -> State:
    """Weights as float32 [O, I, kH, kW]; tensors that are not quantised stay as they are.

    Args:
        state: for which :func:`is_quantised` is true.
        path: of the file, for the message.

    Raises:
        ExunoError: for a layer whose integers, scale or zero point are missing, or not what they should be.
    """
    layers = {key.removesuffix(end) for key in state for end in (SCALE, ZERO) if key.endswith("weight" + end)}
    found = {key: value for key, value in state.items() if not key.endswith((SCALE, ZERO))}
    for name in sorted(layers):
        parts = [state.get(name + end) for end in ("", SCALE, ZERO)]
        lacking = [name + end for end, part in zip(("", SCALE, ZERO), parts, strict=True) if part is None]
        if lacking:
            raise ExunoError(f"{path} lacks {', '.join(lacking)} of the quantised {name}", "Fetch or write it again.")
        weight, scale, zero = (part for part in parts if part is not None)
        if weight.dtype not in (torch.uint8, torch.int8) or scale.numel() != 1 or zero.numel() != 1:
            raise ExunoError(
                f"{path}: {name} is {weight.dtype} with {scale.numel()} scales and {zero.numel()} zero points",
                "Only 8 bit integers with one scale and one zero point for each layer can be read.",
            )
        found[name] = (weight.to(torch.int32) - zero.to(torch.int32)).float() * scale.float()
    return found

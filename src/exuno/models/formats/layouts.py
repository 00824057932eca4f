"""Layouts of published files brought to exuno's names, and quantised weights made floating point again.

For each layer L there are ``L.weight`` (uint8), ``L.weight_scale`` (float32 [1]), ``L.weight_zero_point`` (int32 [1])
and ``L.bias``; the real weight is (weight - zero point) * scale (Jacob et al., CVPR 2018, equation 1).
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from exuno.data.constants import CIFAR, CIFAR100
from exuno.engine.errors import ExunoError
from exuno.models.card import ModelCard
from exuno.models.formats.recognise import is_dinov2, recognise, to_timm
from exuno.models.formats.weights import State
from exuno.models.zoo.mobilenet import name_of
from exuno.models.zoo.wide_resnet import from_keras, is_keras

SCALE, ZERO = "_scale", "_zero_point"


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


HEAD = ("classifier.weight", "classifier.bias")
IMAGENET_CLASSES = 1000
"""TensorFlow's networks have one output more, the first, for what is none of them; no data set has such images."""


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
    if is_dinov2(state):
        state, unused = to_timm(state)
        return Translated(state, {"dropped": unused} if unused else {}, None)
    if is_repdistiller(state):
        state = from_repdistiller(state)
        card = recognise(state, path)
        if card.in_chans == 3:
            mean, std = CIFAR if card.classes == 10 else CIFAR100
            card = replace(card, mean=mean, std=std)
        return Translated(state, {}, card)
    told: dict[str, Any] = {}
    if heads := [key for key in state if re.fullmatch(r"top_layer\d+\.(weight|bias)", key)]:
        # Of several heads, as clusterings with many label sets train them, the first stays.
        kept = {key: value for key, value in state.items() if key not in heads}
        state = kept | {f"top_layer.{end}": state[f"top_layer0.{end}"] for end in ("weight", "bias")}
        told["dropped"] = [key for key in heads if not key.startswith("top_layer0.")]
    if is_quantised(state):
        state = dequantised(state, path)
        told["dequantised"] = "8 bit integers"
    if name_of(state):
        head = {key: state[key] for key in HEAD if key in state}
        if head[HEAD[0]].ndim == 4:  # a 1x1 convolution, which is a linear layer
            head[HEAD[0]] = head[HEAD[0]].flatten(1)
        if all(len(value) == IMAGENET_CLASSES + 1 for value in head.values()):
            head = {key: value[1:] for key, value in head.items()}
            told["dropped"] = ["output 0 (background)"]
        state = {**state, **head}
    return Translated(state, told, None)


def is_repdistiller(state: State) -> bool:
    """Whether these are the weights of a wide ResNet in the names of xternalz/WideResNet-pytorch, which RepDistiller
    has, too."""
    needed = ("conv1.weight", "bn1.weight", "fc.weight", "block1.layer.0.bn1.weight", "block3.layer.0.conv1.weight")
    return all(key in state for key in needed)


def from_repdistiller(state: State) -> State:
    """Those weights in exuno's names."""
    heads = {"bn1": "bn", "fc": "linear"}
    found: State = {}
    for key, value in state.items():
        first, _, rest = key.partition(".")
        key = f"{heads.get(first, first)}.{rest}"
        found[re.sub(r"^block(\d)\.layer\.", r"group\1.", key).replace(".convShortcut.", ".shortcut.")] = value
    return found

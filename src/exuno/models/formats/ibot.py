"""Checkpoints of iBOT, DINO and SMKD: vision transformers in timm's names, inside the state of a whole training.

A checkpoint of a training is ``{"student": state, "teacher": state, "optimizer": …, "epoch": …, "args": Namespace}``
and more; the keys of a state begin with ``backbone.`` or ``head.``, perhaps after ``module.`` (bytedance/ibot,
main_ibot.py; HL-hanlin/SMKD, main_smkd.py). The transformer is that of :class:`exuno.models.zoo.vit.Vit`; its mask
token is named ``masked_embed`` and has the shape [1, D], and teachers have none.
"""

import re
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import isqrt
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from exuno.data.constants import CIFAR_FEWSHOT, IMAGENET
from exuno.engine.errors import ExunoError
from exuno.models.card import ModelCard
from exuno.models.formats.wrapped import bare

PARTS = ("teacher", "student")
PREFIX = "backbone."
PER_HEAD = 64
"""Width of an attention head in all published transformers; nothing in a state tells it."""

State = dict[str, Tensor]


@dataclass(frozen=True)
class Training:
    """What a checkpoint tells of its training."""

    part: str | None
    """Whose weights were taken: ``teacher`` or ``student``; None for a file with one network."""
    dropped: tuple[str, ...]
    """What else the file holds: parts of the network, and parts of the checkpoint."""
    epoch: int | None = None
    """Epochs behind it."""
    args: Mapping[str, Any] = field(default_factory=dict)
    """The options it was started with."""
    class_names: tuple[str, ...] | None = None
    """Names of the classes, in the order of the logits."""


def is_training(content: Mapping[str, Any]) -> bool:
    """Whether this is the content of a checkpoint with a student or a teacher."""
    return any(is_state(content.get(part)) for part in PARTS)


def unpack(content: Mapping[str, Any], part: str | None, path: Path) -> tuple[State, Training]:
    """The backbone of one network of a training.

    Args:
        content: of the file.
        part: ``teacher`` or ``student``; None takes the teacher, or the student where there is none.
        path: of the file, for the message.

    Raises:
        ExunoError: if the part is not there.
    """
    there = [each for each in PARTS if is_state(content.get(each))]
    if part is not None and part not in there:
        raise ExunoError(f"{path} holds no {part}, only {there[0]}", f"Take {path}#{there[0]}.")
    part = part or there[0]
    state, heads = _backbone(bare(dict(content[part])).state)
    others = tuple(str(key) for key in content if key not in (part, "epoch", "args"))
    epoch, options = content.get("epoch"), content.get("args")
    return state, Training(
        part,
        (*heads, *others),
        epoch if isinstance(epoch, int) else None,
        vars(options) if isinstance(options, Namespace) else {},
    )


def backbone_only(state: State) -> tuple[State, tuple[str, ...]]:
    """The backbone of a bare state dict that has a head beside it, and what the head is called; any other state as it
    is."""
    return _backbone(state) if PREFIX + "cls_token" in state else (state, ())


def _backbone(state: State) -> tuple[State, tuple[str, ...]]:
    """Keys after ``backbone.``, and the first parts of the names of all others."""
    found = {key.removeprefix(PREFIX): value for key, value in state.items() if key.startswith(PREFIX)}
    if not found:
        return state, ()
    return found, tuple(dict.fromkeys(key.partition(".")[0] for key in state if not key.startswith(PREFIX)))


def is_state(content: object) -> bool:
    """Whether this is a state dict: tensors by their names."""
    if not isinstance(content, Mapping) or not content:
        return False
    return all(isinstance(key, str) and isinstance(each, Tensor) for key, each in content.items())


def is_vit(state: State) -> bool:
    """Whether these are the weights of a plain vision transformer."""
    needed = ("cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.0.attn.qkv.weight")
    return all(key in state for key in needed) and state["patch_embed.proj.weight"].ndim == 4


def vit_card(state: State, path: Path, arch: str | None = None) -> ModelCard:
    """The card of a transformer: width, depth, patch and image size as the shapes say, heads of 64.

    Args:
        state: for which :func:`is_vit` is true.
        path: of the file, for the message.
        arch: ``exuno:vit_…`` if the user named it.

    Raises:
        ExunoError: if the heads cannot be told, or the patches are no square.
    """
    width, in_chans, patch, _ = state["patch_embed.proj.weight"].shape
    patches = state["pos_embed"].shape[1] - 1
    if patches < 1 or isqrt(patches) ** 2 != patches:
        raise ExunoError(
            f"{path} has position embeddings for {patches} patches, which is no square",
            "Name another architecture: file:PATH@timm:NAME.",
        )
    if arch is None:
        arch = _arch(state, width, patch, path)
    elif named := re.search(r"_(\d+)$", arch):
        patch = int(named[1])  # so that the weights, not the size, are found not to fit
    side = isqrt(patches) * patch
    classes = len(state["head.weight"]) if "head.weight" in state else 0
    mean, std = IMAGENET if in_chans == 3 else ((0.5,) * in_chans, (0.5,) * in_chans)
    return ModelCard(arch, classes, in_chans, (side, side), mean, std)


def _arch(state: State, width: int, patch: int, path: Path) -> str:
    from exuno.models.zoo.vit import SIZES

    depth = len({match[1] for key in state if (match := re.match(r"blocks\.(\d+)\.", key))})
    if width % PER_HEAD:
        raise ExunoError(
            f"the heads of {path} cannot be told: its width of {width} is no multiple of {PER_HEAD}",
            f"Name them: file:PATH@exuno:vit_{width}_{depth}_HEADS_{patch}.",
        )
    shape = (width, depth, width // PER_HEAD)
    name = next((name for name, size in SIZES.items() if size == shape), None)
    return f"exuno:vit_{name or '_'.join(map(str, shape))}_{patch}"


def with_training(card: ModelCard, training: Training) -> ModelCard:
    """The card with its lineage: whose backbone it is, the epochs, what was dropped. Mean and standard deviation are
    those that published code takes for CIFAR where the training was on it."""
    source = str(training.args.get("dataset_name") or training.args.get("data_path") or "").lower()
    if card.in_chans == 3 and ("cifar" in source or "fc100" in source):
        card = replace(card, mean=CIFAR_FEWSHOT[0], std=CIFAR_FEWSHOT[1])
    told = {"part": training.part, "epoch": training.epoch, "published_arch": training.args.get("arch")}
    known = {key: value for key, value in told.items() if value is not None}
    dropped = [*card.lineage.get("dropped", []), *training.dropped]
    return replace(card, lineage={**card.lineage, **known, **({"dropped": dropped} if dropped else {})})


def with_mask_token(state: State, card: ModelCard) -> tuple[State, ModelCard]:
    """The state with ``mask_token`` [1, 1, 1, D]: ``masked_embed`` of another shape, or zeros, which the lineage of the
    card then says."""
    state = dict(state)
    if "mask_token" in state:
        return state, card
    if "masked_embed" in state:
        state["mask_token"] = state.pop("masked_embed").reshape(1, 1, 1, -1)
        return state, card
    state["mask_token"] = torch.zeros(1, 1, 1, state["cls_token"].shape[-1])
    return state, replace(card, lineage={**card.lineage, "filled": ["mask_token (zeros)"]})

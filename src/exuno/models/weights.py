"""Reading weights from files, safely: safetensors, TensorFlow's checkpoints, or torch's without executing what is
pickled in them."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from exuno.engine.errors import ExunoError
from exuno.engine.limits import UNPACKED
from exuno.engine.sealed import check_tensors
from exuno.engine.zipped import refuse_swollen
from exuno.models.ibot import Training, backbone_only, is_training, unpack
from exuno.models.inert import STANDS
from exuno.models.lightning import CALLBACKS, is_distillation, take
from exuno.models.mistaken import refuse_mistaken
from exuno.models.wrapped import bare, unwrap

TORCH_SUFFIXES = (".pt", ".pth", ".pyth", ".th", ".tar", ".ckpt", ".bin")
CARD = "model.json"
"""The card's file, and its key in the metadata of weights that exuno wrote: their names are left as they are."""

State = dict[str, Tensor]


class Contents(NamedTuple):
    """What a file of weights holds."""

    state: State
    """Weights of one network."""
    metadata: dict[str, str]
    """Of a safetensors file."""
    training: Training | None
    """What a checkpoint tells of its training."""


def read_weights(path: Path) -> tuple[State, dict[str, str]]:
    """State dict and metadata of a file of weights; see :func:`read_contents`."""
    return read_contents(path)[:2]


def read_contents(path: Path, part: str | None = None) -> Contents:
    """Read a file of weights.

    A checkpoint that wraps the state dict (``state_dict``, ``model``, …) or prefixes its keys (``module.``) is
    unwrapped (:mod:`exuno.models.wrapped`); of a training with student and teacher, or with an average of the weights,
    one network is taken.

    Args:
        path: .safetensors, a torch checkpoint, or the .index of a TensorFlow checkpoint.
        part: ``student``, ``teacher`` or ``ema``; by default the teacher of iBOT, DINO and SMKD, the student of a
            distillation, and of other trainings the weights that are no average.

    Raises:
        ExunoError: if the file is missing, broken, of an unknown format, has not that part, or is a pickle that wants
            to run code.
    """
    if not path.exists():
        raise ExunoError(f"there is no file {path}", "Check the path.")
    if path.is_dir():
        raise ExunoError(f"{path} is a folder", f"Give the file of weights, or run:{path} for a run directory.")
    if not path.is_file():
        raise ExunoError(f"{path} is a pipe or device, not a file", "Copy what it gives into a file.")
    refuse_mistaken(path)
    contents = _read(path, part)
    claimed = sum(value.numel() * value.element_size() for value in contents.state.values())
    if claimed > path.stat().st_size:  # views that repeat a few numbers, such as those of Tensor.expand
        UNPACKED.check(claimed, f"{path}: all its weights")
    return contents


def _read(path: Path, part: str | None) -> Contents:
    suffix = path.suffix.lower()
    if suffix == ".safetensors":
        state, metadata = _read_safetensors(path)
        return Contents(state, metadata, None) if CARD in metadata else _network(state, part, path, metadata)
    if suffix in TORCH_SUFFIXES:
        content = _load_torch(path)
        if isinstance(content, Mapping) and is_training(content):
            state, training = unpack(content, part, path)
            return Contents(state, {}, training)
        return _network(content, part, path, {})
    if suffix == ".index":
        from exuno.models.tensorflow import read_bundle

        _alone(path, part)
        state, dropped = read_bundle(path)
        return Contents(state, {}, Training(None, dropped))
    raise ExunoError(
        f"{path} has an unknown suffix '{path.suffix}'",
        f"Weights are read from .safetensors, {', '.join(TORCH_SUFFIXES)}, or .index (of TensorFlow).",
    )


def _network(content: object, part: str | None, path: Path, metadata: dict[str, str]) -> Contents:
    """One network out of a checkpoint, and what is told and dropped beside it."""
    state, dropped, told, average = unwrap(content, part if part == "ema" else None, path)
    if part != "ema" and is_distillation(state):
        state, part, others = take(state, part, path)
        found = bare(state)
        state, dropped = found.state, (*others, *dropped, *found.dropped)
    else:
        if part != "ema":
            _alone(path, part)
        part = "average (EMA)" if average else None
        state, heads = backbone_only(state)
        dropped = (*heads, *dropped)
    epoch, arch = told.get("epoch"), told.get("arch")
    args = {"arch": arch} if isinstance(arch, str) else {}
    whole = isinstance(epoch, int) and not isinstance(epoch, bool)
    others = tuple(name for name in dropped if name not in ("epoch" if whole else "", "arch" if args else ""))
    return Contents(state, metadata, Training(part, others, epoch if whole else None, args))


def _alone(path: Path, part: str | None) -> None:
    if part is not None:
        raise ExunoError(f"{path} holds one network, not student and teacher", f"Leave out #{part}.")


def _read_safetensors(path: Path) -> tuple[State, dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            metadata = dict(file.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        raise ExunoError(
            f"{path} is not a whole safetensors file ({path.stat().st_size} bytes): {error}",
            "It may be cut off: fetch or write it again.",
        ) from error
    check_tensors(path)
    if not state:
        raise ExunoError(f"{path} holds no weights", "Write it again.")
    return state, metadata


def _load_torch(path: Path) -> object:
    from pickle import UnpicklingError

    try:
        refuse_swollen(path)
        with torch.serialization.safe_globals([*STANDS, *CALLBACKS]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        raise ExunoError(
            f"{path} was refused: it {f'holds {found[1]}' if found else 'is damaged, or holds more than tensors'}, "
            "and loading it could run code",
            "Save the bare state dict where you trust the file: safetensors.torch.save_file(model.state_dict(), PATH).",
        ) from error
    except Exception as error:  # damaged bytes can make torch stumble anywhere
        raise ExunoError(
            f"{path} is not a readable torch checkpoint ({path.stat().st_size} bytes): {type(error).__name__} {error}",
            "It may be cut off: fetch or write it again.",
        ) from error

"""Reading weights from files, safely: safetensors, TensorFlow's checkpoints, or torch's without executing what is
pickled in them."""

import re
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from exuno.engine.errors import ExunoError
from exuno.engine.sealed import check_tensors
from exuno.models.ibot import Training, backbone_only, is_state, is_training, unpack
from exuno.models.lightning import CALLBACKS, is_distillation, take
from exuno.models.mistaken import refuse_mistaken

TORCH_SUFFIXES = (".pt", ".pth", ".pyth", ".th", ".tar", ".ckpt", ".bin")
WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "net")
TOLD = ("epoch", "arch")
"""What a checkpoint says of its training, beside the state dict."""

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
    unwrapped; of a training with student and teacher, one is taken.

    Args:
        path: .safetensors, a torch checkpoint, or the .index of a TensorFlow checkpoint.
        part: ``student`` or ``teacher``; by default the teacher of iBOT, DINO and SMKD, and the student of a
            distillation.

    Raises:
        ExunoError: if the file is missing, broken, of an unknown format, has not that part, or is a pickle that wants
            to run code.
    """
    if not path.exists():
        raise ExunoError(f"there is no file {path}", "Check the path.")
    if path.is_dir():
        raise ExunoError(f"{path} is a folder", f"Give the file of weights, or run:{path} for a run directory.")
    refuse_mistaken(path)
    if path.suffix == ".safetensors":
        return _alone(Contents(*_read_safetensors(path), None), path, part)
    if path.suffix in TORCH_SUFFIXES:
        content = _load_torch(path)
        if isinstance(content, Mapping) and is_training(content):
            state, training = unpack(content, part, path)
            return Contents(state, {}, training)
        state, training = _unwrapped(content, path)
        if is_distillation(state):
            state, part, others = take(state, part, path)
            return Contents(state, {}, replace(training, part=part, dropped=(*others, *training.dropped)))
        state, backbone = backbone_only(state)
        dropped = (*(backbone.dropped if backbone else ()), *training.dropped)
        return _alone(Contents(state, {}, replace(training, dropped=dropped)), path, part)
    if path.suffix == ".index":
        from exuno.models.tensorflow import read_bundle

        state, dropped = read_bundle(path)
        return _alone(Contents(state, {}, Training(None, dropped)), path, part)
    raise ExunoError(
        f"{path} has an unknown suffix '{path.suffix}'",
        f"Weights are read from .safetensors, {', '.join(TORCH_SUFFIXES)}, or .index (of TensorFlow).",
    )


def _alone(contents: Contents, path: Path, part: str | None) -> Contents:
    if part is not None:
        raise ExunoError(f"{path} holds one network, not student and teacher", f"Leave out #{part}.")
    return contents


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
    return strip_prefix(state), metadata


def _load_torch(path: Path) -> object:
    from pickle import UnpicklingError

    try:
        # The options of a training: unpickling a Namespace sets its attributes and does nothing else.
        with torch.serialization.safe_globals([Namespace, *CALLBACKS]):
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


def _unwrapped(content: object, path: Path) -> tuple[State, Training]:
    """The state dict in a checkpoint, and what is told and dropped beside it."""
    dropped: list[str] = []
    told: dict[str, object] = {}
    while isinstance(content, Mapping) and not is_state(content):
        key = next((key for key in WRAPPERS if isinstance(content.get(key), Mapping)), None)
        if key is None:
            keys = f"its keys are {', '.join(map(str, list(content)[:8]))}" if content else "it is empty"
            raise ExunoError(f"{path} holds no state dict; {keys}", "Save the bare state dict.")
        told |= {name: content[name] for name in TOLD if name in content}
        dropped += [str(name) for name in content if name not in (key, *TOLD)]
        content = content[key]
    if not isinstance(content, Mapping):
        raise ExunoError(f"{path} holds a {type(content).__name__}, not a state dict", "Save the bare state dict.")
    epoch, arch = (told.get(name) for name in TOLD)
    training = Training(
        None,
        tuple(dropped),
        epoch if isinstance(epoch, int) else None,
        {"arch": arch} if isinstance(arch, str) else {},
    )
    return strip_prefix(strip_prefix(dict(content)), "model."), training  # the latter by Lightning


def strip_prefix(state: State, prefix: str = "module.") -> State:
    """Drop the prefix that DataParallel and DDP put before every key."""
    while state and all(key.startswith(prefix) for key in state):
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state

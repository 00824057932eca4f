"""Reading weights from files, safely, and telling files that are none.

The codes of "Extrapolating from a Single Image to a Thousand Classes" (GitHub yukimasano/single-img-extrapolating,
in1k/distiller.py, video/distiller.py; Lightning 1.4.9) save ``{"state_dict": …, "epoch": …, "optimizer_states": …,
"callbacks": …}`` with keys that begin with ``student.`` or ``teacher.``; their results are the student's.
"""

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from exuno.engine.digests import check_members, check_tensors
from exuno.engine.errors import ExunoError
from exuno.engine.untrusted import UNPACKED, refuse_swollen
from exuno.models.formats.ibot import Training, backbone_only, is_training, unpack
from exuno.models.formats.inert import STANDS
from exuno.models.formats.wrapped import bare, unwrap

HEAD = 512
"""Bytes that are looked at."""
UNPACK = "Unpack it, and give the file of weights that is in it."


def refuse_mistaken(path: Path) -> None:
    """Raises ExunoError if a file is empty, a web page or another text, a pointer of Git LFS, or an archive that torch
    did not write."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    if not head:
        raise ExunoError(f"{path} is empty", "Fetch or write it again.")
    if head.startswith(b"version https://git-lfs"):
        raise ExunoError(f"{path} is a pointer of Git LFS, not the file itself", "Fetch it: git lfs pull.")
    if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise ExunoError(
            f"{path} is a web page, not weights",
            "Fetch the file that the page offers; of a Dropbox link, by dl=1 at its end in place of dl=0.",
        )
    if head.isascii() and head.decode().replace("\n", " ").replace("\r", " ").replace("\t", " ").isprintable():
        text = " ".join(head.decode().split())
        raise ExunoError(f"{path} is a text, not weights: '{text[:60]}'", "Check where it comes from.")
    if head.startswith(b"\x1f\x8b"):
        raise ExunoError(f"{path} is compressed by gzip", UNPACK)
    if head[257:262] == b"ustar":
        raise ExunoError(f"{path} is a tar archive", UNPACK)
    if head.startswith(b"PK") and (names := _names(path)) is not None:
        if any("/code/" in name for name in names):
            raise ExunoError(
                f"{path} is a TorchScript program, not weights",
                "Where you trust it: torch.save(torch.jit.load(PATH).state_dict(), NEW).",
            )
        if not any(name.endswith("data.pkl") for name in names):
            raise ExunoError(f"{path} is a zip archive of {', '.join(names[:3]) or 'nothing'}, not of torch", UNPACK)


def _names(path: Path) -> list[str] | None:
    """What a zip archive holds; None if it is damaged, which the reader of weights tells."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
        return None


State = dict[str, Tensor]


CALLBACKS = tuple(
    # Classes are keys of "callbacks": these stand in for them, with a name and no code.
    type(name, (), {"__module__": f"{package}.callbacks.{module}"})
    for package in ("pytorch_lightning", "lightning.pytorch")
    for module, name in (
        ("model_checkpoint", "ModelCheckpoint"),
        ("early_stopping", "EarlyStopping"),
        ("lr_monitor", "LearningRateMonitor"),
    )
)
"""What torch may unpickle in such a checkpoint besides tensors."""


def is_distillation(state: State) -> bool:
    """Whether these are the weights of a student, and of its teacher if it was saved, too."""
    return bool(state) and all(key.startswith(("student.", "teacher.")) for key in state)


def take(state: State, part: str | None, path: Path) -> tuple[State, str, tuple[str, ...]]:
    """Weights of one network without its prefix, which one it is, and which one was dropped.

    Args:
        state: for which :func:`is_distillation` is true.
        part: ``student`` or ``teacher``; None takes the student.
        path: of the file, for the message.

    Raises:
        ExunoError: if it is not there.
    """
    there = tuple(each for each in ("student", "teacher") if any(key.startswith(f"{each}.") for key in state))
    part = part or there[0]
    if part not in there:
        raise ExunoError(f"{path} holds no {part}, only {there[0]}", f"Take {path}#{there[0]}.")
    prefix = f"{part}."
    found = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    return found, part, tuple(each for each in there if each != part)


TORCH_SUFFIXES = (".pt", ".pth", ".pyth", ".th", ".tar", ".ckpt", ".bin")
CARD = "model.json"
"""The card's file, and its key in the metadata of weights that exuno wrote: their names are left as they are."""


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
    unwrapped (:mod:`exuno.models.formats.wrapped`); of a training with student and teacher, or with an average of the
    weights, one network is taken.

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
        from exuno.models.formats.tensorflow import read_bundle

        _alone(path, part)
        state, dropped = read_bundle(path)
        return Contents(state, {}, Training(None, dropped))
    raise ExunoError(
        f"{path} has an unknown suffix '{path.suffix}'",
        f"Weights are read from .safetensors, {', '.join(TORCH_SUFFIXES)}, or .index (of TensorFlow).",
    )


def _network(content: object, part: str | None, path: Path, metadata: dict[str, str]) -> Contents:
    """One network out of a checkpoint, and what is told and dropped beside it."""
    state, dropped, told, average, names = unwrap(content, part if part == "ema" else None, path)
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
    return Contents(state, metadata, Training(part, others, epoch if whole else None, args, names))


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
        check_members(path)
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

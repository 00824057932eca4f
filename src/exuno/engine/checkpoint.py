"""Checkpoints: everything a training needs to go on as if it had never stopped, in one file written in one step.

A file holds tensors, numbers and strings only and is read with ``weights_only=True``: no pickle is executed.
"""

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch

from exuno.engine.errors import ExunoError
from exuno.engine.files import atomic

KEEP = 2


def rng_state() -> dict[str, Any]:
    """State of every global random generator of this process."""
    # Libraries may draw from the old global generator, so its state is part of a run.
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)  # noqa: NPY002
    assert isinstance(name, str)
    return {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, cached),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_rng_state(state: dict[str, Any]) -> None:
    """The inverse of :func:`rng_state`."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])


def save(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Writes ``folder/step-N.pt`` in one step, then drops all but the newest two."""
    path = folder / f"step-{step:09d}.pt"
    with atomic(path) as temporary:
        torch.save(state, temporary)
    for old in sorted(folder.glob("step-*.pt"))[:-KEEP]:
        old.unlink(missing_ok=True)
    return path


def load(path: Path) -> dict[str, Any]:
    """Reads one checkpoint.

    Raises:
        ExunoError: the file is missing or is no checkpoint of exuno.
    """
    if not path.is_file():
        raise ExunoError(f"there is no checkpoint {path}", "Give --resume auto, or the path of an existing file.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ExunoError(
            f"{path} is not a readable checkpoint ({type(error).__name__})",
            "Give --resume never to start anew in another --run-dir.",
        ) from error
    if not isinstance(state, dict) or "step" not in state:
        raise ExunoError(f"{path} is not a checkpoint of exuno", "Give a file of RUN_DIR/checkpoints.")
    return state


def latest(folder: Path) -> dict[str, Any] | None:
    """The newest checkpoint that can be read, or None: a damaged file costs one interval, not the run."""
    found = sorted(folder.glob("step-*.pt"), reverse=True)
    for i, path in enumerate(found):
        try:
            return load(path)
        except ExunoError:
            if i == len(found) - 1:
                raise
    return None

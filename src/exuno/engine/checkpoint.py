"""Checkpoints: everything a training needs to go on as if it had never stopped, in one file written in one step.

A file holds tensors, numbers and strings only and is read with ``weights_only=True``: no pickle is executed. It ends in
its digest, so that damage is noticed.
"""

import io
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from exuno.engine.digests import Damaged, seal, unseal
from exuno.engine.errors import ExunoError, first_line
from exuno.engine.files import atomic
from exuno.engine.untrusted import Swollen, refuse_swollen

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
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None,
    }


def set_rng_state(state: dict[str, Any]) -> None:
    """The inverse of :func:`rng_state`."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def save(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Writes ``folder/step-N.pt`` in one step, then drops all but the newest two."""
    path = folder / f"step-{step:09d}.pt"
    content = io.BytesIO()
    torch.save(state, content)  # in memory first: torch reports a full disk as a RuntimeError like any other
    with content.getbuffer() as view:
        end = seal(view)
    content.seek(0, io.SEEK_END)
    content.write(end)
    with atomic(path) as temporary:
        temporary.write_bytes(content.getbuffer())
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
        content = io.BytesIO(unseal(path.read_bytes()))
        refuse_swollen(content)
        state = torch.load(content, map_location="cpu", weights_only=True)
    except Exception as error:
        why = str(error) if isinstance(error, Damaged | Swollen) else type(error).__name__
        raise ExunoError(
            f"{path} is not a readable checkpoint ({why})", "Give --resume never to start anew in another --run-dir."
        ) from error
    if not isinstance(state, dict) or "step" not in state:
        raise ExunoError(f"{path} is not a checkpoint of exuno", "Give a file of RUN_DIR/checkpoints.")
    return state


def latest(folder: Path) -> dict[str, Any] | None:
    """The newest checkpoint that can be read, or None: a damaged file costs one interval, not the run. It is told."""
    found = sorted(folder.glob("step-*.pt"), reverse=True)
    for i, path in enumerate(found):
        try:
            return load(path)
        except ExunoError as error:
            if i == len(found) - 1:
                raise
            print(f"exuno: {error.what} The one before it is taken.", file=sys.stderr)
    return None


def to_continue(folder: Path, resume: str) -> dict[str, Any] | None:
    """The checkpoint from which ``--resume`` says to go on; None to begin.

    A PATH is where a run begins; once it has checkpoints of its own, these count.
    """
    own = latest(folder) if resume != "never" else None
    if own or resume in ("auto", "never"):
        return own and _complete(own, folder)
    return {**_complete(load(Path(resume)), Path(resume)), "metrics_bytes": 0}


FIELDS = {
    **{"step": int, "method": dict, "optimizer": dict, "scaler": dict | None, "meter": dict, "rng": list},
    **{"metrics_bytes": int, "seconds": int | float},
}
"""What a training writes into a checkpoint."""


def _complete(state: dict[str, Any], where: Path) -> dict[str, Any]:
    """The checkpoint, if it holds what a training writes."""
    wrong = [name for name, kind in FIELDS.items() if not isinstance(state.get(name), kind)]
    if wrong or not state["rng"] or min(state["step"], state["metrics_bytes"], state["seconds"]) < 0:
        raise _another(where, f"its {(wrong or ['numbers'])[0]}")
    return state


def _another(where: Path, what: str) -> ExunoError:
    return ExunoError(
        f"the checkpoint in {where} is none of a training, or of another version of exuno ({what})",
        "Give --resume never to start anew in another --run-dir.",
    )


@contextmanager
def restoring(where: Path) -> Iterator[None]:
    """While what a checkpoint holds goes to where it belongs.

    Raises:
        ExunoError: it has another form.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise _another(where, f"{type(error).__name__} {first_line(error)}"[:200]) from error


def restore_weights(method: nn.Module, state: dict[str, Any], where: Path) -> None:
    """Loads the weights of a checkpoint.

    Raises:
        ExunoError: they are those of another model.
    """
    try:
        method.load_state_dict(state["method"])
    except RuntimeError as error:
        first = str(error).splitlines()
        raise ExunoError(
            f"the checkpoint does not fit this model: {' '.join(line.strip() for line in first[1:2])}",
            f"Give one of the same configuration, or --resume never with another --run-dir than {where.parent}.",
        ) from error

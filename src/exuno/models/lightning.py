"""Checkpoints of PyTorch Lightning: teacher and student of one distillation, side by side in one state dict.

The codes of "Extrapolating from a Single Image to a Thousand Classes" (GitHub yukimasano/single-img-extrapolating,
in1k/distiller.py, video/distiller.py; Lightning 1.4.9) save ``{"state_dict": …, "epoch": …, "optimizer_states": …,
"callbacks": …}`` with keys that begin with ``student.`` or ``teacher.``; their results are the student's.
"""

from pathlib import Path

from torch import Tensor

from exuno.engine.errors import ExunoError

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

"""Sending metrics to TensorBoard or Weights & Biases, on request."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from exuno.engine.errors import ExunoError

Sink = Callable[[dict[str, Any]], None]


def tracker(names: Sequence[str], folder: Path, config: dict[str, Any]) -> Sink:
    """A function that sends one line of metrics (``step`` and numbers) to each of ``names``.

    Raises:
        ExunoError: the library is not installed.
    """
    sinks = [{"tensorboard": _tensorboard, "wandb": _wandb}[name](folder, config) for name in names]

    def send(values: dict[str, Any]) -> None:
        for sink in sinks:
            sink(values)

    return send


def _missing(name: str) -> ExunoError:
    return ExunoError(f"--track {name} needs a library that is not installed", f"pip install 'exuno[{name}]'")


def _tensorboard(folder: Path, config: dict[str, Any]) -> Sink:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise _missing("tensorboard") from error
    writer = SummaryWriter(str(folder / "tensorboard"))

    def send(values: dict[str, Any]) -> None:
        for name, value in values.items():
            if name != "step":
                writer.add_scalar(name, value, values["step"])

    return send


def _wandb(folder: Path, config: dict[str, Any]) -> Sink:
    try:
        import wandb  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise _missing("wandb") from error
    # The folder is the run's identity there too, so that a resumed run goes on in the same curve.
    identity = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    run = wandb.init(project="exuno", name=str(folder), id=identity, dir=str(folder), config=config, resume="allow")
    return lambda values: run.log({k: v for k, v in values.items() if k != "step"}, step=values["step"])

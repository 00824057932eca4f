"""Weights & Biases."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from exuno.engine.options import trackers
from exuno.engine.tracking import Sink, identity_of, numbers_of


@trackers.register("wandb", needs=("wandb",), install="pip install 'exuno[wandb]'")
@contextmanager
def wandb(folder: Path, config: dict[str, Any]) -> Iterator[Sink]:
    import wandb as library  # pyright: ignore[reportMissingImports]

    run = library.init(
        project="exuno", name=str(folder), id=identity_of(folder), dir=str(folder), config=config, resume="allow"
    )
    yield lambda values: run.log(numbers_of(values), step=values["step"])
    run.finish()

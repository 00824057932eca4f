"""Trackio: a local database (``TRACKIO_DIR``), or the Space or server that its own variables name."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from exuno.engine.options import trackers
from exuno.engine.tracking import Sink, identity_of, numbers_of


@trackers.register("trackio", needs=("trackio",), install="pip install trackio")
@contextmanager
def trackio(folder: Path, config: dict[str, Any]) -> Iterator[Sink]:
    import trackio as library  # pyright: ignore[reportMissingImports]

    # A run is found again by its name alone.
    name = f"{folder.name}-{identity_of(folder)[:6]}"
    with redirect_stdout(sys.stderr):  # standard output is for results
        run = library.init(project="exuno", name=name, config=config, resume="allow", embed=False)
    yield lambda values: run.log(numbers_of(values), step=values["step"])
    with redirect_stdout(sys.stderr):
        run.finish()

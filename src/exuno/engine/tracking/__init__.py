"""Where metrics go beside metrics.jsonl, a file for each service. ``--track NAME`` finds them, or ``module:Name``.

A tracker is a context that yields a function, which gets a line of metrics: ``step`` and numbers::

    @trackers.register("tensorboard", needs=("tensorboard",), install="pip install 'exuno[tensorboard]'")
    @contextmanager
    def tensorboard(folder: Path, config: dict[str, Any]) -> Iterator[Sink]: ...

``folder`` is the run directory and the identity of the run there, too, so that a run that goes on does so in the same
curve; ``config`` its resolved configuration. ``needs``: modules that have to be installed, ``install``: how they are.
"""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from exuno.engine.errors import ExunoError
from exuno.engine.options import trackers
from exuno.registry import importable

Sink = Callable[[dict[str, Any]], None]
"""Takes one line of metrics."""


def check_trackers(names: Sequence[str]) -> None:
    """Raises ExunoError if a package that a tracker needs is not installed; imports none."""
    for name in names:
        facts = trackers.entries[name].facts if name in trackers.entries else {}
        if lacking := [each for each in facts.get("needs", ()) if not importable(each)]:
            raise ExunoError(f"--track {name} needs {lacking[0]}, which is not installed", facts["install"])


class Tracking:
    """All trackers of one run, open from the first line on.

    Args:
        names: of trackers.
        folder: the run directory.
        config: the resolved configuration.
    """

    def __init__(self, names: Sequence[str], folder: Path, config: dict[str, Any]) -> None:
        self.names, self.folder, self.config = names, folder, config
        self.stack = ExitStack()
        self.sinks: list[Sink] | None = None

    def __call__(self, values: dict[str, Any]) -> None:
        """Sends one line to each."""
        if self.sinks is None:
            self.sinks = [self.stack.enter_context(trackers.get(name)(self.folder, self.config)) for name in self.names]
        for sink in self.sinks:
            sink(values)

    def close(self) -> None:
        """Has each send what it still holds back."""
        self.stack.close()
        self.sinks = None


def identity_of(folder: Path) -> str:
    """Sixteen characters that stand for a run directory."""
    return hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]


def numbers_of(values: dict[str, Any]) -> dict[str, Any]:
    """A line without its step."""
    return {name: value for name, value in values.items() if name != "step"}

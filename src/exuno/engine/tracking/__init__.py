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
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from exuno.engine.errors import ExunoError, first_line, tell
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
    """All trackers of one run, open from the first line on. One that fails after that costs no training: it is told,
    and gets no more; metrics.jsonl holds all lines in any case.

    Args:
        names: of trackers.
        folder: the run directory.
        config: the resolved configuration.
    """

    def __init__(self, names: Sequence[str], folder: Path, config: dict[str, Any]) -> None:
        self.names, self.folder, self.config = names, folder, config
        self.open: dict[str, tuple[AbstractContextManager[Sink], Sink]] | None = None

    def __call__(self, values: dict[str, Any]) -> None:
        """Sends one line to each.

        Raises:
            ExunoError: a tracker cannot begin.
        """
        if self.open is None:
            self.open = {}
            for name in self.names:
                self.open[name] = self._begun(name)
        for name, (_, sink) in tuple(self.open.items()):
            try:
                sink(values)
            except Exception as error:  # every service has exceptions of its own
                del self.open[name]
                self._lost(name, error)

    def _begun(self, name: str) -> tuple[AbstractContextManager[Sink], Sink]:
        context = trackers.get(name)(self.folder, self.config)
        try:
            return context, context.__enter__()
        except ExunoError:
            raise
        except Exception as error:
            todo = f"Check the settings of {name} and the service behind it, or leave out --track {name}."
            raise ExunoError(f"--track {name}: {first_line(error)}", todo) from error

    def close(self) -> None:
        """Has each send what it still holds back."""
        for name, (context, _) in (self.open or {}).items():
            try:
                context.__exit__(None, None, None)
            except Exception as error:
                self._lost(name, error)
        self.open = None

    def _lost(self, name: str, error: Exception) -> None:
        tell(f"exuno: --track {name} gets no more metrics ({first_line(error)}); metrics.jsonl has all of them")


def identity_of(folder: Path) -> str:
    """Sixteen characters that stand for a run directory."""
    return hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]


def numbers_of(values: dict[str, Any]) -> dict[str, Any]:
    """A line without its step."""
    return {name: value for name, value in values.items() if name != "step"}

"""Progress on the screen, and how long trainings would take. No torch."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType

from exuno.engine.meanwhile import meanwhile
from exuno.engine.system import peak_memory


def clock(seconds: float) -> str:
    """``75`` -> ``1:15``."""
    minutes, seconds = divmod(round(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


ESTIMATES: ContextVar[list[float] | None] = ContextVar("estimates", default=None)
"""Where to put the seconds that trainings would take, if anywhere."""


@contextmanager
def estimates() -> Iterator[list[float]]:
    """Meanwhile, the seconds that trainings would take are also put into a list."""
    found: list[float] = []
    with meanwhile(ESTIMATES, found):
        yield found


class ProgressBar:
    """Counts work done; ``with ProgressBar("student", total, "samples") as bar: bar.advance(n, note)``.

    Args:
        title: what is being done.
        total: amount of work, in ``unit``.
        unit: what is counted, for the rate.
        done: work that an earlier run had finished; it does not count for the rate.
        quiet: print nothing (all processes but the first).
        lines_every: seconds between plain lines where there is no terminal.
    """

    def __init__(
        self, title: str, total: int, unit: str, done: int = 0, quiet: bool = False, lines_every: float = 10.0
    ) -> None:
        self.title, self.total, self.unit, self.done, self.first = title, total, unit, done, done
        self.quiet, self.lines_every = quiet, lines_every
        self.started = self.shown = time.monotonic()
        self.note = ""
        self.live = None

    def __enter__(self) -> "ProgressBar":
        if not self.quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            columns = TextColumn("[bold]{task.description}"), BarColumn(None), TextColumn("{task.fields[status]}")
            self.live = Progress(*columns, console=Console(stderr=True), refresh_per_second=8, expand=True)
            self.task = self.live.add_task(self.title, total=self.total, completed=self.done, status="")
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live:
            self.live.update(self.task, completed=self.done, status=self.status())
            self.live.stop()
        elif not self.quiet and kind is None:
            self._line()

    def status(self) -> str:
        """Rate, note, time left and memory, in one line."""
        elapsed = max(1e-9, time.monotonic() - self.started)
        rate = (self.done - self.first) / elapsed
        left = clock((self.total - self.done) / rate) if rate > 0 else "?"
        memory = peak_memory() / 2**30
        speed = f"{rate:,.0f} {self.unit}/s" if rate >= 2 or not rate else f"{60 * rate:.1f} {self.unit}/min"
        parts = [f"{100 * self.done / max(1, self.total):.0f} %", speed, self.note]
        parts += [f"{left} left" if self.done < self.total else f"took {clock(elapsed)}", f"{memory:.1f} GB"]
        return "  ".join(part for part in parts if part)

    def _line(self) -> None:
        try:
            print(f"{self.title}: {self.status()}", file=sys.stderr, flush=True)
        except BrokenPipeError:
            raise
        except OSError:  # a log that the disk has no room for is no reason to stop
            self.quiet = True

    def due(self) -> bool:
        """Whether the display wants new numbers; lets a loop skip the work of making them."""
        return not self.quiet and time.monotonic() - self.shown > (0.2 if self.live else self.lines_every)

    def advance(self, amount: int, note: str | None = None) -> None:
        """Adds ``amount`` to the work done; ``note`` replaces the text after the rate."""
        self.done += amount
        self.note = self.note if note is None else note
        if self.due():
            self.shown = time.monotonic()
            if self.live:
                self.live.update(self.task, completed=self.done, status=self.status())
            else:
                self._line()

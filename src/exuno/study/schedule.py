"""Which cell runs when, and what became of each."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from exuno.study.grid import Cell
from exuno.study.worker import Job, Outcome


class Launcher(Protocol):
    """What carries out jobs, several at a time."""

    slots: int

    def submit(self, job: Job) -> None: ...
    def wait(self) -> list[Outcome]: ...
    def close(self) -> None: ...


def run_all(
    cells: Sequence[Cell],
    done: Mapping[str, str],
    launch: Callable[[], Launcher],
    job_of: Callable[[Cell], Job],
    tell: Callable[[Cell, Outcome], None],
) -> dict[str, str]:
    """Carries out all cells that are not done, each after those that it needs. One that fails fails alone: only what
    needs it is left out.

    Args:
        cells: each after those that it needs.
        done: names of the cells that earlier sessions finished, with an empty reason.
        launch: makes the launcher; not called where nothing is left to do.
        job_of: the job of a cell.
        tell: called after each cell that ran or was left out.

    Returns:
        Name of each cell -> why it has no result; empty where it has one. One that was told to stop, or needs one that
        was, is not in it.
    """
    reasons, waiting = dict(done), [cell for cell in cells if cell.name not in done]
    if not waiting:
        return reasons
    running: dict[str, Cell] = {}
    stopped: set[str] = set()
    launcher = launch()
    try:
        while waiting or running:
            for cell in list(waiting):
                if stopped & set(cell.needs):
                    waiting.remove(cell)
                    stopped.add(cell.name)
                elif failed := next((name for name in cell.needs if reasons.get(name)), None):
                    waiting.remove(cell)
                    reasons[cell.name] = f"it needs {failed}, which has no result"
                    tell(cell, Outcome(cell.name, reasons[cell.name], 0.0))
                elif len(running) < launcher.slots and all(name in reasons for name in cell.needs):
                    waiting.remove(cell)
                    running[cell.name] = cell
                    launcher.submit(job_of(cell))
            for outcome in launcher.wait() if running else []:
                if outcome.unfinished:
                    stopped.add(outcome.name)
                else:
                    reasons[outcome.name] = outcome.reason
                tell(running.pop(outcome.name), outcome)
    finally:
        launcher.close()
    return reasons

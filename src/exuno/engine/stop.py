"""SIGTERM and SIGUSR1, which a cluster sends before it takes a machine away: finish the step, write a checkpoint, end
with an exit code that says that the same command is to be given again. No torch.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

REQUEUE = 75
"""Exit code of a command that was told to stop: EX_TEMPFAIL of sysexits.h."""
SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name))  # Windows has one
ECHO = 1.0
"""Seconds in which a further signal is the same one: whoever signals a group of processes reaches each of them directly
and through its parent."""
LINGER = 30
"""Seconds that a worker process of a loader outlives SIGTERM: those in which its training finishes a step."""


class Stopped(SystemExit):
    """This process was told to stop. What it raises through ends it with ``REQUEUE``."""

    def __init__(self) -> None:
        super().__init__(REQUEUE)


class _State:
    """Of this process."""

    listening = False
    told: float | None = None
    """When the first signal came."""
    name = ""
    first: Callable[[int], object] | None = None
    """What a first signal does; by default it ends the process."""


_state = _State()


def told() -> bool:
    """Whether this process was told to stop."""
    return _state.told is not None


@contextmanager
def listening() -> Iterator[None]:
    """Within, a first signal raises ``Stopped``, or does what ``deferred`` says; a second one raises it at once.

    Handlers that a program has of its own stay, and in another thread than the main one nothing can be heard. The
    outermost one says in a sentence why the process ends.
    """
    if _state.listening or threading.current_thread() is not threading.main_thread():
        yield
        return
    ours = [number for number in SIGNALS if signal.getsignal(number) is signal.SIG_DFL]
    _state.listening, _state.told = True, None
    for number in ours:
        signal.signal(number, _hear)
    try:
        yield
    except Stopped:
        if os.environ.get("RANK", "0") == "0":
            with suppress(OSError):
                text = f"exuno: told to stop by {_state.name}; the same command continues from the last checkpoint."
                print(text, file=sys.stderr, flush=True)
        raise
    finally:
        _state.listening, _state.told = False, None
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _hear(number: int, frame: FrameType | None) -> None:
    now = time.monotonic()
    if _state.told is None:
        _state.told, _state.name = now, signal.Signals(number).name
        if _state.first is None:
            raise Stopped
        _state.first(number)
    elif now - _state.told > ECHO:
        signal.signal(number, signal.SIG_DFL)
        raise Stopped


@contextmanager
def deferred(first: Callable[[int], object] = lambda number: None) -> Iterator[None]:
    """Within, a first signal calls ``first`` with its number, and whoever asks ``told`` ends what he does; at the
    latest, ``Stopped`` is raised at the end."""
    before, _state.first = _state.first, first
    try:
        yield
    finally:
        _state.first = before
    if told() and before is None:
        raise Stopped


def in_worker(number: int) -> None:
    """For a worker process of a loader, which gets the signals of its group: its training needs it until the step is
    done.

    Args:
        number: of the worker; torch gives it.
    """
    if not hasattr(signal, "alarm"):  # Windows ends processes without a signal
        return
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(LINGER))

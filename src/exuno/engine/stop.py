"""SIGTERM and SIGUSR1, which a cluster sends before it takes a machine away, and Ctrl-C: finish the step, write a
checkpoint, end with an exit code that says that the same command is to be given again. No torch.
"""

import math
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
INTERRUPTED = 130
"""Exit code of a command that was interrupted by Ctrl-C."""
DEFAULTS = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
"""What is heard, and what Python does of itself."""
if hasattr(signal, "SIGUSR1"):  # not on Windows
    DEFAULTS[signal.SIGUSR1] = signal.SIG_DFL
ECHO = 1.0
"""Seconds in which a further signal is the same one: whoever signals a group of processes reaches each of them directly
and through its parent."""
LAUNCHED = "EXUNO_LAUNCHED"
"""Environment variable of a process that ``engine.launch`` has started with these signals blocked: it listens before it
lets them in, and leaves it to its parent to say why it ended."""
LINGER = 30
"""Seconds that a worker process of a loader outlives SIGTERM: those in which its training finishes a step."""


class Stopped(SystemExit):
    """This process was told to stop. What it raises through ends it with ``REQUEUE``."""

    def __init__(self) -> None:
        super().__init__(REQUEUE)


class _State:
    """Of this process."""

    listening = False
    launched = False
    interrupted = -math.inf
    """When Ctrl-C last ended what was done here."""
    told: float | None = None
    """When the first signal came."""
    number = signal.SIGTERM
    """Of the signal that was heard, an echo apart."""
    first: Callable[[int], object] | None = None
    """What a first signal does; by default it ends the process."""


_state = _State()


def told() -> bool:
    """Whether this process was told to stop."""
    return _state.told is not None


def ending() -> BaseException:
    """What ends a process that was told to stop: ``Stopped``, or ``KeyboardInterrupt`` where Ctrl-C told it."""
    return KeyboardInterrupt() if told() and _state.number == signal.SIGINT else Stopped()


@contextmanager
def listening() -> Iterator[None]:
    """Within, a first signal raises what ``ending`` says, or does what ``deferred`` says; a second one raises at once.

    Handlers that a program has of its own stay, and in another thread than the main one nothing can be heard. The
    outermost one says in a sentence why the process ends; of several processes (``engine.launch``), that of their
    parent.
    """
    if _state.listening or threading.current_thread() is not threading.main_thread():
        yield
        return
    ours = [number for number, default in DEFAULTS.items() if signal.getsignal(number) == default]
    _state.listening, _state.told = True, None
    for number in ours:
        signal.signal(number, _hear)
    try:
        if os.environ.pop(LAUNCHED, None):  # processes that this one starts are not those of its launcher
            _state.launched = True
            signal.pthread_sigmask(signal.SIG_UNBLOCK, DEFAULTS)
        yield
    except KeyboardInterrupt:
        if _state.launched:
            raise SystemExit(INTERRUPTED) from None
        raise
    except Stopped:
        if not _state.launched and os.environ.get("RANK", "0") == "0":
            with suppress(OSError):
                by = _state.number.name
                text = f"exuno: told to stop by {by}; the same command continues from the last checkpoint."
                print(text, file=sys.stderr, flush=True)
        raise
    finally:
        _state.listening, _state.told = False, None
        for number in ours:
            # Echoes of what has ended a launched process would end it again, in the middle of its last words.
            signal.signal(number, signal.SIG_IGN if _state.launched else DEFAULTS[number])


def _hear(number: int, frame: FrameType | None) -> None:
    now, name = time.monotonic(), signal.Signals(number)
    if _state.told is None:
        if _state.first is None and name == signal.SIGINT:
            if _state.launched and now - _state.interrupted < ECHO:
                return
            _state.interrupted = now
            raise KeyboardInterrupt  # which whoever catches it may outlive
        _state.told, _state.number = now, name
        if _state.first is None:
            raise ending()
        _state.first(number)
    elif now - _state.told > ECHO:
        signal.signal(number, DEFAULTS[name])
        _state.number = name
        raise ending()


def announce(number: int) -> None:
    """Tells who pressed Ctrl-C that it was heard: a step may take minutes."""
    if number == signal.SIGINT and os.environ.get("RANK", "0") == "0":
        with suppress(OSError):  # and not print, which a signal may have interrupted
            os.write(2, b"\nexuno: stops after this step, with a checkpoint; Ctrl-C once more stops at once.\n")


@contextmanager
def deferred(first: Callable[[int], object] = announce) -> Iterator[None]:
    """Within, a first signal calls ``first`` with its number, and whoever asks ``told`` ends what he does; at the
    latest, what ``ending`` says is raised at the end."""
    before, _state.first = _state.first, first
    try:
        yield
    finally:
        _state.first = before
    if told() and before is None:
        raise ending()


def in_worker(number: int) -> None:
    """For a worker process of a loader, which gets the signals of its group: its training needs it until the step is
    done.

    Args:
        number: of the worker; torch gives it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not hasattr(signal, "alarm"):  # Windows ends processes without a signal
        return
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(LINGER))

"""The command line: ``exuno VERB [PRESET] [--options]``. Finds the verb and hands over; imports no torch."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from io import TextIOWrapper

from exuno.engine.errors import ExunoError, as_mistake
from exuno.engine.stop import INTERRUPTED, listening
from exuno.engine.system import crowded
from exuno.verbs import VERBS, run_verb
from exuno.version import __version__

USAGE = """usage: exuno VERB [PRESET] [--options]

Learning from almost no data. Start with:  exuno distill digits

{verbs}

exuno VERB --help tells the options of a verb that people use, exuno VERB --help
all every one; exuno presets the named configurations; exuno --completion bash
(or zsh) prints what makes the shell complete all of them.
"""

BUG = """exuno: this is a bug in exuno {version}, not a mistake of yours: please report it to its issue tracker,
       with the command and the lines above. What was finished before is safe."""


def usage() -> str:
    return USAGE.format(verbs="\n".join(f"  {name:10}{verb.about}" for name, verb in VERBS.items()))


def main(args: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 2 the user's mistake, 75 told to stop (see
    ``engine.stop``), 130 interrupted."""
    args = list(sys.argv[1:] if args is None else args)
    if not args or args[0] in ("-h", "--help", "help"):
        print(usage(), end="")
        return 0
    if args[0] in ("-V", "--version"):
        print(f"exuno {__version__}")
        return 0
    debug = "--debug" in args
    try:
        if args[0] == "--completion":
            from exuno.commandline.completion import script

            print(script(args[1] if len(args) > 1 else ""), end="")
        else:
            _stand_somewhere()
            if crowded():
                # Threads that wait for each other sleep after some microseconds. To spin for milliseconds, the default
                # of GNU's OpenMP, beside other programs takes twice to four times as long; where a processor is free,
                # waking up may cost a third of a step. Read when torch is imported.
                os.environ.setdefault("GOMP_SPINCOUNT", "1000")
            with listening():
                run_verb(args)
    except BrokenPipeError:
        raise
    except KeyboardInterrupt:
        _say("exuno: interrupted; the same command continues from the last checkpoint.")
        return INTERRUPTED
    except SystemExit as stop:  # tyro has already told the user what was wrong
        return stop.code if isinstance(stop.code, int) else 2
    except Exception as error:
        mistake = as_mistake(error)
        if debug:
            raise
        if mistake is None:
            import traceback

            _say(traceback.format_exc() + BUG.format(version=__version__))
            return 1
        _say(f"exuno: {mistake.what}" + (f"\n       {mistake.todo}" if mistake.todo else ""))
        # Its frames hold what the command worked with, and this one holds it. Worker processes that were left to the
        # end of Python would be waited for half a minute.
        error.__traceback__ = None
        return 2
    return 0


def _stand_somewhere() -> None:
    """Raises ExunoError if the working directory has been removed: libraries end the process over that."""
    try:
        os.getcwd()  # noqa: PTH109 - pathlib takes longer to import than all the rest
    except FileNotFoundError:
        raise ExunoError("the folder that you stand in has been removed", "Go to another: cd.") from None


def run() -> None:
    """Entry point of the ``exuno`` program."""
    _open_standard()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that knows no Unicode still gets every sentence
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:  # exuno … | head: what reads it has seen enough
        code = 1
    except OSError as error:  # exuno … > a full disk
        _say(f"exuno: the output could not be written: {error.strerror}.")
        code = 2
    _mute()
    sys.exit(code)


def _say(text: str) -> None:
    """Prints to stderr, if anybody can be told there."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def _open_standard() -> None:
    """Gives the standard streams that whoever started this process has closed (``exuno … >&-``) to nobody: else the
    next file that is opened would be in their place, and get what is printed."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "r" if number == 0 else "w", encoding="utf-8", closefd=False))  # noqa: SIM115


def _mute() -> None:
    """Sends what could not be printed nowhere, so that the end of the process does not stumble over it."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())

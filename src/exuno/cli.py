"""The command line: ``exuno VERB [PRESET] [--options]``. Finds the verb and hands over; imports no torch."""

import os
import sys
import traceback
from collections.abc import Sequence
from io import TextIOWrapper

from exuno.engine.errors import as_mistake
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
    """Run one command and return its exit code: 0 done, 2 the user's mistake, 130 interrupted."""
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
            run_verb(args)
    except BrokenPipeError:
        raise
    except KeyboardInterrupt:
        print("exuno: interrupted; the same command continues from the last checkpoint.", file=sys.stderr)
        return 130
    except SystemExit as stop:  # tyro has already told the user what was wrong
        return stop.code if isinstance(stop.code, int) else 2
    except Exception as error:
        mistake = as_mistake(error)
        if debug:
            raise
        if mistake is None:
            traceback.print_exc()
            print(BUG.format(version=__version__), file=sys.stderr)
            return 1
        print(f"exuno: {mistake.what}" + (f"\n       {mistake.todo}" if mistake.todo else ""), file=sys.stderr)
        return 2
    return 0


def run() -> None:
    """Entry point of the ``exuno`` program."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # None where it was closed
            stream.reconfigure(errors="replace")  # a terminal that knows no Unicode still gets every sentence
    try:
        code = main()
        if sys.stdout:
            sys.stdout.flush()
    except BrokenPipeError:  # exuno … | head: what reads it has seen enough
        code = _mute(1)
    except OSError as error:  # exuno … > a full disk
        print(f"exuno: the output could not be written: {error.strerror}.", file=sys.stderr)
        code = _mute(2)
    sys.exit(code)


def _mute(code: int) -> int:
    """Sends what is still to be printed nowhere, so that the end of the process does not stumble over it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code

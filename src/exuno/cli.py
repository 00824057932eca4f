"""The command line: ``exuno VERB [PRESET] [--options]``. Finds the verb and hands over; imports no torch."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module

from exuno.engine.errors import ExunoError
from exuno.version import __version__


@dataclass(frozen=True)
class Verb:
    """One word of the command line; ``module`` has ``main(args)``, which parses and runs it."""

    module: str
    about: str


VERBS = {
    "synth": Verb("exuno.synth.command", "one photograph -> a data set of patches"),
    "teach": Verb("exuno.teach.command", "train a model on labelled data"),
    "distill": Verb("exuno.distill.command", "train a student to imitate a teacher on any source"),
    "poster": Verb("exuno.poster.command", "a labelled data set -> one small poster that trains a network"),
    "fewshot": Verb("exuno.fewshot.command", "recognise new classes from a few images: transformers, features"),
    "eval": Verb("exuno.evaluate.command", "measure a model on labelled data"),
    "import": Verb("exuno.importing.command", "say what a file of weights is, and make it a model of exuno"),
    "report": Verb("exuno.report.command", "write the HTML page of a run"),
    "presets": Verb("exuno.presets", "list, show or copy the named configurations"),
}

USAGE = """usage: exuno VERB [PRESET] [--options]

Learning from almost no data. Start with:  exuno distill digits

{verbs}

exuno VERB --help tells the options of a verb; exuno presets the named configurations.
"""


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
        if args[0] not in VERBS:
            raise ExunoError(f"unknown verb '{args[0]}'", f"The verbs are: {', '.join(VERBS)}.")
        import_module(VERBS[args[0]].module).main(args[1:])
    except ExunoError as error:
        if debug:
            raise
        print(f"exuno: {error.what}" + (f"\n       {error.todo}" if error.todo else ""), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("exuno: interrupted; the same command continues from the last checkpoint.", file=sys.stderr)
        return 130
    except SystemExit as stop:  # tyro has already told the user what was wrong
        return stop.code if isinstance(stop.code, int) else 2
    return 0


def run() -> None:
    """Entry point of the ``exuno`` program."""
    sys.exit(main())

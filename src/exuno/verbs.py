"""The verbs of the command line and where each is. No torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module

from exuno.engine.errors import ExunoError


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
    "study": Verb("exuno.study.command", "a grid over the verbs above, and its table"),
    "doctor": Verb("exuno.doctor.command", "examine a teacher, and rank photographs, before any training"),
    "explain": Verb("exuno.explain.command", "look inside a model"),
    "eval": Verb("exuno.evaluate.command", "measure a model on labelled data"),
    "import": Verb("exuno.importing.command", "say what a file of weights is, and make it a model of exuno"),
    "export": Verb("exuno.exporting.command", "hand a model or a poster on: weights, card, ONNX, the hub"),
    "report": Verb("exuno.report.command", "write the HTML page of a run"),
    "presets": Verb("exuno.presets", "list, show or copy the named configurations"),
}


def run_verb(args: Sequence[str]) -> None:
    """Carries out one command, given without ``exuno``.

    Raises:
        ExunoError: there is no such verb, or what it raises.
        SystemExit: the parser has told what was wrong.
    """
    if args[0] not in VERBS:
        raise ExunoError(f"unknown verb '{args[0]}'", f"The verbs are: {', '.join(VERBS)}.")
    import_module(VERBS[args[0]].module).main(list(args[1:]))

"""The verbs of the command line and where each is. No torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib import import_module

from exuno.engine.errors import ExunoError


@dataclass(frozen=True)
class Verb:
    """One word of the command line; ``module`` has ``main(args)``, which parses and runs it."""

    module: str
    about: str
    options: Mapping[str, str] = field(default_factory=dict)
    """Second word, or nothing, -> the configuration, ``module:Class``."""
    words: tuple[str, ...] = ()
    """Second words that have no configuration."""


VERBS = {
    "synth": Verb(
        "exuno.synth.synth",
        "one photograph -> a data set of patches",
        {
            "": "exuno.synth.synth:Synth",
            "video": "exuno.synth.synth:SynthVideo",
            "audio": "exuno.synth.synth:SynthAudio",
        },
    ),
    "teach": Verb("exuno.teach.teach", "train a model on labelled data", {"": "exuno.teach.options:TeachConfig"}),
    "distill": Verb(
        "exuno.distill.distill",
        "train a student to imitate a teacher on any source",
        {"": "exuno.distill.options:DistillConfig"},
    ),
    "selfsup": Verb(
        "exuno.selfsup.selfsup",
        "train a network without labels, by rotations, clusters or BiGAN",
        {"": "exuno.selfsup.options:SelfsupConfig"},
    ),
    "poster": Verb(
        "exuno.poster.poster",
        "a labelled data set -> one small poster that trains a network",
        {"": "exuno.poster.options:PosterConfig"},
    ),
    "fewshot": Verb(
        "exuno.fewshot.fewshot",
        "recognise new classes from a few images: transformers, features",
        {
            "pretrain": "exuno.fewshot.options:PretrainConfig",
            "distill": "exuno.fewshot.options:DistillConfig",
            "eval": "exuno.fewshot.options:EvalConfig",
            "predict": "exuno.fewshot.predict_options:PredictConfig",
        },
    ),
    "study": Verb(
        "exuno.study.command", "a grid over the verbs above, and its table", {"": "exuno.study.options:StudyConfig"}
    ),
    "doctor": Verb(
        "exuno.doctor.doctor",
        "examine a teacher, and rank photographs, before any training",
        {"": "exuno.doctor.options:DoctorConfig"},
    ),
    "explain": Verb(
        "exuno.explain.explain",
        "look inside a model",
        {
            "penultimate": "exuno.explain.options:PenultimateConfig",
            "neurons": "exuno.explain.options:NeuronsConfig",
            "attention": "exuno.explain.options:AttentionConfig",
        },
    ),
    "eval": Verb("exuno.evaluate.eval", "measure a model on labelled data", {"": "exuno.evaluate.options:EvalConfig"}),
    "predict": Verb(
        "exuno.predict.predict",
        "say what a model sees in pictures, with probabilities",
        {"": "exuno.predict.options:PredictConfig"},
    ),
    "probe": Verb(
        "exuno.probe.probe",
        "what each layer of a model has learned, by linear probes",
        {"": "exuno.probe.options:ProbeConfig"},
    ),
    "import": Verb(
        "exuno.importing.importing",
        "say what a file of weights is, and make it a model of exuno",
        {"": "exuno.importing.importing:ImportConfig"},
    ),
    "export": Verb(
        "exuno.exporting.export",
        "hand a model or a poster on: weights, card, ONNX, 8 bits, the hub",
        {"": "exuno.exporting.options:ExportConfig"},
    ),
    "app": Verb("exuno.app.app", "a page in the browser to try all this on", {"": "exuno.app.options:AppConfig"}),
    "report": Verb("exuno.report.report", "write the HTML page of a run", {"": "exuno.report.report:ReportOptions"}),
    "presets": Verb(
        "exuno.commandline.presets", "list, show or copy the named configurations", words=("list", "show", "copy")
    ),
}


def run_verb(args: Sequence[str]) -> None:
    """Carries out one command, given without ``exuno``.

    Raises:
        ExunoError: there is no such verb, or what it raises.
        SystemExit: the parser has told what was wrong.
    """
    if args[0] not in VERBS:
        near = get_close_matches(args[0], VERBS, 1)
        hint = f"Did you mean '{near[0]}'? " if near else ""
        raise ExunoError(f"unknown verb '{args[0]}'", f"{hint}The verbs are: {', '.join(VERBS)}.")
    import_module(VERBS[args[0]].module).main(list(args[1:]))

"""``exuno fewshot pretrain | distill | eval | predict``: the command line and its checks. No torch until
the work begins."""

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING

from exuno.commandline import parsed
from exuno.commandline.presets import parse, run_command
from exuno.engine.errors import ExunoError
from exuno.engine.session import counted
from exuno.fewshot.options import DistillConfig, EvalConfig, PretrainConfig

if TYPE_CHECKING:
    from exuno.engine.run import Run
    from exuno.fewshot.predict_options import PredictConfig

USAGE = """usage: exuno fewshot WORD [PRESET] [--options]

Recognise new classes from one or five images of each.

  pretrain  phase 1: a vision transformer learns from images alone (iBOT)
  distill   phase 2: images of one class teach each other (SMKD)
  eval      few-shot accuracy of any model's features on new classes
  predict   the classes of pictures, told from a few images of each class

exuno fewshot WORD --help tells the options; exuno presets list fewshot the
named configurations.
"""


def main(args: Sequence[str]) -> None:
    """Finds the second word and hands over.

    Raises:
        ExunoError: there is no such word, or what it raises.
    """
    word, *rest = args or ["--help"]
    if word in ("-h", "--help", "help"):
        print(USAGE, end="")
    elif word in ("pretrain", "distill"):
        train(word, rest)
    elif word == "eval":
        evaluate(rest)
    elif word == "predict":
        predict(rest)
    else:
        near = get_close_matches(word, ("pretrain", "distill", "eval", "predict"), 1)
        hint = f"Did you mean '{near[0]}'? " if near else ""
        raise ExunoError(
            f"'exuno fewshot {word}' is not understood", f"{hint}Use exuno fewshot pretrain, distill, eval or predict."
        )


def train(phase: str, args: Sequence[str]) -> None:
    """Phase 1 (``pretrain``) or 2 (``distill``): explains it, starts several processes, or runs it."""
    verb = f"fewshot {phase}"
    config, preset = parse(verb, DistillConfig if phase == "distill" else PretrainConfig, args)
    length = counted(config.epochs * config.budget, "epoch")
    cost = f"{length} of the training classes of {config.data}, from {config.model}"

    def check() -> None:
        from exuno.fewshot.train import check_start

        check_start(config)

    def look() -> None:
        from exuno.fewshot.train import look

        look(verb, config, preset)

    def work() -> "Run":
        from exuno.fewshot.train import distill, pretrain

        return distill(config, preset) if isinstance(config, DistillConfig) else pretrain(config, preset)

    run_command(verb, args, config, preset, [cost], check, look, work)


def evaluate(args: Sequence[str]) -> None:
    """Features of any model, measured on new classes."""
    from exuno.engine.session import print_plan
    from exuno.fewshot.eval_options import complete
    from exuno.presets import to_dict
    from exuno.specs import rehearse

    config = complete(parsed("fewshot eval", EvalConfig, args))
    if config.dry_run:
        rows = len(config.models) + (2 if config.baselines else 0)
        cost = f"{rows} models x {len(config.shot)} shots x {len(config.head)} classifiers, "
        cost += f"{config.episodes:,} episodes each"
        print_plan(to_dict(config), None, [cost])
        rehearse(config, lambda: measure(config))
        return
    measure(config)


def measure(config: EvalConfig) -> None:
    """Measures, or for a dry run only looks."""
    from exuno.fewshot.evaluate import evaluate

    evaluate(config)


def predict(args: Sequence[str]) -> None:
    """New classes from a support, for pictures.

    Raises:
        SystemExit: 1, after all answers, if a picture could not be read.
    """
    from exuno.engine.session import print_plan
    from exuno.evaluate.eval import spec_of
    from exuno.fewshot.predict_options import PredictConfig
    from exuno.predict.options import check_asked
    from exuno.presets import to_dict
    from exuno.specs import check_specs, rehearse

    config = parsed("fewshot predict", PredictConfig, args)
    check_asked("fewshot predict", config.pictures, config.out)
    config = replace(config, model=spec_of(config.model))
    check_specs(config)
    if config.dry_run:
        print_plan(to_dict(config), None, [])
        rehearse(config, lambda: recognise(config))
    elif recognise(config):
        raise SystemExit(1)


def recognise(config: "PredictConfig") -> int:
    """Predicts, or for a dry run only opens; the number of pictures that could not be read."""
    from exuno.fewshot.predictor import recognise

    return recognise(config)

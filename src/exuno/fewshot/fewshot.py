"""``exuno fewshot pretrain | distill | eval``: the command line and its checks. No torch until the work begins."""

from collections.abc import Sequence
from dataclasses import astuple, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, TypeVar

from exuno.commandline import parsed
from exuno.engine.check import check_length, check_optim, check_run, need
from exuno.engine.errors import ExunoError
from exuno.engine.session import SMOKE_BATCH
from exuno.fewshot.options import PretrainConfig

if TYPE_CHECKING:
    from exuno.fewshot.options import EvalConfig, PretrainConfig
    from exuno.presets import Preset

USAGE = """usage: exuno fewshot WORD [PRESET] [--options]

Recognise new classes from one or five images of each.

  pretrain  phase 1: a vision transformer learns from images alone (iBOT)
  distill   phase 2: images of one class teach each other (SMKD)
  eval      few-shot accuracy of any model's features on new classes

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
    else:
        near = get_close_matches(word, ("pretrain", "distill", "eval"), 1)
        hint = f"Did you mean '{near[0]}'? " if near else ""
        raise ExunoError(
            f"'exuno fewshot {word}' is not understood", f"{hint}Use exuno fewshot pretrain, distill or eval."
        )


def train(phase: str, args: Sequence[str]) -> None:
    """Phase 1 (``pretrain``) or 2 (``distill``): explains it, starts several processes, or runs it."""
    from exuno.engine.launch import launch, wanted
    from exuno.engine.session import print_plan
    from exuno.fewshot.options import DistillConfig, PretrainConfig
    from exuno.presets import parse, to_dict
    from exuno.specs import rehearse

    verb = f"fewshot {phase}"
    config, preset = parse(verb, DistillConfig if phase == "distill" else PretrainConfig, args)
    if config.run.dry_run:
        cost = f"{config.epochs * config.budget:g} epochs of the training classes of {config.data}, from {config.model}"
        print_plan(to_dict(config), preset, [cost])
        rehearse(config, lambda: look(verb, config, preset))
        return
    if (processes := wanted(config.run)) > 1:
        launch(verb, args, processes)
        return
    from exuno.fewshot.train import distill, pretrain
    from exuno.report.page import show

    show(distill(config, preset) if isinstance(config, DistillConfig) else pretrain(config, preset))


def look(verb: str, config: "PretrainConfig", preset: "Preset | None") -> None:
    """Checks all that a training begins with."""
    from exuno.fewshot.train import look

    look(verb, config, preset)


def evaluate(args: Sequence[str]) -> None:
    """Features of any model, measured on new classes."""
    from exuno.engine.session import print_plan
    from exuno.fewshot.eval_options import complete
    from exuno.fewshot.options import EvalConfig
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


def measure(config: "EvalConfig") -> None:
    """Measures, or for a dry run only looks."""
    from exuno.fewshot.evaluate import evaluate

    evaluate(config)


Config = TypeVar("Config", bound=PretrainConfig)


def check_config(config: PretrainConfig) -> None:
    """Raises ExunoError for numbers that no training can use."""
    check_length(config.epochs, config.batch_size, config.budget, config.evaluations, config.size)
    check_optim(config.optim)
    check_run(config.run)
    views, mask, head, teacher = config.views, config.mask, config.head, config.teacher
    need(config.store is None or config.store >= 1, "--store", config.store, "at least 1 pixel")
    need(0 <= config.drop_path < 1, "--drop-path", config.drop_path, "a rate from 0 to below 1")
    need(config.freeze_last >= 0, "--freeze-last", config.freeze_last, "0 epochs or more")
    for name in ("scale", "local_scale"):
        low, high = getattr(views, name)
        need(0 < low <= high <= 1, f"--views.{name.replace('_', '-')}", (low, high), "fractions of the area, at most 1")
    need(0 < views.aspect[0] <= views.aspect[1], "--views.aspect", views.aspect, "a range of positive numbers")
    need(views.local >= 0, "--views.local", views.local, "0 or more")
    need(views.local_size >= 1, "--views.local-size", views.local_size, "at least 1 pixel")
    need(min(views.jitter) >= 0, "--views.jitter", views.jitter, "four numbers from 0")
    need(0 <= views.sigma[0] <= views.sigma[1], "--views.sigma", views.sigma, "a range of numbers from 0")
    for name in ("flip", "jitter_p", "gray", "solarize"):
        value = getattr(views, name)
        need(0 <= value <= 1, f"--views.{name.replace('_', '-')}", value, "a probability from 0 to 1")
    need(all(0 <= p <= 1 for p in views.blur), "--views.blur", views.blur, "three probabilities from 0 to 1")
    need(len(mask.ratio) == len(mask.spread) > 0, "--mask.spread", mask.spread, "as many numbers as --mask.ratio")
    inside = all(s <= r <= 1 - s for r, s in zip(mask.ratio, mask.spread, strict=True))
    need(inside, "--mask.ratio", mask.ratio, "shares whose spread stays between 0 and 1")
    need(0 < mask.aspect <= 1, "--mask.aspect", mask.aspect, "a number above 0, at most 1")
    for name in ("outputs", "patch_outputs", "hidden", "bottleneck", "layers"):
        need(getattr(head, name) >= 1, f"--head.{name.replace('_', '-')}", getattr(head, name), "at least 1")
    need(0 <= teacher.momentum <= 1, "--teacher.momentum", teacher.momentum, "a number from 0 to 1")
    need(0 <= teacher.centre < 1, "--teacher.centre", teacher.centre, "a number from 0 to below 1")
    need(0 <= teacher.warmup <= 1, "--teacher.warmup", teacher.warmup, "a fraction from 0 to 1")
    for name in ("temperature", "patch_temperature", "student_temperature"):
        value = getattr(teacher, name)
        good = min(value) > 0 if isinstance(value, tuple) else value > 0
        need(good, f"--teacher.{name.replace('_', '-')}", value, "a temperature above 0")
    validation, size = config.validation, config.size
    need(validation.way >= 2, "--validation.way", validation.way, "2 classes or more")
    for name in ("shot", "episodes"):
        need(getattr(validation, name) >= 1, f"--validation.{name}", getattr(validation, name), "at least 1")
    good = validation.resize is None or validation.resize >= (size or 1)
    need(good, "--validation.resize", validation.resize, "at least --size, which is cut out of it")
    weights = astuple(replace(config.weights, by_attention=False))
    alone = not (config.gather and config.weights.patch_level and config.mode == "reference")
    need(alone, "--gather with --mode reference", "on", "--mode paper: the published patch loss knows one process only")
    need(min(weights) >= 0 and max(weights) > 0, "--weights", config.weights, "weights from 0, at least one above it")


def smoke(config: Config) -> Config:
    """The same training on a sliver of work."""
    views = replace(config.views, local=min(2, config.views.local))
    head = replace(
        config.head, outputs=min(256, config.head.outputs), patch_outputs=min(256, config.head.patch_outputs)
    )
    validation = replace(config.validation, episodes=min(20, config.validation.episodes))
    batch = min(SMOKE_BATCH, config.batch_size)
    return replace(config, batch_size=batch, evaluations=1, views=views, head=head, validation=validation)

"""What every word does around its work: the models, the run directory, the table, the page."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from exuno.data.matching import by_name
from exuno.data.subset import abbreviated
from exuno.engine.configuration import default_folder
from exuno.engine.devices import make_accelerator, measuring
from exuno.engine.errors import ExunoError, tell
from exuno.engine.options import ClassOrder, RunOptions
from exuno.engine.run import Run, check_folder, open_run
from exuno.engine.system import peak_memory
from exuno.explain.options import Execution
from exuno.fewshot.eval_measure import show
from exuno.fewshot.eval_models import names_of_specs
from exuno.models.classifier import NAMES, Classifier
from exuno.models.head import reordered
from exuno.models.load import load_model
from exuno.report.page import write_report


def open_models(specs: Sequence[str], side: int | None = None) -> dict[str, Classifier]:
    """Short name -> model, ready to answer, in order.

    Args:
        specs: of models; a run's folder gives its name.
        side: of the images that they are to take; None for their own size.

    Raises:
        ExunoError: for a model that cannot be loaded, or takes clips or recordings.
    """
    size = (side, side) if side else None
    found = {}
    for name, spec in zip(names_of_specs(specs), specs, strict=True):
        model = load_model(spec, input_size=size, pretrained=True).eval()
        if model.ndim != 4:
            raise ExunoError(
                f"{name} ({model.card.arch}) takes {NAMES[model.ndim]}",
                "exuno explain looks into models of single images: give one.",
            )
        found[name] = model
    return found


def in_one_order(
    models: dict[str, Classifier], order: ClassOrder, names: tuple[str, ...] | None = None, whose: str = ""
) -> None:
    """Brings the logits of models into the order of ``names``, classes that are not among them coming last; models
    without names stay as they are. Names are compared as names also where they are numbers.

    Args:
        models: by their short names.
        order: how classes are matched; by-number changes nothing.
        names: of the classes; by default those of the first model that has names.
        whose: these are.

    Raises:
        ExunoError: a model that names other classes.
    """
    for name, model in models.items():
        known = model.card.class_names
        if known is None or order == "by-number":
            continue
        if names is None:
            names, whose = known, name
        table = by_name(known, names)
        if table is None:
            told = f"{name} knows the classes {abbreviated(known)}, but {whose} has {abbreviated(names)}"
            raise ExunoError(told, "Give models of the same classes, or one at a time; or --classes by-number.")
        if table != tuple(range(len(known))):
            tell(f"the classes of {name} are matched by name with those of {whose}")
            reordered(model, (*table, *(number for number in range(len(known)) if number not in table)))


def run_word(
    verb: str,
    values: dict[str, Any],
    execution: Execution,
    about: dict[str, Any],
    inputs: Mapping[str, str],
    replay: list[str],
    work: Callable[[Run, torch.device], dict[str, Any]],
) -> Run:
    """Calls ``work(run, device)`` in the run directory of a configuration and prints the first of its tables; a
    finished run is only shown again, and for a dry run the folder is looked at and nothing done.

    Args:
        verb: of the command line, with its second word.
        values: the resolved configuration.
        execution: its part that says where and how.
        about: summary and paper.
        inputs: sha256 of what the configuration names.
        replay: the command that repeats it.
        work: draws and measures; returns the content of result.json, ``tables`` among it.

    Raises:
        ExunoError: anything the user can put right.
    """
    started = time.monotonic()
    options = RunOptions(run_dir=execution.run_dir, devices=execution.devices, no_images=execution.no_images)
    if execution.dry_run:
        folder = execution.run_dir or default_folder(verb, None, values)
        planned = Run(folder, verb, None, values, about, options, dict(inputs))
        check_folder(planned)
        return planned
    run = open_run(verb, None, values, about, options, inputs=dict(inputs), replay=replay)
    try:
        if run.result is not None:
            show(run.result["tables"][:1])
            print(f"Measured before. Look at: {run.dir / 'report.html'}")
            return run
        device = make_accelerator(measuring(options)).device
        content = work(run, device)
        show(content["tables"][:1])
        spent = {"wall_seconds": time.monotonic() - started, "peak_memory_bytes": peak_memory()}
        run.finish(**content, **spent, device=device.type)
        print(f"Look at: {write_report(run.dir)}")
    finally:
        run.close()
    return run

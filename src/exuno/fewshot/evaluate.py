"""``exuno fewshot eval``: few-shot accuracy of features on new classes; also the test at the end of a training."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from exuno.data.base import Data
from exuno.data.subset import labels_of, names_of
from exuno.engine.devices import make_accelerator, measuring
from exuno.engine.errors import ExunoError
from exuno.engine.options import RunOptions
from exuno.engine.run import Run, open_run
from exuno.engine.system import peak_memory
from exuno.features.cache import FeatureData, default_folder
from exuno.features.extract import few_of_each
from exuno.fewshot import figures
from exuno.fewshot.classes import ALL, open_classes
from exuno.fewshot.eval_measure import (
    EPISODES,
    SHOTS,
    Plan,
    Row,
    View,
    check_data,
    measure_all,
    numbers,
    seen_as,
    show,
    tables,
)
from exuno.fewshot.eval_models import NOTHING, Subject, lineages, open_subjects, random_network, seen
from exuno.fewshot.eval_options import (
    QUERIES,
    SMOKE_EPISODES,
    SMOKE_QUERIES,
    queries_of,
    replay,
    split_seed,
    values_of,
)
from exuno.fewshot.options import EvalConfig, PretrainConfig
from exuno.models.classifier import Classifier
from exuno.models.names import FEATURES, is_table
from exuno.report.page import write_report

DRAWN = 3
"""Transformers whose attention the page shows, at most."""


def evaluate(config: EvalConfig) -> list[Row]:
    """Measures all models of a complete configuration, prints the table; with a run directory also writes result.json
    and the page. A dry run only opens and checks all.

    Raises:
        ExunoError: anything the user can put right.
    """
    assert config.data is not None
    started = time.monotonic()
    data = open_tested(config)
    if data is None:
        what = f"{config.data} has no classes for {config.part}"
        if config.classes.split == ALL:
            raise ExunoError(
                f"{what}: --split all trains on every one", "Give --data with other classes, or a --split."
            )
        raise ExunoError(what, "Give --part test, or a --split.")
    plan = Plan(
        config.way,
        config.shot,
        queries_of(config),
        config.episodes,
        config.protocol,
        config.head,
        config.neighbours,
        config.seed,
    )
    check_data(data, plan)
    subjects = open_subjects(config, config.models, data)
    if config.smoke and data.episodes is None and not isinstance(data, FeatureData):
        data = few_of_each(data, max(plan.shots) + SMOKE_QUERIES)
    size = (config.size, config.size) if config.size else None
    cache = config.cache or default_folder()
    view = View(config.features, config.blocks, config.views, size, config.resize, config.workers, cache)
    for subject in subjects:
        seen_as(subject, data, view)  # a mistake is told before anything is computed
    if config.dry_run:
        return []
    run = _open(config) if config.run_dir else None
    try:
        device = make_accelerator(measuring(RunOptions(devices=config.devices))).device
        told = [seen(each, names_of(data), config.data) for each in subjects]
        rows = measure_all(subjects, data, plan, view, device, told)
        contents = tables(rows, f"Few-shot accuracy on {data.name}", plan.sentence(data))
        show(contents)
        if run:
            drawn = [each for each in subjects if each.model is not None and not each.baseline][:DRAWN]
            for subject in [] if run.options.no_images else drawn:
                assert subject.model is not None
                figures.write(run.dir, subject.model, data, device, size=size, resize=config.resize, name=subject.name)
            spent = {"wall_seconds": time.monotonic() - started, "peak_memory_bytes": peak_memory()}
            told_of = {"tables": contents, "lineage": lineages(subjects), "device": device.type}
            run.finish(**numbers(rows), **told_of, **spent)
            print(f"Look at: {write_report(run.dir)}")
    finally:
        if run:
            run.close()
    return rows


def open_tested(config: EvalConfig) -> Data | None:
    """The images of the classes that are tested, or a file of their features; None if there are no such classes."""
    assert config.data is not None
    if is_table(config.data):
        return FeatureData(Path(config.data.removeprefix(FEATURES)))
    return open_classes(config.data, config.part, config.classes, config.data_root, split_seed(config))


def _open(config: EvalConfig) -> Run:
    about = {"summary": f"Few-shot accuracy on new classes of {config.data}"}
    options = RunOptions(run_dir=config.run_dir, devices=config.devices, no_images=config.no_images)
    run = open_run("fewshot eval", None, values_of(config), about, options, replay=replay(config))
    if run.result:
        run.close()
        raise ExunoError(f"{run.dir} holds this measurement already", "Choose another --run-dir.")
    return run


def conclude_training(
    run_dir: Path, config: PretrainConfig, model: Classifier, data: Data | None, device: torch.device
) -> dict[str, Any]:
    """The test at the end of a training: what result.json says of it; writes the figures of the page.

    Accuracies ``test/5-way-1-shot`` and ``test/5-way-5-shot`` by nearest prototype over 10,000 episodes, beside raw
    pixels and the same architecture with random weights. Where classes are few or small, ways, queries and shots are
    fewer.

    Args:
        run_dir: of the run.
        config: of the training.
        model: the trained transformer; its card's lineage names data and classes.
        data: images of the test classes; None gives no numbers.
        device: where to compute.
    """
    if data is None:
        return {"metrics": {}, "intervals": {}, "n": {}}
    seed, smoke = config.run.seed, config.run.smoke
    if smoke:
        data = few_of_each(data, max(SHOTS) + SMOKE_QUERIES)
    least = int(np.bincount(labels_of(data)).min())
    shots = tuple(shot for shot in SHOTS if shot < least)
    way = min(config.validation.way, data.num_classes)
    queries = min(QUERIES, least - max(shots, default=0))
    plan = Plan(way, shots, queries, SMOKE_EPISODES if smoke else EPISODES, seed=seed)
    size = (config.size, config.size) if config.size else model.card.input_size
    view = View(size=size, resize=config.validation.resize, workers=config.run.workers)
    network = random_network(model.card, data, seed)
    subjects = [
        Subject("raw pixels", "pixels", None, True),
        Subject("random network", f"random:{model.card.arch}", network, True, seed),
        Subject("test", str(run_dir), model),
    ]
    told = [NOTHING, NOTHING, seen(subjects[-1], names_of(data), config.data)]
    rows = measure_all(subjects, data, plan, view, device, told, "test") if shots else []
    if not config.run.no_images:
        figures.write(run_dir, model, data, device, size=size, resize=config.validation.resize)
    shown = [row if row.baseline else replace(row, name="this run") for row in rows]
    contents = tables(shown, f"New classes: {data.name}", plan.sentence(data))
    return {**numbers(rows, with_head=False), "tables": contents}

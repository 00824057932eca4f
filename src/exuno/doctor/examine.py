"""``exuno doctor`` from top to bottom, and its pictures."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exuno.distill.source import digests as source_digests
from exuno.distill.train import untrained_teacher
from exuno.doctor import sources, words
from exuno.doctor.examination import (
    Examination,
    Logits,
    candidates,
    check_compatible,
    count,
    counted,
    digests,
    open_images,
    patches,
    plan,
    prepare_examination,
    size_of,
    trained,
    under,
)
from exuno.doctor.measures import TEMPERATURES, Labels, advise, calibrate, compare, constant, finite, smoothing
from exuno.doctor.options import DoctorConfig, photos
from exuno.doctor.words import claimed
from exuno.engine.devices import make_accelerator, measuring
from exuno.engine.files import write_json
from exuno.engine.options import EXECUTION, RunOptions
from exuno.engine.progress import ProgressBar
from exuno.engine.run import Run, open_run
from exuno.engine.session import Subset
from exuno.engine.system import peak_memory
from exuno.engine.untrusted import Arrays
from exuno.evaluate.measure import record
from exuno.presets import to_args, to_dict
from exuno.report.images import image_grid, save_png
from exuno.report.page import write_report

SHOWN = 32  # patches of each photograph
MOST = 12  # photographs


def write_figures(
    folder: Path, sources: Mapping[str, tuple[Any, NDArray[np.floating[Any]]]], names: Sequence[str]
) -> None:
    """Writes ``patches0.png``, … and ``figures.json`` for the report.

    Args:
        folder: figures/ of the run.
        sources: spec of a photograph -> its patches (a data set) and the teacher's logits for them [N, C].
        names: of the classes.
    """
    figures = []
    for i, (spec, (shown, logits)) in enumerate(list(sources.items())[:MOST]):
        images, _ = shown.fetch(np.arange(min(SHOWN, len(shown)), dtype=np.int64))
        pixels = images.permute(0, 2, 3, 1).contiguous().numpy()
        save_png(image_grid(pixels, columns=16, scale=max(1, 48 // pixels.shape[1])), folder / f"patches{i}.png")
        figures.append({"file": f"patches{i}.png", "title": spec, "caption": answers(logits, names)})
    write_json(folder / "figures.json", figures)


def answers(logits: NDArray[np.floating[Any]], names: Sequence[str]) -> str:
    """``The teacher's answers: cat 31 %, …``: the five most frequent classes of logits [N, C]."""
    counts = np.bincount(logits.argmax(1), minlength=logits.shape[1])
    first = np.argsort(-counts, kind="stable")[:5]
    told = ", ".join(f"{names[i]} {100 * counts[i] / len(logits):.0f}\u202f%" for i in first if counts[i])
    return f"The teacher's answers to {len(logits):,} patches: {told}."


COMPARED = 2000
"""Images on which normalisations are compared."""


def doctor(config: DoctorConfig) -> Run:
    """Examines a teacher, or ranks photographs for it, in a run directory; returns at once if that run is done.

    Args:
        config: complete (``command.complete``).

    Raises:
        ExunoError: anything the user can put right.
    """
    pictures = source_digests(photos(config))  # a photograph that is missing is told before a teacher is trained
    model = trained(config)
    test = open_images(config, model)
    if model is not None:
        test = check_compatible(config, model, test)  # a mistake is told before there is a run directory
    run = open_doctor(config, pictures | digests(config, test, model))
    try:
        if run.result is None:
            started = time.monotonic()
            patient = prepare_examination(config, test, model, run)
            content = rank(config, patient, run) if config.sources else examine(config, patient, run)
            run.finish(
                **content,
                lineage={"teacher": {"spec": config.teacher, **patient.model.card.lineage}, "photographs": pictures},
                device=patient.device.type,
                wall_seconds=time.monotonic() - started,
                peak_memory_bytes=peak_memory(),
            )
            write_report(run.dir)
    finally:
        run.close()
    return run


def look(config: DoctorConfig) -> None:
    """Checks all that an examination begins with, on a few patches; of a teacher that is to be trained first, an
    untrained one."""
    known, options = trained(config), RunOptions(devices=config.devices)
    test = open_images(config, known)
    sliver, accelerator = replace(config, smoke=True), make_accelerator(measuring(options))
    model = known or untrained_teacher(plan(sliver, "", Path()), accelerator)[0]
    patient = Examination(
        model, check_compatible(config, model, test), size_of(config, test), accelerator.device, config.workers
    )
    for spec in photos(config):
        patches(sliver, patient, spec, Path())


def open_doctor(config: DoctorConfig, inputs: dict[str, str]) -> Run:
    """The run directory of an examination; its command repeats the one that was typed."""
    execution = {"run_dir": config.run_dir, "devices": config.devices, "no_images": config.no_images}
    options = RunOptions(seed=config.seed, **execution)
    values = to_dict(config)
    given = {key: value for key, value in values.items() if value not in (None, []) and key not in EXECUTION}
    replay = ["exuno", "doctor", str(given.pop("teacher")), *to_args(given)]
    what = "Photographs ranked as sources for" if config.sources else "Examination of"
    about = {"summary": f"{what} {config.teacher}{f' on {config.data}' if config.data else ''}"}
    return open_run("doctor", None, values, about, options, inputs, replay)


def examine(config: DoctorConfig, patient: Examination, run: Run) -> dict[str, Any]:
    """What result.json says of a teacher; writes evaluation/ and figures/."""
    folder, test, model = run.dir / "evaluation", patient.test, patient.model
    [source] = photos(config)
    seen = patches(config, patient, source, run.dir)
    some, listed = Subset(test, COMPARED), candidates(model.card, test.mean, test.std)
    total = len(test) + (len(listed) - 1) * len(some) + len(seen)
    with ProgressBar("examination", total, "images") as bar:
        with counted(model, bar):
            rest = (test, patient.size, patient.device, config.workers, not run.options.no_images)
            told, answers = record(folder, "teacher", model, *rest)
        finite(answers, f"the images of {config.data}")
        to_patches = finite(patient.ask(seen, bar), f"the patches of {source}")
        place = np.arange(len(some)) * len(test) // len(some)  # where Head takes its images from
        asked = [answers[place], *(patient.ask(some, bar, under(model, each)) for each in listed[1:])]
    labels: Labels = Arrays(folder / "teacher.npz")["labels"]
    rows = compare([each.name for each in listed], asked, labels[place])
    claim = claimed(config, run.dir, told["n"], patient.device.type)
    if not run.options.no_images:
        write_figures(run.dir / "figures", {source: (seen, to_patches)}, told["class_names"])
    entropies = {t: float(sources.entropy(to_patches, t).mean()) for t in TEMPERATURES}
    found, numbers = of_answers(answers, labels, entropies)
    findings = {
        "accuracy": words.of_accuracy(told["top1"], told["interval"], told["n"], claim, told["invalid"]),
        "normalisation": words.of_normalisation(rows, len(some)),
        **found,
    }
    return {
        "metrics": {f"teacher/{key}": told[key] for key in ("top1", "top5", "ece")},
        "intervals": {"teacher/top1": told["interval"]},
        "n": {"teacher/top1": told["n"]},
        "baselines": told["guessing"] | ({"claimed/top1": claim.value} if claim else {}),
        "tables": [
            words.findings_table(findings),
            words.normalisation_table(rows, len(some)),
            words.entropy_table(source, entropies, len(to_patches)),
        ],
        "findings": findings,
        "normalisations": [asdict(row) for row in rows],
        "entropy": {f"{t:g}": value for t, value in entropies.items()},
        **numbers,
    }


def of_answers(
    answers: Logits, labels: Labels, entropies: Mapping[float, float]
) -> tuple[dict[str, str], dict[str, Any]]:
    """Sentences and numbers about calibration, smoothing and temperature; of a constant network there are none."""
    if constant(answers):
        return {"answers": words.CONSTANT}, {"calibration": None, "smoothing": None, "temperature": None}
    classes = answers.shape[1]
    calibrated = calibrate(answers, labels)
    smoothed = smoothing(answers, labels) if classes > 2 else None
    advice = advise(entropies, smoothed.smoothed if smoothed else None)
    findings = {
        "calibration": words.of_calibration(calibrated),
        "label smoothing": words.of_smoothing(smoothed, classes),
        "temperature of distillation": words.of_advice(advice),
    }
    return findings, {
        "calibration": asdict(calibrated),
        "smoothing": {**smoothed._asdict(), "smoothed": smoothed.smoothed} if smoothed else None,
        "temperature": advice.temperature,
    }


def rank(config: DoctorConfig, patient: Examination, run: Run) -> dict[str, Any]:
    """What result.json says of photographs; writes figures/."""
    some = Subset(patient.test, COMPARED) if config.data else []
    found: list[sources.Candidate] = []
    draws: list[np.ndarray] = []
    shown: dict[str, tuple[Any, Logits]] = {}
    with ProgressBar("ranking", len(some) + len(config.sources) * count(config), "images") as bar:
        images = finite(patient.ask(some, bar), f"the images of {config.data}") if config.data else None
        unit = 1.0 if images is None else sources.diversity(images)
        for spec in config.sources:
            seen = patches(config, patient, spec, run.dir)
            answers = finite(patient.ask(seen, bar), f"the patches of {spec}")
            found.append(sources.assess(spec, answers, unit))
            draws.append(sources.resampled(answers, len(draws)))
            shown[spec] = (seen, answers)
    ranked = sources.ranking(found, draws)
    asked = np.concatenate([answers for _, answers in shown.values()]) if images is None else images
    names = patient.test.classes or patient.model.card.class_names or [str(i) for i in range(asked.shape[1])]
    if not run.options.no_images:
        write_figures(run.dir / "figures", {each.candidate.spec: shown[each.candidate.spec] for each in ranked}, names)
    findings = {"answers": words.CONSTANT} if constant(asked) else {"the first": words.of_ranking(ranked)}
    if images is None and not constant(asked):
        findings["without data"] = words.WITHOUT_DATA
    return {
        "metrics": {},
        "tables": [words.ranking_table(ranked, count(config), images is not None)],
        "findings": findings,
        "ranking": [
            {**asdict(each.candidate), "score": each.score, "interval": each.interval, "not_told_apart": each.alike}
            for each in ranked
        ],
    }

"""``exuno doctor`` from top to bottom."""

import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from exuno.data.open import open_data
from exuno.distill.options import DistillConfig
from exuno.distill.source import open_source, photo_digests
from exuno.distill.train import open_teacher
from exuno.doctor import sources, words
from exuno.doctor.advice import TEMPERATURES, advise
from exuno.doctor.claim import claimed
from exuno.doctor.command import photos
from exuno.doctor.figures import write_figures
from exuno.doctor.measures import calibrate, compare
from exuno.doctor.normalisation import candidates, under
from exuno.doctor.options import DoctorConfig
from exuno.doctor.smoothing import smoothing
from exuno.engine.devices import make_accelerator
from exuno.engine.errors import ExunoError
from exuno.engine.options import EXECUTION, RunOptions
from exuno.engine.progress import peak_memory
from exuno.engine.run import Run, open_run
from exuno.engine.session import Head
from exuno.evaluate.measure import check_classes, in_order, logits, record
from exuno.models.classifier import Classifier
from exuno.presets import to_args, to_dict
from exuno.report.page import write_report

COMPARED = 2000
"""Images on which normalisations are compared."""
SMOKE_PATCHES = 64
Logits = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Patient:
    """A teacher, and what it is examined with."""

    model: Classifier
    test: Any
    size: tuple[int, int]
    """(H, W) of the images and patches."""
    device: torch.device
    workers: int

    def ask(self, data: Any, model: Classifier | None = None) -> tuple[Logits, NDArray[np.int64]]:
        """Logits [N, C] and labels [N] of a data set, from this model or another one."""
        return logits(model or self.model, in_order(data, self.size, self.workers), self.device)


def doctor(config: DoctorConfig) -> Run:
    """Examines a teacher, or ranks photographs for it, in a run directory; returns at once if that run is done.

    Args:
        config: complete (``command.complete``).

    Raises:
        ExunoError: anything the user can put right.
    """
    digests = photo_digests(photos(config))  # a photograph that is missing is told before a teacher is trained
    run = open_doctor(config, digests)
    try:
        if run.result is None:
            started = time.monotonic()
            patient = admit(config, run)
            content = rank(config, patient, run) if config.sources else examine(config, patient, run)
            run.finish(
                **content,
                lineage={"teacher": {"spec": config.teacher, **patient.model.card.lineage}, "photographs": digests},
                device=patient.device.type,
                wall_seconds=time.monotonic() - started,
                peak_memory_bytes=peak_memory(),
            )
            write_report(run.dir)
    finally:
        run.close()
    return run


def open_doctor(config: DoctorConfig, digests: dict[str, str]) -> Run:
    """The run directory of an examination; its command repeats the one that was typed."""
    options = RunOptions(run_dir=config.run_dir, seed=config.seed, devices=config.devices)
    values = to_dict(config)
    given = {key: value for key, value in values.items() if value not in (None, []) and key not in EXECUTION}
    replay = ["exuno", "doctor", str(given.pop("teacher")), *to_args(given)]
    what = "Photographs ranked as sources for" if config.sources else "Examination of"
    about = {"summary": f"{what} {config.teacher} on {config.data}"}
    return open_run("doctor", None, values, about, options, digests, replay)


def plan(config: DoctorConfig, spec: str, run: Run) -> DistillConfig:
    """The distillation that would follow, as far as it shapes teacher and patches; no student is built."""
    assert config.data is not None
    return DistillConfig(
        teacher=config.teacher,
        student="none",
        data=config.data,
        source=(spec,),
        data_root=config.data_root,
        patches=min(config.patches, SMOKE_PATCHES) if config.smoke else config.patches,
        size=config.size,
        synth=config.synth,
        run=RunOptions(run_dir=run.dir, seed=config.seed, devices=config.devices, workers=config.workers,
                       smoke=config.smoke),
    )  # fmt: skip


def admit(config: DoctorConfig, run: Run) -> Patient:
    """Opens data and teacher, and checks that they fit each other.

    Raises:
        ExunoError: no labels where they are needed, whitened images, or classes that do not fit.
    """
    assert config.data is not None
    test: Any = open_data(config.data, config.split, root=config.data_root)
    if test.num_classes == 0 and not config.sources:
        raise ExunoError(
            f"{config.data} has no labels, so a teacher cannot be examined on it",
            "Give labelled --data; without labels photographs can be ranked: --sources.",
        )
    if test.whitening is not None:
        raise ExunoError(f"the images of {config.data} are whitened, so they have no pixels to normalise",
                         "Give the data set that the poster was made from.")  # fmt: skip
    model = open_teacher(plan(config, photos(config)[0], run), run)
    if test.num_classes or model.card.classes == 0:
        check_classes(model, test, "the teacher")
    size = (config.size, config.size) if config.size else test.image_size
    device = make_accelerator(RunOptions(devices=config.devices)).device
    return Patient(model, Head(test) if config.smoke else test, size, device, config.workers)


def patches(config: DoctorConfig, patient: Patient, spec: str, run: Run) -> Any:
    """The patches of a photograph as ``exuno distill`` would show them, before augmentation and mixing."""
    channels = max(patient.model.card.in_chans, patient.test.channels)
    return open_source(plan(config, spec, run), patient.size, channels)


def examine(config: DoctorConfig, patient: Patient, run: Run) -> dict[str, Any]:
    """What result.json says of a teacher; writes evaluation/ and figures/."""
    folder, test = run.dir / "evaluation", patient.test
    told, answers = record(folder, "teacher", patient.model, test, patient.size, patient.device, config.workers)
    labels = np.load(folder / "teacher.npz")["labels"]
    claim = claimed(config, run.dir)
    some = Head(test, COMPARED)
    listed = candidates(patient.model.card, test.mean, test.std)
    asked = [patient.ask(some, under(patient.model, each)) for each in listed]
    rows = compare([each.name for each in listed], [found for found, _ in asked], asked[0][1])
    calibrated = calibrate(answers, labels)
    smoothed = smoothing(answers, labels) if patient.model.card.classes > 2 else None
    seen = patches(config, patient, config.source, run)
    to_patches, _ = patient.ask(seen)
    entropies = {t: float(sources.entropy(to_patches, t).mean()) for t in TEMPERATURES}
    advice = advise(entropies, smoothed.smoothed if smoothed else None)
    write_figures(run.dir / "figures", {config.source: (seen, to_patches)}, told["class_names"])
    findings = {
        "accuracy": words.of_accuracy(told["top1"], told["interval"], told["n"], claim),
        "normalisation": words.of_normalisation(rows, len(some)),
        "calibration": words.of_calibration(calibrated),
        "label smoothing": words.of_smoothing(smoothed, patient.model.card.classes),
        "temperature of distillation": words.of_advice(advice),
    }
    return {
        "metrics": {f"teacher/{key}": told[key] for key in ("top1", "top5", "ece")},
        "intervals": {"teacher/top1": told["interval"]},
        "n": {"teacher/top1": told["n"]},
        "baselines": {"chance/top1": 1 / patient.model.card.classes} | ({"claimed/top1": claim[0]} if claim else {}),
        "tables": [
            words.findings_table(findings),
            words.normalisation_table(rows, len(some)),
            words.entropy_table(config.source, entropies, len(seen)),
        ],
        "findings": findings,
        "normalisations": [asdict(row) for row in rows],
        "calibration": asdict(calibrated) if calibrated else None,
        "smoothing": {**smoothed._asdict(), "smoothed": smoothed.smoothed} if smoothed else None,
        "entropy": {f"{t:g}": value for t, value in entropies.items()},
        "temperature": advice.temperature,
    }


def rank(config: DoctorConfig, patient: Patient, run: Run) -> dict[str, Any]:
    """What result.json says of photographs; writes figures/."""
    unit = sources.diversity(patient.ask(Head(patient.test, COMPARED))[0])
    found: list[sources.Candidate] = []
    shown: dict[str, tuple[Any, Logits]] = {}
    answers = np.empty((0, 0))
    for spec in config.sources:
        seen = patches(config, patient, spec, run)
        answers, _ = patient.ask(seen)
        found.append(sources.judge(spec, answers, unit))
        shown[spec] = (seen, answers)
    ranked = sorted(zip(found, sources.scores(found), strict=True), key=lambda pair: -pair[1])
    names = patient.test.classes or patient.model.card.class_names or [str(i) for i in range(answers.shape[1])]
    write_figures(run.dir / "figures", {each.spec: shown[each.spec] for each, _ in ranked}, names)
    return {
        "metrics": {},
        "tables": [words.ranking_table(ranked, len(shown[found[0].spec][0]))],
        "findings": {"the first": words.of_ranking(ranked)},
        "ranking": [{**asdict(each), "score": score} for each, score in ranked],
    }

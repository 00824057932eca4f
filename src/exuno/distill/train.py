"""``exuno distill`` from top to bottom."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from exuno.commandline.presets import resolve
from exuno.data.content import digests_of
from exuno.data.holdout import check_seen, lineage_of, open_held
from exuno.data.images.photo import is_single
from exuno.data.loader import Loader
from exuno.data.open import same_samples
from exuno.distill import source as sources
from exuno.distill.check import check, check_idle, check_source
from exuno.distill.method import Distillation
from exuno.distill.options import DistillConfig, completed
from exuno.distill.select import select
from exuno.distill.source import write_figures
from exuno.distill.teacher import doubts, origins, teacher_logits
from exuno.distill.untested import NOTE, NoData, compared, meant_for, unseen
from exuno.distill.vectors import NOTE as OF_VECTORS
from exuno.distill.vectors import (
    Comparison,
    VectorDistillation,
    check_names,
    check_pictures,
    joined,
    load_asked,
    similarity,
    with_names,
)
from exuno.engine import session
from exuno.engine.devices import dtype_of, make_accelerator
from exuno.engine.errors import ExunoError, tell
from exuno.engine.loop import Result, fit
from exuno.engine.run import Run
from exuno.evaluate.measure import match_labels, record, scores, top1
from exuno.metrics import Summary, agreement
from exuno.models.classifier import Classifier
from exuno.models.files import save_model, weights_sha256
from exuno.models.names import embedded
from exuno.presets import Preset, read
from exuno.report.page import write_report
from exuno.teach.options import TeachConfig
from exuno.teach.train import check as check_teacher
from exuno.teach.train import prepare as prepare_teacher
from exuno.teach.train import teach
from exuno.training import (
    loaded_size,
    model_for,
    rehearse,
    run_training,
    size_of,
    smoke_mark,
    steps_of,
    tell_cost,
    training_loader,
)


def distill(config: DistillConfig, preset: Preset | None = None) -> Run:
    """Trains a student to imitate a teacher in a run directory; returns at once if that run is done.

    Raises:
        ExunoError: anything the user can put right.
    """
    config = completed(config)
    check(config)
    stated = stated_by(config, preset)
    work = partial(train, stated=session.smoke(stated) if config.run.smoke else stated)
    return run_training("distill", config, preset, work, sources.digests(config.source), again=opened_again)


def opened_again(config: DistillConfig, run: Run) -> dict[str, str]:
    """Digests of the teacher and the data of a finished run, opened anew; a teacher of its own that is not there any
    more is not trained again."""
    if config.teacher.startswith("teach:") and not (run.dir / "teacher" / "result.json").is_file():
        raise ExunoError("its teacher is not there", "Put it back.")
    test: Any = NoData() if config.data is None else open_held(config.data, config.split, config.data_root, config.held)
    teacher, judge = open_teacher(config, run)
    found = {"teacher": weights_sha256((judge or teacher).net)}
    if config.data is not None:
        found |= digests_of("test_data", judged(config, judge, test))
    if is_single(config.source[0]):  # its digest is in config.yaml
        return found
    source = sources.open_set(config, test)
    return found | digests_of("source", labelled(config, teacher, source))


def look(config: DistillConfig, preset: Preset | None) -> None:
    """Opens all that a distillation begins with; of a teacher that is to be trained first, an untrained one."""
    stated = session.smoke(stated_by(config, preset))

    def open_all(sliver: DistillConfig, accelerator: Accelerator) -> None:
        asked, test = opened(sliver, stated, lambda: untrained_teacher(sliver, accelerator))
        setup = prepare(sliver, test, asked, accelerator)
        single = is_single(config.source[0])
        samples = config.epochs * config.budget * (config.patches if single else len(setup.source))
        tell_cost(lambda: method_of(config, setup), setup.loader, samples, config, accelerator)

    rehearse("distill", config, preset, open_all, sources.digests(config.source))


def stated_by(config: DistillConfig, preset: Preset | None) -> DistillConfig:
    """The configuration before the user changed it: the preset's, or the defaults."""
    return resolve(DistillConfig, preset) if preset else DistillConfig(config.teacher, config.student, config.data)


Asked = tuple[Classifier, Classifier | None]
"""Teacher and judge, as ``Setup`` has them."""


def opened(config: DistillConfig, stated: DistillConfig, open_teacher: Callable[[], Asked]) -> tuple[Asked, Any]:
    """The teacher, and what it is tested on; that is looked at first, since the teacher may have to be trained."""
    if config.data is None:
        asked = open_teacher()
        test: Any = meant_for(asked[0])
        check_source(config, test)
        check_idle(config, stated, test)
        return asked, test
    test = open_held(config.data, config.split, config.data_root, config.held)
    check_source(config, test)
    check_idle(config, stated, test)
    return open_teacher(), test


def open_teacher(config: DistillConfig, run: Run) -> Asked:
    """The teacher; ``teach:PRESET`` trains it first, on the data of this run, in ``RUN_DIR/teacher``."""
    if not config.teacher.startswith("teach:"):
        return load_asked(config.teacher, config.classes)
    plan, preset = teacher_plan(config, run.dir)
    return load_asked(f"run:{teach(plan, preset).dir}", config.classes)


def teacher_plan(config: DistillConfig, folder: Path) -> tuple[TeachConfig, Preset]:
    """The training of the teacher that ``teach:PRESET`` names, on the data of the run that lives in ``folder``."""
    preset = read("teach", config.teacher.removeprefix("teach:"))
    execution = replace(config.run, run_dir=folder / "teacher", resume="auto")
    about_data = {"data": config.data, "data_root": config.data_root, "classes": config.classes, "held": config.held}
    return replace(resolve(TeachConfig, preset), run=execution, **about_data), preset


def untrained_teacher(config: DistillConfig, accelerator: Accelerator) -> Asked:
    """The teacher, before its training where it has none yet."""
    if not config.teacher.startswith("teach:"):
        return load_asked(config.teacher, config.classes)
    plan, _ = teacher_plan(config, Path())
    check_teacher(plan)
    teacher = prepare_teacher(plan, accelerator).model
    return teacher, teacher


@dataclass(frozen=True)
class Setup:
    """Everything a distillation works with."""

    teacher: Classifier
    """Who is imitated."""
    judge: Classifier | None
    """Who names the classes: the teacher; of an image tower with class names, the whole classifier; None of a teacher
    of vectors alone."""
    student: Classifier
    test: Any
    source: Any
    loader: Loader
    size: tuple[int, int]
    """(H, W) of the images in training and test."""
    overlap: str = ""
    """A sentence, where test images are among what the student sees."""


def prepare(
    config: DistillConfig, test: Any, asked: Asked, accelerator: Accelerator, folder: Path | None = None
) -> Setup:
    """Opens source and student, and checks that all fit each other; ``folder`` keeps what the teacher chose."""
    teacher, judge = asked
    if config.data is not None:
        for spec, known in origins(config.teacher, teacher):
            check_seen(spec, known, config.data, config.data_root, config.held)
    if vectors := embedded(config.teacher) is not None:
        check_pictures(teacher, test)
    given = test
    test = judged(config, judge, test)
    size = size_of(config, test)
    session.seed_everything(config.run.seed)
    classes = (0, None) if vectors else (teacher.card.classes, teacher.card.class_names or test.classes)
    student = model_for(config.student, config.pretrained, test, size, config.mel, *classes, config.classes)
    if vectors and judge:
        check_names(student, judge)
    size = loaded_size(size, teacher, student)
    channels = max(teacher.card.in_chans, student.card.in_chans)
    frames = max(teacher.card.frames or 0, student.card.frames or 0)
    source = sources.open_source(config, test, size, channels, frames)
    if config.split != "test" and not is_single(config.source[0]) and same_samples(source, given):
        raise ExunoError(
            f"--split {config.split} of {config.data} is what --source {config.source[0]} shows the student",
            "Leave out --split, or give another source.",
        )
    if seen := sources.overlap(config, source, given) if config.data is not None else "":
        tell(seen)
    if isinstance(source, sources.Patches) and config.select:
        epochs = math.ceil(config.epochs * config.budget)
        if config.run.smoke:
            epochs = math.ceil(session.SMOKE_STEPS / max(1, config.patches // config.batch_size))
        source = select(config, teacher, source, size, accelerator, folder, epochs)
    if (getattr(source, "whitening", None) is None) != (getattr(test, "whitening", None) is None):
        raise ExunoError(
            f"only one of --source {config.source[0]} and --data {config.data} is whitened",
            "Give a whitened poster as both (--data poster:PATH has whitened test images).",
        )
    if config.adversarial and getattr(source, "whitening", None) is not None:
        raise ExunoError(
            f"--adversarial keeps pixels in [0, 1], and the images of {config.source[0]} are whitened", "Leave it out."
        )
    source = labelled(config, teacher, source)
    loader = training_loader(source, config, size, accelerator)
    if config.data is None:
        tell(NOTE if judge else OF_VECTORS)
        test = unseen(config, judge or teacher, size, channels, accelerator.device)
    part = session.Subset(test) if config.run.smoke else test
    return Setup(teacher, judge, student, part, source, loader, size, seen)


def judged(config: DistillConfig, judge: Classifier | None, test: Any) -> Any:
    """The test data, labelled in the classes of the judge (see :class:`Setup`)."""
    if judge and (config.data is not None or embedded(config.teacher) is None):
        return match_labels(judge, test, "the teacher", config.classes)
    return test


def labelled(config: DistillConfig, teacher: Classifier, source: Any) -> Any:
    """The source, with labels that are the teacher's where true ones are learned from.

    Raises:
        ExunoError: it has none.
    """
    if not config.loss.hard:
        return source
    if not getattr(source, "num_classes", 0):
        raise ExunoError(
            f"--loss.hard {config.loss.hard} needs true labels, which {config.source[0]} has not", "Leave it out."
        )
    return match_labels(teacher, source, "the teacher", config.classes)


def method_of(config: DistillConfig, setup: Setup, cached: Tensor | None = None) -> Distillation:
    """What is trained; ``cached``: the teacher's answers to a fixed source."""
    kind = Distillation if setup.teacher.card.classes else VectorDistillation
    return kind(
        setup.teacher,
        setup.student,
        config.loss,
        config.mix,
        config.run.seed,
        setup.size,
        cached,
        dtype_of(config.teacher_precision),
        config.ema,
        config.adversarial,
    )


def train(config: DistillConfig, run: Run, stated: DistillConfig) -> None:
    """Trains, tests, exports and reports in an open run directory; ``stated`` is the configuration before the user
    changed it."""
    # Before the devices are taken: the teacher may have to be trained.
    asked, test = opened(config, stated, lambda: open_teacher(config, run))
    accelerator = make_accelerator(config.run)
    setup = prepare(config, test, asked, accelerator, run.dir)
    run.pin(
        teacher=weights_sha256((setup.judge or setup.teacher).net),
        **digests_of("test_data", setup.test),
        **digests_of("source", setup.source),
    )
    cached = None
    if config.cache_logits:
        folder = config.cache_dir or run.dir
        cached = teacher_logits(setup.teacher, setup.source, setup.size, accelerator, folder, config.run.workers)
    method = method_of(config, setup, cached)
    setup = replace(setup, student=method.graduate)
    measured = None
    if accelerator.is_main_process and config.data is not None and setup.judge:
        measured = measure_teacher(config, run, setup, setup.judge, accelerator.device)
    comparison = None
    if isinstance(method, VectorDistillation):
        comparison = Comparison(method, setup.test, setup.size, config.run.workers)
        evaluator = comparison.evaluator()
    else:
        name = "student" if config.data is not None else "agreement"
        evaluator = top1(name, setup.student, setup.test, setup.size, config.run.workers)
    outcome = fit(
        method,
        setup.loader,
        optim=config.optim,
        steps=steps_of(config, setup.loader),
        run=run,
        accelerator=accelerator,
        evaluators=[evaluator],
        evaluations=config.evaluations,
        title="distill",
    )
    if accelerator.is_main_process:
        found: dict[str, Any] = {}
        if comparison:
            setup, found = named(config, setup, comparison, accelerator.device)
        conclude(config, run, setup, measured, outcome, accelerator.device, found)
    accelerator.wait_for_everyone()


@dataclass(frozen=True)
class Measured:
    """What is known of the teacher before the student is trained."""

    summary: Summary
    logits: np.ndarray
    """Its answers to the test set, [N, C]."""
    notes: list[str]
    """What speaks against it."""


def measure_teacher(
    config: DistillConfig, run: Run, setup: Setup, teacher: Classifier, device: torch.device
) -> Measured:
    """Measures the teacher and says what speaks against it, before the time of a training is spent on it."""
    rest = (setup.test, setup.size, device, config.run.workers, not run.options.no_images)
    told, asked = record(run.dir / "evaluation", "teacher", teacher, *rest)
    notes = doubts(config, run.dir, told, device.type)
    for note in notes:
        tell(note, f"{note} {run.dir}")
    return Measured(told, asked, notes + [setup.overlap] * bool(setup.overlap))


def named(
    config: DistillConfig, setup: Setup, comparison: Comparison, device: torch.device
) -> tuple[Setup, dict[str, Any]]:
    """After a training on vectors: what is known of them, and the student, with a last layer where classes have
    names."""
    guesses, wanted = comparison.vectors(device)
    of = "patches that the student has not seen" if config.data is None else f"test images of {config.data}"
    found = similarity(guesses, wanted, of, OF_VECTORS if config.data is None and not setup.judge else "")
    if setup.judge is None:
        return setup, found
    return replace(setup, student=with_names(comparison.method, setup.judge, guesses)), found


def conclude(
    config: DistillConfig,
    run: Run,
    setup: Setup,
    teacher: Measured | None,
    outcome: Result,
    device: torch.device,
    found: dict[str, Any],
) -> None:
    """Exports the student, measures it, draws and reports; ``found`` is what result.json says of features."""
    lineage: dict[str, Any] = {
        "source": sources.lineage(config, setup.source, run.inputs),
        "teacher": {"spec": config.teacher, **setup.teacher.card.lineage},
        "seed": config.run.seed,
    } | smoke_mark(config)
    if config.data is not None:
        lineage |= {"data": config.data, **lineage_of(config.held)}
        lineage |= {"split": config.split} if config.split != "test" else {}
    setup.student.card.lineage.update(lineage)
    save_model(setup.student, run.dir)
    if not run.options.no_images:
        write_figures(run.dir / "figures", config, setup.loader)
    if teacher is not None:
        found = joined(found, tested(config, run, setup, teacher, device))
    elif setup.judge is not None:
        found = joined(found, compared(setup.judge, setup.student, setup.test, setup.size, device))
    run.finish(**found, lineage=lineage, batches=setup.loader.path, **asdict(outcome))
    write_report(run.dir)


def tested(config: DistillConfig, run: Run, setup: Setup, teacher: Measured, device: torch.device) -> dict[str, Any]:
    """What result.json says of the student on labelled images, beside its teacher."""
    rest = (setup.test, setup.size, device, config.run.workers, not run.options.no_images)
    folder = run.dir / "evaluation"
    learnt, answered = record(folder, "student", setup.student, *rest)
    both = agreement(teacher.logits, answered)
    named = {"teacher": teacher.summary, "student": learnt}
    return {
        "metrics": scores("teacher", teacher.summary)
        | scores("student", learnt)
        | {"agreement/top1": both.top1, "agreement/kl": both.kl},
        "intervals": {f"{name}/top1": each["interval"] for name, each in named.items()},
        "n": {f"{name}/top1": each["n"] for name, each in named.items()},
        "baselines": learnt["guessing"],
        "notes": teacher.notes,
    }

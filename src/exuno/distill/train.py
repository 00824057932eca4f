"""``exuno distill`` from top to bottom."""

from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from exuno.data.loader import Loader
from exuno.data.open import open_data
from exuno.distill import source as sources
from exuno.distill.cache import teacher_logits
from exuno.distill.check import check, check_idle, check_source
from exuno.distill.figures import write_figures
from exuno.distill.method import Distillation
from exuno.distill.options import DistillConfig
from exuno.engine import session
from exuno.engine.devices import make_accelerator
from exuno.engine.errors import ExunoError
from exuno.engine.loop import Result, fit
from exuno.engine.run import Run
from exuno.evaluate.measure import check_classes, record, scores, top1
from exuno.metrics import agreement
from exuno.models.classifier import Classifier
from exuno.models.load import load_model
from exuno.models.save import save_model
from exuno.presets import Preset, read, resolve
from exuno.report.page import write_report
from exuno.teach.options import TeachConfig
from exuno.teach.train import check as check_teacher
from exuno.teach.train import prepare as prepare_teacher
from exuno.teach.train import teach
from exuno.training import carry_out, heard, model_for, rehearse, size_of, steps_of, training_loader


def distill(config: DistillConfig, preset: Preset | None = None) -> Run:
    """Trains a student to imitate a teacher in a run directory; returns at once if that run is done.

    Raises:
        ExunoError: anything the user can put right.
    """
    check(config)
    stated = stated_by(config, preset)
    work = partial(train, stated=session.smoke(stated) if config.run.smoke else stated)
    return carry_out("distill", config, preset, work, sources.digests(config.source))


def look(config: DistillConfig, preset: Preset | None) -> None:
    """Checks all that a distillation begins with; of a teacher that is to be trained first, an untrained one."""
    check(config)
    stated = session.smoke(stated_by(config, preset))

    def open_all(sliver: DistillConfig, accelerator: Accelerator) -> None:
        test: Any = open_data(sliver.data, "test", root=sliver.data_root)
        check_source(sliver, test)
        check_idle(sliver, stated, test)
        prepare(sliver, test, untrained_teacher(sliver, accelerator), accelerator)

    rehearse("distill", config, preset, open_all, sources.digests(config.source))


def stated_by(config: DistillConfig, preset: Preset | None) -> DistillConfig:
    """The configuration before the user changed it: the preset's, or the defaults."""
    return resolve(DistillConfig, preset) if preset else DistillConfig(config.teacher, config.student, config.data)


def open_teacher(config: DistillConfig, run: Run) -> Classifier:
    """The teacher; ``teach:PRESET`` trains it first, on the data of this run, in ``RUN_DIR/teacher``."""
    if not config.teacher.startswith("teach:"):
        return load_model(config.teacher, pretrained=True)
    plan, preset = teacher_plan(config, run.dir)
    return load_model(f"run:{teach(plan, preset).dir}", pretrained=True)


def teacher_plan(config: DistillConfig, folder: Path) -> tuple[TeachConfig, Preset]:
    """The training of the teacher that ``teach:PRESET`` names, on the data of the run that lives in ``folder``."""
    preset = read("teach", config.teacher.removeprefix("teach:"))
    execution = replace(config.run, run_dir=folder / "teacher", resume="auto")
    return replace(resolve(TeachConfig, preset), run=execution, data=config.data, data_root=config.data_root), preset


def untrained_teacher(config: DistillConfig, accelerator: Accelerator) -> Classifier:
    """The teacher, before its training where it has none yet."""
    if not config.teacher.startswith("teach:"):
        return load_model(config.teacher, pretrained=True)
    plan, _ = teacher_plan(config, Path())
    check_teacher(plan)
    return prepare_teacher(plan, accelerator).model


@dataclass(frozen=True)
class Setup:
    """Everything a distillation works with."""

    teacher: Classifier
    student: Classifier
    test: Any
    source: Any
    loader: Loader
    size: tuple[int, int]
    """(H, W) of the images in training and test."""


def prepare(config: DistillConfig, test: Any, teacher: Classifier, accelerator: Accelerator) -> Setup:
    """Opens source and student, and checks that all fit each other."""
    check_classes(teacher, test, "the teacher")
    size = size_of(config, test)
    session.seed_everything(config.run.seed)
    classes = (teacher.card.classes, teacher.card.class_names or test.classes)
    student = model_for(config.student, config.pretrained, test, size, config.sound, *classes)
    size = heard(size, teacher, student)
    source = sources.open_source(config, test, size, channels=max(teacher.card.in_chans, student.card.in_chans))
    if (getattr(source, "whitening", None) is None) != (getattr(test, "whitening", None) is None):
        raise ExunoError(
            f"only one of --source {config.source[0]} and --data {config.data} is whitened",
            "Give a whitened poster as both (--data poster:PATH has whitened test images).",
        )
    if config.loss.hard:
        if not getattr(source, "num_classes", 0):
            raise ExunoError(
                f"--loss.hard {config.loss.hard} needs true labels, which {config.source[0]} has not", "Leave it out."
            )
        check_classes(teacher, source, "the teacher")
    loader = training_loader(source, config, size, accelerator)
    return Setup(teacher, student, session.Head(test) if config.run.smoke else test, source, loader, size)


def train(config: DistillConfig, run: Run, stated: DistillConfig) -> None:
    """Trains, tests, exports and reports in an open run directory; ``stated`` is the configuration before the user
    changed it."""
    test: Any = open_data(config.data, "test", root=config.data_root)
    check_source(config, test)
    check_idle(config, stated, test)
    teacher = open_teacher(config, run)  # before the devices are taken: it may have to be trained
    accelerator = make_accelerator(config.run)
    setup = prepare(config, test, teacher, accelerator)
    cached = None
    if config.cache_logits:
        folder = config.cache_dir or run.dir
        cached = teacher_logits(setup.teacher, setup.source, setup.size, accelerator, folder, config.run.workers)
    method = Distillation(setup.teacher, setup.student, config.loss, config.mix, config.run.seed, cached)
    outcome = fit(
        method,
        setup.loader,
        optim=config.optim,
        steps=steps_of(config, setup.loader),
        run=run,
        accelerator=accelerator,
        evaluators=[top1("student", setup.student, setup.test, setup.size, config.run.workers)],
        evaluations=config.evaluations,
        title="distill",
    )
    if accelerator.is_main_process:
        conclude(config, run, setup, outcome, accelerator.device)
    accelerator.wait_for_everyone()


def conclude(config: DistillConfig, run: Run, setup: Setup, outcome: Result, device: torch.device) -> None:
    """Exports the student, measures both, draws and reports."""
    lineage = {
        "source": sources.lineage(config, setup.source, run.inputs),
        "teacher": {"spec": config.teacher, **setup.teacher.card.lineage},
        "data": config.data,
        "seed": config.run.seed,
    }
    setup.student.card.lineage.update(lineage)
    save_model(setup.student, run.dir)
    write_figures(run.dir / "figures", config, setup.loader)
    folder, rest = run.dir / "evaluation", (setup.test, setup.size, device, config.run.workers)
    told, asked = record(folder, "teacher", setup.teacher, *rest)
    learnt, answered = record(folder, "student", setup.student, *rest)
    both = agreement(asked, answered)
    named = {"teacher": told, "student": learnt}
    run.finish(
        metrics=scores("teacher", told)
        | scores("student", learnt)
        | {"agreement/top1": both.top1, "agreement/kl": both.kl},
        intervals={f"{name}/top1": each["interval"] for name, each in named.items()},
        n={f"{name}/top1": each["n"] for name, each in named.items()},
        baselines={"chance/top1": 1 / setup.student.card.classes},
        lineage=lineage,
        **asdict(outcome),
    )
    write_report(run.dir)

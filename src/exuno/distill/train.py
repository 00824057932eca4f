"""``exuno distill`` from top to bottom."""

from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator

from exuno.data.holdout import check as check_holdout
from exuno.data.holdout import check_seen, lineage_of, open_held
from exuno.data.loader import Loader
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
from exuno.teach.train import teach
from exuno.training import carry_out, heard, model_for, size_of, steps_of, training_loader


def distill(config: DistillConfig, preset: Preset | None = None) -> Run:
    """Trains a student to imitate a teacher in a run directory; returns at once if that run is done.

    Raises:
        ExunoError: anything the user can put right.
    """
    check(config)
    check_holdout(config.held)
    stated = resolve(DistillConfig, preset) if preset else DistillConfig(config.teacher, config.student, config.data)
    work = partial(train, stated=session.smoke(stated) if config.run.smoke else stated)
    return carry_out("distill", config, preset, work, sources.digests(config.source))


def open_teacher(config: DistillConfig, run: Run) -> Classifier:
    """The teacher; ``teach:PRESET`` trains it first, on the data of this run, in ``RUN_DIR/teacher``."""
    if not config.teacher.startswith("teach:"):
        return load_model(config.teacher, pretrained=True)
    preset = read("teach", config.teacher.removeprefix("teach:"))
    execution = replace(config.run, run_dir=run.dir / "teacher", resume="auto")
    about_data = {"data": config.data, "data_root": config.data_root, "held": config.held}
    plan = replace(resolve(TeachConfig, preset), run=execution, **about_data)
    return load_model(f"run:{teach(plan, preset).dir}", pretrained=True)


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
    check_seen(config.teacher, teacher.card.lineage, config.data, config.data_root, config.held)
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
    test: Any = open_held(config.data, "test", config.data_root, config.held)
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
        **lineage_of(config.held),
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

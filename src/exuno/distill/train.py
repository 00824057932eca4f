"""``exuno distill`` from top to bottom."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from exuno.data.loader import Loader
from exuno.data.open import open_data
from exuno.distill import source as sources
from exuno.distill.figures import write_figures
from exuno.distill.method import Distillation
from exuno.distill.options import DistillConfig
from exuno.engine import session
from exuno.engine.errors import ExunoError
from exuno.engine.loop import fit, make_accelerator
from exuno.engine.options import Augment
from exuno.engine.run import Run, open_run
from exuno.evaluate.measure import check_classes, logits, record, top1
from exuno.evaluate.metrics import agreement
from exuno.models.classifier import Classifier
from exuno.models.load import load_model
from exuno.models.save import save_model
from exuno.presets import Preset, to_dict
from exuno.report.page import write_report


def distill(config: DistillConfig, preset: Preset | None = None) -> Run:
    """Trains a student to imitate a teacher in a run directory; returns at once if that run is done.

    Raises:
        ExunoError: anything the user can put right.
    """
    check(config)
    if config.run.smoke:
        config = session.smoke(config)
    name, about = (preset.name, preset.about) if preset else (None, {})
    run = open_run("distill", name, to_dict(config), about, config.run)
    if run.result is None:
        train(config, run)
    return run


def check(config: DistillConfig) -> None:
    """Raises ExunoError for numbers that no distillation can use."""
    loss, mixing = config.loss, config.mix
    if loss.temperature <= 0:
        raise ExunoError(
            f"--loss.temperature is {loss.temperature}", "Give a temperature above 0; the papers use 1 to 64."
        )
    if not 0 <= loss.hard <= 1:
        raise ExunoError(f"--loss.hard is {loss.hard}", "Give a weight from 0 to 1.")
    if min(mixing.cutmix, mixing.mixup) < 0:
        raise ExunoError("α of CutMix or MixUp is negative", "Give 0 to turn it off, or a positive number.")
    if config.cache_logits and (config.fresh or config.augment != Augment() or mixing.cutmix or mixing.mixup):
        raise ExunoError(
            "--cache-logits needs a source that is the same in every epoch",
            "Leave out --fresh, augmentation and mixing, or leave out --cache-logits.",
        )


def open_teacher(config: DistillConfig, run: Run) -> Classifier:
    """The teacher; ``teach:PRESET`` trains it first, in ``RUN_DIR/teacher``."""
    if not config.teacher.startswith("teach:"):
        return load_model(config.teacher, pretrained=True)
    from dataclasses import replace

    from exuno.presets import read, resolve
    from exuno.teach.options import TeachConfig
    from exuno.teach.train import teach

    preset = read("teach", config.teacher.removeprefix("teach:"))
    plan = resolve(TeachConfig, preset)
    execution = replace(plan.run, seed=config.run.seed, smoke=config.run.smoke, precision=config.run.precision)
    plan = replace(plan, run=execution, data_root=config.data_root)
    return load_model(f"run:{teach(plan, preset, parent=run).dir}", pretrained=True)


def train(config: DistillConfig, run: Run) -> dict[str, Any]:
    """Trains, tests, exports and reports in an open run directory."""
    accelerator = make_accelerator(config.run)
    test = open_data(config.data, "test", root=config.data_root)
    teacher = open_teacher(config, run)
    check_classes(teacher, test, "the teacher")
    size = (config.size, config.size) if config.size else test.image_size
    session.seed_everything(config.run.seed)
    student = load_model(
        config.student,
        classes=teacher.card.classes,
        class_names=teacher.card.class_names or test.classes,
        in_chans=test.channels,
        input_size=size,
        mean=test.mean,
        std=test.std,
        pretrained=False,
    )
    check_classes(student, test, "the student")
    source = sources.open_source(config, channels=max(teacher.card.in_chans, student.card.in_chans))
    if config.loss.hard and not getattr(source, "num_classes", 0):
        raise ExunoError(
            f"--loss.hard {config.loss.hard} needs true labels, which {config.source[0]} has not", "Leave it out."
        )
    if config.run.smoke:
        test = session.Head(test)
    loader = Loader(
        source,
        config.batch_size,
        augment=config.augment,
        seed=config.run.seed,
        size=size,
        workers=config.run.workers,
        rank=accelerator.process_index,
        world=accelerator.num_processes,
    )
    cached = teacher_logits(teacher, source, size, accelerator, run.dir) if config.cache_logits else None
    method = Distillation(teacher, student, config.loss, config.mix, config.run.seed, cached)
    length = session.plan(config.epochs, config.budget, len(loader), config.run.smoke)
    outcome = fit(
        method,
        loader,
        optim=config.optim,
        steps=length.total,
        run=run,
        accelerator=accelerator,
        evaluators=[top1("student", student, test, size)],
        evaluations=config.evaluations,
        title="distill",
    )
    if not accelerator.is_main_process:
        return {}
    lineage = {"source": sources.lineage(config, source), "teacher": teacher.card.lineage, "seed": config.run.seed}
    student.card.lineage.update(lineage)
    save_model(student, run.dir)
    write_figures(run.dir / "figures", config, loader)
    told, teacher_answers = record(run.dir / "evaluation", "teacher", teacher, test, size, accelerator.device)
    learnt, student_answers = record(run.dir / "evaluation", "student", student, test, size, accelerator.device)
    both = agreement(teacher_answers, student_answers)
    named = {"teacher": told, "student": learnt}
    result = run.finish(
        metrics={f"{name}/{key}": each[key] for name, each in named.items() for key in ("top1", "top5", "ece")}
        | {"agreement/top1": both.top1, "agreement/kl": both.kl},
        intervals={f"{name}/top1": each["interval"] for name, each in named.items()},
        n={f"{name}/top1": each["n"] for name, each in named.items()},
        baselines={"chance/top1": 1 / student.card.classes},
        lineage=lineage,
        training={"steps": length.total, "images": length.total * loader.batch_size, "source_images": len(source)},
        wall_seconds=outcome.wall_seconds,
        peak_memory_bytes=outcome.peak_memory_bytes,
        device=outcome.device,
    )
    write_report(run.dir)
    return result


def teacher_logits(
    teacher: Classifier, source: Any, size: tuple[int, int], accelerator: Accelerator, folder: Path
) -> torch.Tensor:
    """The teacher's logits [N, C] on a fixed source, computed once and kept in the run directory."""
    path = folder / "teacher_logits.npy"
    if not path.is_file():
        if accelerator.is_main_process:
            from exuno.engine.files import atomic

            found, _ = logits(teacher, source, size, accelerator.device)
            with atomic(path) as temporary, temporary.open("wb") as file:
                np.save(file, found)
        accelerator.wait_for_everyone()
    return torch.from_numpy(np.load(path))

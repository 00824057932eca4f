"""What speaks against a teacher before a student learns from it: told before the training, and kept in result.json."""

import shlex
from pathlib import Path

from exuno.distill.options import DistillConfig
from exuno.metrics import Summary

TEACH = "teach:"


def doubts(config: DistillConfig, folder: Path, told: Summary, device: str) -> list[str]:
    """Sentences about a teacher whose accuracy cannot be told from chance, or lies below what its run measured on the
    same images. None of a teacher that a smoke run has trained itself.

    Args:
        config: of the distillation.
        folder: the run directory.
        told: what was measured of the teacher.
        device: on which it was.
    """
    if config.run.smoke and config.teacher.startswith(TEACH):
        return []
    low, high = told["interval"]
    chance = 1 / len(told["class_names"])
    right = (
        f"the teacher is right on {100 * told['top1']:.2f} % of {told['n']:,} test samples (95 % interval "
        f"{100 * low:.2f} to {100 * high:.2f})"
    )
    if low <= chance:
        return [f"{right}, which is no better than chance, {100 * chance:.3g} %. What is wrong? {ask(config, folder)}"]
    claim = claimed(config, folder, told["n"], device)
    if claim is not None and claim > high:
        return [f"{right}; its run measured {100 * claim:.2f} % on the same data. What is wrong? {ask(config, folder)}"]
    return []


def ask(config: DistillConfig, folder: Path) -> str:
    """The command that examines a teacher on the data of a distillation."""
    teacher = f"run:{folder / 'teacher'}" if config.teacher.startswith(TEACH) else config.teacher
    words = ["exuno", "doctor", teacher, "--data", config.data]
    words += ["--data-root", str(config.data_root)] if config.data_root else []
    words += ["--size", str(config.size)] if config.size else []
    return shlex.join(words)


def claimed(config: DistillConfig, folder: Path, n: int, device: str) -> float | None:
    """The accuracy that the run of a teacher measured on the same n images; None where none is known."""
    from exuno.doctor.claim import claimed as look_up  # the doctor examines for distill, which it knows
    from exuno.doctor.options import DoctorConfig

    if config.teacher.startswith(TEACH):
        return None
    same = DoctorConfig(teacher=config.teacher, data=config.data, size=config.size, smoke=config.run.smoke)
    claim = look_up(same, folder, n, device)
    return claim.value if claim else None

"""What accuracy a teacher is said to have. No torch."""

import json
from pathlib import Path
from typing import Any

import yaml

from exuno.doctor.command import TEACH
from exuno.doctor.options import DoctorConfig
from exuno.engine.errors import ExunoError


def claimed(config: DoctorConfig, run_dir: Path) -> tuple[float, str] | None:
    """The accuracy (a fraction) and who says so: --claimed, else what the teacher's run measured on the same images.

    Args:
        config: of the examination.
        run_dir: its run directory, which holds a teacher that was trained first.

    Returns:
        None if nothing was claimed about these images.

    Raises:
        ExunoError: the files of the teacher's run are damaged.
    """
    if config.claimed is not None:
        return config.claimed, "that was claimed"
    if config.teacher.startswith(TEACH):
        folder = run_dir / "teacher"
    elif config.teacher.startswith("run:"):
        folder = Path(config.teacher.removeprefix("run:"))
    else:
        return None
    if not (folder / "result.json").is_file() or not (folder / "config.yaml").is_file():
        return None
    try:
        trained: dict[str, Any] = yaml.safe_load((folder / "config.yaml").read_text())["config"]
        metrics: dict[str, Any] = json.loads((folder / "result.json").read_text())["metrics"]
    except (ValueError, yaml.YAMLError, KeyError, TypeError) as error:
        raise ExunoError(f"the record of {folder} is damaged", "Give the weights themselves: file:PATH.") from error
    value = metrics.get("model/top1", metrics.get("student/top1"))
    same = all(trained.get(key) == getattr(config, key) for key in ("data", "size"))
    if value is None or not same or config.split != "test" or bool(trained.get("smoke")) != config.smoke:
        return None
    return float(value), "that its run measured"

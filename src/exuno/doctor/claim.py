"""What accuracy a teacher is said to have. No torch."""

from pathlib import Path
from typing import Any, NamedTuple

from exuno.data.holdout import recorded
from exuno.doctor.command import TEACH
from exuno.doctor.options import DoctorConfig
from exuno.engine.documents import mapping, read_result, read_yaml
from exuno.engine.errors import ExunoError

SAME_DEVICE, OTHER_DEVICE = 0.5, 3.0
"""Images by which two measurements on the same images may differ: none, but for the rounding of a share of them; a few
where another kind of device rounds otherwise."""


class Claim(NamedTuple):
    """An accuracy (a fraction), and who says so."""

    value: float
    who: str
    tolerance: float | None = None
    """Images by which it may differ, if it was measured on the same ones."""

    def agrees(self, top1: float, interval: tuple[float, float], n: int) -> bool:
        """Whether an accuracy of n images, with its interval, can be the same as the claimed one."""
        if self.tolerance is None:
            return interval[0] <= self.value <= interval[1]
        return abs(self.value - top1) * n <= self.tolerance


def claimed(config: DoctorConfig, run_dir: Path, n: int, device: str) -> Claim | None:
    """The accuracy of --claimed, else what the teacher's run measured on the same images.

    Args:
        config: of the examination.
        run_dir: its run directory, which holds a teacher that was trained first.
        n: images of the examination.
        device: on which it runs.

    Returns:
        None if nothing was claimed about these images, or the record of the run is damaged.
    """
    if config.claimed is not None:
        return Claim(config.claimed, "that was claimed")
    if config.teacher.startswith(TEACH):
        folder = run_dir / "teacher"
    elif config.teacher.startswith("run:"):
        folder = Path(config.teacher.removeprefix("run:"))
    else:
        return None
    try:
        trained: dict[str, Any] = mapping(read_yaml(folder / "config.yaml")["config"])
        result: dict[str, Any] = read_result(folder / "result.json")
        same = all(trained.get(key) == getattr(config, key) for key in ("data", "size"))
        same = same and recorded(trained) == config.held
        same = same and config.split == "test" and bool(trained.get("smoke")) == config.smoke
        key = next(key for key in ("model/top1", "student/top1") if key in result["metrics"])
        value, images = float(result["metrics"][key]), result.get("n", {}).get(key, n)
    except (ExunoError, ValueError, KeyError, TypeError, AttributeError, StopIteration):
        return None
    if not same or images != n or not 0 <= value <= 1:
        return None
    return Claim(value, "that its run measured", SAME_DEVICE if result.get("device") == device else OTHER_DEVICE)

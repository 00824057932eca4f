"""The configuration of ``exuno eval``, and the run directory of a measurement. No torch."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import tyro

from exuno.engine.options import EXECUTION, ClassOrder, Holdout, Measuring, RunOptions
from exuno.engine.ranges import FROM_0, FROM_1, PIXELS, SEED
from exuno.presets import to_args, to_dict

if TYPE_CHECKING:
    from exuno.engine.run import Run


@dataclass(frozen=True)
class EvalConfig(Measuring):
    """Measure a model on labelled data: accuracy with its interval, each class, confusion, calibration, agreement. Or
    measure a poster: fresh networks trained on it, beside real images of as many pixels."""

    OFTEN: ClassVar[str] = (
        "model data data_root split classes size teacher tta networks steps arch baselines seed run_dir no_images "
        "devices smoke dry_run"
    )
    EXAMPLES: ClassVar[tuple[str, ...]] = (
        "exuno eval runs/mine",
        "exuno eval weights.safetensors --data npz:my-data.npz",
        "exuno eval poster:runs/mine --networks 4",
    )

    model: tyro.conf.Positional[str]
    """Model spec: run:DIR (or the folder itself), file:PATH (or the file), timm:NAME, torchvision:NAME, hf-hub:NAME,
    clip:ARCH/TAG?classes=cat,dog. Or poster:PATH (or the folder itself, or the run that made it)."""
    data: str | None = None
    """Data spec; default: what the run of the model was tested on, at its size and from its --data-root; of a poster,
    what it was distilled from."""
    data_root: Path | None = None
    """Folder that holds the benchmark data sets."""
    split: str = "test"
    """Which part of the data."""
    classes: ClassOrder = "auto"
    """How classes of the data are matched with those of the model: by their names where both have names (auto), by name
    alone, or by number: label 0 is the first class, whatever the names."""
    held: tyro.conf.OmitArgPrefixes[Holdout] = field(default_factory=Holdout)
    size: Annotated[int | None, PIXELS] = None
    """Side of the images; default: that of the data."""
    teacher: str | None = None
    """Another model, to measure agreement with."""
    tta: Literal["flip"] | None = None
    """Test-time augmentation, without labels: flip answers by the mean of the logits of an image and of its mirror
    image, where left and right do not matter. Of --teacher, too."""
    networks: Annotated[int | None, FROM_1] = None
    """Of a poster: fresh networks to train on it; default 8."""
    steps: tuple[int, ...] | None = None
    """Of a poster: numbers of training steps after which to test; that of its protocol is always among them."""
    arch: tuple[str, ...] = ()
    """Of a poster: model specs of other networks to train on it, such as exuno:resnet20."""
    baselines: Annotated[int | None, FROM_0] = None
    """Of a poster: draws of each baseline of real images; default 3, 0 leaves them out."""
    ranking: str | None = None
    """Of a poster: also the label-robust and augmentation-robust scores of DD-Ranking, the latter with this
    augmentation: names of flip, rotate, scale, crop, color, cutout joined by _, of which each batch gets one."""
    seed: Annotated[int, SEED] = 0
    """Of a poster: seed of networks, batches and baselines."""
    run_dir: Path | None = field(default=None, kw_only=True)
    """Also write a run directory with result.json and a page."""


POSTER = "poster:"


def open_eval(config: EvalConfig) -> "Run":
    """The run directory of a measurement; its command repeats the one that was typed."""
    from exuno.engine.run import open_run

    options = RunOptions(run_dir=config.run_dir, devices=config.devices, no_images=config.no_images)
    values = to_dict(config)
    given = {
        key: value for key, value in values.items() if value not in (None, [], ()) and key not in (*EXECUTION, "model")
    }
    replay = ["exuno", "eval", config.model, *to_args(given)]
    return open_run("eval", None, values, {"summary": f"{config.model} on {config.data}"}, options, replay=replay)

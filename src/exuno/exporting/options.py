"""The configuration of ``exuno export``. No torch."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, ClassVar

import tyro

from exuno.engine.errors import ExunoError
from exuno.engine.ranges import FROM_0, FROM_1
from exuno.registry import Registry

formats = Registry("format", "--format", "exuno.exporting.formats")
"""What a network can be written as, beside its weights, or a poster, beside its picture."""


@dataclass(frozen=True)
class ExportConfig:
    """Write a model, or a poster, as a folder to hand on: weights, card, README.md, and other formats if wanted."""

    EXAMPLES: ClassVar[tuple[str, ...]] = (
        "exuno export runs/mine --to my-model",
        "exuno export runs/mine --to my-model --format onnx openvino --license apache-2.0",
        "exuno export runs/mine --to my-model --int8 --calibrate my-photo.jpg --qat 500",
    )

    model: tyro.conf.Positional[str]
    """Model spec: run:DIR (or the folder itself), file:PATH (or the file), timm:NAME, torchvision:NAME, hf-hub:NAME,
    clip:ARCH/TAG?classes=cat,dog. Or poster:PATH (or the folder itself, or the run that made it)."""
    to: Path
    """New or empty folder, or SCHEME://BUCKET/FOLDER (s3, gs, hf, …)."""
    format: Annotated[tuple[str, ...], formats] = ()
    """Also write the network in one or more other formats, each compared with torch before it is kept; or the poster as
    datasets: a table of its patches that load_dataset reads, with Croissant metadata."""
    onnx: bool = False
    """Short for --format onnx."""
    int8: bool = False
    """Also write model.onnx and model-int8.onnx: weights and activations in 8 bits, by static quantisation."""
    calibrate: tuple[str, ...] = ("photo:astronaut",)
    """--int8: images from which the ranges of the activations are told, as --source of exuno distill: photographs, of
    which patches are made, a folder, or a data spec."""
    calibration_images: Annotated[int, FROM_1] = 100
    """--int8: so many patches, or images."""
    qat: Annotated[int, FROM_0] = 0
    """--int8: so many steps of quantisation-aware distillation, of 64 new patches (or images) of --calibrate each: the
    network in 8 bits learns to answer as it does in float32."""
    data: str | None = None
    """--int8: labelled data on which the network is measured before and after; default: what the run of the model was
    tested on, if it is at hand."""
    data_root: Path | None = None
    """Folder that holds the benchmark data sets."""
    license: str | None = None
    """License of what is handed on, as the hub names it, such as apache-2.0."""
    push: str | None = None
    """ORG/NAME: also upload the folder to the Hugging Face hub."""
    debug: bool = False
    """Show tracebacks."""


def idle(config: ExportConfig) -> list[str]:
    """Options that say nothing without ``--int8`` and were given all the same."""
    names = ("calibrate", "calibration_images", "qat", "data", "data_root")
    defaults = {each.name: each.default for each in fields(config)}
    return [name for name in names if not config.int8 and getattr(config, name) != defaults[name]]


@contextmanager
def calibrating() -> Iterator[None]:
    """What is wrong with a source is told of --calibrate, which takes the same."""
    try:
        yield
    except ExunoError as error:
        what, todo = (text.replace("--source", "--calibrate") for text in (error.what, error.todo))
        raise ExunoError(what, todo) from error

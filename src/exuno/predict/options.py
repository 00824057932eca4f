"""The configuration of ``exuno predict``, and what every verb takes that answers for pictures. No torch."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import tyro

from exuno.engine.errors import ExunoError
from exuno.engine.ranges import FROM_0, FROM_1, PIXELS

Format = Literal["table", "jsonl", "csv"]
Pictures = Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="IMAGE …")]
TOPK, BATCH = 5, 64


@dataclass(frozen=True, kw_only=True)
class Answering:
    """What verbs take that answer for pictures."""

    topk: Annotated[int, FROM_1] = TOPK
    """Classes of each picture, the likeliest first; at most all that there are."""
    format: Format | None = None
    """table, jsonl (an object a line) or csv; default: by the suffix of --out, else table."""
    out: Path | None = None
    """File for the answers; default: they are printed."""
    batch_size: Annotated[int, FROM_1] = BATCH
    """Pictures in a batch; does not change any answer."""
    devices: Literal["auto", "cpu"] = "auto"
    """auto (a GPU if there is one) or cpu."""
    workers: Annotated[int, FROM_0] = 0
    """Processes that decode pictures; 0 decodes them in this one."""
    dry_run: bool = False
    """Print the resolved configuration, open the model and the list of pictures, answer nothing."""
    debug: bool = False
    """Show tracebacks."""

    @property
    def written(self) -> Format:
        """The format, told by the suffix of the file where it is not given."""
        if self.format:
            return self.format
        by_suffix: dict[str, Format] = {".jsonl": "jsonl", ".csv": "csv"}
        return by_suffix.get(self.out.suffix.lower() if self.out else "", "table")


@dataclass(frozen=True)
class PredictConfig(Answering):
    """The classes that a model sees in pictures, with their probabilities."""

    OFTEN: ClassVar[str] = "topk format out size batch_size devices workers dry_run"
    EXAMPLES: ClassVar[tuple[str, ...]] = (
        "exuno predict runs/mine my-photo.jpg",
        "exuno predict timm:resnet18 my-images --out answers.csv",
        "exuno predict runs/mine - --format jsonl --topk 1",
    )

    model: tyro.conf.Positional[str]
    """Model spec: run:DIR (or the folder itself), file:PATH (or the file), timm:NAME, torchvision:NAME, hf-hub:NAME,
    clip:ARCH/TAG?classes=cat,dog."""
    pictures: Pictures
    """Pictures: PATH[@BITSbit], photo:NAME; folders, with all pictures below them; - for paths from standard input, one
    a line. Of a model of sound, recordings."""
    size: Annotated[int | None, PIXELS] = field(default=None, kw_only=True)
    """Side of the middle of a picture that the model is given; default: that of its run, else 224 of photographs and
    all of pictures up to 96 pixels."""


def check_asked(verb: str, pictures: tuple[str, ...], out: Path | None) -> None:
    """Raises ExunoError unless something is to be answered for, and the answers have a place."""
    if not pictures:
        raise ExunoError(
            "no picture was given", f"Name pictures or folders behind the model: exuno {verb} MODEL my-photo.jpg."
        )
    if pictures.count("-") > 1:
        raise ExunoError("standard input is named twice", "Give - once.")
    if out is not None and out.is_dir():
        raise ExunoError(f"--out {out} is a folder", "Give the file for the answers, such as answers.csv.")

"""``exuno import PATH [--to DIR]``: say what a file of weights is, and write it as a model of exuno."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import tyro

from exuno.commandline import parsed
from exuno.engine.errors import ExunoError
from exuno.models.names import check_file

if TYPE_CHECKING:
    from exuno.models.card import ModelCard


@dataclass(frozen=True)
class ImportConfig:
    """Say what a file of weights is: architecture, input, classes, and what it holds besides; with --to, write it as a
    model of exuno."""

    EXAMPLES: ClassVar[tuple[str, ...]] = (
        "exuno import weights.pth",
        "exuno import weights.pth --to my-model",
        "exuno import weights.pth@torchvision:resnet50 --to my-model",
    )

    path: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="PATH[#student|#teacher|#ema][@ARCH]")]
    """File of weights. #student or #teacher takes one network of a checkpoint that has both, #ema the average
    of the weights; @ARCH names the architecture where it cannot be told from the weights (such as
    @torchvision:resnet50)."""
    to: Path | None = None
    """New folder for model.safetensors and model.json."""
    debug: bool = False
    """Show tracebacks."""


def main(args: Sequence[str]) -> None:
    """Parses the command line, reads the file, prints what it is, and writes the model.

    Raises:
        ExunoError: for a file that load_model does not know, and a folder that is not empty.
    """
    config = parsed("import", ImportConfig, args)
    if config.to is not None and config.to.exists() and (not config.to.is_dir() or any(config.to.iterdir())):
        raise ExunoError(f"{config.to} is there already", "Name a new or empty folder by --to.")
    name = config.path.removeprefix("file:")
    check_file(name)
    from exuno.models.load import load_model

    model = load_model(f"file:{name}", pretrained=True)
    lines = describe(model.card)
    if config.to is not None:
        from exuno.models.files import save_model

        lines["written"] = f"{save_model(model, config.to)}; use it as run:{config.to}"
    print(name)
    for title, text in lines.items():
        print(f"  {title:13} {text}")


def describe(card: "ModelCard") -> dict[str, str]:
    """What a card says, in words: title -> text."""
    told = card.lineage
    lines = {
        "architecture": card.arch,
        "input": card.takes,
        "mean, std": "; ".join(" ".join(f"{number:.4g}" for number in numbers) for numbers in (card.mean, card.std)),
        "classes": str(card.classes) if card.classes else "none: a feature extractor",
    }
    if "part" in told:
        lines["weights"] = f"of the {told['part']}"
    if "epoch" in told:
        lines["epoch"] = str(told["epoch"])
    if "dequantised" in told:
        lines["dequantised"] = told["dequantised"]
    for key in ("dropped", "filled"):
        if told.get(key):
            lines[key] = ", ".join(told[key])
    return lines

"""``exuno export MODEL --to DIR [--onnx] [--push ORG/NAME]``."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import tyro

from exuno.commandline import parsed
from exuno.engine.errors import ExunoError
from exuno.engine.files import disk_errors
from exuno.engine.remote import is_remote, outgoing, url_of
from exuno.evaluate.eval import spec_of
from exuno.evaluate.options import POSTER
from exuno.specs import check_specs


@dataclass(frozen=True)
class ExportConfig:
    """Write a model, or a poster, as a folder to hand on: weights, card, README.md, and ONNX if wanted."""

    EXAMPLES: ClassVar[tuple[str, ...]] = (
        "exuno export runs/mine --to my-model",
        "exuno export runs/mine --to my-model --onnx --license apache-2.0",
        "exuno export poster:runs/mine --to my-poster",
    )

    model: tyro.conf.Positional[str]
    """Model spec: run:DIR (or the folder itself), file:PATH (or the file), timm:NAME, torchvision:NAME, hf-hub:NAME,
    clip:ARCH/TAG?classes=cat,dog. Or poster:PATH (or the folder itself, or the run that made it)."""
    to: Path
    """New or empty folder, or SCHEME://BUCKET/FOLDER (s3, gs, hf, …)."""
    onnx: bool = False
    """Also write model.onnx: pixels or recordings of any size and batch in, logits out, checked against torch."""
    license: str | None = None
    """License of what is handed on, as the hub names it, such as apache-2.0."""
    push: str | None = None
    """ORG/NAME: also upload the folder to the Hugging Face hub."""
    debug: bool = False
    """Show tracebacks."""


def main(args: Sequence[str]) -> None:
    """Parses the command line and exports.

    Raises:
        ExunoError: anything the user can put right.
    """
    config = parsed("export", ExportConfig, args)
    spec = spec_of(config.model)
    check_specs(replace(config, model=spec))
    if config.push is not None and config.push.count("/") != 1:
        raise ExunoError(f"'{config.push}' is no repository of the hub", "Give --push ORG/NAME.")
    if not is_remote(config.to) and config.to.exists() and (not config.to.is_dir() or any(config.to.iterdir())):
        raise ExunoError(f"{config.to} is there already", "Name a new or empty folder by --to.")
    poster = spec.startswith(POSTER)
    if poster and config.onnx:
        raise ExunoError(f"{spec} is a poster, which has no network to write as ONNX", "Leave out --onnx.")
    with outgoing(config.to) as folder, disk_errors(folder):
        if poster:
            from exuno.exporting.model import export_poster

            lines = export_poster(Path(spec.removeprefix(POSTER)), folder, config.license)
        else:
            from exuno.exporting.model import export_model

            lines = export_model(spec, folder, onnx=config.onnx, license=config.license)
        if config.push:
            from exuno.exporting.model import push

            lines["on the hub"] = push(folder, config.push, f"exuno export {config.model}")
            lines["there, use it"] = "after hf download" if poster else f"as hf-hub:{config.push}"
    print(url_of(config.to) if is_remote(config.to) else config.to)
    for title, text in lines.items():
        print(f"  {title:13} {text}")

"""``exuno export MODEL --to DIR [--format NAME …] [--int8] [--push ORG/NAME]``."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from exuno.commandline import parsed
from exuno.engine.errors import ExunoError
from exuno.engine.files import disk_errors
from exuno.engine.remote import is_remote, outgoing, url_of
from exuno.evaluate.eval import spec_of
from exuno.evaluate.options import POSTER
from exuno.exporting.options import ExportConfig, calibrating, formats, idle
from exuno.exporting.packages import check_packages
from exuno.specs import check_source, check_specs


def main(args: Sequence[str]) -> None:
    """Parses the command line and exports.

    Raises:
        ExunoError: anything the user can put right.
    """
    typed = parsed("export", ExportConfig, args)
    config = complete(typed)
    poster = config.model.startswith(POSTER)
    with outgoing(config.to) as folder, disk_errors(folder):
        if poster:
            from exuno.exporting.poster import export_poster

            lines = export_poster(Path(config.model.removeprefix(POSTER)), folder, config.license, config.format)
        else:
            from exuno.exporting.model import export_model

            lines = export_model(replace(config, to=folder))
        if config.push:
            from exuno.exporting.model import push

            table = poster and bool(config.format)
            lines["on the hub"] = push(
                folder, config.push, f"exuno export {typed.model}", "dataset" if table else "model"
            )
            after = f"by datasets.load_dataset('{config.push}')" if table else "after hf download"
            lines["there, use it"] = after if poster else f"as hf-hub:{config.push}"
    print(url_of(config.to) if is_remote(config.to) else config.to)
    width = max(13, *map(len, lines))
    for title, text in lines.items():
        print(f"  {title:{width}} {text}")


def complete(config: ExportConfig) -> ExportConfig:
    """The configuration with a model spec for a path, and every format that is to be written.

    Raises:
        ExunoError: something that it names is not there, or says nothing about the rest.
    """
    wanted = (*config.format, *(["onnx"] if config.onnx or config.int8 else []))
    # ONNX first: others begin with its file.
    wanted = tuple(sorted(dict.fromkeys(wanted), key=lambda name: name != "onnx"))
    config = replace(config, model=spec_of(config.model), format=wanted)
    check_specs(config)
    if config.push is not None and config.push.count("/") != 1:
        raise ExunoError(f"'{config.push}' is no repository of the hub", "Give --push ORG/NAME.")
    if not is_remote(config.to) and config.to.exists() and (not config.to.is_dir() or any(config.to.iterdir())):
        raise ExunoError(f"{config.to} is there already", "Name a new or empty folder by --to.")
    check_kind(config.model, wanted)
    if unused := idle(config):
        raise ExunoError(f"--{unused[0].replace('_', '-')} is for --int8, which is off", "Give both or neither.")
    for spec in config.calibrate if config.int8 else ():
        with calibrating():
            check_source(spec, config.data_root)
    for name in wanted:
        check_packages(name)
    return config


def check_kind(spec: str, names: Sequence[str]) -> None:
    """Raises ExunoError for a format of networks where the spec is of a poster, or the other way round."""
    poster = spec.startswith(POSTER)
    for name in names:
        facts = formats.entries[name].facts if name in formats.entries else {}
        if poster and facts.get("of") != "poster":
            raise ExunoError(
                f"{spec} is a poster, which has no network to write as {name}",
                "Leave out --format, --onnx and --int8, or take --format datasets.",
            )
        if not poster and facts.get("of") == "poster":
            raise ExunoError(f"--format {name} is for posters, and {spec} is a network", "Give poster:PATH.")

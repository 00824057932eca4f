"""Configurations from presets and words, and the verb ``exuno presets``. No torch."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exuno.commandline import parsed
from exuno.engine.errors import ExunoError, tell
from exuno.engine.launch import launch, wanted
from exuno.engine.session import print_plan
from exuno.presets import Config, Preset, files, no_presets, read, to_args, to_dict

if TYPE_CHECKING:
    from exuno.engine.run import Run


def resolve(kind: type[Config], preset: Preset) -> Config:
    """The configuration that a preset stands for, checked by tyro as if typed."""
    return parsed(preset.verb, kind, to_args(preset.config), preset=preset, recorded=True)


def parse(verb: str, kind: type[Config], args: Sequence[str]) -> tuple[Config, Preset | None]:
    """The configuration of ``exuno VERB [PRESET] [--options]``: options over preset over defaults.

    Raises:
        ExunoError: what is typed makes no configuration, or names what is not there.
    """
    from exuno.specs import check_specs

    args, preset, stated = list(args), None, None
    if args and not args[0].startswith("-"):
        preset = read(verb, args.pop(0))
        stated = resolve(kind, preset)
    config = parsed(verb, kind, args, stated, preset)
    # A dry run tells what a preset would cost, also before its files are there.
    rehearsed = getattr(getattr(config, "run", None), "dry_run", False)
    check_specs(config, but=stated if rehearsed else None)
    return config, preset


def run_command(
    verb: str,
    args: Sequence[str],
    config: Any,
    preset: Preset | None,
    cost: list[str],
    check: Callable[[], object],
    look: Callable[[], object],
    work: Callable[[], "Run"],
) -> None:
    """What every verb that trains does with its configuration: explains it, starts several processes, or runs it.

    Args:
        verb: its words after ``exuno``.
        args: the words that follow, for further processes.
        config: what to do; its group ``run`` says how.
        preset: where it came from.
        cost: what it takes, for ``--dry-run``; its first line is also told before a training without a preset begins.
        check: holds the options against each other, for ``--dry-run``; opens nothing.
        look: opens all that the training begins with, and checks it, for ``--dry-run``.
        work: trains; imports torch.
    """
    from exuno.specs import rehearse

    if config.run.dry_run:
        print_plan(to_dict(config), preset, cost)
        rehearse(config, look, check)
    elif (processes := wanted(config.run)) > 1:
        launch(verb, args, processes)
    else:
        from exuno.report.page import show

        if preset is None and not config.run.smoke and to_begin(verb, config):  # a preset says what it costs
            tell(f"exuno: {cost[0]}; --dry-run tells what it takes.")
        show(work())


def to_begin(verb: str, config: Any) -> bool:
    """Whether this process, the first one, would train: the run of a configuration without a preset is not finished."""
    from exuno.engine.configuration import default_folder
    from exuno.engine.run import rank

    folder = config.run.run_dir or default_folder(verb, None, to_dict(config))
    return rank() == 0 and not (folder / "result.json").exists()


def main(args: Sequence[str]) -> None:
    """``exuno presets [list|show|copy]``."""
    args = list(args) or ["list"]
    if "-h" in args or "--help" in args:
        print("usage: exuno presets [list [VERB] | show VERB NAME | copy VERB NAME FILE.yaml]")
        return
    match args:
        case ["list", *verb] if len(verb) < 3:
            listing(" ".join(verb) or None)
        case ["show", *verb, name] if verb:
            sys.stdout.write(dump(read(" ".join(verb), name)))
        case ["copy", *verb, name, file] if verb:
            copy(read(" ".join(verb), name), Path(file))
        case _:
            raise ExunoError(
                f"'exuno presets {' '.join(args)}' is not understood",
                "Use: exuno presets list [VERB], show VERB NAME, or copy VERB NAME FILE.yaml.",
            )


def listing(verb: str | None) -> None:
    """Prints one line for each preset."""
    found = {
        key: path
        for key, path in files().items()
        if verb is None or key[0].split()[: len(verb.split())] == verb.split()
    }
    if not found:
        raise no_presets(str(verb))
    widths = [max(map(len, column)) for column in zip(*found, strict=True)]
    for of, name in found:
        print(f"{of:{widths[0]}} {name:{widths[1]}}  {read(of, name).about.get('summary', '')}")


def dump(preset: Preset) -> str:
    """The YAML text of a preset, its base merged in."""
    import yaml

    content = {"verb": preset.verb, "about": preset.about, "config": preset.config}
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110)


def copy(preset: Preset, file: Path) -> None:
    """Writes a preset to a new file."""
    from exuno.engine.files import write_text

    if file.exists():
        raise ExunoError(f"{file} exists", "Choose another name; nothing was overwritten.")
    if file.suffix not in (".yaml", ".yml"):
        raise ExunoError(f"{file} does not end in .yaml", "Choose a name that ends in .yaml.")
    write_text(file, dump(preset))
    print(f"{file}: edit it, then: exuno {preset.verb} {file}")

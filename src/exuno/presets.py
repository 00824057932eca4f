"""Named configurations: YAML files beside the verb they belong to. Also the verb ``exuno presets``. No torch.

Those of a verb of two words lie a folder deeper: ``fewshot/presets/pretrain/digits.yaml`` is ``exuno fewshot pretrain
digits``.

A file holds ``verb``, ``about`` (summary, paper, command, published, cost), ``config`` (values of command-line
options) and perhaps ``base``, the preset that it changes. Values are handed to tyro as if typed, so a file is checked
like a command line.
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from exuno.commandline import parsed
from exuno.engine.errors import ExunoError
from exuno.renamed import modern

Config = TypeVar("Config")
PACKAGE = Path(__file__).parent
UNPREFIXED = ("classes", "held", "run")
"""Groups of options that are typed without the name of the group."""
DEEPEST = 20
"""Presets that are based on each other, at most."""


@dataclass(frozen=True)
class Preset:
    """A named configuration; ``config`` is what its file changes from the defaults."""

    name: str
    verb: str
    about: dict[str, Any]
    config: dict[str, Any]


def files(verb: str | None = None) -> dict[tuple[str, str], Path]:
    """(verb, name) -> file of every preset in the package."""
    found = sorted((*PACKAGE.glob("*/presets/*.yaml"), *PACKAGE.glob("*/presets/*/*.yaml")))
    named = {(_verb(path), path.stem): path for path in found}
    return {key: path for key, path in named.items() if verb in (None, key[0])}


def _verb(path: Path) -> str:
    first, _, *second = path.relative_to(PACKAGE).parent.parts
    return " ".join((first, *second))


def read(verb: str, name: str, below: tuple[str, ...] = ()) -> Preset:
    """The preset ``name`` of a verb, or that of a YAML file (a copied preset, or the config.yaml of a run).

    Args:
        verb: of the command line.
        name: of the preset, or the path of a file.
        below: names of the presets that are based on this one.

    Raises:
        ExunoError: unknown name, or a file that is not a configuration of this verb.
    """
    from exuno.engine.documents import mapping, read_yaml  # not for --help

    known = {preset: path for (_, preset), path in files(verb).items()}
    path = known.get(name)
    if path is None:
        path = Path(name)
        if path.suffix not in (".yaml", ".yml"):
            close = get_close_matches(name, known, n=1)
            hint = f"Did you mean '{close[0]}'? " if close else ""
            raise ExunoError(
                f"'{name}' is no preset of {verb}", f"{hint}The presets are: {', '.join(known)}; or give a .yaml file."
            )
        if not path.is_file():
            raise ExunoError(
                f"there is no file {path}", f"exuno presets copy {verb} NAME FILE.yaml writes one to edit."
            )
    content = read_yaml(path)
    if content.get("verb") != verb:
        raise ExunoError(
            f"{path} is not a configuration of '{verb}' (its verb is {str(content.get('verb'))[:80]})",
            "Give another file.",
        )
    try:
        about, config = mapping(content.get("about") or {}), mapping(content.get("config") or {})
    except ValueError as error:
        raise ExunoError(f"{path}: 'about' or 'config' is of another kind: {error}", "Mend the file.") from None
    config = modern(verb, config)
    if base := content.get("base"):
        if not isinstance(base, str) or base in (*below, name) or len(below) > DEEPEST:
            raise ExunoError(f"{path} is based on {str(base)[:80]}, which is itself or no name", "Mend its 'base'.")
        parent = read(verb, base, (*below, name))
        about, config = parent.about | about, merge(parent.config, config)
    title = content.get("preset") if "preset" in content else path.stem
    return Preset(str(title or ""), verb, about, config)


def summaries(verb: str) -> dict[str, str]:
    """Name -> summary of each preset of a verb, told from the line of its file: YAML's reader would take longer than
    all the rest of a help."""
    found = {}
    for (_, name), path in files(verb).items():
        line = next(
            (each for each in path.read_text(encoding="utf-8").splitlines() if each.startswith("  summary: ")), ""
        )
        found[name] = line.removeprefix("  summary: ").strip("'\"")
    return found


def merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """``changes`` over ``base``, nested."""
    merged = dict(base)
    for key, value in changes.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(value, dict) and isinstance(below, dict) else value
    return merged


def to_args(config: dict[str, Any], prefix: str = "--") -> list[str]:
    """``{"optim": {"lr": 0.1}}`` -> ``["--optim.lr", "0.1"]``."""
    args: list[str] = []
    for key, value in config.items():
        name = prefix + key.replace("_", "-")
        if isinstance(value, dict):
            args += to_args(value, name + ".")
        elif isinstance(value, bool):
            args.append(name if value else f"{prefix}no-{key.replace('_', '-')}")
        else:
            args += [name, *(str(item) for item in (value if isinstance(value, list | tuple) else [value]))]
    return args


def to_dict(config: Any) -> dict[str, Any]:
    """A configuration as plain values for YAML and JSON."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, tuple | list):
            return [plain(item) for item in value]
        return str(value) if isinstance(value, Path) else value

    assert is_dataclass(config)
    assert not isinstance(config, type)
    merged = plain(asdict(config))
    for group in UNPREFIXED:
        if isinstance(merged.get(group), dict):  # an option may have the name of a group, as --classes has
            merged |= merged.pop(group)
    return merged


def resolve(kind: type[Config], preset: Preset) -> Config:
    """The configuration that a preset stands for, checked by tyro as if typed."""
    return parsed(preset.verb, kind, to_args(preset.config))


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
        verbs = sorted({name for name, _ in files()})
        raise ExunoError(f"the verb '{verb}' has no presets", f"Verbs with presets: {', '.join(verbs)}.")
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

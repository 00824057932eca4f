"""Named configurations: YAML files beside the verb they belong to. Also the verb ``exuno presets``. No torch.

Those of a verb of two words lie a folder deeper: ``fewshot/presets/pretrain/digits.yaml`` is ``exuno fewshot pretrain
digits``.

A file holds ``verb``, ``about`` (summary, paper, command, published, cost), ``config`` (values of command-line
options) and perhaps ``base``, the preset that it changes. Values are handed to tyro as if typed, so a file is checked
like a command line.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

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
            if not known:
                raise no_presets(verb)
            close = get_close_matches(name, known, n=1)
            if ":" in name or path.suffix or (path.exists() and not close):
                raise ExunoError(
                    f"'{name}' stands where {verb} has the name of a preset",
                    f"Say what it is by an option behind that (exuno {verb} --help): exuno {verb} {example(known)} "
                    "--OPTION VALUE.",
                )
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


def no_presets(verb: str) -> ExunoError:
    """What to tell who asks for those of a verb that has none."""
    return ExunoError(
        f"the verb '{verb}' has no presets", f"Verbs with presets: {', '.join(sorted({of for of, _ in files()}))}."
    )


def example(names: Iterable[str]) -> str:
    """The preset to begin with, of those of a verb: one that needs no data from elsewhere, if there is one."""
    names = list(names)
    return next((name for name in ("digits", *names) if name in names and name.endswith("digits")), names[0])


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

"""What data are called: the forms of a data spec, and what is wrong with one, told without opening it. No torch."""

import re
from difflib import get_close_matches
from pathlib import Path

from exuno.engine.errors import ExunoError
from exuno.engine.files import near_paths

FORMS = (
    "digits; moving-digits (labelled by direction, moving-digits@digit by digit); cifar10, cifar100, imagenet, in100, "
    "places365, flowers102, pets37, stl10, cub200, tiny-imagenet, cifar-fs, fc100, mini-imagenet, tiered-imagenet, "
    "omniglot, omniglot-runs, fsdd, speechcommands, ucf101, k400 (with --data-root); folder:PATH[@BITSbit], npz:PATH, "
    "wds:PATTERN[@EXTENSION][@BITSbit], recordings:PATH[@RATE], videos:PATH[@FRAMES/SECONDSs], poster:PATH, "
    "torchvision:NAME (with --data-root)"
)
OWN = ("digits", "moving-digits")
"""Data that need no file."""
BENCHMARKS = tuple(re.findall(r"[a-z0-9-]+", FORMS.partition("; ")[2].partition("; ")[2].partition(" (with")[0]))
"""Data whose files lie in ``--data-root``."""
PATHS = ("folder", "npz", "wds", "recordings", "videos", "poster")
"""Prefixes before a path or a pattern of paths."""
PREFIXES = (*PATHS, "torchvision")


def check_data(spec: str, root: Path | None = None) -> None:
    """Raises ExunoError for a spec of no known form, or a path or ``root`` that is not there; opens nothing."""
    prefix, colon, rest = spec.partition(":")
    if not colon:
        if spec.partition("@")[0] not in (*OWN, *BENCHMARKS):
            raise no_data(spec)
        if spec in BENCHMARKS and root is not None and not root.is_dir():
            raise ExunoError(f"there is no folder {root}", f"{near_paths(root)}Check --data-root.")
    elif not rest:
        raise ExunoError(f"'{spec}' names nothing after the colon", f"The forms are {FORMS}.")
    elif prefix not in PREFIXES:
        raise unknown_prefix(spec)
    elif prefix in PATHS:
        check_path(spec, rest)


def check_path(spec: str, rest: str) -> None:
    """Raises ExunoError if there is nothing at the path of a spec, which may end in ``@…``; of a pattern, only the part
    before its first wildcard is looked at."""
    plain = re.split(r"[*?{]", rest)[0]
    path = Path(rest) if plain == rest else Path(plain + "x").parent
    if not path.exists() and not (plain == rest and "@" in rest and Path(rest.rpartition("@")[0]).exists()):
        what = "file" if path.suffix and plain == rest and path.suffix.lower() != ".poster" else "folder"
        raise ExunoError(f"there is no {what} {path}, which {spec} names", f"{near_paths(path)}Check the path.")


def needs_root(spec: str) -> bool:
    """Whether the files of a data set are looked for in ``--data-root``."""
    return spec in BENCHMARKS or spec.startswith("torchvision:")


def no_data(name: str) -> ExunoError:
    """What is wrong with a spec that has no prefix and is no name."""
    path = Path(name)
    if path.is_dir():
        hint = f"Did you mean {'poster' if name.rstrip('/').endswith('.poster') else 'folder'}:{name}? "
    elif path.is_file():
        prefix = {".npz": "npz", ".tar": "wds", ".csv": "videos"}.get(path.suffix.lower())
        hint = f"Did you mean {prefix}:{name}? " if prefix else ""
    else:
        near = get_close_matches(name, (*OWN, *BENCHMARKS), 1)
        hint = f"Did you mean {near[0]}? " if near else near_paths(path)
    return ExunoError(f"'{name}' is no data spec", hint or f"The forms are {FORMS}.")


def unknown_prefix(spec: str) -> ExunoError:
    """What is wrong with a spec whose prefix nobody knows."""
    prefix, _, rest = spec.partition(":")
    if prefix in ("photo", "noise", "sound"):
        what = "a recording" if prefix == "sound" else "a photograph"
        return ExunoError(f"{spec} is {what}, not a data set", f"Only --source takes one. Data are {FORMS}.")
    near = get_close_matches(prefix, PREFIXES, 1)
    hint = f"Did you mean {near[0]}:{rest}? " if near else ""
    return ExunoError(f"unknown data prefix '{prefix}:' in '{spec}'", hint or f"The forms are {FORMS}.")

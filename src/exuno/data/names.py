"""What data and their splits are called: the forms of a data spec, and what is wrong with one. No torch."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from exuno.engine.errors import ExunoError
from exuno.engine.files import near_paths
from exuno.engine.meanwhile import meanwhile
from exuno.engine.remote import is_remote, there
from exuno.registry import Registry, is_own

OWN = ("digits", "moving-digits")
"""Data that need no file."""
BENCHMARKS = (
    *("cifar10", "cifar100", "imagenet", "in100", "places365", "flowers102", "pets37", "stl10", "cub200"),
    *("tiny-imagenet", "cifar-fs", "fc100", "mini-imagenet", "tiered-imagenet", "omniglot", "omniglot-runs", "fsdd"),
    *("speechcommands", "ucf101", "k400"),
)
"""Data whose files lie in ``--data-root``."""
formats = Registry("data format", "data", "exuno.data")
"""Prefixes of data specs. What is decorated opens ``(rest, split, root)``. Facts: ``form``, for messages; ``files``,
whether the rest is a path or a pattern of paths."""


KEPT: ContextVar[dict[tuple[str, str, Path | None], Any] | None] = ContextVar("kept", default=None)
"""Data that are open, by spec, split and root, while they are kept."""


@contextmanager
def kept_open() -> Iterator[None]:
    """Meanwhile, data that are asked for again are those that were opened before: for several dry runs in a row."""
    with meanwhile(KEPT, {}):
        yield


def forms() -> str:
    """A sentence that lists the forms of a data spec."""
    named = ", ".join(BENCHMARKS)
    files = ", ".join(entry.facts["form"] for entry in formats.entries.values())
    return (
        "The forms are digits; moving-digits (labelled by direction, moving-digits@digit by digit); "
        f"{named} (with --data-root); {files}; module:Name, data of your own."
    )


def check_data(spec: str, root: Path | None = None) -> None:
    """Raises ExunoError for a spec of no known form, or a path or ``root`` that is not there; opens nothing."""
    prefix, colon, rest = spec.partition(":")
    if not colon:
        if spec.partition("@")[0] not in (*OWN, *BENCHMARKS):
            raise no_data(spec)
        if spec in BENCHMARKS and root is not None and not root.is_dir():
            raise ExunoError(f"there is no folder {root}", f"{near_paths(root)}Check --data-root.")
    elif not rest:
        raise ExunoError(f"'{spec}' names nothing after the colon", forms())
    elif entry := formats.entries.get(prefix):
        if entry.facts["files"]:
            check_path(spec, rest)
    elif not is_own(spec):
        raise unknown_prefix(spec)


def check_path(spec: str, rest: str) -> None:
    """Raises ExunoError if there is nothing at the path of a spec, which may end in ``@…``; of a pattern, only the part
    before its first wildcard is looked at."""
    if is_remote(rest):
        if not there(rest):
            raise ExunoError(f"there is nothing at {rest}, which {spec} names", "Check the bucket and the path.")
        return
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
    return ExunoError(f"'{name}' is no data spec", hint or forms())


def unknown_prefix(spec: str) -> ExunoError:
    """What is wrong with a spec whose prefix nobody knows."""
    prefix, _, rest = spec.partition(":")
    if prefix in ("photo", "noise", "sound"):
        what = "a recording" if prefix == "sound" else "a photograph"
        return ExunoError(f"{spec} is {what}, not a data set", f"Only --source takes one. {forms()}")
    near = get_close_matches(prefix, formats.names, 1)
    hint = f"Did you mean {near[0]}:{rest}? " if near else ""
    return ExunoError(f"unknown data prefix '{prefix}:' in '{spec}'", hint or forms())


WORDS = {
    **dict.fromkeys(("train", "training", "trn", "trainval"), "train"),
    **dict.fromkeys(("test", "tests", "testing", "tst"), "test"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "eval", "evaluation"), "val"),
}
"""Word, in lower case, and the split that it means."""
FILLERS = frozenset(
    ("set", "data", "dataset", "image", "images", "img", "imgs", "photos", "pictures", "split", "folder")
)
"""Words that add nothing to the name of a split."""
STANDS_IN = {"train": ("train",), "test": ("test", "val"), "val": ("val",)}
"""Which splits are taken for the one asked for, in this order: where no test images are, validation images are."""

HOLD_OUT = " Or hold out a part of the training set for the test: --holdout 0.2."
"""What to do where there is no test split, to be put behind the rest."""

Group = tuple[tuple[str, ...], dict[str, list[str]]]
"""The other words in the names of splits, and of each split the names that mean it."""


def tokens(name: str) -> list[str]:
    """The words of a name in lower case: ``trainX_2`` -> train, x, 2."""
    return [token.lower() for token in re.findall(r"\d+|[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[^\W\d_A-Za-z]+", name)]


def split_word(name: str) -> tuple[str, tuple[str, ...]] | None:
    """The split that a name means, and the other words of the name but for fillers; None if it has no word of a split,
    or several."""
    meant, rest = [], []
    for token in tokens(name):
        if split := WORDS.get(_bare(token)):
            meant.append(split)
        elif token not in FILLERS:
            rest.append(token)
    return (meant[0], tuple(rest)) if len(meant) == 1 else None


def splits_among(names: Iterable[str]) -> list[Group]:
    """The names that mean splits, in groups that differ in the word of the split alone: those with most splits first,
    and of these the one without other words. A group of one split whose names have other words is none: a ``crash
    test`` is a class."""
    groups: dict[tuple[str, ...], dict[str, list[str]]] = {}
    for name in sorted(names):
        if found := split_word(name):
            split, rest = found
            groups.setdefault(rest, {}).setdefault(split, []).append(name)
    kept = [(rest, group) for rest, group in groups.items() if len(group) > 1 or not rest]
    return sorted(kept, key=lambda each: (len(each[1]) < 2, len(each[0])))


def _bare(token: str) -> str:
    """``testset`` -> ``test``."""
    return next((token[: -len(end)] for end in FILLERS if token.endswith(end) and token[: -len(end)] in WORDS), token)

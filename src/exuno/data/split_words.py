"""What people call the splits of their data: ``train``, ``Training``, ``test_set``, ``seg_val``. No torch."""

import re
from collections.abc import Iterable

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

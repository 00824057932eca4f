"""``digits``: 1,797 handwritten digits of 8x8 pixels that come with scikit-learn; no download (Alpaydin and Kaynak,
UCI, 1998)."""

import gzip
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from exuno.data.base import ArrayData, channel_stats
from exuno.engine.errors import ExunoError

TEST_EVERY = 5


def open_digits(split: str) -> ArrayData:
    """The digits, gray, their 0..16 levels spread over 0..255.

    scikit-learn has no split of them. Here, within each class in the order of the file, every fifth image (number 4, 9,
    14, …) is
    for testing: 1,442 for training, 355 for testing, every class alike. Both carry the statistics of the training
        images.

    Args:
        split: ``train`` or ``test``.
    """
    if split not in ("train", "test"):
        raise ExunoError(f"digits has no split '{split}'", "Its splits are train and test.")
    # Read from the file itself: importing scikit-learn for it takes seconds.
    found = find_spec("sklearn")
    path = Path(found.origin or "").parent / "datasets/data/digits.csv.gz" if found else None
    if path is None or not path.exists():
        raise ExunoError(f"the digits of scikit-learn are not at {path}", "Install it: pip install scikit-learn.")
    with gzip.open(path, "rt") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.int64)
    images = np.round(table[:, :-1] * 255 / 16).astype(np.uint8).reshape(-1, 1, 8, 8)
    labels = table[:, -1]
    rank = np.zeros(len(labels), np.int64)
    for label in range(10):
        rank[labels == label] = np.arange((labels == label).sum())
    test = rank % TEST_EVERY == TEST_EVERY - 1
    chosen = test if split == "test" else ~test
    names = tuple("0123456789")
    return ArrayData(f"digits/{split}", images[chosen], labels[chosen], names, stats=channel_stats(images[~test]))

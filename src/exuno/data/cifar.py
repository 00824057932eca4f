"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009) from their official files, which are pickles, without running what is in
them."""

import tarfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exuno.data.base import ArrayData
from exuno.data.constants import CIFAR, Stats
from exuno.data.labels import count_classes
from exuno.data.plain_pickle import NotPlain, loads
from exuno.engine.errors import ExunoError
from exuno.engine.limits import Limit, read_at_most

FILES = {
    "cifar10": {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"], "meta": ["batches.meta"]},
    "cifar100": {"train": ["train"], "test": ["test"], "meta": ["meta"]},
}
FOLDER = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}
MOST = Limit("EXUNO_MAX_BYTES", 2**30, "bytes")
"""Of one of the files; the largest has 155 million."""
ARCHIVE = {"cifar10": "cifar-10-python.tar.gz", "cifar100": "cifar-100-python.tar.gz"}


def has_cifar(name: str, root: Path) -> bool:
    """Whether ``root`` holds the official folder or archive of ``name``."""
    return any((root / part).exists() for part in (FOLDER[name], ARCHIVE[name]))


def open_cifar(name: str, split: str, root: Path, stats: Stats = CIFAR) -> ArrayData:
    """One split from ``root/cifar-10-batches-py`` (``cifar-100-python``) or the .tar.gz of it, as published.

    Args:
        name: ``cifar10`` or ``cifar100``.
        split: ``train`` or ``test``.
        root: the folder.
        stats: mean and std of each channel.

    Raises:
        ExunoError: for an unknown split, and for missing or broken files.
    """
    if split not in ("train", "test"):
        raise ExunoError(f"{name} has no split '{split}'", "Its splits are train and test.")
    batches = [_read(name, file, root) for file in FILES[name][split]]
    (meta,) = [_read(name, file, root) for file in FILES[name]["meta"]]
    label_key, names_key = (b"labels", b"label_names") if name == "cifar10" else (b"fine_labels", b"fine_label_names")
    try:
        images: NDArray[np.uint8] = np.concatenate([batch[b"data"] for batch in batches]).reshape(-1, 3, 32, 32)
        labels = np.concatenate([_numbers(batch[label_key]) for batch in batches])
        classes = tuple(text.decode() for text in meta[names_key])
        if images.dtype != np.uint8 or labels.shape != (len(images),) or not classes:
            raise ValueError(f"{images.dtype} images {list(images.shape)}, labels {list(labels.shape)}")
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(classes):
            raise ValueError(f"labels {labels.min()} to {labels.max()} of {len(classes)} classes")
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError, IndexError) as error:
        raise ExunoError(f"the files of {name} in {root} have other content: {error}", "Fetch them again.") from error
    count_classes(labels, classes, f"{name} in {root}")
    return ArrayData(f"{name}/{split}", images, labels, classes, stats=stats)


def _numbers(labels: Any) -> NDArray[np.int64]:
    if not isinstance(labels, np.ndarray) and not all(type(label) is int for label in labels):
        raise ValueError("a label that is no whole number")
    return np.asarray(labels, np.int64)


def _read(name: str, file: str, root: Path) -> dict[bytes, Any]:
    path = root / FOLDER[name] / file
    try:
        if path.exists():
            with path.open("rb") as plain:
                content = read_at_most(plain, MOST, str(path))
        else:
            path = root / ARCHIVE[name]
            with tarfile.open(path) as tar:
                member = tar.extractfile(f"{FOLDER[name]}/{file}")
                content = read_at_most(member, MOST, f"{file} in {path}") if member else b""
        return loads(content)
    except (OSError, tarfile.TarError, KeyError, EOFError, NotPlain, ValueError, zlib.error) as error:
        raise ExunoError(f"{path} of {name} ({file}) cannot be read: {error}", "Fetch it again.") from error

"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009) from their official files, which are pickles, without running what is in
them."""

import io
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exuno.data.base import ArrayData
from exuno.data.constants import CIFAR, Stats
from exuno.data.labels import count_classes
from exuno.engine.errors import ExunoError

FILES = {
    "cifar10": {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"], "meta": ["batches.meta"]},
    "cifar100": {"train": ["train"], "test": ["test"], "meta": ["meta"]},
}
FOLDER = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}
ARCHIVE = {"cifar10": "cifar-10-python.tar.gz", "cifar100": "cifar-100-python.tar.gz"}


class _ArraysOnly(pickle.Unpickler):
    """Builds NumPy arrays and refuses everything else."""

    ALLOWED = frozenset((("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")))

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in self.ALLOWED or (name == "_reconstruct" and module.startswith("numpy.")):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it holds {module}.{name}, which is no array")


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
        labels = np.concatenate([np.asarray(batch[label_key], np.int64) for batch in batches])
        classes = tuple(text.decode() for text in meta[names_key])
    except (KeyError, ValueError, TypeError) as error:
        raise ExunoError(f"the files of {name} in {root} have other content: {error}", "Fetch them again.") from error
    count_classes(labels, classes, f"{name} in {root}")
    return ArrayData(f"{name}/{split}", images, labels, classes, stats=stats)


def _read(name: str, file: str, root: Path) -> dict[bytes, Any]:
    path = root / FOLDER[name] / file
    try:
        if path.exists():
            content = path.read_bytes()
        else:
            path = root / ARCHIVE[name]
            with tarfile.open(path) as tar:
                member = tar.extractfile(f"{FOLDER[name]}/{file}")
                content = member.read() if member else b""
        return _ArraysOnly(io.BytesIO(content), encoding="bytes").load()
    except (OSError, tarfile.TarError, KeyError, EOFError, pickle.UnpicklingError, ValueError) as error:
        raise ExunoError(f"{path} of {name} ({file}) cannot be read: {error}", "Fetch it again.") from error

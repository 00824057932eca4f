"""Features that another program took of images, in the HDF5 layout of SMKD's evaluation (GitHub HL-hanlin/SMKD).

``all_feats`` float [M, F] and ``all_labels`` int [M], of which the first ``count`` [1] rows are images: the file is
laid out for whole batches, and the rest of the last one stays zero.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exuno.data.base import Data, Images, Positions
from exuno.engine.errors import ExunoError
from exuno.engine.limits import UNPACKED
from exuno.features import SIGNATURE
from exuno.models.files import sha256

FEATURES, LABELS, COUNT = "all_feats", "all_labels", "count"


class FeatureData(Data):
    """Features and labels without the images that they were taken of.

    Args:
        path: the file.

    Raises:
        ExunoError: no such file, no HDF5 or another layout, a damaged one; h5py is not installed.
    """

    image_size, channels, mean, std = (1, 1), 1, (0.0,), (1.0,)

    def __init__(self, path: Path) -> None:
        features, given = read_features(path)
        names, labels = np.unique(given, return_inverse=True)
        self.path, self.name = path, path.name
        self.features = torch.from_numpy(features)
        self.labels = torch.from_numpy(labels.reshape(-1).astype(np.int64))
        self.classes, self.num_classes = tuple(map(str, names.tolist())), len(names)

    def __len__(self) -> int:
        return len(self.features)

    def fetch(self, positions: Positions) -> tuple[Images, Tensor]:
        """Raises ExunoError: there are no images."""
        raise ExunoError(f"{self.path} holds features, no images", "Give data with images.")

    def fingerprint(self) -> str:
        """sha256 of the file."""
        return sha256(self.path)


def read_features(path: Path) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Features [N, F] and labels [N] of a file in the layout above; without a ``count``, rows of zeros at the end are
    no images.

    Raises:
        ExunoError: see :class:`FeatureData`.
    """
    if not path.is_file():
        raise ExunoError(f"there is no file {path}", "Check the path.")
    with path.open("rb") as file:
        if file.read(len(SIGNATURE)) != SIGNATURE:
            raise ExunoError(
                f"{path} is no HDF5 file", "Fetch it again: a web page, or a pointer of Git LFS, may lie in its place."
            )
    try:
        import h5py  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ExunoError("feature files need h5py, which is not installed", "pip install 'exuno[hdf5]'") from None
    try:
        with h5py.File(path, "r") as file:
            held = {name: file.get(name) for name in (FEATURES, LABELS, COUNT) if _inside(file, name, path)}
            found = {name: np.asarray(array[()]) for name, array in held.items() if isinstance(array, h5py.Dataset)}
            names = sorted(file)
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise ExunoError(f"{path} is damaged: {str(error).splitlines()[0]}", "Fetch or write it again.") from error
    if FEATURES not in found or LABELS not in found:
        raise ExunoError(
            f"{path} holds {', '.join(names) or 'nothing'}",
            f"A file of features holds {FEATURES} [N, F] and {LABELS} [N], as eval_smkd.py of SMKD writes them.",
        )
    features, labels = found[FEATURES], found[LABELS]
    if (
        features.ndim != 2
        or features.dtype.kind != "f"
        or labels.shape != features.shape[:1]
        or labels.dtype.kind not in "iu"
    ):
        told = [f"{name} is {x.dtype} {list(x.shape)}" for name, x in ((FEATURES, features), (LABELS, labels))]
        raise ExunoError(
            f"{path}: {', '.join(told)}",
            "They should be floating-point numbers [N, F] and whole numbers [N].",
        )
    count = _count(found.get(COUNT), features, path)
    return np.ascontiguousarray(features[:count], np.float32), labels[:count].astype(np.int64)


def _inside(file: Any, name: str, path: Path) -> bool:
    """Whether an open file has something of a name, which lies in the file and takes no more memory than allowed.

    Raises:
        ExunoError: it is in another file (of this machine, which the file only names), or too large.
    """
    import h5py  # pyright: ignore[reportMissingImports]

    if isinstance(file.get(name, getlink=True), h5py.ExternalLink):
        raise ExunoError(f"{name} of {path} lies in another file", "Write it into the file itself.")
    array = file.get(name)
    if isinstance(array, h5py.Dataset):
        if array.external or array.is_virtual:
            raise ExunoError(f"{name} of {path} lies in another file", "Write it into the file itself.")
        UNPACKED.check(array.size * array.dtype.itemsize if array.size else 0, f"{name} of {path}")
    return array is not None


def _count(told: NDArray[np.int64] | None, features: NDArray[np.float32], path: Path) -> int:
    """How many rows are images.

    Raises:
        ExunoError: none, or more than there are rows.
    """
    filled = np.flatnonzero(features.any(1))
    count = int(np.ravel(told)[0]) if told is not None and np.size(told) else int(filled.max(initial=-1)) + 1
    if not 0 < count <= len(features):
        raise ExunoError(f"{path} says that {count} of its {len(features)} rows are images", "Write it again.")
    return count

"""Features on disk: a cache under a key of everything that shaped them, and HDF5 files of other programs.

``all_feats`` float [M, F] and ``all_labels`` int [M], of which the first ``count`` [1] rows are images: the file is
laid out for whole batches, and the rest of the last one stays zero.
"""

import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from exuno.data.base import Data, Images, Positions
from exuno.data.images.folder import FileData
from exuno.data.images.shards import ShardData
from exuno.data.named.hf_datasets import HubData
from exuno.data.named.omniglot import TurnedData
from exuno.data.relabelled import Relabelled
from exuno.data.subset import SubsetData
from exuno.engine.errors import ExunoError
from exuno.engine.files import atomic
from exuno.engine.untrusted import UNPACKED, Arrays
from exuno.features import SIGNATURE
from exuno.models.card import ModelCard
from exuno.models.files import sha256
from exuno.version import __version__

REVISION = 2
"""Counted up where a change of the code changes features."""
Features = tuple[Tensor, Tensor]
"""Float32 [N, F] and the labels int64 [N]."""


def default_folder() -> Path:
    """``$XDG_CACHE_HOME/exuno/features``, or that in ``~/.cache``."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "exuno" / "features"


def weights_digest(net: nn.Module) -> str:
    """sha256 of the names, types, shapes and bytes of a state dict."""
    digest = hashlib.sha256()
    for name, value in sorted(net.state_dict().items()):
        plain = value.detach().cpu().contiguous()
        digest.update(f"{name}\0{plain.dtype}\0{tuple(plain.shape)}\0".encode())
        digest.update(plain.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def places(data: Data) -> list[Any]:
    """What the fingerprints of images leave out: where files lie and when they were written, the version of a table;
    [] for other data."""
    if isinstance(data, FileData):
        times = " ".join(str((data.root / file).stat().st_mtime_ns) for file in data.files)
        return [[str(data.root.resolve()), hashlib.sha256(times.encode()).hexdigest()]]
    if isinstance(data, ShardData):
        return [[str(path.resolve()), path.stat().st_mtime_ns] for path in data.paths]
    if isinstance(data, HubData):
        return [data.rows._fingerprint]  # of the table; datasets has no public name for it
    one = (data.data,) if isinstance(data, TurnedData | Relabelled) else ()
    inside = data.parents if isinstance(data, SubsetData) else one
    return [place for each in inside for place in places(each)]


def key_of(model: nn.Module | None, card: ModelCard | None, data: Data, **shaped: Any) -> str:
    """A name for the features of ``data`` by a network (None: raw pixels).

    Args:
        model: the network.
        card: what it expects.
        data: the images.
        **shaped: plain values: kind of the features, sizes, device.
    """
    known: dict[str, Any] = {"code": [__version__, REVISION], "data": data.fingerprint(), "n": len(data), **shaped}
    known["places"] = places(data)
    if model is not None and card is not None:
        known["weights"] = weights_digest(model)
        known["card"] = [card.arch, card.in_chans, card.input_size, card.mean, card.std, card.options]
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


def cached(folder: Path | None, key: str, compute: Callable[[], Features]) -> Features:
    """What lies under a key, else what ``compute`` gives, which is put there. A damaged file is written anew.

    Args:
        folder: of the cache; None computes.
        key: name of the features.
        compute: gives features float32 [N, F] and labels int64 [N].
    """
    if folder is None:
        return compute()
    path = folder / f"{key}.npz"
    found = _read(path)
    if found is None:
        found = compute()
        try:
            with atomic(path) as temporary, temporary.open("wb") as file:
                np.savez(file, features=found[0].numpy(), labels=found[1].numpy())
        except ExunoError as error:  # a full or read-only disk is no reason to lose the measurement
            print(f"features are not kept: {error.what}", file=sys.stderr)
    return found


def _read(path: Path) -> Features | None:
    if not path.is_file():
        return None
    try:
        file = Arrays(path)
        features, labels = file["features"], file["labels"]
    except ExunoError:
        return None
    good = features.dtype == np.float32 and labels.dtype == np.int64 and features.ndim == 2
    good = good and labels.shape == features.shape[:1]
    return (torch.from_numpy(features), torch.from_numpy(labels)) if good else None


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
    if told is not None and (told.size != 1 or told.dtype.kind not in "iuf" or not np.isfinite(told).all()):
        raise ExunoError(f"{COUNT} of {path} is {told.dtype} {list(told.shape)}, no number of rows", "Write it again.")
    count = int(filled.max(initial=-1)) + 1 if told is None else int(told.ravel()[0])
    if not 0 < count <= len(features):
        raise ExunoError(f"{path} says that {count} of its {len(features)} rows are images", "Write it again.")
    return count

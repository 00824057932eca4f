"""Features on disk, under a key of everything that shaped them: a second measurement runs no network."""

import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from exuno.data.base import Data
from exuno.data.files import FileData
from exuno.data.relabelled import Relabelled
from exuno.data.shard_data import ShardData
from exuno.data.subset import SubsetData
from exuno.data.turned import TurnedData
from exuno.engine.arrays import Arrays
from exuno.engine.errors import ExunoError
from exuno.engine.files import atomic
from exuno.models.card import ModelCard
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
    """Where image files lie and when they were written, which their fingerprints leave out; [] for other data."""
    if isinstance(data, FileData):
        times = " ".join(str((data.root / file).stat().st_mtime_ns) for file in data.files)
        return [[str(data.root.resolve()), hashlib.sha256(times.encode()).hexdigest()]]
    if isinstance(data, ShardData):
        return [[str(path.resolve()), path.stat().st_mtime_ns] for path in data.paths]
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

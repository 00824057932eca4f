"""A part of a data set that has no test split, held out for the test: ``--holdout``.

Which samples these are is a function of the share, the seed and the order of the samples of each class (for files, that
of their names), so every command that is given the same share measures on the same ones.
"""

import copy
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exuno.data import rng
from exuno.data.base import ArrayData, Data, Images, Positions, channel_stats
from exuno.data.images.folder import FileData
from exuno.data.open import lacks_split, open_data, same_samples
from exuno.data.subset import SubsetData, abbreviated, names_of
from exuno.engine.errors import ExunoError, tell
from exuno.engine.options import Holdout
from exuno.engine.ranges import check_fields, require

STREAM = "holdout"


def open_both(spec: str, root: Path | None, holdout: Holdout) -> tuple[Data, Data]:
    """The training and the test part of a data set; of one that has no test part, what is held out and the rest.

    Raises:
        ExunoError: data that cannot be opened, or that have a test part although one is to be held out.
    """
    check(holdout)
    if holdout.holdout is None:
        return open_data(spec, "train", root=root), open_data(spec, "test", root=root)
    train = open_data(spec, "train", root=root)
    try:
        test = open_data(spec, "test", root=root)
    except ExunoError as error:
        if not lacks_split(error, "test"):
            raise
        test = train
    if not same_samples(train, test):
        raise ExunoError(
            f"{spec} has test images of its own ({len(test):,}), so --holdout {holdout.holdout} has nothing to do",
            "Leave it out.",
        )
    return parts(train, test, holdout)


def open_held(spec: str, split: str, root: Path | None, holdout: Holdout) -> Data:
    """One split of a data set: where a part is held out, ``test`` is that and ``train`` the rest. A caller that opens
    both takes :func:`open_both`.

    Raises:
        ExunoError: as :func:`~exuno.data.open.open_data`; another split than these two where a part is held out, and a
            data set that has a test split of its own.
    """
    if holdout.holdout is None:
        check(holdout)
        return open_data(spec, split, root=root)
    require(split in ("train", "test"), "--split", split, "train or test, which are what --holdout makes")
    return open_both(spec, root, holdout)[split == "test"]


def without_held(source: Data, spec: str, root: Path | None, holdout: Holdout) -> Data:
    """What a student may see of a source: all of it, but for what is held out if it is the data set ``spec``."""
    if holdout.holdout is None or not same_samples(source, open_data(spec, "train", root=root)):
        return source
    return open_held(spec, "train", root, holdout)


def check(holdout: Holdout) -> None:
    """Raises ExunoError for a share that leaves nothing for one side."""
    check_fields(holdout)
    if holdout.holdout is None and holdout.holdout_seed != Holdout().holdout_seed:
        raise ExunoError("--holdout-seed says nothing without --holdout", "Give both, such as --holdout 0.2.")


def lineage_of(holdout: Holdout) -> dict[str, Any]:
    """What the record of a run says of it."""
    return {} if holdout.holdout is None else {"holdout": holdout.holdout, "holdout_seed": holdout.holdout_seed}


def recorded(known: Mapping[str, Any]) -> Holdout:
    """What was held out, by the record of a run, model or poster: the default where it does not say so.

    Raises:
        ExunoError: it says something that is no share and seed; another part would be taken for the test.
    """
    share, seed = known.get("holdout"), known.get("holdout_seed") or 0
    if share is None:
        return Holdout()
    if not isinstance(share, float) or not 0 < share < 1 or type(seed) is not int:
        raise ExunoError(
            f"a record says that {str(share)[:20]} with the seed {str(seed)[:20]} was held out",
            "It is damaged: write it again.",
        )
    return Holdout(share, seed)


def check_seen(what: str, lineage: Mapping[str, Any], spec: str, root: Path | None, holdout: Holdout) -> None:
    """Raises ExunoError if a model comes from a run that held out a part of these data, and another is held out now:
    by another share or seed, or since the data have changed.

    Args:
        what: the model.
        lineage: its record.
        spec: the data.
        root: folder in which the files of a named data set lie.
        holdout: what is held out now.
    """
    before = recorded(lineage)
    if before.holdout is None:
        return
    if before == holdout:
        digest = lineage.get("data_sha256")
        if lineage.get("data") == spec and digest is not None and not _rest_is(digest, spec, root, before):
            raise ExunoError(
                f"{spec} has changed since {what} was trained on it, and which images are held out depends on all of "
                "them: now it would be measured on images that it may have seen",
                "Put the data back as they were, give images that it has not seen as other --data, or train anew.",
            )
        return
    if lineage.get("data") == spec or _rest_is(lineage.get("data_sha256"), spec, root, before):
        seed = f" --holdout-seed {before.holdout_seed}" if before.holdout_seed else ""
        raise ExunoError(
            f"{what} is of a run that held out {before.holdout:g} of {spec} (seed {before.holdout_seed}); now it would "
            "be measured on images that it may have seen",
            f"Add --holdout {before.holdout:g}{seed}.",
        )


def _rest_is(digest: Any, spec: str, root: Path | None, holdout: Holdout) -> bool:
    """Whether the fingerprint of a training part is that of these data, whatever they were called."""
    try:
        return digest is not None and open_held(spec, "train", root, holdout).fingerprint() == digest
    except ExunoError:
        return False  # they have a test part, or cannot be read, which is told elsewhere


def parts(train: Data, test: Data, holdout: Holdout) -> tuple[Data, Data]:
    """What is left for training, and what is held out.

    Args:
        train: all samples, as training sees them.
        test: the same samples as a test sees them, of videos several clips of each.
        holdout: the share.

    Raises:
        ExunoError: samples without labels.
    """
    labels = getattr(train, "labels", None)
    if not isinstance(labels, Tensor) or labels.ndim != 1:
        raise ExunoError(f"{train.name} has no class for each sample, so none can be held out", "Leave out --holdout.")
    assert holdout.holdout is not None
    held = hold_out(labels.numpy(), holdout.holdout, holdout.holdout_seed, STREAM, names_of(train), least=1)
    if not held.any() or held.all():
        raise ExunoError(f"{train.name} has too few samples to hold some out", "Give two of each class or more.")
    counts = np.bincount(labels[labels >= 0].numpy(), minlength=train.num_classes)
    if alone := [name for name, count in zip(names_of(train), counts.tolist(), strict=True) if count == 1]:
        tell(f"{train.name}: nothing is held out of classes with one sample, so none tests them: {abbreviated(alone)}")
    words = f"{holdout.holdout:g} held out" + (f" by seed {holdout.holdout_seed}" if holdout.holdout_seed else "")
    rows = held if test.groups is None else held[test.groups]
    kept = part(train, np.flatnonzero(~held), f"{train.name}, but {words}")
    away = part(test, np.flatnonzero(rows), f"{test.name}, {words}")
    if isinstance(train, ArrayData) and train.rate is None:  # its mean and std were those of all images
        kept.mean, kept.std = away.mean, away.std = channel_stats(train.images[torch.from_numpy(~held)].numpy())
    return kept, away


def hold_out(
    labels: NDArray[np.int64],
    share: float,
    seed: int,
    stream: str,
    names: tuple[str, ...] | None = None,
    least: int = 0,
) -> NDArray[np.bool_]:
    """Which samples are held out: of every class the same share, at most all but one. bool [N].

    Args:
        labels: int64 [N].
        share: of each class.
        seed: of the draw.
        stream: what the draw is for.
        names: of the classes: the draw of a class belongs to its name, not to its number, which may change; without
            them to its number.
        least: samples of each class that are held out where the share is less than that.
    """
    held = np.zeros(len(labels), np.bool_)
    for label in np.unique(labels).tolist():
        own = np.flatnonzero(labels == label)
        count = min(len(own) - 1, max(least, round(share * len(own))))
        key = zlib.crc32(names[label].encode()) if names and label >= 0 else label
        held[rng.generator(seed, stream, key).permutation(own)[:count]] = True
    return held


def part(data: Data, rows: Positions, name: str) -> Data:
    """Some samples of a data set, int64 [n] their positions."""
    if isinstance(data, FileData):  # stays one: DALI reads files
        files = copy.copy(data)
        files.name, files.files, files.labels = name, [data.files[row] for row in rows], data.labels[rows]
        return files
    return (_Runs if hasattr(data, "fetch_runs") else _Part)(name, data, rows)


class _Part(SubsetData):
    """Some samples of a single data set, with its labels."""

    def __init__(self, name: str, data: Data, rows: Positions) -> None:
        everything = _labels(data)
        labels = everything[rows].numpy()
        super().__init__(name, [data], np.zeros_like(rows), rows, labels, names_of(data))
        self.classes, self.num_classes = data.classes, data.num_classes
        self.frames, self.rate = data.frames, data.rate
        self.groups = None if data.groups is None else np.unique(data.groups[rows], return_inverse=True)[1]


class _Runs(_Part):
    """Likewise, of videos, of which training takes random parts."""

    def fetch_runs(self, positions: Positions, draws: Positions, seed: int) -> tuple[Images, Tensor]:
        """Clips at random places of the videos at B positions."""
        data: Any = self.parents[0]
        return data.fetch_runs(self.positions[np.asarray(positions, np.int64)], draws, seed)


def _labels(data: Data) -> Tensor:
    """Of each position, int64 [N]: of a video's clips, that of the video."""
    labels: Tensor = data.labels  # type: ignore[attr-defined]
    return labels if data.groups is None else labels[torch.from_numpy(data.groups)]

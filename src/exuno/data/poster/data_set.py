"""``poster:PATH``: a poster as a data set. Its patches are for training, the data that it stands for for testing;
``poster:PATH?test=SPEC`` is tested on others, for whom has the poster and not its data."""

import hashlib
from pathlib import Path

import torch
from torch import Tensor

from exuno.data.augmentation.augment import to_float
from exuno.data.base import Data, Positions, Rows
from exuno.data.holdout import open_held, recorded
from exuno.data.images.resize import prepare
from exuno.data.matching import OtherClasses, Side
from exuno.data.names import formats
from exuno.data.poster.format import Poster, load
from exuno.data.poster.whitening import Whitening
from exuno.data.relabelled import relabelled
from exuno.engine.errors import ExunoError
from exuno.engine.options import Holdout


class PosterData(Rows, Data):
    """The patches of a poster with their soft labels, float32 [B, K].

    Images are float32 in units of [0, 1] and may leave that range a little, so that models meet them as they meet the
    data that was distilled; those of a whitened poster stay whitened, with mean 0 and deviation 1.

    Args:
        poster: the poster.
        name: what to call it.
    """

    def __init__(self, poster: Poster, name: str) -> None:
        self.poster, self.name = poster, name
        self.images, self.labels = poster.patches()
        self.classes, self.num_classes = poster.class_names, poster.classes
        self.channels, self.image_size = poster.channels, poster.layout.image
        self.whitening, self.mean, self.std = poster.whitening, poster.mean, poster.std
        if self.whitening is None:
            mean, std = (torch.tensor(numbers).view(-1, 1, 1) for numbers in (self.mean, self.std))
            self.images = self.images * std + mean
        else:
            self.mean, self.std = plain_stats(self.channels)

    def fingerprint(self) -> str:
        return self.poster.fingerprint


class WhitenedData(Data):
    """A data set whose images are brought to one size and whitened: float32 of mean 0 and deviation 1.

    Args:
        data: uint8 images, with labels.
        whitening: fitted on the training split.
    """

    def __init__(self, data: Data, whitening: Whitening) -> None:
        self.data, self.name, self.whitening = data, f"{data.name}, whitened", whitening
        self.classes, self.num_classes = data.classes, data.num_classes
        self.channels, *size = whitening.shape
        self.image_size = (size[0], size[1])
        self.mean, self.std = plain_stats(self.channels)
        # The short side before the centre crop, in proportion, as the loader has it.
        self.short = data.resize and round(data.resize * min(self.image_size) / min(data.image_size))

    def __len__(self) -> int:
        return len(self.data)

    def fetch(self, positions: Positions) -> tuple[Tensor, Tensor]:
        """Images float32 [B, C, h, w] and the labels of the data set."""
        assert self.whitening is not None
        images, labels = self.data.fetch(positions)
        return self.whitening.apply(to_float(prepare(images, self.image_size, self.short))), labels

    def fingerprint(self) -> str:
        assert self.whitening is not None
        digest = hashlib.sha256(self.data.fingerprint().encode())
        digest.update(self.whitening.content)
        return digest.hexdigest()

    def content(self) -> str:
        return self.data.content()


def plain_stats(channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of images that need no normalisation."""
    return (0.0,) * channels, (1.0,) * channels


def open_poster(path: Path, split: str, root: Path | None, instead: str = "") -> Data:
    """A split of a poster: ``train`` is its patches, any other that of the data set that was distilled, whitened
    likewise.

    Args:
        path: a ``.poster`` folder, or the run that made one.
        split: see above.
        root: folder in which the files of a named data set lie.
        instead: spec of other data to test on.

    Raises:
        ExunoError: no poster, a damaged one, or data that cannot be opened or are others.
    """
    poster = load(path)
    if split == "train":
        return PosterData(poster, f"poster:{path}/train")
    side = Side(f"poster:{path}", poster.classes, poster.class_names)
    if instead:
        data = relabelled(to_test(path, instead, split, root, Holdout()), side)
    else:
        others = f" Or name others to test on: poster:{path}?test=SPEC."
        data = to_test(path, poster.data, split, root, recorded(poster.lineage), others)
        data = still_the_same(data, poster, path, side)
    return data if poster.whitening is None else WhitenedData(data, poster.whitening)


def to_test(path: Path, spec: str, split: str, root: Path | None, held: Holdout, others: str = "") -> Data:
    """Data on which a poster is tested; an ExunoError names both."""
    try:
        return open_held(spec, split, root, held)
    except ExunoError as error:
        raise ExunoError(f"{path} is tested on {spec}: {error.what}", error.todo + others) from error


def still_the_same(data: Data, poster: Poster, path: Path, side: Side) -> Data:
    """What a poster was distilled from, labelled as it is. Raises ExunoError where others are in its place by now."""
    todo = "Give the --data-root of the data that were distilled."
    if data.num_classes != poster.classes:
        had = f"{path}, which was distilled from it, {poster.classes}"
        raise OtherClasses(f"{poster.data} has {data.num_classes} classes and {had}", todo)
    try:
        return relabelled(data, side)
    except ExunoError as error:
        raise type(error)(error.what, todo) from error


@formats.register("poster", form="poster:PATH", files=True)
def _open(rest: str, split: str, root: Path | None) -> Data:
    path, _, instead = rest.partition("?test=")
    return open_poster(Path(path), split, root, instead)

"""The real images of a distillation, in its space and in memory, with a part held out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from exuno.data.base import Data, Positions, Rows, modality
from exuno.data.holdout import hold_out as drawn
from exuno.data.holdout import open_both
from exuno.data.loader import IN_ORDER, Batch, Loader
from exuno.data.open import check_apart
from exuno.data.poster.format import Poster
from exuno.data.poster.whitening import Whitening, by_spectrum, fit
from exuno.data.relabelled import of_splits, relabelled, side_of
from exuno.engine.digests import seal_tensors
from exuno.engine.errors import ExunoError
from exuno.engine.files import atomic
from exuno.engine.run import rank
from exuno.engine.session import Subset
from exuno.features.extract import few_of_each
from exuno.models.classifier import match_channels
from exuno.poster.options import PosterConfig

CHUNK = 1000


@dataclass(frozen=True)
class Space:
    """Pixels in [0, 1] -> the distilled space."""

    image: tuple[int, int]
    """(h, w)."""
    mean: tuple[float, ...]
    """Of each of the C channels; without effect where images are whitened, but for their number."""
    std: tuple[float, ...]
    whitening: Whitening | None = None

    @classmethod
    def of(cls, poster: Poster) -> "Space":
        """The space of a poster."""
        return cls(poster.layout.image, poster.mean, poster.std, poster.whitening)

    def __call__(self, pixels: Tensor) -> Tensor:
        """Pixels [B, 1 or 3, h, w] in [0, 1] -> float32 [B, C, h, w]."""
        pixels = match_channels(pixels, len(self.mean))
        if self.whitening:
            return self.whitening.apply(pixels)
        mean, std = (pixels.new_tensor(values).view(1, -1, 1, 1) for values in (self.mean, self.std))
        return (pixels - mean) / std

    def images(self, data: Data, most: int | None = None) -> tuple[Tensor, Tensor]:
        """All images of a data set, or ``most`` of them spread over it.

        Returns:
            float32 [N, C, h, w] of this space and labels, int64 [N].

        Raises:
            ExunoError: an image has no label.
        """
        places = np.linspace(0, len(data) - 1, min(len(data), most or len(data))).astype(np.int64)
        batches = [pixels(data, self.image, part) for part in np.split(places, range(CHUNK, len(places), CHUNK))]
        labels = torch.cat([batch["labels"] for batch in batches])
        if labels.ndim != 1 or (labels < 0).any():
            raise ExunoError(f"{data.name} is not labelled", "Give labelled images.")
        return torch.cat([self(batch["images"]) for batch in batches]), labels


def pixels(data: Data, size: tuple[int, int], places: Positions) -> Batch:
    """Images and labels at ``places``, int64 [B], resized and centre-cropped: see ``Loader``."""
    return Loader(data, CHUNK, None, size=size, **IN_ORDER).preparer[places, places]


def memory_limit(space: Space, limit: int = 1 << 30) -> int:
    """How many images of a space take ``limit`` bytes."""
    return max(1, limit // (4 * len(space.mean) * space.image[0] * space.image[1]))


SMOKE = 20  # training images of a class in a smoke run

Set = tuple[Tensor, Tensor]
"""Images, float [N, C, h, w] of the distilled space, and labels, int64 [N]."""


@dataclass(frozen=True)
class Sets:
    """Real images in the distilled space, in three parts that share none."""

    train: Set
    """For the distillation."""
    held: Set
    """For choosing among posters and among numbers of steps; equal to ``train`` where nothing is held out."""
    test: Set
    """For the number at the end."""
    space: Space
    source: Data
    """The training split as it was opened."""
    proof: Any
    """The test split, as pixels."""


@dataclass(frozen=True)
class Images(Rows):
    """A set as the loader wants it."""

    images: Tensor
    labels: Tensor
    name: str

    @property
    def image_size(self) -> tuple[int, int]:
        return self.images.shape[2], self.images.shape[3]


@dataclass(frozen=True)
class Splits:
    """A data set that can be distilled, opened and not yet read."""

    train: Data
    test: Data
    image: tuple[int, int]
    """(h, w) at which networks see its images."""
    channels: int
    """C, in which the poster is made."""


PROBED = 16  # images that tell whether files of colours hold gray


def open_splits(config: PosterConfig) -> Splits:
    """Opens the data of a configuration.

    Raises:
        ExunoError: data without classes, without test images of their own or of other classes, or that are no images.
    """
    train, test = open_both(config.data, config.data_root, config.held)
    if train.num_classes < 2:
        how_many = "one class, so there is nothing to tell apart" if train.num_classes else "no classes to distill"
        raise ExunoError(f"{config.data} has {how_many}", "Give labelled data of two classes or more.")
    if (what := modality(train)) != "image":
        raise ExunoError(f"{config.data} has {what}s", "A poster is made of single images; give such data.")
    check_apart(config.data, train, test)
    test = relabelled(test, side_of(train), of_splits(train, test, config.classes))
    image = (config.size, config.size) if config.size else train.image_size
    channels = config.channels or (1 if looks_gray(train) else train.channels)
    return Splits(train, test, image, channels)


def looks_gray(data: Data) -> bool:
    """Whether some images, spread over the data, are gray; files are read as RGB whatever they hold."""
    if data.channels == 1:
        return True
    images, _ = data.fetch(np.linspace(0, len(data) - 1, min(len(data), PROBED)).astype(np.int64))
    return all(is_gray(image[None]) for image in images)


def is_gray(images: Tensor) -> bool:
    """Whether the three channels of images [B, 3, h, w] are equal."""
    return torch.equal(images[:, :1].expand_as(images), images)


def read_sets(config: PosterConfig, splits: Splits, folder: Path) -> Sets:
    """Reads the images of a data set into the distilled space.

    Args:
        config: what to hold out, whether to whiten, and the channels that the user wants.
        splits: the data.
        folder: of the run; a whitening is fitted once and kept there, so that a resumed run sees the same numbers.

    Raises:
        ExunoError: an image has no label, or gray images turn out to be mixed with coloured ones.
    """
    source, channels, smoke = splits.train, splits.channels, config.run.smoke
    seen: Any = few_of_each(source, SMOKE) if smoke else source
    test: Any = Subset(splits.test) if smoke else splits.test
    plain = Space(splits.image, (0.0,) * source.channels, (1.0,) * source.channels)
    images, labels = plain.images(seen)
    mean, std = source.mean, source.std
    if channels != source.channels:
        if config.channels is None and not is_gray(images):
            raise ExunoError(
                f"{config.data} has gray images and coloured ones",
                "Give --channels 3 for a poster in colours, or --channels 1 for a gray one.",
            )
        images = match_channels(images, channels).contiguous()
        # The constants of colour photographs, which files come with, are not those of gray pictures.
        std, mean = ((round(value.item(), 6),) * channels for value in torch.std_mean(images, correction=0))
        std = tuple(value or 1.0 for value in std)
    space = Space(splits.image, mean, std, whitening_of(config, images, folder))
    for part in images.split(CHUNK):  # in place: at 64 px a second copy would be gigabytes
        part.copy_(space(part))
    held = hold_out(labels, config.eval.holdout, config.run.seed)
    some = held if held.any() else ~held
    parts = (images[~held], labels[~held]), (images[some], labels[some]), space.images(test)
    return Sets(*parts, space, source, test)


def whitening_of(config: PosterConfig, images: Tensor, folder: Path) -> Whitening | None:
    """What images [N, C, h, w] are whitened by, if they are."""
    if not config.zca:
        return None
    if config.zca_from == "spectrum":
        return by_spectrum((images.shape[1], images.shape[2], images.shape[3]))
    return kept_whitening(images, folder)


def kept_whitening(images: Tensor, folder: Path) -> Whitening:
    """The whitening of a run: that of ``folder/whitening.safetensors``, or else fitted and written there."""
    from safetensors.torch import save

    from exuno.models.formats.weights import read_weights

    path = folder / "whitening.safetensors"
    if path.is_file():
        return Whitening(read_weights(path)[0]["matrix"], (images.shape[1], images.shape[2], images.shape[3]))
    whitening = fit(images)
    if rank() == 0:
        with atomic(path) as temporary:
            temporary.write_bytes(seal_tensors(save({"matrix": whitening.matrix.contiguous()})))
    return whitening


def hold_out(labels: Tensor, share: float, seed: int) -> Tensor:
    """Which images are held out: of every class the same share, drawn by the seed, at most all but one. bool [N]."""
    return torch.from_numpy(drawn(labels.numpy(), share, seed, "poster/holdout"))

"""What a data set is to the rest of exuno: something with a length that hands out uint8 images by position."""

import hashlib
from abc import abstractmethod
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from exuno.data.constants import Stats
from exuno.data.poster.whitening import Whitening

Images = Tensor | list[Tensor]
"""uint8 [B, C, H, W], or a list of B uint8 [C, h, w] of varying size; of a poster float [B, C, H, W].

Clips are uint8 [B, C, T, H, W] or a list of [C, T, h, w]; recordings float32 [B, 1, S] in [-1, 1] or a list of [1, s].
"""

Positions = NDArray[np.int64]
Draws = NDArray[np.int64] | Tensor
"""The numbers of draws, int64 [B]: an array where the CPU draws, a tensor on the device that does."""
Numbers = NDArray[np.float64] | Tensor
"""Random numbers, and what is computed of them: where and as the draws are."""
Boxes = NDArray[np.int64]
"""Whole numbers, such as places and sizes of boxes."""
Modality = Literal["image", "clip", "recording"]
SILENT = ((0.0,), (1.0,))
"""Mean and std of recordings, which a model normalises in its own way."""


class Data(Dataset[tuple[Tensor, int | Tensor]]):
    """A labelled or unlabelled set of images; map-style, so that torch's own tools take it too.

    Attributes:
        name: the spec it was opened from, with the split.
        classes: names of the classes in the order of the labels, if known.
        num_classes: number of classes; 0 if unlabelled.
        image_size: (H, W) of the images, or for photographs of varying size that at which models usually see them.
        resize: for photographs, the short side to which a test image is resized before the centre crop of
            ``image_size``.
        channels: 1 or 3.
        mean, std: of each channel over the *training* split, for pixels in [0, 1].
        whitening: what the images went through, if they are whitened and so no pixels any more.
        episodes: of a few-shot benchmark that brings its episodes, the positions of the images to learn from, int64
            [E, n, k], and of those to classify, [E, n, q]; n different classes, in the same order.
        frames: frames of a clip; None unless the samples are clips.
        rate: samples a second of a recording; None unless the samples are recordings, whose ``image_size`` is (1,
            length in samples).
        groups: of clips cut from longer videos (or excerpts of recordings), the number of the video of each position,
            int64 [N], from 0 without a gap: a video's answer is the mean of its clips' probabilities.
        at_hand: whether samples lie in memory or are computed, and are not read from files.
    """

    name: str
    classes: tuple[str, ...] | None
    num_classes: int
    image_size: tuple[int, int]
    resize: int | None = None
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    whitening: Whitening | None = None
    episodes: tuple[Positions, Positions] | None = None
    frames: int | None = None
    rate: int | None = None
    groups: Positions | None = None
    at_hand: bool = False

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def fetch(self, positions: Positions) -> tuple[Images, Tensor]:
        """Images (uint8) and labels (int64 [B], -1 where there is none) at B positions, int64 [B].

        A poster gives float images in units of [0, 1], which may leave that range, and soft labels, float32 [B, K].
        """

    @abstractmethod
    def fingerprint(self) -> str:
        """A hexadecimal digest of the content, for the lineage of a run."""

    def content(self) -> str:
        """A digest of some of what :meth:`fingerprint` does not read; empty where that reads all."""
        return ""

    def __getitem__(self, position: int) -> tuple[Tensor, int | Tensor]:
        if not 0 <= position < len(self):
            raise IndexError(position)
        images, labels = self.fetch(np.array([position], np.int64))
        return images[0], labels[0] if labels.ndim == 2 else int(labels[0])


class Rows:
    """Images and labels as tensors in memory, one row a sample."""

    images: Tensor
    labels: Tensor
    at_hand = True

    def __len__(self) -> int:
        return len(self.images)

    def fetch(self, positions: Positions) -> tuple[Tensor, Tensor]:
        """The rows at B positions, int64 [B]."""
        chosen = torch.from_numpy(np.asarray(positions, np.int64))
        return self.images[chosen], self.labels[chosen]


class ArrayData(Rows, Data):
    """Images, clips or recordings of equal size in memory.

    Args:
        name: what to call it.
        images: uint8 [N, C, H, W]; clips uint8 [N, C, T, H, W], recordings float32 [N, 1, S].
        labels: int64 [N], -1 where there is none.
        classes: names of the classes.
        num_classes: number of classes; by default that of the names, or the largest label + 1.
        stats: mean and std of each channel, or what finds them once they are asked for; by default those of ``images``.
        rate: of recordings, samples a second.
    """

    def __init__(
        self,
        name: str,
        images: NDArray[np.uint8] | NDArray[np.float32],
        labels: NDArray[np.int64],
        classes: tuple[str, ...] | None = None,
        num_classes: int | None = None,
        stats: Stats | Callable[["ArrayData"], Stats] | None = None,
        rate: int | None = None,
    ) -> None:
        self.name = name
        self.images = torch.from_numpy(np.ascontiguousarray(images))
        self.labels = torch.from_numpy(np.asarray(labels, np.int64))
        self.classes = classes
        self.num_classes = num_classes or len(classes or ()) or int(np.max(labels, initial=-1)) + 1
        shape = self.images.shape[1:]
        self.channels, self.image_size, self.rate = shape[0], (shape[-2], shape[-1]), rate
        self.frames = shape[1] if len(shape) == 4 else None
        if callable(stats):
            self._find_stats = stats
        else:
            self.mean, self.std = stats or (SILENT if rate else channel_stats(np.asarray(images, np.uint8)))

    def __getattr__(self, name: str) -> tuple[float, ...]:
        """Mean and std that are found once they are asked for."""
        if name not in ("mean", "std") or "_find_stats" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__} has no {name}")
        self.mean, self.std = self._find_stats(self)
        return self.mean if name == "mean" else self.std

    def fingerprint(self) -> str:
        """sha256 of the shape, the pixels and the labels."""
        digest = hashlib.sha256(str(tuple(self.images.shape)).encode())
        digest.update(self.images.numpy().data)
        digest.update(self.labels.numpy().data)
        return digest.hexdigest()


def modality(data: object) -> Modality:
    """What the samples of a data set are."""
    if getattr(data, "rate", None):
        return "recording"
    return "clip" if getattr(data, "frames", None) else "image"


def classes_of(labels: Tensor) -> Tensor:
    """The class of each label, int64 [B]: hard labels as they are, of soft ones [B, K] the most likely."""
    return labels.argmax(1) if labels.ndim == 2 else labels


def pictures(data: object, images: Tensor) -> NDArray[np.uint8]:
    """Images that a loader of ``data`` delivered, float [B, C, H, W], to look at: uint8 [B, H, W, C]; clips
    [B, C, T, H, W] give [B, T, H, W, C].

    Whitened ones are unwhitened as far as that goes.
    """
    whitening: Whitening | None = getattr(data, "whitening", None)
    if whitening is not None and tuple(images.shape[1:]) == whitening.shape:
        images = whitening.picture(images)
    return images.mul(255).round().clamp(0, 255).to(torch.uint8).movedim(1, -1).contiguous().cpu().numpy()


def channel_stats(images: NDArray[np.uint8]) -> Stats:
    """Mean and standard deviation of each channel of uint8 [N, C, H, W], for pixels in [0, 1]; exact, from the
    histogram.

    A constant channel gets the deviation 1, so that dividing by it does no harm.
    """
    levels = np.arange(256) / 255
    means, stds = [], []
    for channel in range(images.shape[1]):
        pixels = torch.from_numpy(images[:, channel].flatten())
        counts = torch.bincount(pixels, minlength=256).numpy()  # NumPy would make them int64 first
        mean = float((counts * levels).sum() / max(1, counts.sum()))
        deviation = float(np.sqrt((counts * (levels - mean) ** 2).sum() / max(1, counts.sum())))
        means.append(round(mean, 6))
        stds.append(round(deviation, 6) or 1.0)
    return tuple(means), tuple(stds)

"""The real images of a distillation, in its space and in memory, with a part held out."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from exuno.data import rng
from exuno.data.base import Data
from exuno.data.open import open_data
from exuno.data.whitening import fit
from exuno.engine.errors import ExunoError
from exuno.engine.session import Head
from exuno.poster.options import PosterConfig
from exuno.poster.space import Space

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
class Images:
    """A set as the loader wants it."""

    images: Tensor
    labels: Tensor
    name: str

    @property
    def image_size(self) -> tuple[int, int]:
        return self.images.shape[2], self.images.shape[3]

    def __len__(self) -> int:
        return len(self.images)

    def fetch(self, positions: Any) -> Set:
        chosen = torch.from_numpy(positions)
        return self.images[chosen], self.labels[chosen]


def open_sets(config: PosterConfig) -> Sets:
    """Opens the data of a configuration.

    Raises:
        ExunoError: data without labels, or without test images of their own.
    """
    source, proof = (open_data(config.data, split, root=config.data_root) for split in ("train", "test"))
    if source.num_classes < 2:
        raise ExunoError(f"{config.data} has no classes to distill", "Give labelled data.")
    if source.fingerprint() == proof.fingerprint():
        raise ExunoError(
            f"{config.data} has no test images of its own: its train and test splits are the same",
            "Give it both, for a folder as PATH/train/CLASS/ and PATH/test/CLASS/.",
        )
    size = (config.image_size, config.image_size) if config.image_size else source.image_size
    smoke = config.run.smoke
    seen: Any = Head(source, SMOKE * source.num_classes) if smoke else source
    plain = Space(size, (0.0,) * source.channels, (1.0,) * source.channels)
    whitening = fit(plain.images(seen)[0]) if config.zca else None
    space = Space(size, source.mean, source.std, whitening)
    images, labels = space.images(seen)
    held = hold_out(labels, config.proof.holdout, config.run.seed)
    some = held if held.any() else ~held
    test: Any = Head(proof) if smoke else proof
    parts = (images[~held], labels[~held]), (images[some], labels[some]), space.images(test)
    return Sets(*parts, space, source, test)


def hold_out(labels: Tensor, share: float, seed: int) -> Tensor:
    """Which images are held out: of every class the same share, drawn by the seed, at most all but one. bool [N]."""
    held = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique().tolist():
        own = np.flatnonzero(labels.numpy() == label)
        count = min(len(own) - 1, round(share * len(own)))
        held[torch.from_numpy(rng.generator(seed, "poster/holdout", label).permutation(own)[:count])] = True
    return held

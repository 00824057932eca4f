"""DD-Ranking's scores of a poster: what it is worth without its soft labels, and with and without augmentation.

Li et al., "DD-Ranking: Rethinking the Evaluation of Dataset Distillation" (arXiv 2505.13300). Here "random" are real
images of as many pixels with hard labels, shrunk where not all classes fit otherwise: posters have no teacher whose
answers random images could be given.
"""

from dataclasses import asdict, dataclass, replace
from functools import cache
from math import e, exp

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from exuno.data.poster.format import Poster
from exuno.engine.progress import ProgressBar
from exuno.poster.augment import Augmentation
from exuno.poster.baselines import SHRUNK, baselines
from exuno.poster.measure import Table
from exuno.poster.network import fresh_network
from exuno.poster.options import Evaluation, Inner
from exuno.poster.protocol import Recipe, train_and_test
from exuno.poster.real import Set

RANDOM = "random real images"


@dataclass(frozen=True)
class Ranking:
    """Mean accuracies, as fractions, of networks that learned from the poster, random images or all of the data."""

    poster: float
    """By the poster's own protocol."""
    random: float
    poster_hard: float
    """With the likeliest class of each patch as its label."""
    all_hard: float
    """All training images with their labels."""
    poster_augmented: float
    random_augmented: float
    poster_plain: float
    """Without augmentation."""
    random_plain: float

    @property
    def label_robust(self) -> float:
        """LRS at the weight 0.5, in [0, 1]: half the gain over random images less half of what hard labels lose
        against all of the data, normalised."""
        return normalised((self.poster - self.random) / 2 - (self.all_hard - self.poster_hard) / 2)

    @property
    def augmentation_robust(self) -> float:
        """ARS at the weight 0.5, in [0, 1]: the mean gain over random images with and without augmentation,
        normalised."""
        with_it, without = self.poster_augmented - self.random_augmented, self.poster_plain - self.random_plain
        return normalised((with_it + without) / 2)

    def content(self) -> dict[str, float]:
        """What result.json says."""
        scores = {"label_robust": self.label_robust, "augmentation_robust": self.augmentation_robust}
        return scores | asdict(self)

    def table(self, augment: str) -> Table:
        """All of it in percent."""
        rows = [
            ["by its protocol", self.poster, self.random, ""],
            ["hard labels", self.poster_hard, "", self.all_hard],
            [f"augmented by {augment}", self.poster_augmented, self.random_augmented, ""],
            ["without augmentation", self.poster_plain, self.random_plain, ""],
        ]
        told = [[f"{100 * cell:.1f}" if isinstance(cell, float) else cell for cell in row] for row in rows]
        return Table(
            title="DD-Ranking (arXiv 2505.13300), percent",
            head=["trained", "poster", RANDOM, "all training images"],
            rows=told,
            note=f"Label-robust score {100 * self.label_robust:.1f}, augmentation-robust score "
            f"{100 * self.augmentation_robust:.1f}: of 100, where 100 is a poster as good as all data and random "
            "images that teach nothing. Random images have hard labels.",
        )


def normalised(gain: float) -> float:
    """A difference in [-1, 1] -> a score in [0, 1]."""
    return (exp(gain) - exp(-1)) / (e - exp(-1))


def rank(
    poster: Poster,
    test: Set,
    train: Set,
    proof: Evaluation,
    seed: int,
    device: torch.device,
    augment: str,
    *,
    quiet: bool = False,
) -> Ranking:
    """Measures what the scores are made of.

    The poster counts after the steps of its protocol, random images and all of the data after those of ``proof`` that
    suit them best on the test set, in their favour.

    Args:
        poster: with its protocol.
        test: what the networks are tested on.
        train: real images.
        proof: numbers of networks and steps.
        seed: everything is a function of it.
        device: where to train.
        augment: the augmentation of "with augmentation"; see ``Inner.augment``.
        quiet: no progress bar.

    Raises:
        ExunoError: an augmentation or a protocol that makes no sense.
    """
    Augmentation(augment)
    recipe = Recipe.of(poster.protocol)
    steps = tuple(sorted({*proof.steps, recipe.steps}))
    images, labels = poster.patches()
    hard = F.one_hot(labels.argmax(1), poster.classes).to(labels.dtype)
    draws = [random_images(poster, train, seed + number) for number in range(proof.networks)]
    everything = train[0], F.one_hot(train[1], poster.classes).to(labels.dtype)
    augmented, plain = replace(recipe.inner, augment=augment), replace(recipe.inner, augment="none")
    trainings = 2 + 2 * len({recipe.inner, augmented, plain})  # a protocol may be one of the two
    with ProgressBar("DD-Ranking", trainings * proof.networks * steps[-1], "steps", quiet=quiet) as bar:

        def nets(own: int) -> torch.nn.Module:
            return fresh_network(recipe.model, poster.classes, poster.channels, poster.layout.image, own)

        def curve(data: tuple[Tensor, Tensor], inner: Inner, networks: int, seed: int) -> np.ndarray:
            found = train_and_test(*data, nets, inner, {"test": test}, steps, networks, seed, device, bar)
            return found.accuracies["test"]

        @cache
        def distilled(inner: Inner, labels: Tensor = labels) -> float:
            return float(curve((images, labels), inner, proof.networks, seed)[:, steps.index(recipe.steps)].mean())

        @cache
        def drawn(inner: Inner) -> float:
            curves = [curve(draw, inner, 1, seed + number) for number, draw in enumerate(draws)]
            return float(np.concatenate(curves).mean(0).max())

        return Ranking(
            poster=distilled(recipe.inner),
            random=drawn(recipe.inner),
            poster_hard=distilled(recipe.inner, hard),
            all_hard=float(curve(everything, recipe.inner, proof.networks, seed).mean(0).max()),
            poster_augmented=distilled(augmented),
            random_augmented=drawn(augmented),
            poster_plain=distilled(plain),
            random_plain=drawn(plain),
        )


def random_images(poster: Poster, train: Set, seed: int) -> Set:
    """Random real images of as many pixels, one-hot labels; of every class one, shrunk, where not all would fit."""
    found = baselines(*train, poster.classes, poster.layout.pixels, seed, (RANDOM,))
    return found[RANDOM + SHRUNK if RANDOM + SHRUNK in found else RANDOM]

"""What the same number of pixels buys in real images: chosen at random, by k-means, or by herding.

Pixels are those of the distilled space, labels one-hot. As many whole images as fit are spread over the classes as
evenly as can be; below one image a class, some classes get none. Where that happens there is a second form: one image
of every class, shrunk until all of them fit, and enlarged again for the networks.
"""

from collections.abc import Callable, Sequence
from math import sqrt

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from exuno.data import rng

SAMPLE = 2000  # the most images of a class that k-means looks at

Choose = Callable[[Tensor, int, np.random.Generator], Tensor]
"""(images [n, D] of one class, k, generator) -> the positions of at most k of them, int64."""


def random_real(rows: Tensor, k: int, generator: np.random.Generator) -> Tensor:
    """k of the rows [n, D], without repetition."""
    return torch.from_numpy(generator.permutation(len(rows))[:k])


def herding(rows: Tensor, k: int, generator: np.random.Generator) -> Tensor:
    """k of the rows [n, D], each the one that brings the mean of those chosen nearest to the mean of all (Welling,
    ICML 2009, as used for exemplars by Rebuffi et al., CVPR 2017), without repetition."""
    rows = rows.double()
    mean, squares = rows.mean(0), rows.square().sum(1)
    total, chosen = torch.zeros_like(mean), []
    for number in range(1, min(k, len(rows)) + 1):
        missing = number * mean - total
        distance = squares - 2 * rows @ missing
        distance[chosen] = torch.inf
        chosen.append(int(distance.argmin()))
        total += rows[chosen[-1]]
    return torch.tensor(chosen, dtype=torch.int64)


def kmeans(rows: Tensor, k: int, generator: np.random.Generator) -> Tensor:
    """The row [n, D] nearest to each of k centres, found on at most 2,000 of the rows."""
    from sklearn.cluster import KMeans

    pool = torch.from_numpy(np.sort(generator.permutation(len(rows))[:SAMPLE]))
    some = rows[pool].double()
    if k >= len(some):
        return pool
    fitted = KMeans(k, random_state=int(generator.integers(2**31))).fit(some.numpy())
    centres = torch.from_numpy(fitted.cluster_centers_)
    return pool[torch.cdist(some, centres).argmin(0)].unique()


CHOICES: dict[str, Choose] = {
    "random real images": random_real,
    "k-means real images": kmeans,
    "herded real images": herding,
}
SHRUNK = ", shrunk"


def baselines(
    images: Tensor, labels: Tensor, classes: int, pixels: int, seed: int, choices: Sequence[str] = tuple(CHOICES)
) -> dict[str, tuple[Tensor, Tensor]]:
    """Every baseline that the budget allows.

    Args:
        images: real training images, float [N, C, h, w] of the distilled space.
        labels: int64 [N].
        classes: number of classes K.
        pixels: the budget, in pixels (of all channels together, as a poster's are counted).
        seed: the choices are a function of it.
        choices: names of ``CHOICES``.

    Returns:
        Name -> images [M, C, h, w] and one-hot labels [M, K]. k-means is left out where no class gets two images: there
        it is herding, both take the image nearest to the mean.
    """
    height, width = images.shape[2:]
    whole = pixels // (height * width)
    present = labels.unique().numpy()
    found = {}
    for name in choices:
        choose = CHOICES[name]
        generator = rng.generator(seed, f"baseline/{name}")
        counts = share(whole, present, classes, generator)
        if whole and (choose is not kmeans or counts.max() > 1):
            found[name] = select(images, labels, counts, choose, generator)
        side = shrunken((height, width), classes, pixels)
        if side and choose is not kmeans:
            chosen, target = select(images, labels, np.ones(classes, np.int64), choose, generator)
            small = F.interpolate(chosen, side, mode="bilinear", antialias=True, align_corners=False)
            large = F.interpolate(small, (height, width), mode="bilinear", align_corners=False)
            found[name + SHRUNK] = large, target
    return found


def share(whole: int, present: np.ndarray, classes: int, generator: np.random.Generator) -> np.ndarray:
    """``whole`` images over the classes that are present, as evenly as can be, drawn ones get the rest: int64 [K]."""
    counts = np.zeros(classes, np.int64)
    counts[present] = whole // len(present)
    counts[generator.permutation(present)[: whole % len(present)]] += 1
    return counts


def shrunken(image: tuple[int, int], classes: int, pixels: int) -> tuple[int, int] | None:
    """(h, w) at which one image of every class fits the budget; None where whole ones fit, or not even a pixel each."""
    height, width = image
    if pixels >= classes * height * width or pixels < classes:
        return None
    factor = sqrt(pixels / (classes * height * width))
    small = max(1, int(height * factor)), max(1, int(width * factor))
    return small if classes * small[0] * small[1] <= pixels else None


def select(
    images: Tensor, labels: Tensor, counts: np.ndarray, choose: Choose, generator: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """``counts[c]`` images of every class c, with one-hot labels [M, K]."""
    chosen = []
    for label, count in enumerate(counts):
        positions = (labels == label).nonzero().flatten()
        if count and len(positions):
            chosen.append(positions[choose(images[positions].flatten(1), int(count), generator)])
    where = torch.cat(chosen)
    return images[where], F.one_hot(labels[where], len(counts)).to(images.dtype)

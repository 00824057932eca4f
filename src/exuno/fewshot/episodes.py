"""Episodes of few-shot classification as positions into a table of features: what to learn from, and what to classify.

An episode has n classes ("way"), of each k labelled images ("shot", the support) and q images to classify (queries).
By the protocol ``standard`` an episode is a pure function of (seed, number of the episode): Vinyals et al., "Matching
Networks for One Shot Learning", NeurIPS 2016, with 15 queries as is usual. ``smkd`` repeats the draws of the published
code of Lin et al., "Supervised Masked Knowledge Distillation for Few-Shot Transformers", CVPR 2023, at the same seed:
all images of a class but the support are queries, in classes of different size as many as the smallest has.
``reference`` does so with the published number of queries, 600 - k whatever the size of a class.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exuno.data import rng
from exuno.engine.errors import ExunoError
from exuno.engine.ranges import require
from exuno.fewshot.options import Protocol

Ints = NDArray[np.int64]
QUERIES = 15
PUBLISHED = 600
"""Images of a class of an episode, support and queries, in the published code: a class of mini-ImageNet has so many."""
_POSITIONS = 2**20  # in a chunk
_STEPS = 64  # images of a class up to which drawing one after another is faster than sorting all


@dataclass(frozen=True)
class Episodes:
    """E consecutive episodes; positions into the table of features. Class j of an episode is its label j."""

    support: Ints
    """[E, n, k]."""
    query: Ints
    """[E, n, q]."""
    first: int = 0
    """Number of the first of them."""
    total: int = 0
    """Episodes of all chunks together; 0: as many as are here, or unknown."""


@dataclass(frozen=True)
class Members:
    """Which images belong to which class; classes in the order of their labels."""

    order: Ints
    """Positions of all images, class by class, [N]; within a class as they come."""
    start: Ints
    """Where each class begins in ``order``, [C]."""
    size: Ints
    """Images of each class, [C]."""
    label: Ints
    """[C]."""


def members(labels: Ints) -> Members:
    """Images by class, from labels [N]."""
    labels = np.asarray(labels, np.int64)
    label, size = np.unique(labels, return_counts=True)
    return Members(np.argsort(labels, kind="stable"), np.cumsum(size) - size, size.astype(np.int64), label)


def draw(
    labels: Ints,
    way: int,
    shot: int,
    queries: int | None = None,
    episodes: int = 10_000,
    seed: int = 0,
    protocol: Protocol = "standard",
    names: Sequence[str] | None = None,
    chunk: int | None = None,
) -> Iterator[Episodes]:
    """Episodes in chunks of bounded memory; the episodes are the same whatever the chunks.

    Args:
        labels: class of each row of the table of features, [N]; any integers.
        way: classes of an episode, n.
        shot: labelled images of each class, k.
        queries: images of each class to classify, q; None: see :func:`count_of`.
        episodes: how many.
        seed: the user's seed; by the protocol smkd that of Python's and of NumPy's generator.
        protocol: see the module.
        names: name of class i, for messages.
        chunk: episodes of a chunk; None chooses.

    Raises:
        ExunoError: a number out of range, fewer than n classes, or a class with too few images. Raised by the call
            itself, not by the first chunk.
    """
    require(way >= 2, "--way", way, "at least 2 classes")
    require(shot >= 1, "--shot", shot, "at least 1 image")
    require(queries is None or queries >= 1, "--queries", queries, "at least 1 image")
    require(episodes >= 1, "--episodes", episodes, "at least 1")
    require(protocol == "standard" or 0 <= seed < 2**32, "--seed", seed, "a number from 0 to below 2^32 to NumPy")
    found = members(labels)
    if way > len(found.label):
        raise ExunoError(f"--way {way} but the data has {len(found.label)} classes", "Give a smaller --way.")
    smallest = int(found.size.min())
    count = count_of(protocol, queries, shot, smallest)
    if smallest < shot + count:
        label = int(found.label[found.size.argmin()])
        name = f"{label} ({names[label]})" if names is not None else f"{label}"
        raise too_small(f"class {name}", smallest, protocol, queries, shot, count)
    chunk = chunk or max(1, min(1000, _POSITIONS // (way * (shot + count))))
    run = _standard if protocol == "standard" else _published
    return run(found, way, shot, count, episodes, seed, chunk)


def count_of(protocol: Protocol, queries: int | None, shot: int, smallest: int) -> int:
    """Queries of each class: as many as are asked for; else 15, by ``smkd`` all that the smallest class of ``smallest``
    images has beside its support, by ``reference`` 600 - shot; 1 at least."""
    usual = {"standard": QUERIES, "smkd": smallest - shot, "reference": PUBLISHED - shot}
    return queries or max(usual[protocol], 1)


def too_small(name: str, size: int, protocol: Protocol, queries: int | None, shot: int, count: int) -> ExunoError:
    """What to tell of a class of ``size`` images, fewer than the support and its ``count`` queries."""
    if protocol == "reference" and queries is None:
        return ExunoError(
            f"{name} has {size} images; --protocol reference takes {shot + count} of each class, as the published code",
            "Give --protocol smkd, which draws alike and takes as many as there are, or leave the class out.",
        )
    what = f"{name} has {size} images, but --shot {shot} and --queries {count} need {shot + count}"
    return ExunoError(what, "Give a smaller --shot or --queries, or leave the class out.")


def _standard(m: Members, way: int, shot: int, count: int, episodes: int, seed: int, chunk: int) -> Iterator[Episodes]:
    total = shot + count
    for first in range(0, episodes, chunk):
        numbers = np.arange(first, min(first + chunk, episodes))
        every = np.full(len(numbers), len(m.label))
        classes = distinct(rng.uniforms(seed, "fewshot classes", numbers, way), every)
        chance = rng.uniforms(seed, "fewshot images", numbers, way * total).reshape(-1, total)
        inside = distinct(chance, m.size[classes].ravel()).reshape(-1, way, total)
        images = m.order[m.start[classes][..., None] + inside]
        yield Episodes(images[..., :shot], images[..., shot:], first, episodes)


def distinct(chance: NDArray[np.float64], size: Ints) -> Ints:
    """t different whole numbers below ``size`` in a row, all sequences equally likely: int64 [R, t].

    Args:
        chance: independent uniform numbers in [0, 1), [R, t].
        size: [R], at least t.
    """
    rows, total = chance.shape
    if total > _STEPS:  # Fisher and Yates, row by row
        drawn = np.empty((rows, total), np.int64)
        for row, last in enumerate(size.tolist()):
            pool = np.arange(last)
            for step, far in enumerate((chance[row] * (last - np.arange(total))).astype(np.int64).tolist()):
                pool[step], pool[step + far] = pool[step + far], pool[step]
            drawn[row] = pool[:total]
        return drawn
    drawn = np.empty((total, rows), np.int64)
    taken = np.empty((total, rows), np.int64)  # sorted
    for step in range(total):
        new = (chance[:, step] * (size - step)).astype(np.int64)  # the new-th of the numbers that are left
        for old in taken[:step]:
            new += new >= old
        drawn[step] = new
        for place in range(step):
            low = np.minimum(taken[place], new)
            np.maximum(taken[place], new, out=new)
            taken[place] = low
        taken[step] = new
    return np.ascontiguousarray(drawn.T)


def _published(m: Members, way: int, shot: int, count: int, episodes: int, seed: int, chunk: int) -> Iterator[Episodes]:
    """As the published ``fseval.py`` draws for its cosine and knn heads; one generator runs through all episodes."""
    choose, shuffle = random.Random(seed), np.random.RandomState(seed)
    every = range(len(m.label))
    for first in range(0, episodes, chunk):
        number = min(chunk, episodes - first)
        images = np.empty((number, way, shot + count), np.int64)
        for episode in images:
            for row, one in zip(episode, choose.sample(every, way), strict=True):
                row[:] = m.start[one] + shuffle.permutation(int(m.size[one]))[: shot + count]
        images = m.order[images]
        yield Episodes(images[..., :shot], images[..., shot:], first, episodes)

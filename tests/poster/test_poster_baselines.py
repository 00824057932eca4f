"""Real images within the budget, and how they are chosen."""

import numpy as np
import pytest
import torch
from mean_poster import digits

from exuno.poster.baselines import SHRUNK, baselines, herding, kmeans, random_real, share, shrunken

IMAGES, LABELS = digits("train")
GENERATOR = np.random.default_rng


@pytest.mark.parametrize("pixels", [9, 10, 63, 64, 200, 320, 639, 640, 1400])
def test_no_baseline_exceeds_the_budget(pixels: int) -> None:
    found = baselines(IMAGES, LABELS, 10, pixels, seed=0)
    assert bool(found) == (pixels >= 10)
    for name, (images, labels) in found.items():
        side = shrunken((8, 8), 10, pixels) if name.endswith(SHRUNK) else (8, 8)
        assert side is not None
        assert len(images) * side[0] * side[1] <= pixels
        assert images.shape[1:] == (1, 8, 8)
        assert torch.equal(labels.sum(1), torch.ones(len(images)))
        counts = labels.sum(0)
        assert counts.max() - counts.min() <= 1  # as even as can be
        if name.endswith(SHRUNK):
            assert (counts == 1).all()
        else:
            assert len(images) == pixels // 64


def test_which_baselines_there_are() -> None:
    def names(pixels: int) -> set[str]:
        return set(baselines(IMAGES, LABELS, 10, pixels, seed=0))

    shrunk = {"random real images, shrunk", "herded real images, shrunk"}
    assert names(60) == shrunk
    assert names(320) == {"random real images", "herded real images"} | shrunk
    assert names(640) == {"random real images", "herded real images"}
    assert names(704) == {"random real images", "herded real images", "k-means real images"}


def test_whole_images_are_real_ones_with_their_labels() -> None:
    known = {image.numpy().tobytes(): int(label) for image, label in zip(IMAGES, LABELS, strict=True)}
    for name, (images, labels) in baselines(IMAGES, LABELS, 10, 1400, seed=0).items():
        found = [image.numpy().tobytes() for image in images]
        assert len(set(found)) == len(found), name
        assert [known[each] for each in found] == labels.argmax(1).tolist()


def test_shrunk_images_hold_no_more_than_their_pixels() -> None:
    """Enlarged from 5x5, images span a space of at most 25 dimensions, however many there are."""
    assert shrunken((8, 8), 10, 320) == (5, 5)
    many = [baselines(IMAGES, LABELS, 10, 320, seed)["random real images, shrunk"][0] for seed in range(6)]
    assert torch.linalg.matrix_rank(torch.cat(many).flatten(1).double(), rtol=1e-5) == 25


def test_the_choice_is_a_function_of_the_seed() -> None:
    first, again, other = (baselines(IMAGES, LABELS, 10, 320, seed) for seed in (0, 0, 1))
    for name in first:
        assert all(torch.equal(a, b) for a, b in zip(first[name], again[name], strict=True))
    assert not torch.equal(first["random real images"][0], other["random real images"][0])


def test_herding_is_the_greedy_choice() -> None:
    rows = np.random.default_rng(1).normal(size=(12, 3))
    mean, chosen = rows.mean(0), []
    for _ in range(5):
        rest = [i for i in range(12) if i not in chosen]
        chosen.append(min(rest, key=lambda i: np.linalg.norm(mean - rows[[*chosen, i]].mean(0))))
    assert herding(torch.from_numpy(rows), 5, GENERATOR(0)).tolist() == chosen
    assert sorted(herding(torch.from_numpy(rows), 20, GENERATOR(0)).tolist()) == list(range(12))


def test_kmeans_takes_the_middle_of_each_cluster() -> None:
    offsets = torch.tensor([-1.0, -0.3, 0.1, 1.0])  # their mean is -0.05, nearest to it the third
    rows = torch.cat([centre + offsets for centre in (0.0, 100.0, 200.0)])[:, None]
    assert sorted(kmeans(rows, 3, GENERATOR(0)).tolist()) == [2, 6, 10]
    assert sorted(kmeans(rows, 20, GENERATOR(0)).tolist()) == list(range(12))


def test_random_images_differ_and_classes_without_images_get_none() -> None:
    assert len(set(random_real(torch.rand(9, 2), 6, GENERATOR(0)).tolist())) == 6
    counts = share(5, np.array([0, 2, 3]), 5, GENERATOR(0))
    assert counts.sum() == 5
    assert counts[[1, 4]].tolist() == [0, 0]
    assert sorted(counts[[0, 2, 3]]) == [1, 2, 2]

"""A set that lies on the device gives the batches of a loader that fetches them."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exuno.data.base import ArrayData
from exuno.data.loader import Loader
from exuno.data.resident import Resident
from exuno.engine.options import Augment

CPU = torch.device("cpu")
MOVES = Augment(flip=0.5, pad=1)
RANDOM = np.random.default_rng(0)
SETS = {
    "images": ArrayData("images", RANDOM.integers(60, 200, (23, 3, 8, 8), np.uint8), np.arange(23) % 3),
    "clips": ArrayData("clips", RANDOM.integers(60, 200, (23, 3, 4, 8, 8), np.uint8), np.arange(23) % 3),
    "recordings": ArrayData("recordings", RANDOM.random((23, 1, 30)).astype(np.float32), np.arange(23) % 3, rate=100),
}
CASES: dict[str, tuple[str, Augment | None, tuple[int, int], float]] = {
    "moves": ("images", MOVES, (8, 8), 0),
    "resized": ("images", MOVES, (6, 6), 0),
    "cutout in the mean colour": ("images", Augment(cutout=3), (8, 8), 0),
    "cropped": ("images", Augment(resized_crop=(0.3, 1.0), flip=0.5), (6, 6), 2.1 / 255),
    "test images": ("images", None, (6, 6), 0),
    "clips": ("clips", Augment(flip=0.5, frames=2), (8, 8), 0),
    "test clips": ("clips", None, (6, 6), 0),
    "recordings": ("recordings", Augment(shift=0.4), (1, 20), 0),
}


def same(found: Any, expected: Any, tolerance: float) -> None:
    found, expected = list(found), list(expected)
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert a.keys() == b.keys()
        assert all(torch.equal(a[key], b[key]) for key in ("labels", "index"))
        torch.testing.assert_close(a["images"], b["images"], atol=tolerance, rtol=0)


@pytest.mark.parametrize("case", CASES)
@given(
    seed=st.integers(0, 2**40),
    epoch=st.integers(0, 1000),
    world=st.sampled_from([1, 2, 3]),
    start=st.integers(0, 3),
    shuffle=st.booleans(),
    drop_last=st.booleans(),
)
@settings(max_examples=8, deadline=None)
def test_the_batches_are_those_of_a_loader(
    case: str, seed: int, epoch: int, world: int, start: int, shuffle: bool, drop_last: bool
) -> None:
    name, augment, size, tolerance = CASES[case]
    for rank in range(world):
        options: dict[str, Any] = {"rank": rank, "world": world, "shuffle": shuffle, "drop_last": drop_last}
        fetched = Loader(SETS[name], 12, augment, seed, size, **options)
        resident = Resident(SETS[name], 12, augment, seed, size, device=CPU, **options)
        assert len(resident) == len(fetched)
        same(resident.epoch(epoch, start), fetched.epoch(epoch, start), tolerance)


def test_an_epoch_from_its_middle_is_its_tail() -> None:
    resident = Resident(SETS["images"], 4, MOVES, 1, device=CPU)
    whole = list(resident.epoch(2))
    same(resident.epoch(2, 3), whole[3:], 0)


class Photographs:
    """Images of several sizes, as files have; float images and soft labels, as posters have, if asked."""

    image_size, resize, name = (8, 8), 10, "photographs"

    def __init__(self, soft: bool = False) -> None:
        self.soft = soft

    def __len__(self) -> int:
        return 11

    def fetch(self, positions: np.ndarray) -> tuple[Any, torch.Tensor]:
        if self.soft:
            images = [torch.full((3, 8, 8), position - 4.5) for position in positions]
            return torch.stack(images), torch.eye(11)[torch.from_numpy(positions)]
        images = [torch.arange(3 * 12 * (9 + p)).view(3, 12, 9 + p).remainder(256).byte() for p in positions.tolist()]
        return images, torch.from_numpy(positions)


@pytest.mark.parametrize("augment", [MOVES, None])
@pytest.mark.parametrize("soft", [False, True])
def test_images_of_files_and_posters(augment: Augment | None, soft: bool) -> None:
    fetched = Loader(Photographs(soft), 4, augment, 3, drop_last=False)
    resident = Resident(Photographs(soft), 4, augment, 3, drop_last=False, device=CPU)
    same(resident.epoch(1), fetched.epoch(1), 0)


def test_workers_fetch_the_same_images(monkeypatch) -> None:
    monkeypatch.setattr("exuno.data.resident.CHUNK", 3 * 3 * 64)
    alone, pool = (Resident(SETS["images"], 4, device=CPU, workers=n) for n in (0, 2))
    assert torch.equal(alone.lying[0], pool.lying[0])
    assert torch.equal(alone.lying[0], SETS["images"].images)
    assert torch.equal(pool.lying[1], SETS["images"].labels)

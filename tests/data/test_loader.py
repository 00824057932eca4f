"""The same batches whatever the workers and processes; nothing read in vain."""

import gc
import multiprocessing
import threading
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exuno.data.base import ArrayData
from exuno.data.batches import in_memory
from exuno.data.loader import Loader, rank_slice
from exuno.data.relabelled import Relabelled
from exuno.data.subset import SubsetData
from exuno.distill.source import Patches
from exuno.engine.errors import ExunoError
from exuno.engine.options import Augment
from exuno.synth.options import ImageOptions
from exuno.synth.stream import PatchStream

AUGMENT = Augment(flip=0.5, pad=1, rotate=10)


def numbered(count: int) -> ArrayData:
    """Image i shows the number i."""
    images = np.tile(np.arange(count, dtype=np.uint8)[:, None, None, None], (1, 1, 4, 4))
    return ArrayData("numbered", images, np.arange(count) % 3)


class Counting:
    """Only what a loader needs; remembers what it was asked for."""

    image_size = (4, 4)

    def __init__(self, count: int) -> None:
        self.data, self.asked = numbered(count), []

    def __len__(self) -> int:
        return len(self.data)

    def fetch(self, positions: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        self.asked += positions.tolist()
        return self.data.fetch(positions)


def test_a_batch() -> None:
    (batch,) = Loader(numbered(6), 6, seed=1).epoch(0)
    assert batch["images"].shape == (6, 1, 4, 4)
    assert batch["images"].dtype == torch.float32
    assert sorted(batch["index"].tolist()) == list(range(6))
    torch.testing.assert_close(batch["images"][:, 0, 0, 0] * 255, batch["index"].float())
    assert torch.equal(batch["labels"], batch["index"] % 3)


def test_epochs_are_permutations_of_their_own() -> None:
    loader = Loader(numbered(64), 8, seed=1)
    epochs = [torch.cat([b["index"] for b in loader.epoch(e)]) for e in (0, 1, 0)]
    assert torch.equal(epochs[0], epochs[2])
    assert not torch.equal(epochs[0], epochs[1])
    assert sorted(epochs[1].tolist()) == list(range(64))
    other = torch.cat([b["index"] for b in Loader(numbered(64), 8, seed=2).epoch(0)])
    assert not torch.equal(other, epochs[0])


def test_draws_differ_from_epoch_to_epoch() -> None:
    same = ArrayData(
        "same", np.random.default_rng(0).integers(0, 256, (1, 1, 9, 9), np.uint8).repeat(8, 0), np.zeros(8, np.int64)
    )
    loader = Loader(same, 8, AUGMENT, seed=1)
    first, second = ((next(loader.epoch(e))) for e in (0, 1))
    assert not torch.equal(first["images"][first["index"].argsort()], second["images"][second["index"].argsort()])


def test_workers_change_nothing() -> None:
    alone, pool = (Loader(numbered(50), 8, AUGMENT, seed=1, workers=n) for n in (0, 2))
    for epoch, start in ((0, 0), (1, 3)):
        pairs = list(zip(alone.epoch(epoch, start), pool.epoch(epoch, start), strict=True))
        assert len(pairs) == 6 - start
        assert all(torch.equal(a[key], b[key]) for a, b in pairs for key in a)


class Broken(Counting):
    def fetch(self, positions: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        raise ExunoError(f"{positions[0]} is broken", "Mend it.")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_mistake_is_told_as_it_is(workers: int) -> None:
    gc.disable()
    try:
        with pytest.raises(ExunoError, match=r"^0 is broken\. Mend it\.$"):
            next(Loader(Broken(4), 4, workers=workers, shuffle=False).epoch(0))
        assert not multiprocessing.active_children()  # nothing holds the loader; its end would be waited for
    finally:
        gc.enable()


class Slow(Counting):
    """Notes in which thread it is read, and whether ever in two at once; batch ``bad`` is a mistake."""

    def __init__(self, count: int, bad: int | None = None) -> None:
        super().__init__(count)
        self.threads: set[int] = set()
        self.reading, self.clash, self.bad = 0, False, bad

    def fetch(self, positions: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        self.threads.add(threading.get_ident())
        self.reading += 1
        self.clash |= self.reading > 1
        time.sleep(0.01)
        self.reading -= 1
        if self.bad in positions:
            raise ExunoError("a bad image", "Give a good one.")
        return super().fetch(positions)


def test_the_next_batch_is_prepared_while_one_is_used() -> None:
    data = Slow(12)
    batches = Loader(data, 4, shuffle=False).epoch(0)
    next(batches)
    deadline = time.monotonic() + 10
    while len(data.asked) < 8 and time.monotonic() < deadline:
        time.sleep(0.001)  # the training's step
    assert data.asked == list(range(8))
    assert threading.get_ident() not in data.threads


class Here(Counting):
    """Counts in memory, and tells which threads asked."""

    at_hand = True

    def __init__(self) -> None:
        super().__init__(8)
        self.threads: set[str] = set()

    def fetch(self, positions: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        self.threads.add(threading.current_thread().name)
        return super().fetch(positions)


def test_beside_a_training_on_all_cores_no_thread_prepares_what_is_at_hand() -> None:
    data = Here()
    batches = list(Loader(data, 2, Augment(flip=0)).epoch(0))
    assert data.threads == {threading.current_thread().name}
    data.at_hand, data.threads = False, set()
    again = list(Loader(data, 2, Augment(flip=0)).epoch(0))
    assert data.threads
    assert threading.current_thread().name not in data.threads
    assert all(torch.equal(one[key], other[key]) for one, other in zip(batches, again, strict=True) for key in one)
    assert Loader(Here(), 2, Augment(), device=torch.device("mps")).beside  # the device works, this core waits


def test_what_is_made_of_data_at_hand_is_at_hand() -> None:
    rows = ArrayData("rows", np.zeros((4, 3, 2, 2), np.uint8), np.array([0, 1, 0, 1]))
    numbers = np.arange(4)
    part = SubsetData("part", [rows], 0 * numbers, numbers, rows.labels.numpy(), ("a", "b"))
    other = Relabelled(part, [1, 0], ("b", "a"), 2)
    assert rows.at_hand
    assert part.at_hand
    assert other.at_hand
    rows.at_hand = False
    assert not SubsetData("part", [rows], 0 * numbers, numbers, rows.labels.numpy(), ("a", "b")).at_hand
    stream = PatchStream(np.zeros((64, 64, 3), np.uint8), 4, ImageOptions(size=8))
    assert Patches(stream, 3).at_hand


def test_a_mistake_comes_in_the_place_of_its_batch() -> None:
    batches = Loader(Slow(12, bad=5), 4, shuffle=False).epoch(0)
    assert next(batches)["index"].tolist() == [0, 1, 2, 3]
    with pytest.raises(ExunoError, match="a bad image"):
        next(batches)


def test_a_data_set_is_read_by_one_thread_at_a_time() -> None:
    data = Slow(24)
    pairs = list(zip(Loader(data, 4, seed=1).epoch(0), Loader(data, 4, seed=2).epoch(0), strict=True))
    assert len(pairs) == 6
    assert not data.clash
    assert len(data.threads) == 2


def test_who_stops_early_leaves_no_thread() -> None:
    data = Slow(12)
    batches = Loader(data, 4, shuffle=False).epoch(0)
    next(batches)
    del batches
    gc.collect()
    assert not [thread for thread in threading.enumerate() if thread.ident in data.threads]
    assert len(data.asked) <= 8


def test_a_look_at_the_first_batch_reads_no_other() -> None:
    data = Slow(12)
    assert len(Loader(data, 4).first()["index"]) == 4
    assert len(data.asked) == 4


def test_resuming_reads_no_skipped_batch() -> None:
    data = Counting(40)
    whole = list(Loader(data, 8, AUGMENT, seed=1).epoch(2))
    data.asked.clear()
    rest = list(Loader(data, 8, AUGMENT, seed=1).epoch(2, 3))
    assert len(data.asked) == 16
    assert all(torch.equal(a[key], b[key]) for a, b in zip(whole[3:], rest, strict=True) for key in a)


@settings(max_examples=6, deadline=None)
@given(world=st.sampled_from([2, 3, 4]), factor=st.integers(1, 3), batches=st.integers(1, 3))
def test_ranks_share_a_batch_and_its_mirror_pairs(world: int, factor: int, batches: int) -> None:
    size = 2 * world * factor
    data = numbered(size * batches)
    whole = list(Loader(data, size, AUGMENT, seed=1).epoch(0))
    parts = [list(Loader(data, size, AUGMENT, seed=1, rank=r, world=world).epoch(0)) for r in range(world)]
    for step, batch in enumerate(whole):
        shares = [part[step] for part in parts]
        together = torch.cat([share["index"] for share in shares])
        assert sorted(together.tolist()) == sorted(batch["index"].tolist())
        at = {index: k for k, index in enumerate(batch["index"].tolist())}
        partner = dict(zip(batch["index"].tolist(), batch["index"].flip(0).tolist(), strict=True))
        for share in shares:
            index = share["index"].tolist()
            assert len(index) == size // world
            assert [at[i] for i in index] == sorted(at[i] for i in index)
            assert [partner[i] for i in index] == index[::-1]
            rows = torch.tensor([at[i] for i in index])
            torch.testing.assert_close(share["images"], batch["images"][rows])


@settings(max_examples=30, deadline=None)
@given(count=st.integers(0, 40), world=st.integers(1, 5))
def test_rank_slices_are_a_partition(count: int, world: int) -> None:
    parts = [rank_slice(count, rank, world) for rank in range(world)]
    assert sorted(np.concatenate(parts).tolist()) == list(range(count))
    assert all(sorted(count - 1 - part) == part.tolist() for part in parts)


@pytest.mark.parametrize(
    ("count", "batch", "drop", "sizes"),
    [
        (10, 4, True, [4, 4]),
        (10, 4, False, [4, 4, 2]),
        (8, 4, False, [4, 4]),
        (7, 100, True, [6]),
        (7, 100, False, [7]),
        (1, 100, True, [1]),
    ],
)
def test_last_batches(count: int, batch: int, drop: bool, sizes: list[int]) -> None:
    loader = Loader(numbered(count), batch, drop_last=drop)
    assert [len(b["index"]) for b in loader.epoch(0)] == sizes
    assert len(loader) == len(sizes)


def test_test_images_come_in_order() -> None:
    loader = Loader(numbered(5), 2, shuffle=False, drop_last=False)
    assert [b["index"].tolist() for b in loader.epoch(0)] == [[0, 1], [2, 3], [4]]


class Endless(Counting):
    def fetch_draws(self, draws: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        self.asked += draws.tolist()
        return self.data.fetch(draws % len(self.data))


def test_endless_data_is_asked_for_draws() -> None:
    data = Endless(8)
    batch = next(Loader(data, 8, seed=1).epoch(3))
    assert sorted(data.asked) == list(range(24, 32))
    assert sorted(batch["index"].tolist()) == list(range(24, 32))


def test_images_are_resized_for_training_and_for_testing() -> None:
    for options in (None, Augment()):
        batch = next(Loader(numbered(4), 4, options, size=(6, 6)).epoch(0))
        assert batch["images"].shape == (4, 1, 6, 6)


class Photos:
    """Photographs of two sizes whose left margin is white."""

    image_size, resize = (14, 14), 16

    def __len__(self) -> int:
        return 2

    def fetch(self, positions: np.ndarray) -> tuple[list[torch.Tensor], torch.Tensor]:
        images = [torch.zeros(3, 32, 32 + 8 * int(p), dtype=torch.uint8) for p in positions]
        for image in images:
            image[:, :, :2] = 255
        return images, torch.full((len(positions),), -1)


def test_test_photographs_lose_their_margin() -> None:
    batch = next(Loader(Photos(), 2, shuffle=False).epoch(0))
    assert batch["images"].shape == (2, 3, 14, 14)
    assert batch["images"].max() < 0.2  # what antialiasing carries over
    assert next(Loader(Photos(), 2, shuffle=False, resize=14).epoch(0))["images"].max() > 0.5
    twice = Loader(Photos(), 2, shuffle=False, size=(28, 28))
    assert twice.preparer.resize == 32


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        ({"batch_size": 6, "world": 2}, "multiple of 4"),
        ({"batch_size": 0}, "batch size of 0"),
        ({"batch_size": 80, "world": 40}, "40 processes"),
    ],
)
def test_batches_that_cannot_be(wish: dict, told: str) -> None:
    with pytest.raises(ExunoError, match=told):
        Loader(numbered(8), **wish)


def test_an_empty_data_set() -> None:
    empty = ArrayData("nothing", np.zeros((0, 1, 4, 4), np.uint8), np.zeros(0, np.int64))
    with pytest.raises(ExunoError, match="nothing is empty"):
        Loader(empty, 4)


def test_in_memory() -> None:
    source = Counting(9)
    held = in_memory(source)
    assert isinstance(held, ArrayData)
    assert torch.equal(held.images, source.data.images)
    assert torch.equal(held.labels, source.data.labels)
    assert in_memory(held) is held
    assert in_memory(source, limit=100) is source
    endless, photos = Endless(9), Photos()
    assert in_memory(endless) is endless
    assert in_memory(photos) is photos


def test_workers_end_with_their_loader() -> None:
    loader = Loader(numbered(8), 4, workers=1)
    list(loader.epoch(0))
    start = time.perf_counter()
    del loader
    gc.collect()
    assert time.perf_counter() - start < 4

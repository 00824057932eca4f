"""Which loader is chosen, and that fresh patches drawn on a device are those of the CPU."""

from typing import Any

import numpy as np
import pytest
import torch

from exuno.data import batches
from exuno.data.base import ArrayData
from exuno.data.batches import Drawn
from exuno.data.images.photo import load_photo
from exuno.data.loader import Loader
from exuno.data.resident import Resident
from exuno.distill.source import FreshPatches, Patches
from exuno.engine.options import Augment
from exuno.synth.options import ImageOptions, VideoOptions
from exuno.synth.stream import ClipStream, PatchStream

META, CPU = torch.device("meta"), torch.device("cpu")
IMAGES = ArrayData("images", np.zeros((100, 3, 8, 8), np.uint8), np.zeros(100, np.int64))
PHOTOS = [load_photo("photo:coffee"), load_photo("photo:astronaut"), load_photo("noise:1")]


class OfManySizes:
    """Images as files have them."""

    image_size = (8, 8)

    def __len__(self) -> int:
        return 4

    def fetch(self, positions: np.ndarray) -> tuple[list[torch.Tensor], torch.Tensor]:
        return [torch.zeros(3, 9, 9 + p).byte() for p in positions], torch.zeros(len(positions))


class Runs(OfManySizes):
    def fetch_runs(self, positions: np.ndarray, draws: np.ndarray, seed: int) -> Any:
        raise NotImplementedError


def patches(fresh: bool, **jitter: Any) -> Patches:
    return (FreshPatches if fresh else Patches)(PatchStream(PHOTOS, 40, ImageOptions(size=8, **jitter), 5), 3)


CLIPS = FreshPatches(ClipStream(PHOTOS, 4, VideoOptions(size=8, frames=2)), 3)


@pytest.mark.parametrize(
    ("data", "augment", "device", "kind"),
    [
        (IMAGES, Augment(flip=0.5), META, Resident),
        (IMAGES, None, META, Resident),
        (IMAGES, Augment(flip=0.5), CPU, Loader),
        (IMAGES, Augment(augmix=1), META, Loader),
        (OfManySizes(), Augment(flip=0.5), META, Resident),
        (OfManySizes(), Augment(resized_crop=(0.5, 1.0)), META, Loader),
        (Runs(), Augment(), META, Loader),
        (Runs(), None, META, Resident),
        (patches(False), Augment(), META, Resident),
        (patches(True), Augment(), META, Drawn),
        (patches(True), Augment(), CPU, Loader),
        (CLIPS, Augment(), META, Loader),
    ],
)
def test_the_choice(monkeypatch, data: Any, augment: Augment | None, device: torch.device, kind: type) -> None:
    monkeypatch.setattr(batches, "free_memory", lambda device: 10**6)
    assert type(batches.batches(data, 4, augment, device=device)) is kind


def test_what_does_not_fit_stays_with_the_workers(monkeypatch, capsys) -> None:
    needed = 100 * 3 * 8 * 8
    for free, kind in ((needed / batches.SHARE + 1, Resident), (needed / batches.SHARE - 1, Loader)):
        monkeypatch.setattr(batches, "free_memory", lambda device, free=free: free)
        monkeypatch.setattr("exuno.engine.errors._told", set())
        assert type(batches.batches(IMAGES, 4, Augment(), device=META)) is kind
        told = capsys.readouterr().err
        assert told.count("\n") == 1
        assert ("lie on meta: 0.0 MB" in told) == (kind is Resident)


def test_fresh_patches_drawn_on_a_device_are_those_of_the_cpu(monkeypatch) -> None:
    """As far as the sampler's own test holds them together; no jitter, so by one step of 255."""
    data, augment = patches(True, jitter_p=0.0), Augment(flip=0.5, pad=1)
    assert isinstance(data, FreshPatches)
    maker = data.drawn_on(CPU)
    assert maker is not None
    monkeypatch.setattr("exuno.data.batches.AT_ONCE", 2 * 3 * 64 * 8)  # two batches at once
    drawn, fetched = Drawn(data, 8, augment, 1, maker=maker, device=CPU), Loader(data, 8, augment, 1)
    for epoch, start in ((0, 0), (3, 2)):
        for a, b in zip(drawn.epoch(epoch, start), fetched.epoch(epoch, start), strict=True):
            assert torch.equal(a["index"], b["index"])
            assert torch.equal(a["labels"], b["labels"])
            difference = (a["images"] - b["images"]).abs()
            assert (difference <= 1.01 / 255).float().mean() > 0.995

"""Views of a batch: their shapes, and of what each is a function."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from exuno.data.augmentation import views as module
from exuno.data.augmentation.crop import boxes_in, crop_batch
from exuno.data.augmentation.views import crop_views, make_views
from exuno.engine.options import Views

FULL = Views(local=3, local_size=8, jitter_p=0.7, blur=(0.9, 0.3, 0.5), gray=0.4, solarize=0.5)
PLAIN = replace(FULL, flip=0, jitter=(0, 0, 0, 0), gray=0, blur=(0, 0, 0), sigma=(1, 2), solarize=0)


def images(count: int = 6, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, channels, 20, 24), dtype=torch.uint8, generator=generator)


def draws(count: int = 6) -> Tensor:
    return torch.arange(100, 100 + count)


def both(options: Views, count: int = 6, channels: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    wide, near = make_views(images(count, channels), draws(count), options, 16, seed)
    assert near is not None
    return wide, near


@pytest.mark.parametrize("channels", [1, 3])
def test_views_have_their_sizes_and_stay_pixels(channels: int) -> None:
    wide, near = both(FULL, channels=channels)
    assert wide.shape == (2, 6, channels, 16, 16)
    assert near.shape == (3, 6, channels, 8, 8)
    for found in (wide, near):
        assert found.dtype == torch.float32
        assert found.min() >= 0
        assert found.max() <= 1 + 1e-6
    every = [*wide, *near]
    assert not torch.equal(every[0], every[1])
    assert not torch.equal(every[2], every[3])


def test_without_local_views_there_are_none() -> None:
    wide, near = make_views(images(), draws(), replace(FULL, local=0), 16, 0)
    assert near is None
    torch.testing.assert_close(wide, both(FULL)[0])


def test_a_view_is_a_function_of_image_seed_and_draw() -> None:
    wide, near = both(FULL)
    part, small = make_views(images()[2:5], draws()[2:5], FULL, 16, 0)
    assert small is not None
    torch.testing.assert_close(part, wide[:, 2:5])
    torch.testing.assert_close(small, near[:, 2:5])
    other = both(FULL, seed=1)[0]
    later = make_views(images(), draws() + 6, FULL, 16, 0)[0]
    for changed in (other, later):
        assert ((changed - wide).flatten(2).abs().amax(2) > 0.01).all()


def test_bytes_and_fractions_give_the_same_views() -> None:
    wide, near = both(FULL)
    floats, small = make_views(images().float() / 255, draws(), FULL, 16, 0)
    assert small is not None
    torch.testing.assert_close(floats, wide)
    torch.testing.assert_close(small, near)


class Recorder:
    """What each operation was told for each view, but for the pixels."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.count = 0  # images of a batch
        self.calls: dict[str, list[Any]] = {
            name: [] for name in ("crop_views", "flip", "jitter", "to_gray", "blur_batch", "solarize")
        }
        for name in ("crop_views", "jitter", "to_gray", "blur_batch", "solarize"):
            patch.setattr(module, name, self.recording(name, getattr(module, name)))

    def recording(self, name: str, real: Any) -> Any:
        def call(pixels: Tensor, *args: Any) -> Tensor:
            if name == "crop_views":
                self.count = len(pixels)
                self.calls["flip"] += [None] * len(args[0]) if args[2] is None else args[2].tolist()
                self.calls[name] += args[0].tolist()
            else:
                last = args if name == "jitter" else args[-1:]
                tables = [np.asarray(x) for x in (last[1:] if name == "jitter" else last)]
                views = [np.array_split(x, len(x) // self.count) for x in tables]
                if name == "jitter":
                    views.insert(0, [np.asarray(last[0])] * len(views[0]))
                self.calls[name] += [[x.tolist() for x in view] for view in zip(*views, strict=True)]
            return real(pixels, *args)

        return call


OFF: dict[str, dict[str, Any]] = {
    "flip": {"flip": 0.0},
    "jitter": {"jitter": (0.0, 0.0, 0.0, 0.0)},
    "to_gray": {"gray": 0.0},
    "blur_batch": {"blur": (0.0, 0.0, 0.0)},
    "solarize": {"solarize": 0.0},
}


@pytest.mark.parametrize("name", list(OFF))
def test_switching_one_operation_off_changes_no_draw_of_another(name: str) -> None:
    found = []
    for options in (FULL, replace(FULL, **OFF[name])):
        with pytest.MonkeyPatch.context() as patch:
            recorder = Recorder(patch)
            both(options, count=20)
            found.append(recorder.calls)
    full, without = found
    assert len(full["crop_views"]) == 5
    assert len(full["solarize"]) == 1
    for operation in full:
        if operation == name:
            assert not any(without[operation])
            assert any(full[operation])
        else:
            assert without[operation] == full[operation], operation


@pytest.mark.parametrize(
    ("changes", "view", "happens"),
    [
        ({"gray": 1.0}, 0, True),
        ({"solarize": 1.0}, 1, True),
        ({"solarize": 1.0}, 0, False),
        ({"solarize": 1.0}, 2, False),
    ]
    + [({"blur": tuple(float(n == v) for n in range(3))}, w, min(w, 2) == v) for v in range(3) for w in range(5)],
)
def test_each_operation_meets_its_views_only(changes: dict[str, Any], view: int, happens: bool) -> None:
    def every(options: Views) -> list[Tensor]:
        wide, near = both(options)
        return [*wide, *near]

    plain, changed = every(PLAIN)[view], every(replace(PLAIN, **changes))[view]
    assert ((plain - changed).abs().amax((1, 2, 3)) > 1e-4).all() == happens
    if not happens:
        assert torch.equal(plain, changed)
    elif "gray" in changes:
        torch.testing.assert_close(changed[:, :1].expand(-1, 3, -1, -1), changed)
    elif "solarize" in changes:
        torch.testing.assert_close(changed, torch.where(plain >= 0.5, 1 - plain, plain))


def test_probabilities_are_met_and_sigmas_lie_in_their_range(monkeypatch: pytest.MonkeyPatch) -> None:
    count = 600
    recorder = Recorder(monkeypatch)
    make_views(torch.zeros(count, 1, 4, 4), torch.arange(count), replace(FULL, local=1, local_size=4), 4, 0)
    calls = recorder.calls
    assert np.mean(calls["flip"]) == pytest.approx(0.5, abs=0.05)
    assert np.mean([call[0] for call in calls["to_gray"]]) == pytest.approx(0.4, abs=0.05)
    assert np.mean([call[2] for call in calls["jitter"]]) == pytest.approx(0.7, abs=0.05)
    assert np.mean(calls["solarize"][0][0]) == pytest.approx(0.5, abs=0.06)
    for (sigma,), probability in zip(calls["blur_batch"], (0.9, 0.3, 0.5), strict=True):
        chosen = np.array(sigma)[np.array(sigma) > 0]
        assert len(chosen) / count == pytest.approx(probability, abs=0.06)
        assert 0.1 <= chosen.min() < 0.2
        assert 1.9 < chosen.max() <= 2
        assert chosen.mean() == pytest.approx(1.05, abs=0.12)


def test_boxes_have_their_areas_and_differ_from_view_to_view(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(monkeypatch)
    options = replace(PLAIN, scale=(0.5, 1.0), local=1, local_size=8, local_scale=(0.1, 0.2))
    make_views(torch.zeros(50, 1, 100, 100), torch.arange(50), options, 8, 0)
    one, two, local = (np.array(boxes) for boxes in recorder.calls["crop_views"])
    assert (one != two).any(1).all()
    for boxes, (low, high) in ((one, options.scale), (two, options.scale), (local, options.local_scale)):
        area = boxes[:, 2] * boxes[:, 3] / 100**2
        assert low - 0.02 <= area.min() < area.max() <= high + 0.02
        assert 0.7 < (boxes[:, 3] / boxes[:, 2]).min() < (boxes[:, 3] / boxes[:, 2]).max() < 1.4


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ["jitter", "blur", "gray", "solarize", ""])
def test_views_of_a_device_that_is_not_asked_are_the_same(
    name: str, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = FULL if not name else replace(PLAIN, **{name: getattr(FULL, name)})
    asked = both(options, 20, channels)
    monkeypatch.setattr(module, "reads_are_free", lambda device: False)
    for found, expected in zip(both(options, 20, channels), asked, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("flip", [False, True])
def test_several_boxes_of_an_image_are_cut_as_one_is(flip: bool) -> None:
    pixels = images().float() / 255
    boxes = boxes_in((20, 24), (0.2, 1.0), (0.5, 2.0), torch.rand(18, 40, dtype=torch.float64)).view(3, 6, 4)
    mirrored = torch.rand(3, 6) < 0.5 if flip else None
    found = crop_views(pixels, boxes, (9, 7), mirrored)
    for view in range(3):
        alone = crop_batch(pixels, boxes[view], (9, 7), None if mirrored is None else mirrored[view])
        torch.testing.assert_close(found[view], alone, rtol=0, atol=1e-6)

"""AugMix: each operation against torchvision's, the mixture, and that a draw is a function of its number alone."""

import numpy as np
import pytest
import torch

from exuno.data.augmentation import augmix as augmix_reference
from exuno.data.augmentation import augmix as module
from exuno.data.augmentation.augment import augment
from exuno.data.augmentation.augmix import OPERATIONS, apply_paper, augmix
from exuno.data.augmentation.clips import augment_clips
from exuno.engine.errors import ExunoError
from exuno.engine.options import Augment


@pytest.fixture(scope="module")
def clips() -> torch.Tensor:
    """Smooth colours with edges, uint8 [2, 3, 3, 40, 52]; no two frames are equal."""
    random = np.random.default_rng(0)
    coarse = torch.from_numpy(random.random((6, 3, 5, 7)).astype(np.float32))
    smooth = torch.nn.functional.interpolate(coarse, (40, 52), mode="bicubic", align_corners=False)
    pixels = (smooth * 200 + 20).clamp(0, 255).byte()
    pixels[:, :, 10:20, 5:30] = 255 - pixels[:, :, 10:20, 5:30]
    return pixels.unflatten(0, (2, 3)).transpose(1, 2).contiguous()


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_torchvisions(clips: torch.Tensor, name: str) -> None:
    """The same pixels up to rounding, at every level and sign; warps of OpenCV know 32 places between two pixels."""
    from torchvision.transforms import v2
    from torchvision.transforms.functional import InterpolationMode

    theirs = v2.AugMix(severity=10)
    their_name = "".join(word.capitalize() for word in name.split("_")).replace("contrast", "Contrast")
    their_name = {"Autocontrast": "AutoContrast"}.get(their_name, their_name)
    space = {**theirs._AUGMENTATION_SPACE}
    magnitudes, signed = space[their_name]
    frames = clips[0].permute(1, 0, 2, 3)  # [T, C, H, W]
    height, width = frames.shape[-2:]
    levels = magnitudes(10, height, width)
    for level in (0, 1, 4, 9):
        for negative in (False, True) if signed else (False,):
            size = 0.0 if levels is None else float(levels[level]) * (-1 if negative else 1)
            wanted = theirs._apply_image_or_video_transform(
                frames, their_name, size, interpolation=InterpolationMode.BILINEAR, fill={}
            )
            ours = apply_paper(frames.permute(0, 2, 3, 1).contiguous().numpy(), name, level, negative)
            gap = np.abs(ours.astype(int) - wanted.permute(0, 2, 3, 1).numpy().astype(int))
            if OPERATIONS.index(name) < 5:  # the edge of a warp falls between pixels
                assert gap.mean() < 0.6, (level, negative, gap.mean())
            else:
                assert gap.max() <= 2, (level, negative, gap.max())


def test_frames_share_a_draw_and_draws_are_their_own(clips: torch.Tensor) -> None:
    draws = np.array([5, 9])
    both = augmix(clips, 3, 1, draws)
    assert isinstance(both, torch.Tensor)
    assert both.shape == clips.shape
    assert both.dtype == torch.uint8
    assert not torch.equal(both, clips)
    alone = augmix(clips[1:], 3, 1, draws[1:])
    assert torch.equal(both[1:], alone)  # type: ignore[index]
    # A frame by itself gets what it gets within its clip, as an image and in a list of various sizes.
    for frame in range(clips.shape[2]):
        assert torch.equal(augmix(clips[1:, :, frame], 3, 1, draws[1:])[0], both[1, :, frame])
    various = augmix([clips[0, :, :, :30], clips[1]], 3, 1, draws)
    assert torch.equal(various[1], both[1])
    assert not torch.equal(augmix(clips[1:], 3, 2, draws[1:])[0], both[1])


def test_shares_of_the_mixture(monkeypatch: pytest.MonkeyPatch) -> None:
    """With operations that give white, the result tells the share of the picture itself: uniform, mean a half; and how
    many operations were done is 1, 2 or 3 a chain."""
    done: list[int] = []

    def white(frames: np.ndarray, name: str, level: int, negative: bool) -> np.ndarray:
        done.append(level)
        return np.full_like(frames, 255)

    monkeypatch.setattr(module, "apply_paper", white)
    black = torch.zeros((400, 1, 2, 2), dtype=torch.uint8)
    out = augmix(black, 3, 0, np.arange(400))
    values = torch.stack(list(out)).float()[:, 0, 0, 0] / 255
    assert abs(values.mean() - 0.5) < 0.05
    assert abs(values.std() - 12**-0.5) < 0.03
    assert abs(len(done) / 400 - 6) < 0.2
    assert set(done) == {0, 1, 2}


def test_gray_images_and_flat_ones() -> None:
    gray = torch.arange(64, dtype=torch.uint8).view(1, 1, 8, 8).repeat(20, 1, 1, 1)
    assert torch.stack(list(augmix(gray, 10, 0, np.arange(20)))).shape == gray.shape
    flat = np.full((1, 5, 5, 3), 7, np.uint8)
    assert (apply_paper(flat, "autocontrast", 0, False) == 7).all()
    assert (apply_paper(flat, "equalize", 0, False) == 7).all()


PUBLISHED = {
    "shear_x": (0, 0.3),
    "shear_y": (0, 0.3),
    "translate_x": (0, 1 / 3),
    "translate_y": (0, 1 / 3),
    "rotate": (0, 30),
    "posterize": (4, -4),
    "solarize": (1, -1),
    **dict.fromkeys(("brightness", "color", "contrast", "sharpness"), (0.1, 1.8)),
}
"""pytorchvideo's parameters at level 0, and what is added up to level 10; the first five take either sign."""


def published(frames: torch.Tensor, name: str, level: float, sign: int) -> torch.Tensor:
    """What pytorchvideo 0.1.3 makes of float frames [T, C, H, W], white being 255, from torchvision's functions."""
    from torchvision.transforms import functional as tv
    from torchvision.transforms.functional import InterpolationMode

    base, more = PUBLISHED.get(name, (0, 0))
    value = base + sign * level / 10 * more
    height, width = frames.shape[-2:]
    if name == "rotate":
        return tv.rotate(frames, value, InterpolationMode.BILINEAR, fill=[0.5, 0.5, 0.5])
    if OPERATIONS.index(name) < 5:
        # Input minus output place, in pixels from the centre: its own affine, which is not torchvision's.
        y, x = torch.meshgrid(*(torch.arange(n) + 0.5 - n / 2 for n in (height, width)), indexing="ij")
        move = {
            "shear_x": (value * (y + height / 2), 0),
            "shear_y": (0, value * (x + width / 2)),
            "translate_x": (value * width, 0),
            "translate_y": (0, value * height),
        }[name]
        grid = torch.stack([(x + move[0]) / (width / 2), (y + move[1]) / (height / 2)], -1).expand(
            len(frames), -1, -1, 2
        )
        masked = torch.cat([frames, torch.ones_like(frames[:, :1])], 1)
        read = torch.nn.functional.grid_sample(masked, grid, align_corners=False)
        return read[:, :3] * read[:, 3:] + (1 - read[:, 3:]) * 0.5
    if name in ("equalize", "posterize"):
        small = (frames * 255).to(torch.uint8)
        return (tv.equalize(small) if name == "equalize" else tv.posterize(small, 4 - int(level / 10 * 4))) / 255
    if name == "solarize":
        return tv.solarize(frames, 1 - level / 10)
    if name == "autocontrast":
        return tv.autocontrast(frames)
    adjust = {"color": tv.adjust_saturation}.get(name) or getattr(tv, f"adjust_{name}")
    return adjust(frames, value)


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_reference_operation_is_the_published_one(clips: torch.Tensor, name: str) -> None:
    """On the clip as it is, and on one that a solarisation left with values below 0."""
    plain = clips[0].permute(1, 0, 2, 3).float()
    for frames in (plain, torch.where(plain > 128, 1 - plain, plain)):
        for level in (0.1, 1.7, 2.9, 9.3):
            for negative in (False, True) if OPERATIONS.index(name) < 5 else (False,):
                wanted = published(frames, name, level, -1 if negative else 1).permute(0, 2, 3, 1)
                mine = augmix_reference.apply_reference(
                    frames.permute(0, 2, 3, 1).contiguous().numpy(), name, level, negative
                )
                gap = np.abs(mine - wanted.numpy())
                if OPERATIONS.index(name) < 5:  # the edge of a warp falls between pixels
                    assert np.median(gap) < 1, (level, negative, np.median(gap))
                    assert gap.mean() < 3, (level, negative, gap.mean())
                else:
                    assert mine.dtype == np.float32
                    assert gap.max() < 0.03, (level, negative, gap.max())  # the gray of torchvision is 0.9999 of ours


def test_how_much_each_formula_changes() -> None:
    """Mean change in grey levels. pytorchvideo's own code made on clips of 64 px of the same photograph, 3,000 draws:
    51.6 ± 0.7 and 3.04 ± 0.27 % of the values below black, where it is given floats of 255, as published (exuno: 50.4 ±
    0.7 and 3.04 ± 0.27 %); 15.7 where it is given floats of 1, for which it is made."""
    from exuno.data.images.photo import load_photo
    from exuno.synth.options import VideoOptions
    from exuno.synth.video import ClipSampler

    draws = np.arange(800)
    made = ClipSampler(load_photo("photo:astronaut"), VideoOptions(size=32, frames=2), 0)(draws)
    before = torch.from_numpy(made).permute(0, 4, 1, 2, 3)
    paper, reference = (augmix(before, 3, 0, draws, formula) for formula in ("paper", "reference"))
    assert isinstance(paper, torch.Tensor)
    assert isinstance(reference, torch.Tensor)
    assert (paper.dtype, reference.dtype, reference.shape) == (torch.uint8, torch.float32, before.shape)
    assert (paper.float() - before).abs().mean() == pytest.approx(10, abs=1.5)
    assert (reference * 255 - before).abs().mean() == pytest.approx(51.6, abs=4)
    assert (reference < 0).float().mean() == pytest.approx(0.0304, abs=0.015)
    assert -1 <= reference.min() < reference.max() <= 1


def test_the_reference_goes_through_all_that_follows(clips: torch.Tensor) -> None:
    """Frames share a draw; crops, flips, gray images and images of any size take floats as they take bytes."""
    options = Augment(augmix=3, augmix_formula="reference", short_side=(30, 36), flip=0.5)
    draws = np.array([3, 4])
    whole = augment_clips(clips, options, 0, draws, (24, 24))
    assert whole.shape == (2, 3, 3, 24, 24)
    assert whole.dtype == torch.float32
    for frame in range(3):
        alone = augment(clips[:, :, frame], options, 0, draws, (24, 24))
        torch.testing.assert_close(whole[:, :, frame], alone)
    various = augment_clips([*clips], options, 0, draws, (24, 24))
    torch.testing.assert_close(various, whole)
    gray = augmix(clips[:, :1], 10, 0, draws, "reference")
    assert isinstance(gray, torch.Tensor)
    assert gray.shape == (2, 1, 3, 40, 52)
    assert not torch.equal(
        whole, augment_clips(clips, Augment(augmix=3, short_side=(30, 36), flip=0.5), 0, draws, (24, 24))
    )


def test_in_the_order_of_the_paper(clips: torch.Tensor) -> None:
    """AugMix comes first: what follows sees its result."""
    options, draws = Augment(augmix=3, short_side=(30, 36), flip=0.5), np.array([3, 4])
    whole = augment_clips(clips, options, 0, draws, (24, 24))
    rest = Augment(short_side=(30, 36), flip=0.5)
    assert torch.equal(whole, augment_clips(augmix(clips, 3, 0, draws), rest, 0, draws, (24, 24)))
    images = clips[:, :, 0]
    assert torch.equal(
        augment(images, options, 0, draws, (24, 24)),
        augment(augmix(images, 3, 0, draws), rest, 0, draws, (24, 24)),
    )


def test_numbers_of_any_size_are_refused() -> None:
    with pytest.raises(ExunoError, match="AugMix"):
        augment(torch.zeros(1, 3, 4, 4), Augment(augmix=1), 0, np.array([0]), (4, 4))

"""AugMix: each operation against torchvision's, the mixture, and that a draw is a function of its number alone."""

import numpy as np
import pytest
import torch

from exuno.data import augmix as module
from exuno.data.augment import augment
from exuno.data.augmix import OPERATIONS, apply, augmix
from exuno.data.clips import augment_clips
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
            ours = apply(frames.permute(0, 2, 3, 1).contiguous().numpy(), name, level, negative)
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

    monkeypatch.setattr(module, "apply", white)
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
    assert (apply(flat, "autocontrast", 0, False) == 7).all()
    assert (apply(flat, "equalize", 0, False) == 7).all()


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

"""ZCA: the numbers of an independent computation, what whitening means, and the way back."""

import numpy as np
import pytest
import torch

from exuno.data.poster.whitening import SHARES, Whitening, by_spectrum, fit
from exuno.engine.errors import ExunoError


def correlated(count: int, channels: int, side: int, seed: int = 0) -> np.ndarray:
    """Smooth random images, uint8 [N, C, side, side]."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(count, channels, side, side))
    x = x + 2 * np.roll(x, 1, 2) + 2 * np.roll(x, 1, 3) + random.normal(size=(count, 1, 1, 1))
    return (128 + 18 * x).clip(0, 255).astype(np.uint8)


def by_hand(images: np.ndarray, r: float) -> tuple[np.ndarray, np.ndarray]:
    """The prepared rows and the matrix, by a singular value decomposition instead of the covariance's eigenvectors."""
    rows = images.reshape(len(images), -1).astype(np.float64)
    rows -= rows.mean(1, keepdims=True)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    _, s, v = np.linalg.svd(rows, full_matrices=True)
    values = np.zeros(v.shape[0])
    values[: len(s)] = s**2 / len(rows)
    return rows, v.T @ np.diag((values + r * values.mean()) ** -0.5) @ v


@pytest.mark.parametrize(("channels", "side", "count"), [(1, 4, 200), (3, 4, 100), (1, 5, 10)])
def test_it_is_the_matrix_of_the_paper(channels: int, side: int, count: int) -> None:
    images = correlated(count, channels, side)
    rows, matrix = by_hand(images, 0.1)
    found = fit(torch.from_numpy(images))
    assert found.matrix.dtype == torch.float32
    np.testing.assert_allclose(found.matrix.numpy(), matrix, rtol=1e-4, atol=1e-4)
    expected = (rows @ matrix).reshape(images.shape)
    np.testing.assert_allclose(found.apply(torch.from_numpy(images)).numpy(), expected, atol=2e-4)
    np.testing.assert_allclose(found.apply(torch.from_numpy(images) / 255).numpy(), expected, atol=2e-4)


def test_the_whitened_covariance_has_the_regularised_spectrum() -> None:
    images = torch.from_numpy(correlated(5000, 1, 4))
    white = fit(images, 0.01).apply(images).flatten(1).double()
    values = torch.linalg.eigvalsh(white.T @ white / len(white))
    # Each eigenvalue e became e / (e + r m): 0 for the mean of the image, which is gone, and for the others nearly 1.
    assert values[0].abs() < 1e-9
    assert values[1] > 0.8
    assert values[-1] <= 1
    weak, strong = fit(images, 0.01), fit(images, 10.0)
    assert strong.apply(images).std() < 0.5 * weak.apply(images).std()


def test_the_inverse_gives_the_normalised_image_back() -> None:
    images = torch.from_numpy(correlated(300, 3, 4))
    whitening = fit(images)
    rows = images.flatten(1).double()
    rows = rows - rows.mean(1, keepdim=True)
    rows /= rows.norm(dim=1, keepdim=True)
    back = whitening.inverse(whitening.apply(images))
    torch.testing.assert_close(back.flatten(1).double(), rows, atol=1e-5, rtol=0)
    picture = whitening.picture(whitening.apply(images))
    assert 0 <= picture.min() < 0.4
    assert 0.6 < picture.max() <= 1
    deviation = rows.std(1, correction=0, keepdim=True)
    expected = (0.5 + rows / (8 * deviation)).clamp(0, 1).float().view(images.shape)
    torch.testing.assert_close(picture, expected, atol=1e-4, rtol=0)


def test_a_constant_image_becomes_nothing_and_spoils_nothing() -> None:
    images = torch.from_numpy(correlated(50, 1, 4)).float() / 255
    images[7] = 0.1  # not exact in binary: its mean is off by rounding
    whitening = fit(images)
    white = whitening.apply(images)
    assert white[7].abs().max() == 0
    assert white.isfinite().all()
    assert white[8].abs().max() > 0.1
    assert whitening.picture(white)[7].unique().tolist() == [0.5]


def test_the_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.from_numpy(correlated(300, 1, 4))
    whole = fit(images)
    white = whole.apply(images)
    monkeypatch.setattr("exuno.data.poster.whitening.CHUNK", 7)
    torch.testing.assert_close(fit(images).matrix, whole.matrix)
    torch.testing.assert_close(whole.apply(images), white)
    assert whole.apply(images[:0]).shape == (0, 1, 4, 4)


def test_mistakes() -> None:
    images = torch.from_numpy(correlated(10, 1, 4))
    with pytest.raises(ExunoError, match="regularisation of 0"):
        fit(images, 0)
    with pytest.raises(ExunoError, match="nothing to whiten"):
        fit(torch.full((5, 1, 4, 4), 7.0))
    with pytest.raises(ExunoError, match="cannot be whitened"):
        fit(images[:0])
    with pytest.raises(ExunoError, match="1x5x5 for a whitening of 1x4x4"):
        fit(images).apply(torch.zeros(2, 1, 5, 5))
    with pytest.raises(ExunoError, match=r"float32 \[16, 16\]"):
        Whitening(torch.eye(9), (1, 4, 4))
    with pytest.raises(ExunoError, match="infinite numbers or NaN"):
        Whitening(torch.eye(16) * torch.inf, (1, 4, 4))


def wave(u: int, v: int, side: int = 8) -> np.ndarray:
    """The component (u, v) of a cosine transform, norm 1: [side, side]."""
    along = (np.arange(side) + 0.5) * np.pi / side
    both = np.outer(np.cos(u * along), np.cos(v * along))
    return both / np.linalg.norm(both)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_formula_lifts_what_natural_images_have_little_of(channels: int) -> None:
    whitening = by_spectrum((channels, 8, 8))
    assert torch.equal(whitening.matrix, whitening.matrix.T)
    squares = np.arange(8)[:, None] ** 2 + np.arange(8) ** 2
    light = SHARES[0] if channels == 3 else 1.0
    total = (1 / (1 + squares)).sum() - 1  # but for the mean, which is taken out
    for u, v in ((1, 0), (3, 2), (7, 7)):
        plane = wave(u, v) / channels**0.5
        image = torch.from_numpy(np.repeat(plane[None, None], channels, 1))
        factor = (light / (1 + u * u + v * v) / total + 0.1 / (64 * channels)) ** -0.5
        torch.testing.assert_close(whitening.apply(image), (factor * image).float(), atol=1e-3, rtol=1e-4)
    back = whitening.inverse(whitening.apply(image))
    torch.testing.assert_close(back, image.float(), atol=1e-4, rtol=1e-4)


def test_the_formula_whitens_a_photograph() -> None:
    from exuno.data.images.photo import load_photo

    photo = np.asarray(load_photo("photo:coffee"))[..., :3]
    tops, lefts = np.random.default_rng(0).integers(0, 380, (2, 200))
    patches = np.stack([photo[y : y + 16, x : x + 16] for y, x in zip(tops, lefts, strict=True)])
    images = torch.from_numpy(np.ascontiguousarray(patches.transpose(0, 3, 1, 2)))

    def neighbours(x: torch.Tensor) -> float:
        return float(np.corrcoef(x[..., 1:].flatten(), x[..., :-1].flatten())[0, 1])

    white = by_spectrum((3, 16, 16)).apply(images)
    assert neighbours(white) < 0.5 < 0.85 < neighbours(images.float())
    assert 0.3 < white.std() < 1.5

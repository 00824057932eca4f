"""Spectra: real pictures with the amplitudes of natural ones, colours that can be told back, draws of their own."""

import pytest
import torch

from exuno.explain import ascent


@pytest.mark.parametrize("size", [8, 9])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_spectrum_becomes_pixels(size: int, channels: int) -> None:
    spectra = ascent.start(0, [3, 4], channels, size)
    assert spectra.shape == (2, channels, size, size // 2 + 1, 2)
    found = ascent.pixels(spectra)
    assert found.shape == (2, channels, size, size)
    assert found.dtype == torch.float32
    assert (found > 0).all()
    assert (found < 1).all()
    assert found.std() > 0


def test_the_transform_is_the_one_of_the_spectrum() -> None:
    spectra = ascent.start(0, range(50), 1, 16)
    waves = ascent.pixels(spectra).logit() * ascent.LOUDNESS
    again = torch.fft.rfft2(waves, norm="ortho")[:, 0, :, 1:-1]
    torch.testing.assert_close(again, (torch.view_as_complex(spectra)[:, 0] * ascent.envelope(16))[:, :, 1:-1])
    amplitude = again.abs().square().mean(0).sqrt()
    frequency = (torch.fft.fftfreq(16)[:, None] ** 2 + torch.fft.rfftfreq(16)[1:-1] ** 2).sqrt()
    products = amplitude * frequency
    assert products.std() < 0.15 * products.mean()


def test_the_mean_counts_as_the_lowest_frequency() -> None:
    found = ascent.envelope(8)
    assert found.shape == (8, 5)
    assert found[0, 0] == found[0, 1] == found[1, 0] == 8
    assert found[0, 2] == found[2, 0] == 4


def test_decorrelated_colours_can_be_told_back() -> None:
    matrix = ascent.correlation()
    torch.testing.assert_close(matrix @ torch.linalg.inv(matrix), torch.eye(3), atol=1e-5, rtol=0)
    assert matrix.norm(dim=0).max() == pytest.approx(1)
    assert matrix[:, 0].std() < 0.05 * matrix[:, 0].mean()  # brightness
    assert matrix[:, 1:].sum(0).abs().max() < 0.05  # differences
    spectra = ascent.start(1, [0], 3, 8)
    logits = ascent.pixels(spectra).logit()
    plain = torch.einsum("cr,nrhw->nchw", torch.linalg.inv(matrix), logits)
    gray = torch.cat([ascent.pixels(spectra[:, [channel]]) for channel in range(3)], 1).logit()
    torch.testing.assert_close(plain, gray, atol=1e-4, rtol=1e-4)


def test_noise_depends_on_seed_and_number_alone() -> None:
    both = ascent.start(0, [1, 2], 1, 8)
    torch.testing.assert_close(both[1:], ascent.start(0, [2], 1, 8), rtol=0, atol=0)
    assert not torch.equal(both[0], both[1])
    assert not torch.equal(both[1:], ascent.start(1, [2], 1, 8))

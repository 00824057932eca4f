"""The log-mel spectrogram against librosa's, and on what users may feed it."""

import numpy as np
import pytest
import torch

from exuno.data.audio.mel import FLOOR, LogMel
from exuno.engine.errors import ExunoError
from exuno.engine.options import MelSpec


@pytest.mark.parametrize(
    ("rate", "sound"),
    [(8000, MelSpec()), (16000, MelSpec()), (8000, MelSpec(mels=32, hop=0.02)), (22050, MelSpec(mels=80))],
)
def test_as_librosa_makes_it(rate: int, sound: MelSpec) -> None:
    librosa = pytest.importorskip("librosa", reason="librosa comes with the development tools")
    ear = LogMel(rate, sound)
    wave = 0.1 * np.random.default_rng(0).normal(size=rate).astype(np.float32)
    # librosa: HTK's mel, triangles that reach 1, the power of a centred transform.
    bands = librosa.filters.mel(
        sr=rate, n_fft=ear.size, n_mels=sound.mels, fmin=60, fmax=min(7800, rate / 2), htk=True, norm=None
    )
    found = librosa.stft(wave, n_fft=ear.size, hop_length=ear.hop, win_length=len(ear.window), pad_mode="reflect")
    power = bands @ np.abs(found) ** 2
    level = np.log(power + FLOOR * power.mean())
    spectrogram = ear(torch.from_numpy(wave)[None, None])[0, 0].numpy()
    assert spectrogram.shape == (sound.mels, 1 + rate // round(rate * sound.hop))
    assert np.abs(spectrogram - (level - level.mean()) / level.std()).max() < 1e-3


def test_a_tone_lights_its_band() -> None:
    seconds = torch.arange(16000) / 16000
    loud = [LogMel(16000, MelSpec())(torch.sin(2 * torch.pi * tone * seconds)[None, None])[0, 0, :, 50].argmax().item()
            for tone in (200, 1000, 4000)]  # fmt: skip
    mel = [2595 * np.log10(1 + tone / 700) for tone in (60, 200, 1000, 4000, 7800)]
    expected = [65 * (each - mel[0]) / (mel[-1] - mel[0]) - 1 for each in mel[1:4]]
    assert loud == pytest.approx(expected, abs=1)


def test_loudness_does_not_matter() -> None:
    wave = torch.randn(2, 1, 8000, generator=torch.Generator().manual_seed(0))
    ear = LogMel(8000, MelSpec())
    assert torch.allclose(ear(wave), ear(0.05 * wave), atol=1e-3)


@pytest.mark.parametrize("samples", [1, 2, 79, 80, 200, 256, 257, 2666])
@pytest.mark.parametrize("level", [0.0, 0.5])
def test_short_silent_and_constant_ones(samples: int, level: float) -> None:
    wave = torch.full((2, 1, samples), level, requires_grad=True)
    spectrogram = LogMel(8000, MelSpec())(wave)
    assert spectrogram.shape == (2, 1, 64, 1 + samples // 80)
    assert spectrogram.isfinite().all()
    spectrogram.square().sum().backward()
    assert wave.grad is not None
    assert wave.grad.isfinite().all()


def test_silence_around_a_sound_is_no_noise() -> None:
    wave = torch.zeros(1, 1, 8000)
    wave[..., 3000:5000] = torch.randn(2000, generator=torch.Generator().manual_seed(0))
    spectrogram = LogMel(8000, MelSpec())(wave)[0, 0]
    assert spectrogram[:, :30].std() < 1e-5
    assert spectrogram[:, 45:55].mean() > spectrogram[:, :30].mean() + 1


def test_the_same_under_autocast() -> None:
    wave = torch.randn(1, 1, 8000, generator=torch.Generator().manual_seed(0))
    ear = LogMel(8000, MelSpec())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(ear(wave.bfloat16()), ear(wave.bfloat16().float()))
        assert ear(wave).dtype == torch.float32


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_same_on_a_gpu() -> None:
    wave = torch.randn(4, 1, 8000, generator=torch.Generator().manual_seed(0))
    ear = LogMel(8000, MelSpec())
    assert torch.allclose(ear(wave), ear.cuda()(wave.cuda()).cpu(), atol=1e-3)


def test_bands_too_narrow() -> None:
    with pytest.raises(ExunoError, match="4000 mel bands up to 4000 Hz"):
        LogMel(8000, MelSpec(mels=4000))

"""Recordings: what is read, how it is resampled, and what is said to broken ones."""

import io

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from exuno.data.audio.generated import MADE, made_sound
from exuno.data.audio.recording import is_recording, load_recording, read_recording, recording_sha256, resample
from exuno.engine.errors import ExunoError

TONE = (0.5 * np.sin(2 * np.pi * 440 * np.arange(8000) / 16000)).astype(np.float32)


def content(samples: np.ndarray, rate: int = 16000, format: str = "WAV", subtype: str | None = None) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=format, subtype=subtype)
    return file.getvalue()


@pytest.mark.parametrize(
    ("format", "subtype", "off"),
    [
        ("WAV", "PCM_U8", 1 / 127),
        ("WAV", "PCM_16", 1e-4),
        ("WAV", "PCM_24", 1e-6),
        ("WAV", "PCM_32", 1e-6),
        ("WAV", "FLOAT", 1e-7),
        ("WAV", "DOUBLE", 1e-7),
        ("FLAC", "PCM_16", 1e-4),
        ("OGG", "VORBIS", 0.05),
    ],
)
def test_every_width_and_format_gives_the_same_samples(format, subtype, off):
    read = read_recording(content(TONE, format=format, subtype=subtype), 16000)
    assert read.shape == TONE.shape
    assert read.dtype == np.float32
    assert np.abs(read - TONE).max() <= off


def test_channels_are_averaged():
    sides = np.stack([TONE, -TONE, 0.5 * TONE], 1)
    assert np.allclose(read_recording(content(sides, subtype="FLOAT"), 16000), TONE / 6, atol=1e-7)


@pytest.mark.parametrize(
    ("found", "rate"), [(8000, 16000), (44100, 16000), (48000, 16000), (22050, 8000), (16000, 11025)]
)
def test_resampling_keeps_what_fits_and_removes_what_does_not(found, rate):
    def tone(hz: float, rate: int) -> np.ndarray:
        return (0.5 * np.sin(2 * np.pi * hz * np.arange(rate) / rate)).astype(np.float32)

    kept, most = resample(tone(1000, found), found, rate), min(found, rate) / 2
    assert len(kept) == rate
    assert np.abs(kept - tone(1000, rate))[500:-500].max() < 1e-3
    assert np.abs(resample(tone(0.85 * most, found), found, rate)[500:-500]).max() > 0.48
    if found > rate:
        assert np.abs(resample(tone(min(1.1 * most, 0.49 * found), found), found, rate)[500:-500]).max() < 1e-3


@settings(deadline=None, max_examples=25)
@given(
    length=st.integers(1, 400),
    found=st.sampled_from([1000, 8000, 11025, 44100, 96001]),
    rate=st.sampled_from([8000, 16000]),
    loud=st.floats(0, 100),
)
def test_whatever_is_resampled_is_in_bounds(length, found, rate, loud):
    samples = (loud * np.random.default_rng(length).standard_normal(length)).astype(np.float32)
    out = resample(samples, found, rate)
    assert len(out) == pytest.approx(length * rate / found, abs=1.01)
    assert np.abs(out).max() <= 1


def broken() -> dict[str, tuple[bytes, str]]:
    whole, flac = content(TONE), content(TONE, format="FLAC")
    nan = TONE.copy()
    nan[7] = np.nan
    fast = bytearray(whole)
    fast[24:28] = (2_000_000).to_bytes(4, "little")
    return {
        "empty": (b"", "is empty"),
        "text": (b"this is not a recording\n" * 9, "not a recording that can be read"),
        "header": (whole[:40], "cut off"),
        "cut": (whole[:-1000], "cut off: it holds 15,000 of 16,000 bytes"),
        "cut flac": (flac[: len(flac) // 2], "not a recording that can be read"),
        "no samples": (content(TONE[:0]), "has no sample"),
        "nan": (content(nan, subtype="FLOAT"), "not a number"),
        "inf": (content(np.array([0, np.inf], np.float32), subtype="FLOAT"), "not a number"),
        "rate": (bytes(fast), "2,000,000 samples a second"),
    }


@pytest.mark.parametrize("name", broken())
def test_broken_recordings_are_told(tmp_path, name):
    data, message = broken()[name]
    path = tmp_path / "broken.wav"
    path.write_bytes(data)
    with pytest.raises(ExunoError, match=message):
        read_recording(data, 16000)
    with pytest.raises(ExunoError, match=r"broken\.wav"):
        load_recording(path, 16000)


@settings(deadline=None, max_examples=60)
@given(cut=st.integers(0, 1100), place=st.integers(0, 1100), value=st.integers(0, 255))
def test_damage_is_read_or_told_and_nothing_else(cut, place, value):
    for format in ("WAV", "FLAC", "OGG"):
        data = bytearray(content(TONE[:500], format=format))
        data[place % len(data)] = value
        try:
            read = read_recording(bytes(data[: len(data) - cut % len(data)]), 16000)
        except ExunoError:
            continue
        assert np.abs(read).max() <= 1


def test_a_source_needs_something_to_hear(tmp_path):
    soundfile.write(tmp_path / "silent.wav", 0 * TONE, 16000)
    soundfile.write(tmp_path / "one.wav", TONE[1:2], 16000)
    assert len(read_recording(tmp_path / "one.wav", 16000)) == 1
    assert not read_recording(tmp_path / "silent.wav", 16000).any()
    soundfile.write(tmp_path / "cancelled.wav", np.stack([TONE, -TONE], 1), 16000)
    for name in ("silent", "cancelled"):
        with pytest.raises(ExunoError, match="is silent"):
            load_recording(tmp_path / f"{name}.wav", 16000)
    with pytest.raises(ExunoError, match="a single sample"):
        load_recording(tmp_path / "one.wav", 16000)


def test_a_clipped_recording_is_read_and_loud_floats_are_scaled(tmp_path):
    soundfile.write(tmp_path / "clipped.wav", (4 * TONE).clip(-1, 1), 16000)
    assert np.abs(load_recording(tmp_path / "clipped.wav", 8000)).max() <= 1
    assert np.allclose(read_recording(content(4 * TONE, subtype="FLOAT"), 16000), 2 * TONE, atol=1e-3)


def test_missing_files_and_names(tmp_path):
    soundfile.write(tmp_path / "speech.wav", TONE, 16000)
    with pytest.raises(ExunoError, match=r"Did you mean .*speech\.wav"):
        load_recording(tmp_path / "speach.wav", 16000)
    with pytest.raises(ExunoError, match="is a folder"):
        load_recording(tmp_path, 16000)
    with pytest.raises(ExunoError, match="babble, music, noise"):
        load_recording("sound:birds", 16000)


def test_what_names_a_recording():
    assert all(map(is_recording, ("a.wav", "b/c.FLAC", "d.ogg", "sound:babble")))
    assert not any(map(is_recording, ("a.jpg", "photo:coffee", "noise:0", "folder:a", "wav")))


@pytest.mark.parametrize(("name", "seconds"), [("babble", 60), ("music", 36), ("noise", 30)])
def test_made_sounds(name, seconds):
    sound = load_recording(f"sound:{name}", 16000)
    assert len(sound) == pytest.approx(seconds * 16000, rel=0.01)
    assert np.abs(sound).max() == pytest.approx(0.9, abs=1e-3)
    assert 0.05 < np.sqrt(np.mean(sound**2)) < 0.3
    assert len(load_recording(f"sound:{name}", 8000)) == pytest.approx(len(sound) / 2, abs=1)
    assert name in MADE


def test_babble_is_varied_as_speech_is():
    """Voiced parts and pauses; many pitches; sounds with their energy low (vowels), high (fricatives) and between."""
    frames = np.lib.stride_tricks.sliding_window_view(made_sound("babble"), 1024)[::512] * np.hanning(1024)
    power = np.abs(np.fft.rfft(frames)) ** 2
    loud = power.sum(1)
    heard = loud > 1e-3 * loud.max()
    assert 0.05 < 1 - heard.mean() < 0.5
    hz = np.arange(513) * 16000 / 1024
    centre = (power[heard] @ hz) / loud[heard]
    assert np.quantile(centre, 0.25) < 900
    assert np.quantile(centre, 0.97) > 3500
    # The pitch is where the autocorrelation of a voiced frame is largest.
    lags = np.fft.irfft(power[heard], 1024)[:, 1:400]
    lags /= np.fft.irfft(power[heard], 1024)[:, :1]
    voiced = lags[:, 30:].max(1) > 0.5
    pitch = 16000 / (31 + lags[voiced][:, 30:].argmax(1))
    assert voiced.mean() > 0.3
    assert np.quantile(pitch, 0.9) > 2 * np.quantile(pitch, 0.1)


def test_sha256_is_that_of_the_file_or_the_samples(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, TONE, 16000)
    before = recording_sha256(path)
    soundfile.write(path, TONE[:-1], 16000)
    assert before != recording_sha256(path)
    assert len({recording_sha256(f"sound:{name}") for name in MADE}) == 3

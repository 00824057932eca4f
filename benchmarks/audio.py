"""Speed of ``exuno synth audio`` against a plain chain of librosa, excerpt by excerpt, and how near the two are.

Both sides make the same excerpts (equal parameters) in one process and take turns, so that whatever else the machine
does hits both.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/audio.py
"""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version

import librosa
import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from common import record, spread
from exuno.data.recording import load_recording
from exuno.synth.audio import QUIET, ExcerptSampler
from exuno.synth.audio_options import AudioOptions
from exuno.synth.audio_parameters import Cuts
from exuno.synth.audio_vocoder import FRAME, sizes_of

SOURCE = "sound:babble"
REPEATS = 7
COUNTS = (1024, 32)  # excerpts of one measurement for exuno and librosa
BATCH = 128
NEAR = 200  # excerpts whose log-mel spectra are compared


def cut(sampler: ExcerptSampler, cuts: Cuts, row: int, frame: int) -> NDArray[np.float32]:
    """A piece of the recording by librosa, with the pitch that exuno rounds to; ``frame`` is the size of its FFT."""
    options, recording = sampler.options, sampler.recording
    stretch = cuts.stretch[row]
    start = int(cuts.place[row] * (len(recording) - options.samples / stretch + 1))
    piece = recording[start : start + round(options.samples / stretch)]
    piece = np.asarray(librosa.effects.time_stretch(piece, rate=1 / stretch, n_fft=frame))
    pitch = float(12 * np.log2(FRAME / sizes_of(cuts.pitch[row : row + 1])[0]))
    piece = librosa.effects.pitch_shift(piece, sr=options.rate, n_steps=pitch, n_fft=frame)
    return librosa.util.fix_length(piece, size=options.samples)


def filtered(piece: NDArray[np.float32], edges: NDArray[np.float64]) -> NDArray[np.float32]:
    for edge, kind in zip(edges, ("highpass", "lowpass"), strict=True):
        if 0 < edge < 1:
            piece = np.asarray(sosfilt(butter(2, edge, kind, output="sos"), piece))
    return piece


def plain(sampler: ExcerptSampler, indices: range, frame: int = 2048) -> NDArray[np.float32]:
    """The excerpts with these indices, float32 [N, samples], one after the other."""
    drawn, samples = sampler.draw(indices), sampler.options.samples
    out = np.empty((len(indices), samples), np.float32)
    for row, index in enumerate(indices):
        excerpt = filtered(cut(sampler, drawn.cut, row, frame), drawn.edges[row])
        level = max(np.sqrt(np.mean(excerpt**2)), QUIET * sampler.level)
        if drawn.mixed[row]:
            other = filtered(cut(sampler, drawn.other, row, frame), drawn.edges[row])
            excerpt = excerpt + other * (level / (np.sqrt(np.mean(other**2)) + 1e-9) * 10 ** (-drawn.mix_db[row] / 20))
        if drawn.noisy[row]:
            noise = np.random.default_rng(index).standard_normal(samples)
            if drawn.pink[row]:
                spectrum = np.fft.rfft(noise)
                noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 1)), samples)
            excerpt = excerpt + noise * (level / np.sqrt(np.mean(noise**2)) * 10 ** (-drawn.noise_db[row] / 20))
        out[row] = np.clip(excerpt * 10 ** (drawn.gain[row] / 20), -1, 1)
    return out


def fast(sampler: ExcerptSampler, indices: range) -> None:
    for start in range(indices.start, indices.stop, BATCH):
        sampler(range(start, min(start + BATCH, indices.stop)))


def race(sampler: ExcerptSampler) -> tuple[list[float], list[float]]:
    """Excerpts per second of both sides in each repeat."""
    rates: tuple[list[float], list[float]] = ([], [])
    sides: tuple[Callable, Callable] = (fast, plain)
    for side in sides:
        side(sampler, range(8))
    for repeat in range(REPEATS):
        for rate, work, count in zip(rates, sides, COUNTS, strict=True):
            started = time.perf_counter()
            work(sampler, range(repeat * count, (repeat + 1) * count))
            rate.append(count / (time.perf_counter() - started))
    return rates


def log_mel(sounds: NDArray[np.float32], rate: int) -> NDArray[np.float64]:
    """Log-mel spectra in dB, [N, 64, frames], at most 60 dB below the loudest value of each."""
    power = librosa.feature.melspectrogram(y=sounds, sr=rate, n_fft=512, hop_length=160, n_mels=64)
    db = librosa.power_to_db(power, ref=1.0, top_db=None)
    return np.maximum(db, db.max((1, 2), keepdims=True) - 60)


def nearness(sampler: ExcerptSampler) -> list[dict[str, object]]:
    """Mean absolute difference of log-mel spectra in dB, from librosa's default and from other things."""
    rows = []
    quiet = replace(sampler.options, mix=0.0, noise=0.0, filter=0.0)
    pitch, stretch = sampler.options.pitch, sampler.options.stretch
    for name, options in (
        ("only cut out", replace(quiet, pitch=(0.0, 0.0), stretch=(1.0, 1.0))),
        ("stretch", replace(quiet, pitch=(0.0, 0.0), stretch=stretch)),
        ("pitch", replace(quiet, pitch=pitch, stretch=(1.0, 1.0))),
        ("both", quiet),
    ):
        other = ExcerptSampler(sampler.recording, options)
        ours = log_mel(other(range(NEAR)), options.rate)
        default = log_mel(plain(other, range(NEAR)), options.rate)
        small = log_mel(plain(other, range(NEAR), FRAME), options.rate)
        rows.append(
            {
                "what": f"nearness: {name}",
                "exuno to librosa": f"{np.abs(ours - default).mean():.2f} dB",
                "exuno to librosa with frames of 1024": f"{np.abs(ours - small).mean():.2f} dB",
                "librosa to itself with those": f"{np.abs(small - default).mean():.2f} dB",
                "to another excerpt": f"{np.abs(ours - np.roll(default, 1, 0)).mean():.2f} dB",
            }
        )
    return rows


def main() -> None:
    options = AudioOptions()
    sampler = ExcerptSampler(load_recording(SOURCE, options.rate), options)
    started = time.perf_counter()
    _ = sampler.vocoder
    prepared = time.perf_counter() - started
    rates = race(sampler)
    ours, theirs = (spread(side) for side in rates)
    ratio = spread([a / b for a, b in zip(*rates, strict=True)])
    near = nearness(sampler)
    note = (
        f"`benchmarks/audio.py`, {SOURCE}, excerpts of {options.seconds:g} s at {options.rate:,} Hz, options at their "
        f"defaults, one process, batches of {BATCH}, {REPEATS} repeats in turns, load average "
        f"{os.getloadavg()[0]:.1f}. librosa {version('librosa')}: time_stretch, pitch_shift (both with their "
        "defaults), Butterworth filter, mixing, noise, gain, with the same parameters.\n\n"
        f"Excerpts per second, median (min – max): exuno **{ours.median:,.0f}** ({ours.min:,.0f} – {ours.max:,.0f}), "
        f"librosa {theirs.median:,.1f} ({theirs.min:,.1f} – {theirs.max:,.1f}), ratio **{ratio.median:.1f}** "
        f"({ratio.min:.1f} – {ratio.max:.1f}), required 5. The spectra of the recording, made once, took "
        f"{prepared:.2f} s.\n\n"
        f"How near they are: mean absolute difference of log-mel spectra of {NEAR} excerpts without filter, mixing and "
        "noise (64 bands, values more than 60 dB below the loudest are raised to that), beside that of librosa with "
        "two sizes of its frames, and of two excerpts that have nothing to do with each other."
    )
    record("synth audio", near, note)


if __name__ == "__main__":
    main()

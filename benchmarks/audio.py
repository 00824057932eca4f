"""Speed of ``exuno synth audio`` against a plain chain of librosa, excerpt by excerpt, and how near the two are; and of
the loader of recordings against a plain torch Dataset that reads its files with soundfile.

Both sides make the same excerpts (equal parameters), or batches of the same files, in one process and take turns, so
that whatever else the machine does hits both.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/audio.py [synth] [loader]
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import librosa  # pyright: ignore[reportMissingImports]
import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from common import record, spread
from exuno.data.audio.recording import load_recording
from exuno.data.audio.recordings import open_recordings
from exuno.data.loader import Loader
from exuno.engine.options import Augment
from exuno.synth.audio import QUIET, Cuts, ExcerptSampler
from exuno.synth.options import AudioOptions
from exuno.synth.vocoder import FRAME, sizes_of

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


class Plain(Dataset[tuple[Tensor, int]]):
    """A file read by soundfile whenever it is due, laid at random into a window: what one writes by hand."""

    def __init__(self, folder: Path, length: int, shift: float) -> None:
        self.files = sorted(folder.glob("*/*.wav"))
        self.classes = sorted({file.parent.name for file in self.files})
        self.length, self.shift = length, round(shift * length)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        file = self.files[position]
        wave = torch.from_numpy(soundfile.read(file, dtype="float32")[0])
        spare = self.length - len(wave)
        left = spare // 2 + int(torch.randint(-self.shift, self.shift + 1, ()))
        placed = torch.nn.functional.pad(wave, (left, spare - left))  # negative: cut
        return placed[None], self.classes.index(file.parent.name)


def loader() -> None:
    """Recordings a second that reach the network in each epoch."""
    rate, count, batch, shift = 16000, 2000, 64, 0.2
    with tempfile.TemporaryDirectory() as name:
        sound, random = load_recording(SOURCE, rate), np.random.default_rng(0)
        for i in range(count):
            samples, folder = int(rate * random.uniform(0.3, 1.4)), Path(name) / str(i % 10)
            folder.mkdir(exist_ok=True)
            start = random.integers(len(sound) - samples)
            soundfile.write(folder / f"{i}.wav", sound[start : start + samples], rate)
        started = time.perf_counter()
        data = open_recordings(name, "train")
        opened = time.perf_counter() - started
        ours = Loader(data, batch, Augment(shift=shift), 0, (1, rate))
        theirs = DataLoader(Plain(Path(name), rate, shift), batch, shuffle=True, drop_last=True)
        rates: tuple[list[float], list[float]] = ([], [])
        for epoch in range(REPEATS):
            for side, batches in zip(rates, (lambda: ours.epoch(epoch), lambda: iter(theirs)), strict=True):  # noqa: B023
                started = time.perf_counter()
                seen = sum(len(each["images"] if isinstance(each, dict) else each[0]) for each in batches())
                side.append(seen / (time.perf_counter() - started))
    fast, plain = (spread(side) for side in rates)
    ratio = spread([a / b for a, b in zip(*rates, strict=True)])
    rows: list[dict[str, object]] = [
        {"side": side, "recordings/s, median": f"{each.median:,.0f}", "min – max": f"{each.min:,.0f} – {each.max:,.0f}"}
        for side, each in (("exuno", fast), ("soundfile in a torch Dataset", plain))
    ]
    note = (
        f"`benchmarks/audio.py loader`, {count:,} WAV files (16 bits, {rate:,} Hz, 0.3 to 1.4 s), a moved window of "
        f"1 s, batches of {batch}, no worker processes, {REPEATS} epochs in turns, load average "
        f"{os.getloadavg()[0]:.1f}. exuno decodes every file once, when it is opened, which took {opened:.2f} s "
        f"({count / opened:,.0f} recordings/s) and also found the broken ones; then an epoch is {ratio.median:.1f} "
        f"({ratio.min:.1f} – {ratio.max:.1f}) times as fast. The other side opens nothing and decodes each file in "
        "each epoch, from the system's cache."
    )
    record("Input: recordings to the network", rows, note)


def synth() -> None:
    """Excerpts a second, and how near they are to librosa's."""
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
    for section in sys.argv[1:] or ("synth", "loader"):
        {"synth": synth, "loader": loader}[section]()

"""The excerpt sampler: (recording, options, seed, index) -> excerpt, and nothing else has a say in it."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exuno.data.rng import bits
from exuno.engine.errors import ExunoError
from exuno.synth.audio_options import AudioOptions, check
from exuno.synth.audio_parameters import Cuts, Excerpts, draw
from exuno.synth.audio_vocoder import Vocoder, sizes_of

QUIET = 0.01
"""An excerpt without sound, from a pause, is taken to be this much of the recording's level when others are added."""


class ExcerptSampler:
    """Makes excerpts of one recording: ``sampler(indices)`` is float32 [N, samples] in [-1, 1].

    An excerpt is a pure function of (recording, options, seed, index): a place, a stretch, a pitch; a filter; another
    excerpt and noise, each so many dB below it; a gain. Calling it changes nothing; it can be pickled (only the
    recording, the options and the seed travel) and used by many processes.

    Args:
        recording: the recording, float32 [S] in [-1, 1] at ``options.rate``.
        options: what to do with it.
        seed: the seed of every draw.

    Raises:
        ExunoError: an option makes no sense, or the recording is shorter than an excerpt.
    """

    def __init__(self, recording: NDArray[np.float32], options: AudioOptions | None = None, seed: int = 0) -> None:
        options = options or AudioOptions()
        if recording.ndim != 1 or recording.dtype != np.float32:
            raise ValueError(f"recording must be float32 [S], not {recording.dtype} {list(recording.shape)}")
        check(options)
        self.recording, self.options, self.seed = recording, options, seed
        longest = options.samples / options.stretch[0]
        if len(recording) < longest:
            raise ExunoError(
                f"the recording lasts {len(recording) / options.rate:.2f} seconds, and an excerpt may take "
                f"{longest / options.rate:.2f} of it ({options.seconds:g}, stretched by {options.stretch[0]:g})",
                "Give a longer recording, a smaller number of seconds or a stretch that begins higher.",
            )
        self.level = float(np.sqrt(np.mean(recording.astype(np.float64) ** 2)))
        self._vocoder: Vocoder | None = None

    @property
    def vocoder(self) -> Vocoder:
        """The spectra of the recording, made on first use."""
        if self._vocoder is None:
            slowest = self.options.stretch[0] * 2 ** (self.options.pitch[0] / 12)
            self._vocoder = Vocoder(self.recording, 1.02 / slowest)
        return self._vocoder

    def prepare(self) -> None:
        """Make the spectra now, so that forked processes share them."""
        _ = self.vocoder

    def draw(self, indices: ArrayLike) -> Excerpts:
        """The parameters of the excerpts with these indices."""
        return draw(self.options, self.seed, indices)

    def __call__(self, indices: ArrayLike) -> NDArray[np.float32]:
        indices = np.asarray(indices, np.int64).reshape(-1)
        drawn = self.draw(indices)
        mixed, noisy = np.flatnonzero(drawn.mixed), np.flatnonzero(drawn.noisy)
        # Both kinds of pieces in one call: more of them have a size in common.
        every = np.append(np.arange(len(indices)), mixed)
        pieces = self._pieces(_both(drawn.cut, drawn.other[mixed]), drawn.edges[every])
        excerpts = pieces[: len(indices)]
        level = np.maximum(_level(excerpts), QUIET * self.level)
        other = pieces[len(indices) :]
        _add(excerpts, mixed, other, level[mixed], drawn.mix_db[mixed])
        noise = _noise(self.seed, indices[noisy], self.options.samples, drawn.pink[noisy])
        _add(excerpts, noisy, noise, level[noisy], drawn.noise_db[noisy])
        excerpts *= _times(drawn.gain)[:, None].astype(np.float32)
        return np.clip(excerpts, -1, 1, out=excerpts)

    def _pieces(self, cuts: Cuts, edges: NDArray[np.float64]) -> NDArray[np.float32]:
        samples = self.options.samples
        start = np.floor(cuts.place * (len(self.recording) - samples / cuts.stretch + 1))
        return self.vocoder.read(start, cuts.stretch, sizes_of(cuts.pitch), edges, samples)

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_vocoder": None}


def _both(one: Cuts, other: Cuts) -> Cuts:
    return Cuts(
        place=np.append(one.place, other.place),
        stretch=np.append(one.stretch, other.stretch),
        pitch=np.append(one.pitch, other.pitch),
    )


def _level(sounds: NDArray[np.float32]) -> NDArray[np.float64]:
    """The root mean square of each, [N]."""
    return np.sqrt(np.square(sounds).mean(1)).astype(np.float64)


def _times(db: NDArray[np.float64]) -> NDArray[np.float64]:
    return 10 ** (db / 20)


def _add(
    excerpts: NDArray[np.float32],
    rows: NDArray[np.int64],
    sounds: NDArray[np.float32],
    level: NDArray[np.float64],
    db: NDArray[np.float64],
) -> None:
    """Add to some rows a sound each, ``db`` below ``level``; a silent one stays silent."""
    scale = level / _times(db) / np.maximum(_level(sounds), 1e-6)
    excerpts[rows] += sounds * scale[:, None].astype(np.float32)


def _noise(seed: int, indices: NDArray[np.int64], samples: int, pink: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Noise for these excerpts, float32 [N, samples], of any level: white, or 3 dB less with each octave."""
    words = bits(seed, "synth-audio-noise", indices, -(-samples // 4))
    noise = words.view(np.int16)[:, :samples].astype(np.float32)
    rows = np.flatnonzero(pink)
    if len(rows):
        spectra = np.fft.rfft(noise[rows]).astype(np.complex64)
        spectra[:, 1:] /= np.sqrt(np.arange(1, spectra.shape[1], dtype=np.float32))
        spectra[:, 0] = 0
        noise[rows] = np.fft.irfft(spectra, samples)
    return noise

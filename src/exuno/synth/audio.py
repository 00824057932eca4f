"""The excerpt sampler: (recording, options, seed, index) -> excerpt, and what it draws."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exuno.data.rng import bits, uniforms
from exuno.engine.errors import ExunoError
from exuno.synth.options import AudioOptions, check_audio
from exuno.synth.vocoder import Vocoder, sizes_of

STREAM = "synth-audio"
# Slots of the random numbers of one excerpt; what is mixed in has three of its own.
_PLACE, _STRETCH, _PITCH = range(3)
_OTHER, _GAIN, _FILTER, _KIND, _EDGES, _MIX, _MIX_DB, _NOISE, _COLOUR, _NOISE_DB, _SLOTS = (
    3,
    6,
    7,
    8,
    9,
    11,
    *range(12, 17),
)

EDGES = (0.02, 0.75)
"""Where the edges of a filter may be, as fractions of half the rate: 160 Hz to 6 kHz at 16 kHz (log-uniform)."""


@dataclass(frozen=True)
class Cuts:
    """Where N pieces are cut out of the recording, and how they are changed."""

    place: NDArray[np.float64]
    """[N]: where they begin, as a fraction of the places that there are."""
    stretch: NDArray[np.float64]
    """[N]: by what factor they last longer."""
    pitch: NDArray[np.float64]
    """[N]: change of pitch in semitones."""

    def __len__(self) -> int:
        return len(self.place)

    def __getitem__(self, rows: slice | NDArray) -> "Cuts":
        return Cuts(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


@dataclass(frozen=True)
class Excerpts:
    """The draw of N excerpts."""

    cut: Cuts
    other: Cuts
    """What is mixed in, where ``mixed``."""
    gain: NDArray[np.float64]
    """[N]: in dB."""
    edges: NDArray[np.float64]
    """[N, 2]: what a filter lets pass, as fractions of half the rate; 0 and infinity: all."""
    mixed: NDArray[np.bool_]
    """[N]: whether another excerpt is mixed in."""
    mix_db: NDArray[np.float64]
    """[N]: by how many dB it is quieter."""
    noisy: NDArray[np.bool_]
    """[N]: whether there is noise."""
    pink: NDArray[np.bool_]
    """[N]: whether it is pink."""
    noise_db: NDArray[np.float64]
    """[N]: by how many dB it is quieter."""


def draw(options: AudioOptions, seed: int, indices: ArrayLike) -> Excerpts:
    """Draw the parameters of the excerpts with these indices."""
    u = uniforms(seed, STREAM, np.asarray(indices, np.int64).reshape(-1), _SLOTS)
    edges = np.sort(EDGES[0] * (EDGES[1] / EDGES[0]) ** u[:, _EDGES : _EDGES + 2], axis=1)
    kind = (3 * u[:, _KIND]).astype(np.int64)  # 0: low-pass, 1: high-pass, 2: band-pass
    filtered = u[:, _FILTER] < options.filter
    return Excerpts(
        cut=_cuts(options, u),
        other=_cuts(options, u[:, _OTHER:]),
        gain=_between(options.gain, u[:, _GAIN]),
        edges=np.stack(
            [
                np.where(filtered & (kind != 0), edges[:, 0], 0.0),
                np.where(filtered & (kind != 1), edges[:, 1], np.inf),
            ],
            axis=1,
        ),
        mixed=u[:, _MIX] < options.mix,
        mix_db=_between(options.snr, u[:, _MIX_DB]),
        noisy=u[:, _NOISE] < options.noise,
        pink=u[:, _COLOUR] < 0.5,
        noise_db=_between(options.snr, u[:, _NOISE_DB]),
    )


def _cuts(options: AudioOptions, u: NDArray[np.float64]) -> Cuts:
    low, high = options.stretch
    return Cuts(
        place=u[:, _PLACE], stretch=low * (high / low) ** u[:, _STRETCH], pitch=_between(options.pitch, u[:, _PITCH])
    )


def _between(pair: tuple[float, float], u: NDArray[np.float64]) -> NDArray[np.float64]:
    return pair[0] + u * (pair[1] - pair[0])


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
        check_audio(options)
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

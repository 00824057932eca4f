"""Draws what the sampler needs to know about each excerpt: vectorised, and a pure function of (seed, index)."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exuno.data.rng import uniforms
from exuno.synth.audio_options import AudioOptions

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

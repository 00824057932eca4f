"""A phase vocoder over one recording, whose spectra are made once and read by every excerpt at its own speed.

Flanagan and Golden (Bell System Technical Journal, 1966); Röbel (DAFx 2003) for the sudden rises. Time is stretched by
reading the spectra slower than they were made; their phases advance as they did in the recording. An attack is left out
of frames until it reaches their middle, where phases start anew; else it would be heard early and smeared. Pitch is
shifted in the same step: a frame goes back to samples through an inverse FFT of another size, which is an exact
resampling.
"""

import numpy as np
from numpy.typing import NDArray

FRAME, HOP = 1024, 256
"""Samples of a frame, and from one to the next."""

_RISE = 10.0
"""By what factor the energy grows from one frame to the next in a sudden rise."""

_BLOCK = 32
"""Samples to which the place of an attack is known."""

_REACHED = 9 / 16
"""Part of a frame that an attack has to be in to be heard: earlier, it is too quiet; later, it is heard early."""

_CHUNK = 32
"""Excerpts made at a time: few calls, and not far beyond the caches."""


def _fast_sizes() -> NDArray[np.int64]:
    """Sizes, multiples of four, whose FFT is fast: no prime factor above 31. Half to twice ``FRAME``."""

    def largest_factor(number: int) -> int:
        factor = 2
        while factor * factor <= number:
            if number % factor:
                factor += 1
            else:
                number //= factor
        return number

    return np.array([size for size in range(FRAME // 2, 2 * FRAME + 1, 4) if largest_factor(size) <= 31])


SIZES = _fast_sizes()


def sizes_of(pitch: NDArray[np.float64]) -> NDArray[np.int64]:
    """The size of the inverse FFT for each change of pitch in semitones; none is off by more than a quarter of one."""
    wanted = FRAME / 2 ** (pitch / 12)
    after = np.searchsorted(SIZES, wanted).clip(1, len(SIZES) - 1)
    below, above = SIZES[after - 1], SIZES[after]
    return np.where(wanted - below < above - wanted, below, above)


class Vocoder:
    """Reads pieces of a recording at other speeds and pitches.

    Takes 24 bytes for each sample of the recording: 23 MB for a minute at 16 kHz.

    Args:
        samples: the recording, float32 [S].
        fastest: the largest speed at which it will be read, in frames of the recording for each one made.
    """

    def __init__(self, samples: NDArray[np.float32], fastest: float) -> None:
        self.samples = samples
        self.before = (int(fastest) + 4) * HOP
        padded = np.pad(samples, (self.before, FRAME + (int(2 * fastest) + 3) * HOP))
        self.frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::HOP]
        self.window = np.hanning(FRAME + 1)[:-1].astype(np.float32)
        bins = FRAME // 2 + 1
        self.size = np.empty((len(self.frames), bins), np.float32)
        self.turn = np.empty((len(self.frames) - 1, bins), np.complex64)
        part = 1024
        for start in range(0, len(self.frames), part):
            spectra = np.fft.rfft(self.frames[start : start + part + 1] * self.window).astype(np.complex64)
            self.size[start : start + part] = np.abs(spectra[:part])
            self.turn[start : start + part] = _unit(spectra[1:] * spectra[:-1].conj())
        self.every = np.lib.stride_tricks.sliding_window_view(padded, FRAME)
        self.attacks = self._attacks()

    def _attacks(self) -> NDArray[np.int64]:
        """Samples at which the sound suddenly rises, in rising order; at the end one that is never reached."""
        energy = np.square(self.size).sum(1)
        sudden = energy[1:] > _RISE * energy[:-1]
        sudden[1:] &= ~sudden[:-1]  # it rises on as the attack moves into the window
        first = np.flatnonzero(sudden) + 1
        blocks = np.square(self.frames[first]).reshape(len(first), -1, _BLOCK).sum(2)
        found = first * HOP + _BLOCK * np.argmax(blocks > 0.1 * blocks.max(1, keepdims=True), axis=1)
        return np.append(np.unique(found), self.every.size)

    def read(
        self,
        start: NDArray[np.float64],
        stretch: NDArray[np.float64],
        sizes: NDArray[np.int64],
        edges: NDArray[np.float64],
        length: int,
    ) -> NDArray[np.float32]:
        """Pieces of the recording, float32 [N, length].

        Args:
            start: [N], where they begin, in samples of the recording.
            stretch: [N], by what factor they last longer.
            sizes: [N], the sizes of their inverse FFT (``sizes_of``), which decide about their pitch.
            edges: [N, 2], the frequencies that pass, as fractions of half the rate.
            length: samples of a piece.
        """
        out = np.empty((len(start), length), np.float32)
        order = np.argsort(sizes, kind="stable")  # equal sizes side by side: one FFT for all of them
        for first in range(0, len(order), _CHUNK):
            rows = order[first : first + _CHUNK]
            out[rows] = self._read(start[rows], stretch[rows], sizes[rows], edges[rows], length)
        return out

    def _read(
        self,
        start: NDArray[np.float64],
        stretch: NDArray[np.float64],
        sizes: NDArray[np.int64],
        edges: NDArray[np.float64],
        length: int,
    ) -> NDArray[np.float32]:
        speed = sizes / (FRAME * stretch)
        # Three frames before the first sample overlap it; the middle of a frame is what keeps its place. Samples are
        # left out where no frame begins.
        wanted = (start + self.before) / HOP - 2 - speed
        first = np.floor(wanted).astype(np.int64)
        skip = np.rint((wanted - first) * stretch * HOP).astype(np.int64)
        hops = sizes // 4
        counts = -(-(skip + length) // hops) + 3
        spectra = self._spectra(first, speed, int(counts.max()))
        out = np.empty((len(start), length), np.float32)
        for size in np.unique(sizes):
            low, high = np.searchsorted(sizes, [size, size + 1])
            many = int(counts[low:high].max())
            bins = min(FRAME, size) // 2 + 1
            shown = spectra[:many, low:high, :bins] * _response(edges[low:high], bins, size)
            window = (np.hanning(size + 1)[:-1] * (size / FRAME / 1.5)).astype(np.float32)
            parts = np.fft.irfft(shown, size).astype(np.float32, copy=False)
            parts *= window
            whole = _overlap_add(parts)
            for row in range(low, high):
                begin = 3 * hops[row] + skip[row]
                out[row] = whole[row - low, begin : begin + length]
        return out

    def _spectra(self, first: NDArray[np.int64], speed: NDArray[np.float64], count: int) -> NDArray[np.complex64]:
        """The spectra of ``count`` frames of each piece, complex64 [count, N, bins]."""
        places = first + np.arange(count)[:, None] * speed
        places = np.minimum(places, len(self.turn) - 1)  # beyond it: frames that nobody asked for
        whole = places.astype(np.int64)
        share = (places - whole).astype(np.float32)
        passed = np.searchsorted(self.attacks, places * HOP + _REACHED * FRAME, side="right")
        anew = np.empty(passed.shape, np.bool_)
        anew[0], anew[1:] = True, passed[1:] > passed[:-1]
        coming = self.attacks[passed]  # a frame that it has entered is as the last one before it
        held = (coming < places * HOP + FRAME) & (speed != 1)
        whole[held] = np.clip((coming - FRAME) // HOP - 1, 0, whole)[held]
        share[held] = 0
        share = share[:, :, None]
        anew |= speed == 1  # nothing is stretched: each phase is that of the recording
        there = self.every[np.rint(places[anew] * HOP).astype(np.int64)]
        phases = _unit(np.fft.rfft(there * self.window).astype(np.complex64))
        ends = np.cumsum(anew.sum(1))
        phase = phases[: ends[0]].copy()
        spectra = np.empty((count, len(first), FRAME // 2 + 1), np.complex64)
        for number in range(count):
            here = whole[number]
            if number:
                phase *= self.turn[whole[number - 1]]
                if ends[number] > ends[number - 1]:
                    phase[anew[number]] = phases[ends[number - 1] : ends[number]]
            size = self.size[here]
            size += (self.size[here + 1] - size) * share[number]
            np.multiply(phase, size, out=spectra[number])
        return spectra


def _unit(spectra: NDArray[np.complex64]) -> NDArray[np.complex64]:
    """The phases alone; 1 where there is nothing."""
    size = np.abs(spectra)
    silent = size < 1e-30
    size[silent] = 1
    turns = (spectra / size).astype(np.complex64, copy=False)
    turns[silent] = 1
    return turns


def _response(edges: NDArray[np.float64], bins: int, size: int) -> NDArray[np.float32]:
    """Butterworth responses of second order between the edges [N, 2], float32 [N, bins]; phases stay."""
    place = np.arange(bins) * (2 / size)
    low = edges[:, :1] / np.maximum(place, 1e-9)
    return (1 / np.sqrt((1 + low**4) * (1 + (place / edges[:, 1:]) ** 4))).astype(np.float32)


def _overlap_add(parts: NDArray[np.float32]) -> NDArray[np.float32]:
    """Frames [K, N, size], each a quarter of its size behind the last, summed: [N, (K + 3) * size / 4]."""
    count, number, size = parts.shape
    hop = size // 4
    quarters = parts.reshape(count, number, 4, hop)
    out = np.zeros((number, count + 3, hop), np.float32)
    for quarter in range(4):
        out[:, quarter : quarter + count] += quarters[:, :, quarter].swapaxes(0, 1)
    return out.reshape(number, -1)

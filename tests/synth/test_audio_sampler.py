"""Excerpts: pure functions of (recording, options, seed, index), with the stretch, pitch and noise asked for."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exuno.data.audio.recording import load_recording
from exuno.engine.errors import ExunoError
from exuno.synth.audio import ExcerptSampler
from exuno.synth.options import AudioOptions
from exuno.synth.vocoder import FRAME, SIZES, sizes_of

BABBLE = load_recording("sound:babble", 16000)
PLAIN = {"stretch": (1.0, 1.0), "pitch": (0.0, 0.0), "gain": (0.0, 0.0), "filter": 0.0, "mix": 0.0, "noise": 0.0}


def tone(hz: float, seconds: float = 5) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(int(16000 * seconds)) / 16000)).astype(np.float32)


def frequency(sound: np.ndarray) -> float:
    """Of its strongest partial, in Hz."""
    size = 2**18
    return float(np.abs(np.fft.rfft(sound * np.hanning(len(sound)), size)).argmax() * 16000 / size)


def level(sounds: np.ndarray) -> np.ndarray:
    return np.sqrt(np.square(sounds, dtype=np.float64).mean(1))


def test_an_excerpt_depends_on_its_number_alone():
    sampler = ExcerptSampler(BABBLE, seed=3)
    together = sampler(range(50))
    assert together.shape == (50, 16000)
    assert together.dtype == np.float32
    assert (together[::-1] == sampler(range(49, -1, -1))).all()
    for i in (0, 7, 49):
        assert (sampler([i])[0] == together[i]).all()
    again = pickle.loads(pickle.dumps(sampler))
    assert (again([3, 40]) == together[[3, 40]]).all()
    assert len(pickle.dumps(sampler)) < 1.1 * BABBLE.nbytes
    assert sampler([]).shape == (0, 16000)
    assert not (ExcerptSampler(BABBLE, seed=4)(range(5)) == together[:5]).any()


def test_golden_numbers():
    """Level of the first eight excerpts of sound:babble; from this code (2026), to see that draws never change."""
    found = level(ExcerptSampler(BABBLE)(range(8)))
    assert np.allclose(found, GOLDEN, rtol=1e-3)


GOLDEN = [0.04017, 0.04845, 0.09667, 0.03867, 0.0595, 0.02545, 0.01561, 0.14155]


def test_without_changes_it_is_the_recording():
    sampler = ExcerptSampler(BABBLE, AudioOptions(**PLAIN))
    for i, excerpt in enumerate(sampler(range(6))):
        start = int(sampler.draw([i]).cut.place[0] * (len(BABBLE) - 16000 + 1))
        assert np.abs(excerpt - BABBLE[start : start + 16000]).max() < 1e-5


@pytest.mark.parametrize("stretch", [0.5, 0.8, 1.25, 2.0])
def test_a_stretched_tone_keeps_its_frequency(stretch):
    sampler = ExcerptSampler(tone(440), AudioOptions(**{**PLAIN, "stretch": (stretch, stretch)}))
    for excerpt in sampler(range(3)):
        assert frequency(excerpt) == pytest.approx(440, rel=1e-3)
        assert np.abs(excerpt).max() == pytest.approx(0.5, rel=0.02)


@pytest.mark.parametrize("stretch", [0.8, 1.25, 2.0])
def test_events_are_as_far_apart_as_the_stretch_says(stretch):
    """A tone that swells three times a second swells 3 / stretch times a second."""
    swelling = tone(1000, 20) * (1 + np.sin(2 * np.pi * 3 * np.arange(320000) / 16000)).astype(np.float32)
    sampler = ExcerptSampler(swelling, AudioOptions(**{**PLAIN, "stretch": (stretch, stretch), "seconds": 4.0}))
    loudness = np.square(sampler([0])[0].reshape(-1, 160)).mean(1)  # 100 values a second
    spectrum = np.abs(np.fft.rfft((loudness - loudness.mean()) * np.hanning(400), 8192))
    assert spectrum.argmax() * 100 / 8192 == pytest.approx(3 / stretch, rel=0.03)


@pytest.mark.parametrize("pitch", [-12.0, -4.0, -1.0, 3.0, 12.0])
def test_a_shifted_tone_has_the_new_frequency(pitch):
    sampler = ExcerptSampler(tone(440), AudioOptions(**{**PLAIN, "pitch": (pitch, pitch), "stretch": (1.1, 1.1)}))
    assert frequency(sampler([0])[0]) == pytest.approx(440 * 2 ** (pitch / 12), rel=0.01)


def test_no_pitch_is_off_by_more_than_a_quarter_of_a_semitone():
    pitch = np.linspace(-12, 12, 5000)
    assert np.abs(FRAME / sizes_of(pitch) / 2 ** (pitch / 12) - 1).max() < 0.0145
    assert FRAME in SIZES


def test_attacks_after_silence_are_those_of_the_recording():
    """Silence has no phases to go on from: without a fresh start the first sound after it would be another wave."""
    time = np.arange(3000) / 16000
    pluck = sum(np.sin(2 * np.pi * 200 * k * time) for k in range(1, 15)) * 0.05 * np.exp(-40 * time)
    plucks = np.tile(np.append(pluck, np.zeros(5000)), 10).astype(np.float32)
    sampler = ExcerptSampler(plucks, AudioOptions(**PLAIN))
    for i, excerpt in enumerate(sampler(range(6))):
        start = int(sampler.draw([i]).cut.place[0] * (len(plucks) - 16000 + 1))
        assert np.abs(excerpt - plucks[start : start + 16000]).max() < 1e-5


@pytest.mark.parametrize(("stretch", "most"), [(0.8, 0.05), (1.1, 0.02), (1.25, 0.02), (2.0, 0.2)])
def test_nothing_is_heard_before_a_stretched_attack(stretch, most):
    time = np.arange(3000) / 16000
    pluck = sum(np.sin(2 * np.pi * 200 * k * time) for k in range(1, 15)) * 0.05 * np.exp(-40 * time)
    plucks = np.tile(np.append(pluck, np.zeros(5000)), 12).astype(np.float32)
    sampler = ExcerptSampler(plucks, AudioOptions(**{**PLAIN, "stretch": (stretch, stretch)}))
    before = after = 0.0
    for excerpt, place in zip(sampler(range(24)), sampler.draw(range(24)).cut.place, strict=True):
        start = int(place * (len(plucks) - 16000 / stretch + 1))
        for attack in np.rint((np.arange(12) * 8000 - start) * stretch).astype(int):
            if 1200 <= attack < 14800:
                before += np.square(excerpt[attack - 1200 : attack - 16]).sum()
                after += np.square(excerpt[attack - 16 : attack + 1200]).sum()
    assert before < most * after


@pytest.mark.parametrize("snr", [0.0, 20.0])
def test_noise_is_as_quiet_as_asked(snr):
    clean = ExcerptSampler(tone(440), AudioOptions(**PLAIN))(range(40))
    sampler = ExcerptSampler(
        tone(440), AudioOptions(**{**PLAIN, "noise": 1.0, "snr": (snr, snr), "gain": (-9.0, -9.0)})
    )
    noise = sampler(range(40)) * 10 ** (9 / 20) - clean
    assert np.allclose(20 * np.log10(level(clean) / level(noise)), snr, atol=0.3)
    # White noise has as much in the upper octave as in all the others, pink a small part of it.
    power = np.abs(np.fft.rfft(noise)) ** 2
    upper = power[:, 4000:].sum(1) / power.sum(1)
    pink = sampler.draw(range(40)).pink
    assert 0 < pink.sum() < 40
    assert np.allclose(upper[~pink], 0.5, atol=0.05)
    assert (upper[pink] < 0.2).all()


def test_another_excerpt_is_mixed_in_as_quiet_as_asked():
    alone = ExcerptSampler(BABBLE, AudioOptions(**PLAIN))(range(30))
    mixed = ExcerptSampler(BABBLE, AudioOptions(**{**PLAIN, "mix": 1.0, "snr": (10.0, 10.0), "gain": (-9.0, -9.0)}))
    other = mixed(range(30)) * 10 ** (9 / 20) - alone
    heard = level(alone) > 0.02
    assert heard.sum() > 10
    assert np.median(20 * np.log10(level(alone[heard]) / level(other[heard]))) == pytest.approx(10, abs=0.2)


def test_filters_take_away_what_lies_outside():
    sampler = ExcerptSampler(load_recording("sound:noise", 16000), AudioOptions(**{**PLAIN, "filter": 1.0}))
    edges = sampler.draw(range(60)).edges
    plain = ExcerptSampler(sampler.recording, AudioOptions(**PLAIN))(range(60))
    gain = np.abs(np.fft.rfft(sampler(range(60)))) ** 2, np.abs(np.fft.rfft(plain)) ** 2
    kinds = set()
    for i, (low, high) in enumerate(edges):
        kinds.add((low > 0, np.isfinite(high)))
        for begin, end in ((0.05, low / 3), (high * 3, 0.95)):
            if end - begin > 0.01:
                part = slice(int(begin * 8000), int(end * 8000))
                assert gain[0][i, part].sum() < 0.1 * gain[1][i, part].sum()
    assert kinds == {(True, False), (False, True), (True, True)}


@settings(deadline=None, max_examples=25)
@given(
    seconds=st.floats(0.01, 1.2),
    stretch=st.tuples(st.floats(0.25, 4), st.floats(0.25, 4)).map(sorted).map(tuple),
    pitch=st.tuples(st.floats(-12, 12), st.floats(-12, 12)).map(sorted).map(tuple),
    snr=st.tuples(st.floats(-100, 100), st.floats(-100, 100)).map(sorted).map(tuple),
    seed=st.integers(0, 2**40),
)
def test_whatever_the_options_excerpts_are_whole(seconds, stretch, pitch, snr, seed):
    options = AudioOptions(seconds=seconds, stretch=stretch, pitch=pitch, snr=snr, filter=0.8)
    excerpts = ExcerptSampler(BABBLE[:96000], options, seed)([0, 10**12])
    assert excerpts.shape == (2, options.samples)
    assert np.isfinite(excerpts).all()
    assert np.abs(excerpts).max() <= 1


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"rate": 10}, "--rate"),
        ({"seconds": 0.0}, "--seconds"),
        ({"seconds": float("nan")}, "--seconds"),
        ({"stretch": (0.0, 1.0)}, "--stretch"),
        ({"stretch": (1.2, 0.8)}, "--stretch"),
        ({"pitch": (-20.0, 0.0)}, "--pitch"),
        ({"gain": (0.0, float("inf"))}, "--gain"),
        ({"filter": 1.5}, "--filter"),
        ({"mix": -0.1}, "--mix"),
        ({"snr": (9.0, 3.0)}, "--snr"),
        ({"seconds": 50.0}, "lasts 60.00 seconds"),
    ],
)
def test_wrong_options_are_told(wrong, name):
    with pytest.raises(ExunoError, match=name):
        ExcerptSampler(BABBLE, AudioOptions(**wrong))

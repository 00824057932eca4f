"""One video: timestamps decide what is seen; broken files say why, cut ones give what they have."""

from pathlib import Path

import numpy as np
import pytest
from make_video import STEP, make_sound_only, make_video, turned

from exuno.data.video.file import TOLERANCE, Unreadable, all_frames, frames_at, look


def numbers(frames: np.ndarray) -> list[int]:
    """Which frames these are."""
    return [round(float(frame.mean()) / STEP) for frame in frames]


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv", ".webm", ".mov"])
def test_containers_and_seeking(tmp_path: Path, suffix: str) -> None:
    """30 frames, ten a second, key frames every twelve: a frame found by seeking is that of reading everything."""
    path = make_video(tmp_path / f"a{suffix}")
    facts = look(path)
    assert facts.size == (32, 48)
    assert facts.duration == pytest.approx(3.0, abs=0.101)
    times, frames = all_frames(path, facts)
    assert numbers(frames) == list(range(30))
    np.testing.assert_allclose(times, np.arange(30) / 10, atol=1e-3)
    for wanted in ([0.0], [0.05, 0.1, 0.14], [1.15, 1.2, 1.25, 2.99], [2.4], [2.85, 9.0]):
        found = frames_at(path, facts, wanted)
        expected = np.searchsorted(times, np.array(wanted) + TOLERANCE, "right") - 1
        assert np.array_equal(found, frames[expected])
        assert numbers(found) == [min(29, int(time * 10 + 1e-6)) for time in wanted]
    assert np.array_equal(frames_at(path.read_bytes(), facts, [1.5]), frames_at(path, facts, [1.5]))


def test_a_variable_frame_rate(tmp_path: Path) -> None:
    """Three frames in a second, then nothing for two seconds, then ten a second."""
    shown = [0, 100, 1000, 3000, *range(3100, 4000, 100)]
    path = make_video(tmp_path / "a.mp4", frames=len(shown), times=shown)
    facts = look(path)
    assert facts.duration == pytest.approx(4.0, abs=0.01)
    assert numbers(frames_at(path, facts, [0.5, 0.99, 1.0, 2.9, 3.0, 3.55])) == [1, 1, 2, 2, 3, 8]


def test_a_video_that_begins_late(tmp_path: Path) -> None:
    """A container may begin at any timestamp; seconds count from the first frame."""
    path = make_video(tmp_path / "a.mkv", times=[5000 + 100 * k for k in range(30)])
    facts = look(path)
    assert facts.duration == pytest.approx(3.0, abs=0.01)
    assert numbers(frames_at(path, facts, [0.0, 1.5, 2.9])) == [0, 15, 29]


def test_one_frame(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", frames=1)
    facts = look(path)
    assert facts.duration == pytest.approx(0.1, abs=0.01)
    assert numbers(frames_at(path, facts, [0.0, 0.05, 3.0])) == [0, 0, 0]


def test_turned_as_the_file_asks(tmp_path: Path) -> None:
    """Noise, turned a quarter clockwise; the reduced size turns too."""
    plain = make_video(tmp_path / "a.mp4", frames=2, size=(300, 400), noise=True)
    up = turned(plain)
    assert look(plain).size == (256, 341)
    assert look(up).size == (341, 256)
    first, second = (frames_at(path, look(path), [0.0])[0] for path in (plain, up))
    assert np.array_equal(np.rot90(first, -1), second)


def test_cut_files_give_what_they_have(tmp_path: Path) -> None:
    """The header promises three seconds; the end is where the bytes end, with and without a look from there."""
    for name, options in (("a.mp4", {"movflags": "faststart"}), ("a.mkv", {}), ("a.webm", {}), ("a.avi", {})):
        whole = make_video(tmp_path / name, noise=True, options=options)
        content = whole.read_bytes()
        cut = whole.with_name(f"cut_{name}")
        cut.write_bytes(content[: int(len(content) * 0.6)])
        facts = look(cut)
        assert 1.0 < facts.duration < 2.3, name
        times, frames = all_frames(cut, facts)
        assert abs(times[-1] + 0.1 - facts.duration) < 0.25, name
        late = frames_at(cut, facts, [facts.duration - 0.3, 2.9])
        assert np.array_equal(late[1], frames[-1]), name


def test_what_cannot_be_seen_says_why(tmp_path: Path) -> None:
    whole = make_video(tmp_path / "a.mp4", noise=True)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no video at all " * 500)
    (tmp_path / "headless.mp4").write_bytes(whole.read_bytes()[:5000])  # the index of an mp4 is at its end
    make_sound_only(tmp_path / "sound.mp4")
    reasons = {}
    for name in ("empty", "text", "headless", "sound", "missing"):
        with pytest.raises(Unreadable) as caught:
            look(tmp_path / f"{name}.mp4")
        reasons[name] = str(caught.value)
    assert reasons["empty"] == "it has no bytes"
    assert reasons["sound"] == "no video in it"
    assert reasons["missing"] == "there is no such file"
    assert all(reasons.values())
    facts = look(whole)
    whole.write_bytes(b"now broken" * 100)
    with pytest.raises(Unreadable):
        frames_at(whole, facts, [1.0])

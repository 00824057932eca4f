"""``exuno synth video`` as a user meets it. What it shares with patches is tested in test_command.py."""

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from exuno.cli import main
from exuno.data.images.photo import load_photo
from exuno.synth.options import VideoOptions
from exuno.synth.video import ClipSampler
from exuno.synth.writer import encode_clip

av = pytest.importorskip("av")
SIZES = ["--size", "48", "--frames", "5"]
BASE = ["synth", "video", "photo:coffee", *SIZES, "--count", "10", "--group", "4", "--workers", "1"]


def run(out: Path, *more: str, base: list[str] = BASE) -> dict[str, bytes]:
    """The files that a command writes, by relative path."""
    assert main([*base, "--out", str(out), *more]) == 0
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def decode(data: bytes) -> np.ndarray:
    with av.open(io.BytesIO(data)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return run(tmp_path_factory.mktemp("whole"))


def test_the_files_are_the_clips(tmp_path):
    written = run(tmp_path, "--crf", "1", "--contact-sheet", "3")
    assert len(written) == 10 + 2
    expected = ClipSampler(load_photo("photo:coffee"), VideoOptions(size=48, frames=5))(range(10))
    for i in (0, 3, 4, 9):
        data = written[f"clips/{i // 4:06d}/{i:09d}.mp4"]
        clip = decode(data)
        assert clip.shape == (5, 48, 48, 3)
        gray = [np.asarray(frames, float).mean(-1) for frames in (clip, expected[i])]  # colours are at half the size
        assert np.abs(gray[0] - gray[1]).mean() < 3
        with av.open(io.BytesIO(data)) as container:
            stream = container.streams.video[0]
            assert (stream.average_rate, stream.frames) == (12, 5)
            assert float(stream.duration * stream.time_base) == pytest.approx(5 / 12)
    sheet = np.asarray(Image.open(tmp_path / "contact-sheet.png"))
    assert sheet.shape == (3 * 50 + 2, 5 * 50 + 2, 3)
    assert (sheet[52:100, 102:150] == expected[1][2]).all()
    manifest = json.loads((tmp_path / "synth.json").read_text())
    assert (manifest["what"], manifest["format"], manifest["options"]["fps"]) == ("clips", "mp4", 12)


def test_equal_clips_give_equal_bytes_whatever_was_encoded_before():
    """Noise is what B-frames made depend on it."""
    rng = np.random.default_rng(0)
    clips = ClipSampler(load_photo("photo:coffee"), VideoOptions(size=112))(range(3))
    clips = np.where(rng.random(clips.shape) < 0.2, rng.integers(0, 256, clips.shape, np.uint8), clips)
    first = [encode_clip(clip, 12, 23) for clip in clips]
    for i in rng.integers(0, 3, 15):
        assert encode_clip(clips[i], 12, 23) == first[i]
    assert len(encode_clip(clips[0], 12, 40)) < len(first[0])


@pytest.mark.parametrize("container", ["folder", "wds"])
def test_shards_are_disjoint_and_their_union_is_the_whole(tmp_path, whole, container):
    more = ("--container", container)
    undivided = whole if container == "folder" else run(tmp_path / "undivided", *more)
    parts = [run(tmp_path / str(i), *more, "--shard", f"{i}/2") for i in range(2)]
    assert (set(parts[0]) & set(parts[1])) == {"synth.json"}
    assert parts[0] | parts[1] == undivided
    if container == "wds":
        with tarfile.open(tmp_path / "0/000002.tar") as tar:
            assert tar.getnames() == ["000000008.mp4", "000000009.mp4", "__crc32__"]


def test_a_killed_run_goes_on_and_ends_identical(tmp_path):
    base = ["synth", "video", "photo:coffee", *SIZES, "--count", "200", "--group", "4"]
    out = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, "-m", "exuno", *base, "--out", str(out), "--workers", "2"],
        start_new_session=True,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 30
    while len(list(out.glob("clips/0*"))) < 3 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert 3 <= len(list(out.glob("clips/0*"))) < 50
    more = ("--workers", "1")
    assert run(out, *more, base=base) == run(tmp_path / "undivided", *more, base=base)


def mistake(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    assert main(["synth", "video", *args]) == 2
    told = capsys.readouterr().err
    assert "Traceback" not in told
    return told


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ([], "no photograph"),
        (["photo:coffee"], "no folder to write to"),
        (["photo:coffee", "--out", "x", "--size", "65"], "has to be even"),
        (["photo:coffee", "--out", "x", "--size", "20000"], "at most 8,192"),
        (["photo:coffee", "--out", "x", "--crf", "52"], "--crf is 52"),
        (["photo:coffee", "--out", "x", "--frames", "0"], "--frames is 0"),
        (["photo:coffee", "--out", "x", "--contact-sheet", "-1"], "--contact-sheet is -1"),
        (["missing.jpg", "--out", "x"], "missing.jpg"),
    ],
)
def test_mistakes(tmp_path, monkeypatch, capsys, args, told):
    monkeypatch.chdir(tmp_path)
    assert told in mistake(capsys, *args)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_encoder_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "av", None)
    assert 'pip install "exuno[video]"' in mistake(capsys, "photo:coffee", "--out", str(tmp_path / "x"))
    assert not (tmp_path / "x").exists()


def test_a_folder_of_patches_is_refused(tmp_path, capsys):
    out = str(tmp_path / "x")
    assert main(["synth", "photo:coffee", "--size", "16", "--count", "4", "--workers", "1", "--out", out]) == 0
    assert "holds patches, not clips" in mistake(capsys, "photo:coffee", "--out", out)


def test_a_picture_called_video_is_found_by_its_path(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(load_photo("photo:coffee")).save(tmp_path / "video", "png")
    assert main(["synth", "./video", "--count", "4", "--dry-run"]) == 0
    assert "4 patches" in capsys.readouterr().out


def test_dry_run_tells_the_cost(capsys):
    assert main([*BASE, "--dry-run"]) == 0
    assert "10 clips in 3 subfolders" in capsys.readouterr().out
    assert main([*BASE, "--dry-run", "--workers", "40"]) == 0
    assert "with 3 processes" in capsys.readouterr().out, "no more than there are subfolders to write"


def test_no_torch_and_the_help_lists_the_word(tmp_path):
    code = f"""
import sys
from exuno.cli import main
assert main({[*BASE, "--out", str(tmp_path / "x")]!r}) == 0
assert main(["synth", "--help"]) == 0
print([name for name in ("torch", "torchvision", "skimage", "scipy") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "exuno synth video" in done.stdout

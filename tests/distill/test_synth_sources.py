"""What ``exuno synth`` writes is what ``exuno distill --source`` reads; and options that would do nothing are told."""

import io
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from exuno.cli import main
from exuno.data.base import ArrayData, modality
from exuno.data.images.digits import open_digits, open_moving
from exuno.data.loader import Loader
from exuno.distill.check import check_idle
from exuno.distill.options import DistillConfig
from exuno.distill.source import open_source
from exuno.engine.errors import ExunoError
from exuno.engine.options import Augment

PLAN = DistillConfig("none", "none", "none", patches=7)
SOUNDS = ArrayData("sounds", np.zeros((4, 1, 2000), np.float32), np.arange(4) % 2, rate=8000)
WORDS = {
    "image": ["photo:coffee", "--size", "16", "--format", "png"],
    "clip": ["video", "photo:coffee", "--size", "32", "--frames", "8"],
    "recording": ["audio", "sound:noise", "--rate", "8000", "--seconds", "0.25"],
}


@pytest.mark.parametrize("container", ["folder", "wds"])
@pytest.mark.parametrize("kind", WORDS)
def test_what_synth_writes_is_a_source(tmp_path: Path, kind: str, container: str) -> None:
    if kind != "image":
        pytest.importorskip({"clip": "av", "recording": "soundfile"}[kind])
    out = str(tmp_path / "out")
    args = ["--count", "7", "--group", "3", "--workers", "1", "--container", container, "--out", out]
    assert main(["synth", *WORDS[kind], *args]) == 0
    test = {"image": open_digits, "clip": open_moving, "recording": lambda _: SOUNDS}[kind]("test")
    source = open_source(replace(PLAN, source=(out,)), test, test.image_size, 1)
    assert (modality(source), len(source)) == (kind, 7)
    samples, _ = source.fetch(np.arange(7))
    assert {"image": 3, "clip": 4, "recording": 2}[kind] == samples[0].ndim
    assert len({bytes(sample.numpy()) for sample in samples}) == 7
    if kind == "recording":
        again = replace(PLAN, source=("sound:noise",), audio=replace(PLAN.audio, seconds=0.25))
        made, _ = open_source(again, test, test.image_size, 1).fetch(np.arange(7))
        assert (torch.stack(list(samples)) - made[:, :, :2000]).abs().max() <= 1 / 32768


@pytest.mark.parametrize("published", [False, True])
@pytest.mark.parametrize("container", ["folder", "wds"])
def test_training_sees_half_of_a_glide_on_disk(tmp_path: Path, published: bool, container: str) -> None:
    """Clips whose frame k has the gray 10 + 30 k: as exuno writes them, 8 frames, 12 a second, and as the published
    script does, 15 a second, where each fourth frame comes twice. The published loader shows 3.2 of the 7 steps."""
    pytest.importorskip("av")
    from exuno.synth.writer import encode_clip

    which, rate = ([0, 0, 1, 2, 3, 4, 4, 5, 6, 7], 15) if published else (range(8), 12)
    gray = [np.full((32, 32, 3), 10 + 30 * k, np.uint8) for k in which]
    clip = encode_clip(np.stack(gray), rate, 10)
    if container == "folder":
        (tmp_path / "clips").mkdir()
        (tmp_path / "clips/0.mp4").write_bytes(clip)
    else:
        with tarfile.open(tmp_path / "0.tar", "w") as tar:
            info = tarfile.TarInfo("0.mp4")
            info.size = len(clip)
            tar.addfile(info, io.BytesIO(clip))
    plan = replace(PLAN, source=(str(tmp_path),), augment=Augment(frames=4))
    source = open_source(plan, open_moving("test"), (32, 32), 3, 4)
    assert (len(source), source.frames) == (1, 4)
    clips, _ = source.fetch_runs(np.zeros(300, np.int64), np.arange(300), 0)
    numbers = np.array([clip.float().mean((0, 2, 3)).sub(10).div(30).round().int().tolist() for clip in clips])
    steps = numbers[:, -1] - numbers[:, 0]
    assert steps.mean() == pytest.approx(3.0, abs=0.25)
    assert set(numbers[:, 0]) >= {0, 1, 2, 3}
    if not published:
        assert (np.diff(numbers) == 1).all()
    batch = next(iter(Loader(source, 1, plan.augment, size=(32, 32)).epoch(0)))
    assert batch["images"].shape == (1, 3, 4, 32, 32)


def test_a_run_of_more_frames_than_clips_have_is_told(tmp_path, capsys):
    more = ["--augment.frames", "9", "--video.frames", "8", "--smoke", "--run-dir", str(tmp_path / "run")]
    assert main(["distill", "moving-digits", *more]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "--augment.frames is 9, and the clips of the patches have 8" in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("test", "change", "told"),
    [
        (open_moving, {"synth": replace(PLAN.synth, shear=3.0)}, "--synth.shear would do nothing: moving-digits/test"),
        (open_digits, {"video": replace(PLAN.video, first_crop=None)}, "--video.first-crop would do nothing: digits"),
        (open_moving, {"source": ("digits",), "video": replace(PLAN.video, frames=3)}, "--video.frames would do noth"),
        (open_digits, {"source": ("digits",), "patches": 9}, "--patches would do nothing: nothing is made of"),
        (open_digits, {"source": ("digits",), "fresh": True}, "--fresh would do nothing"),
    ],
)
def test_an_option_that_would_do_nothing_is_told(test, change, told):
    changed = replace(PLAN, **change)
    with pytest.raises(ExunoError, match=told):
        check_idle(changed, PLAN, test("test"))
    check_idle(changed, replace(changed, source=PLAN.source), test("test"))  # a preset's values are no wish of the user


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--source", "sound:babble"], "is no photograph"),
        (["--video.area", "2", "1"], "--video.area is (2.0, 1.0)"),
        (["--synth.size", "12"], "--synth.size would do nothing"),
        (["--source", "digits", "--patches", "9"], "--patches would do nothing"),
    ],
)
def test_it_is_told_before_a_teacher_is_trained(tmp_path, capsys, more, told):
    run = tmp_path / "run"
    assert main(["distill", "moving-digits", "--smoke", *more, "--run-dir", str(run)]) == 2
    assert told in " ".join(capsys.readouterr().err.split())
    assert not (run / "teacher").exists()


def test_a_rate_that_is_not_that_of_the_data_is_told():
    plan = replace(PLAN, source=("sound:noise",), audio=replace(PLAN.audio, rate=16000))
    with pytest.raises(ExunoError, match=r"--audio\.rate is 16000, and sounds has 8,000"):
        open_source(plan, SOUNDS, (1, 2000), 1)

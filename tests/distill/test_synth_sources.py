"""What ``exuno synth`` writes is what ``exuno distill --source`` reads; and options that would do nothing are told."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from exuno.cli import main
from exuno.data.base import ArrayData, modality
from exuno.data.digits import open_digits
from exuno.data.moving import open_moving
from exuno.distill.check import check_idle
from exuno.distill.options import DistillConfig
from exuno.distill.source import open_source
from exuno.engine.errors import ExunoError

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

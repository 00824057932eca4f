"""What is made of one datum depends on the data: patches, clips or excerpts; and what does not fit is told."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from exuno.cli import main
from exuno.data.base import ArrayData, modality
from exuno.data.images.digits import open_moving
from exuno.distill.options import DistillConfig
from exuno.distill.source import open_source
from exuno.engine.errors import ExunoError
from exuno.engine.options import Augment
from exuno.synth.options import ClipFileOptions, VideoOptions

PLAN = DistillConfig("none", "none", "none", patches=6)


def heard(rate: int = 8000) -> ArrayData:
    noise = np.random.default_rng(0).normal(size=(4, 1, 2000)).astype(np.float32)
    return ArrayData("sounds", noise, np.arange(4) % 2, rate=rate)


def test_a_photograph_becomes_clips_where_the_data_are_clips():
    test = open_moving("test")
    plan = replace(PLAN, video=replace(PLAN.video, frames=5))
    source = open_source(plan, test, (20, 24), 1)
    assert modality(source) == "clip"
    clips, labels = source.fetch(np.arange(6))
    assert (tuple(clips.shape), clips.dtype) == ((6, 1, 5, 24, 24), torch.uint8)
    assert (labels == -1).all()
    assert (clips.float().diff(dim=2).abs().mean((1, 2, 3, 4)) > 0.5).all(), "they move"


@pytest.mark.parametrize(
    ("given", "run", "model", "made"),
    [(0, None, 0, 8), (0, None, 4, 8), (0, None, 13, 13), (0, 10, 4, 10), (16, 4, 4, 16), (5, None, 13, 5)],
)
def test_clips_have_the_published_8_frames_or_what_is_needed(given: int, run: int | None, model: int, made: int):
    plan = replace(PLAN, video=replace(PLAN.video, frames=given), augment=Augment(frames=run))
    source = open_source(plan, open_moving("test"), (16, 16), 1, model)
    assert source.frames == made
    assert source.fetch(np.arange(1))[0].shape[2] == made
    assert VideoOptions().frames == ClipFileOptions().frames == 8


def test_gray_clips_are_the_luma_of_coloured_ones():
    test = open_moving("test")
    gray, _ = open_source(PLAN, test, (16, 16), 1).fetch(np.arange(6))
    colour, _ = open_source(PLAN, test, (16, 16), 3).fetch(np.arange(6))
    luma = (colour.float() * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1, 1)).sum(1, keepdim=True)
    assert (gray.float() - luma).abs().max() <= 0.5


def test_a_recording_becomes_excerpts_at_the_rate_of_the_data():
    plan = replace(PLAN, source=("sound:babble",))
    source = open_source(plan, heard(), (1, 2000), 1)
    assert (modality(source), source.rate) == ("recording", 8000)
    excerpts, _ = source.fetch(np.arange(6))
    assert (tuple(excerpts.shape), excerpts.dtype) == ((6, 1, 2000), torch.float32)
    assert excerpts.std() > 0.01
    held, _ = open_source(plan, heard(), (1, 2000), 1).fetch(np.arange(3))
    assert torch.equal(held, excerpts[:3])


def test_a_fresh_source_goes_on_where_a_fixed_one_repeats():
    plan = replace(PLAN, fresh=True)
    source = open_source(plan, open_moving("test"), (16, 16), 1)
    first, again = source.fetch_draws(np.arange(6)), source.fetch_draws(np.arange(6, 12))
    assert not torch.equal(first[0], again[0])


def test_a_crop_is_cut_from_larger_clips():
    plan = replace(PLAN, augment=Augment(resized_crop=(0.5, 1.0)))
    assert open_source(plan, open_moving("test"), (112, 112), 1).image_size == (128, 128)


@pytest.mark.parametrize(
    ("test", "specs", "told"),
    [
        (open_moving, ("sound:babble",), "no photograph"),
        (open_moving, ("digits",), "images, and moving-digits/test has clips"),
        (lambda _: heard(), ("photo:astronaut",), "no recording"),
        (lambda _: heard(), ("sound:babble", "digits"), "mixes recordings"),
    ],
)
def test_a_source_that_does_not_fit_the_data_is_told(test, specs, told):
    with pytest.raises(ExunoError, match=told):
        open_source(replace(PLAN, source=specs), test("test"), (16, 16), 1)


def test_the_first_example_with_clips_runs_from_end_to_end(tmp_path):
    main(["distill", "moving-digits", "--smoke", "--run-dir", str(tmp_path / "run")])
    page = (tmp_path / "run/report.html").read_text()
    assert "data:image/gif" in page
    assert "of the clips that the student learned from" in page
    assert (tmp_path / "run/figures/samples.gif").read_bytes().startswith(b"GIF8")


def test_a_model_of_images_does_not_take_clips(tmp_path, capsys):
    command = ["teach", "moving-digits", "--model", "exuno:convnet_2_8", "--smoke", "--run-dir", str(tmp_path / "run")]
    assert main(command) == 2
    assert "takes single images, and moving-digits/test has clips" in " ".join(capsys.readouterr().err.split())

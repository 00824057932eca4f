"""Videos as data: what a clip is, in training and test; layouts; broken files; the same whatever is kept or forked."""

import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from make_video import STEP, make_sound_only, make_video

from exuno.data.base import modality
from exuno.data.loader import Loader
from exuno.data.open import check_apart, open_data
from exuno.data.video.clips import CLIPS, Cut, VideoData
from exuno.engine.errors import ExunoError
from exuno.engine.options import Augment

CUT = Cut(4, 0.8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds of ``fall`` in train twice, and of ``rise`` once; in test one of each, of which one lasts 0.5 s."""
    root = tmp_path_factory.mktemp("videos")
    for name, frames in {
        "train/fall/a.mp4": 30,
        "train/fall/b.mkv": 25,
        "train/rise/c.webm": 30,
        "test/fall/d.mp4": 5,
        "test/rise/e.avi": 30,
    }.items():
        make_video(root / name, frames)
    return root


def numbers(clip: torch.Tensor) -> list[int]:
    """Which frames of a made video a clip [C, T, H, W] holds."""
    return [round(frame.float().mean().item() / STEP) for frame in clip.unbind(1)]


def unkept(data: Any) -> VideoData:
    """The same set, decoded at need."""
    return VideoData(data.name, data.videos, data.classes, data.cut, spread=data.groups is not None, limit=0)


def test_training_clips_begin_anywhere(folder: Path) -> None:
    data: Any = open_data(f"videos:{folder}@4/0.8s", "train")
    assert (len(data), data.classes, data.frames, modality(data)) == (3, ("fall", "rise"), 4, "clip")
    assert data.groups is None
    assert data.image_size == (32, 48)
    middle, labels = data.fetch(np.arange(3))
    assert labels.tolist() == [0, 0, 1]
    assert middle[0].shape == (3, 4, 32, 48)
    assert numbers(middle[0]) == [11, 13, 15, 17]
    draws = np.arange(300)
    clips, _ = data.fetch_runs(np.zeros(300, np.int64), draws, 0)
    runs = [numbers(clip) for clip in clips]
    assert {run[0] for run in runs} == set(range(22))  # up to 2.2 s, from where 0.8 s are left
    assert all(run == [run[0], run[0] + 2, run[0] + 4, run[0] + 6] for run in runs)
    again, _ = data.fetch_runs(np.zeros(1, np.int64), draws[7:8], 0)
    assert torch.equal(again[0], clips[7])
    other, _ = data.fetch_runs(np.zeros(300, np.int64), draws, 1)
    assert any(numbers(a) != numbers(b) for a, b in zip(other, clips, strict=True))


def test_test_clips_are_spread_evenly(folder: Path) -> None:
    """ConstantClipsPerVideoSampler: the first at the beginning, the last at the end; a short video is one clip."""
    data: Any = open_data(f"videos:{folder}@4/0.8s", "test")
    assert data.groups.tolist() == [0] + [1] * CLIPS
    clips, labels = data.fetch(np.arange(len(data)))
    assert labels.tolist() == [0] + [1] * CLIPS
    assert numbers(clips[0]) == [0, 1, 2, 3]  # 0.5 s, seen whole: at 0, 0.125, 0.25, 0.375
    firsts = [numbers(clip)[0] for clip in clips[1:]]
    latest = 30 - 1 - 8 if data.facts[1].duration < 3 else 22
    assert firsts[0] == 0
    assert abs(firsts[-1] - latest) <= 1
    assert np.abs(np.diff(firsts) - latest / 9).max() < 1.1


def test_decoded_at_need_is_the_same(folder: Path) -> None:
    for split in ("train", "test"):
        kept: Any = open_data(f"videos:{folder}@4/0.8s", split)
        lazy = unkept(kept)
        assert kept.kept is not None
        assert lazy.kept is None
        order = np.random.default_rng(0).permutation(len(kept))
        for a, b in zip(kept.fetch(order)[0], lazy.fetch(order)[0], strict=True):
            assert torch.equal(a, b)
        draws = np.arange(len(kept)) + 5
        for a, b in zip(kept.fetch_runs(order, draws, 3)[0], lazy.fetch_runs(order, draws, 3)[0], strict=True):
            assert torch.equal(a, b)


def test_workers_decode_the_same(folder: Path) -> None:
    data = unkept(open_data(f"videos:{folder}@4/0.8s", "train"))
    augment = Augment(frames=3, short_side=(26, 30), flip=0.5)
    alone, pool = (Loader(data, 2, augment, 1, (24, 24), workers=count, drop_last=False) for count in (0, 2))
    for epoch in (0, 1):
        for a, b in zip(alone.epoch(epoch), pool.epoch(epoch), strict=True):
            assert a["images"].shape[1:] == (3, 3, 24, 24)
            assert torch.equal(a["images"], b["images"])
            assert torch.equal(a["labels"], b["labels"])
    first, second = (next(iter(alone.epoch(epoch)))["images"] for epoch in (0, 1))
    assert not torch.equal(first, second)


def test_shards_hold_videos(folder: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "train.tar", "w") as tar:
        for key, file, label in (("x", "train/fall/a.mp4", "0"), ("y", "train/rise/c.webm", "1")):
            tar.add(folder / file, f"{key}{Path(file).suffix}")
            (tmp_path / "cls").write_text(label)
            tar.add(tmp_path / "cls", f"{key}.cls")
    (tmp_path / "classes.txt").write_text("fall\nrise\n")
    packed: Any = open_data(f"videos:{tmp_path}/{{split}}.tar@4/0.8s", "train")
    plain: Any = open_data(f"videos:{folder}@4/0.8s", "train")
    assert packed.classes == ("fall", "rise")
    clips, labels = packed.fetch(np.array([1, 0]))
    assert labels.tolist() == [1, 0]
    wanted, _ = plain.fetch(np.array([2, 0]))
    assert all(torch.equal(a, b) for a, b in zip(clips, wanted, strict=True))
    lazy = VideoData("x", packed.videos, packed.classes, CUT, shards=packed.shards, limit=0)
    assert all(torch.equal(a, b) for a, b in zip(lazy.fetch(np.array([1, 0]))[0], wanted, strict=True))


def test_lists_of_files_and_of_kinetics(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "own.csv").write_text(f"file,label\n{folder}/train/fall/a.mp4,down\n{folder}/train/rise/c.webm,up\n")
    own: Any = open_data(f"videos:{tmp_path / 'own.csv'}@4/0.8s", "train")
    assert (own.classes, own.labels.tolist()) == (("down", "up"), [0, 1])
    root = tmp_path / "data/k400"
    for split, rows in {"train": ("abc", "d-_f", "gone"), "val": ("xyz",)}.items():
        lines = ["label,youtube_id,time_start,time_end,split"]
        for number, key in enumerate(rows):
            lines.append(f"{'zumba' if number else 'abseiling'},{key},{number},{number + 10},{split}")
            if key != "gone":
                make_video(root / split / f"{key}_{number:06}_{number + 10:06}.mp4", 5)
        (root / "annotations").mkdir(exist_ok=True)
        (root / f"annotations/{split}.csv").write_text("\n".join(lines))
    train: Any = open_data("k400", "train", root=tmp_path / "data")
    assert (len(train), train.labels.tolist(), train.classes) == (2, [0, 1], ("abseiling", "zumba"))
    assert "1 of 3 videos of k400/train could not be read: gone_000002_000012.mp4: there is no such file" in (
        capsys.readouterr().err
    )
    test: Any = open_data("k400", "test", root=tmp_path / "data")
    assert (test.labels.tolist(), test.classes) == ([0], ("abseiling", "zumba"))
    assert test.groups.tolist() == [0]


def test_ucf101s_official_lists(tmp_path: Path) -> None:
    names = ("ApplyEyeMakeup", "Archery")
    lists = tmp_path / "ucfTrainTestlist"
    lists.mkdir()
    files = {name: [f"{name}/v_{name}_g{group:02}_c01.avi" for group in (1, 8)] for name in names}
    for file in (file for both in files.values() for file in both):
        make_video(tmp_path / "UCF-101" / file, 4)
    (lists / "classInd.txt").write_text("1 ApplyEyeMakeup\r\n2 Archery\r\n")
    (lists / "trainlist01.txt").write_text("".join(f"{files[n][1]} {k}\r\n" for k, n in enumerate(names, 1)))
    (lists / "testlist01.txt").write_text("".join(f"{files[n][0]}\r\n" for n in names))
    train, test = (open_data("ucf101", split, root=tmp_path) for split in ("train", "test"))
    check_apart("ucf101", train, test)
    assert train.classes == test.classes == names
    assert [v.name for v in test.videos] == [files[n][0] for n in names]  # type: ignore[attr-defined]
    assert train.labels.tolist() == [0, 1]  # type: ignore[attr-defined]


def test_every_kind_that_can_be_read_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kinds = (".m4v", ".mpg", ".3gp", ".flv", ".wmv", ".ts", ".mp4")
    for number, suffix in enumerate(kinds):
        made = make_video(tmp_path / "ab"[number % 2] / f"{number}{suffix}", 10, 25)
        if suffix == ".ts":
            made.rename(made.with_suffix(".MTS"))
    (tmp_path / "a/list.txt").touch()
    data: Any = open_data(f"videos:{tmp_path}@2/0.2s", "train")
    assert (len(data), data.classes) == (len(kinds), ("a", "b"))
    assert {tuple(clip.shape) for clip in data.fetch(np.arange(len(kinds)))[0]} == {(3, 2, 32, 48)}
    assert "1 file left out: 1 .txt" in capsys.readouterr().err


def test_lists_by_the_names_that_people_give(folder: Path, tmp_path: Path) -> None:
    for name, part in (("Training.csv", "train"), ("validate.csv", "test")):
        files = sorted((folder / part).rglob("*.*"))
        lines = [f"{file},{file.parent.name}" for file in files]
        (tmp_path / name).write_text("\n".join(["file,label", *lines]))
    train, test = (open_data(f"videos:{tmp_path}@2/0.2s", split) for split in ("train", "test"))
    assert (len(train), train.classes, test.classes) == (3, ("fall", "rise"), ("fall", "rise"))
    (tmp_path / "validate.csv").unlink()
    with pytest.raises(ExunoError, match=r"no split 'test'.*Training\.csv.*--holdout"):
        open_data(f"videos:{tmp_path}", "test")


def test_broken_files_are_counted_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_video(tmp_path / "train/a/good.mp4")
    make_video(tmp_path / "train/b/good.mp4", 1)
    (tmp_path / "train/a/empty.mp4").touch()
    (tmp_path / "train/b/text.mkv").write_text("text" * 999)
    make_sound_only(tmp_path / "train/b/sound.mp4")
    make_video(tmp_path / "test/a/good.mp4", 12)
    data: Any = open_data(f"videos:{tmp_path}@4/0.8s", "train")
    said = capsys.readouterr().err
    assert said.startswith("3 of 5 videos of videos:")
    assert "a/empty.mp4: it has no bytes; b/sound.mp4: no video in it; b/text.mkv: " in said
    assert said.count("\n") == 1
    assert data.labels.tolist() == [0, 1]
    clips, _ = data.fetch(np.arange(2))
    assert numbers(clips[1]) == [0, 0, 0, 0]  # one frame, repeated
    assert len(open_data(f"videos:{tmp_path}", "test")) == 1
    assert "without videos here: b\n" in capsys.readouterr().err  # all of a could be read, and of b there is no file
    (tmp_path / "train/a/good.mp4").unlink()
    (tmp_path / "train/b/good.mp4").unlink()
    with pytest.raises(ExunoError, match="none of the 3 videos"):
        open_data(f"videos:{tmp_path}", "train")


def test_a_file_that_breaks_later_is_named(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a/good.mp4")
    data = unkept(open_data(f"videos:{tmp_path}@4/0.8s", "train"))
    path.write_bytes(b"broken" * 99)
    with pytest.raises(ExunoError, match=r"a/good\.mp4 could be read when"):
        next(iter(Loader(data, 1, Augment(), 0).epoch(0)))
    path.unlink()
    with pytest.raises(ExunoError, match="no such file"):
        data.fetch(np.zeros(1, np.int64))


def test_no_answers_are_kept_of_random_clips(folder: Path, tmp_path: Path) -> None:
    from accelerate import Accelerator

    from exuno.distill.teacher import teacher_logits
    from exuno.models.load import load_model

    teacher = load_model("exuno:x3d_xs_w0.5_d0.5", classes=2, input_size=(16, 16), pretrained=False)
    data = open_data(f"videos:{folder}@4/0.8s", "train")
    with pytest.raises(ExunoError, match="another clip of each video"):
        teacher_logits(teacher, data, (16, 16), Accelerator(cpu=True), tmp_path)


def test_labels_in_a_column_of_another_name_are_told(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = next(folder.rglob("*.mp4"))
    (tmp_path / "train.csv").write_text(f"file,species,split\n{file},cat,train\n")
    assert open_data(f"videos:{tmp_path / 'train.csv'}").num_classes == 0
    assert "read without labels: it has no column label, but species" in capsys.readouterr().err


def test_mistakes(folder: Path, tmp_path: Path) -> None:
    for spec, words in {
        f"videos:{tmp_path}/nothing": "there is no folder",
        f"videos:{tmp_path}": "there are no videos",
        f"videos:{folder}@0/1s": "clips of 0 frames",
        f"videos:{tmp_path}/a.csv": "there is no list",
        "videos:": "names nothing",
        "ucf101": "needs the folder",
    }.items():
        with pytest.raises(ExunoError, match=words):
            open_data(spec, "train")
    video = f"{folder}/train/fall/a.mp4"
    for content, words in {
        "one,two\n1,2\n": "lists no videos",
        "": "lists no videos",
        f"file,label\n{video},a,b\n": "a row of 3 columns where its first line has 2",
        f"file,label\n{video},a\n{video}\n": "no label for 1 of its 2 videos",
        f"file,label\n{video},a\n,a\n": "a row that names no file",
        "label,youtube_id,time_start,time_end\na,xyz,soon,2\n": "times of xyz that are no numbers",
        "file,label\n\u00fc.mp4,a\n": "is not UTF-8",
    }.items():
        (tmp_path / "a.csv").write_bytes(content.encode("latin1"))
        with pytest.raises(ExunoError, match=words):
            open_data(f"videos:{tmp_path}/a.csv", "train")
    flat: Any = [open_data(f"videos:{folder}/train", split) for split in ("train", "test")]
    with pytest.raises(ExunoError, match="no test images of its own"):
        check_apart("x", *flat)

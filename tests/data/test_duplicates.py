"""Test images that are training images, too."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from exuno.cli import main
from exuno.data.content import FILES
from exuno.data.duplicates import count, sentence
from exuno.data.holdout import part as part_of
from exuno.data.open import check_apart, open_data

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), np.uint8)
TEST = [8, 9, 10, 3, 5, 11]
"""Of which two are among the first eight, for training."""


@pytest.fixture(params=["folder", "npz", "wds"])
def spec(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    parts = {"train": list(range(8)), "test": TEST}
    if request.param == "npz":
        arrays = {f"{part}_images": IMAGES[chosen] for part, chosen in parts.items()}
        arrays |= {f"{part}_labels": np.array(chosen) % 2 for part, chosen in parts.items()}
        np.savez(tmp_path / "data.npz", allow_pickle=False, **arrays)
        return f"npz:{tmp_path / 'data.npz'}"
    for part, chosen in parts.items():
        tar = tarfile.open(tmp_path / f"{part}.tar", "w") if request.param == "wds" else None  # noqa: SIM115
        for place, number in enumerate(chosen):
            file = io.BytesIO()
            Image.fromarray(IMAGES[number]).save(file, "BMP")  # all of one size
            if tar is None:
                path = tmp_path / f"data/{part}/{number % 2}/{part}{place}.bmp"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(file.getvalue())
                continue
            for suffix, content in (("bmp", file.getvalue()), ("cls", b"%d" % (number % 2))):
                entry = tarfile.TarInfo(f"{part}{place}.{suffix}")
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
        if tar:
            tar.close()
    return f"folder:{tmp_path / 'data'}" if request.param == "folder" else f"wds:{tmp_path}/{{split}}.tar"


def test_copies_are_counted_and_told(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    train, test = open_data(spec), open_data(spec, "test")
    assert count(train, test) == (2, 6)
    check_apart(spec, train, test)
    assert f"2 of 6 test images of {test.name} are in its training set, too" in capsys.readouterr().err


def test_copies_on_both_sides_of_what_is_held_out(spec: str) -> None:
    twice = part_of(open_data(spec), np.arange(16) % 8, "twice")
    kept, held = part_of(twice, np.arange(10), "kept"), part_of(twice, np.arange(10, 16), "held")
    assert count(kept, held) == (6, 6)
    assert count(part_of(twice, np.arange(4), "kept"), part_of(twice, np.arange(4, 8), "held")) == (0, 4)


def test_the_digits_have_none() -> None:
    assert count(open_data("digits"), open_data("digits", "test")) == (0, 355)
    assert not sentence(open_data("digits"), open_data("digits", "test"))


def test_of_many_files_some_are_looked_at(tmp_path: Path) -> None:
    for part, most in (("train", FILES // 2), ("test", 3 * FILES)):
        (tmp_path / part / "a").mkdir(parents=True)
        for number in range(most):
            (tmp_path / part / f"a/{number:04}.bmp").write_bytes(b"%4d" % number)
    shared, looked = count(open_data(f"folder:{tmp_path}"), open_data(f"folder:{tmp_path}", "test"))
    assert looked == FILES
    assert shared == pytest.approx(FILES / 6, abs=1)


def test_of_more_training_images_than_are_read_some_may_be_missed(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exuno.data.duplicates.MOST", 3)  # one of three is read
    told = sentence(open_data(spec), open_data(spec, "test"))
    assert told.startswith("2 of 6" if spec.startswith("npz:") else "at least 1 of 6")


def test_of_a_part_of_arrays_all_are_counted(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of all of them: what is held out of a set."""
    monkeypatch.setattr("exuno.data.duplicates.MOST", 3)
    twice = part_of(open_data(spec), np.arange(16) % 8, "twice")
    told = sentence(part_of(twice, np.arange(10), "kept"), part_of(twice, np.arange(10, 16), "held"))
    assert told.startswith("6 of 6" if spec.startswith("npz:") else "at least ")


def test_copies_of_test_images_as_a_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for place in ("data/train/a", "data/train/b", "data/test/a", "data/test/b", "source"):
        (tmp_path / place).mkdir(parents=True)
    for number in range(12):
        part = "train" if number < 8 else "test"
        Image.fromarray(IMAGES[number]).save(tmp_path / f"data/{part}/{'ab'[number % 2]}/{number}.png")
        Image.fromarray(IMAGES[number] // 2 if number < 9 else IMAGES[number]).save(
            tmp_path / f"source/copy{number}.png"
        )
    rest = ["--data", f"folder:{tmp_path / 'data'}", "--devices", "cpu", "--smoke"]
    teach = ["teach", "--model", "exuno:convnet_1_4", *rest, "--run-dir", str(tmp_path / "teacher")]
    assert main(teach) == 0
    command = ["distill", "--teacher", f"run:{tmp_path / 'teacher'}", "--student", "exuno:convnet_1_4", *rest]
    assert main([*command, "--source", f"folder:{tmp_path / 'source'}", "--run-dir", str(tmp_path / "run")]) == 0
    assert "3 of the 4 test images" in capsys.readouterr().err

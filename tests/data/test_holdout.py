"""``--holdout``: which samples are held out of data without a test split, for every kind of data."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from exuno.data.base import channel_stats
from exuno.data.holdout import check_seen, hold_out, lineage_of, open_both, open_held, recorded
from exuno.data.images.folder import FileData
from exuno.data.open import check_apart, open_data
from exuno.engine.errors import ExunoError
from exuno.engine.options import Holdout

FIFTH = Holdout(0.2)
X = np.random.default_rng(0).integers(0, 256, (40, 6, 6), np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten images of ``cat``, five of ``dog``, one of ``owl``."""
    for name, count in (("cat", 10), ("dog", 5), ("owl", 1)):
        (tmp_path / name).mkdir()
        for i in range(count):
            Image.fromarray(X[i]).save(tmp_path / name / f"{i:02}.png")
    return tmp_path


def test_a_part_of_each_class_is_held_out(folder: Path) -> None:
    train, test = open_both(f"folder:{folder}", None, FIFTH)
    assert isinstance(train, FileData)  # so that DALI can read it
    assert isinstance(test, FileData)
    assert (train.labels.bincount().tolist(), test.labels.bincount(minlength=3).tolist()) == ([8, 4, 1], [2, 1, 0])
    everything: Any = open_data(f"folder:{folder}")
    assert sorted(train.files + test.files) == everything.files
    for file, label in zip(test.files, test.labels.tolist(), strict=True):
        assert file.startswith(("cat", "dog", "owl")[label])
    assert train.fingerprint() != test.fingerprint()
    assert "0.2 held out" in test.name


def test_always_the_same_ones(folder: Path) -> None:
    def names(holdout: Holdout) -> list[str]:
        data: Any = open_held(f"folder:{folder}", "test", None, holdout)
        return data.files

    assert names(FIFTH) == names(FIFTH) == names(Holdout(0.2, 0))
    assert len({tuple(names(Holdout(0.2, seed))) for seed in range(5)}) > 2
    rest: Any = open_held(f"folder:{folder}", "train", None, FIFTH)
    assert not set(rest.files) & set(names(FIFTH))


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=60), st.floats(0.01, 0.99), st.integers(0, 3), st.integers(0, 1)
)
def test_shares(values: list[int], share: float, seed: int, least: int) -> None:
    labels = np.array(values, np.int64)
    held = hold_out(labels, share, seed, "test", least=least)
    for label in set(values):
        own = int((labels == label).sum())
        assert held[labels == label].sum() == min(own - 1, max(least, round(share * own)))


def test_a_draw_belongs_to_the_name_of_a_class_not_to_its_number() -> None:
    labels = np.repeat([0, 1], 20)
    names = ("cat", "dog")
    held = hold_out(labels, 0.3, 0, "test", names)
    other = hold_out(1 - labels, 0.3, 0, "test", names[::-1])
    assert np.array_equal(held, other)
    assert not np.array_equal(held[:20], held[20:])


def test_npz_without_a_test_part(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=X, labels=np.arange(40) % 4)
    np.savez(tmp_path / "b.npz", train_images=X, train_labels=np.arange(40) % 4)
    for name in ("a", "b"):
        train, test = open_both(f"npz:{tmp_path}/{name}.npz", None, Holdout(0.25))
        assert (len(train), len(test), train.num_classes, test.num_classes) == (32, 8, 4, 4)
        images = train.fetch(np.arange(32))[0]
        assert isinstance(images, torch.Tensor)
        assert train.mean == test.mean == channel_stats(images.numpy())[0]  # not those of all images
        both = torch.cat([images, test.fetch(np.arange(8))[0]])  # pyright: ignore[reportArgumentType]
        assert sorted(image.numpy().tobytes() for image in both) == sorted(image.tobytes() for image in X)


def test_recordings(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    for name in ("no", "yes"):
        (tmp_path / name).mkdir()
        for i in range(5):
            soundfile.write(tmp_path / name / f"{i}.wav", np.full(100 + i, 0.1), 8000)
    train, test = open_both(f"recordings:{tmp_path}", None, FIFTH)
    assert (len(train), len(test), test.rate, test.groups) == (8, 2, 8000, None)
    assert test.fetch(np.arange(2))[1].tolist() == [0, 1]


def test_videos_stay_whole(tmp_path: Path) -> None:
    from make_video import make_video

    for name in ("fall", "rise"):
        for i in range(4):
            make_video(tmp_path / name / f"{i}.mp4", 12 + i)
    train, test = open_both(f"videos:{tmp_path}@2/0.4s", None, Holdout(0.25))
    assert (len(train), train.groups, train.frames) == (6, None, 2)
    assert test.groups is not None
    assert test.groups.tolist() == [0] * 10 + [1] * 10
    clips, labels = train.fetch_runs(np.arange(6), np.arange(6), 0)  # type: ignore[attr-defined]
    assert (tuple(clips[0].shape), labels.tolist()) == ((3, 2, 32, 48), [0, 0, 0, 1, 1, 1])
    assert test.fetch(np.array([0, 19]))[1].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("holdout", "told"),
    [(Holdout(0.0), "--holdout is 0"), (Holdout(1.0), "--holdout is 1"), (Holdout(-1), "--holdout is -1")],
)
def test_shares_that_leave_nothing(folder: Path, holdout: Holdout, told: str) -> None:
    with pytest.raises(ExunoError, match=told):
        open_both(f"folder:{folder}", None, holdout)


def test_data_with_a_test_part_need_none_held_out() -> None:
    with pytest.raises(ExunoError, match=r"digits has test images of its own \(355\)"):
        open_both("digits", None, FIFTH)
    with pytest.raises(ExunoError, match="--split is val"):
        open_held("digits", "val", None, FIFTH)


def test_without_it_the_same_images_twice_are_refused(folder: Path) -> None:
    with pytest.raises(ExunoError, match=r"no test images of its own.*--holdout 0\.2"):
        check_apart("it", *open_both(f"folder:{folder}", None, Holdout()))


def test_splits_whose_files_have_the_same_names_and_sizes_are_two(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            (tmp_path / split / name).mkdir(parents=True)
            Image.fromarray(X[0]).save(tmp_path / split / name / "0.bmp")  # whatever it shows, 1,114 bytes
    check_apart("it", *open_both(f"folder:{tmp_path}", None, Holdout()))


def test_a_model_is_measured_on_what_its_run_held_out() -> None:
    lineage = {"data": "folder:x", **lineage_of(Holdout(0.2, 7))}
    assert recorded(lineage) == Holdout(0.2, 7)
    with pytest.raises(ExunoError, match="half with the seed 0 was held out"):
        recorded({"holdout": "half"})
    check_seen("run:a", lineage, "folder:x", None, Holdout(0.2, 7))
    check_seen("run:a", lineage, "folder:y", None, Holdout())
    for other in (Holdout(), Holdout(0.2), Holdout(0.1, 7)):
        with pytest.raises(ExunoError, match=r"may have seen.*--holdout 0\.2 --holdout-seed 7"):
            check_seen("run:a", lineage, "folder:x", None, other)


def test_classes_that_nothing_tests_are_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    open_both(f"folder:{folder}", None, FIFTH)
    assert "nothing is held out of classes with one sample, so none tests them: owl" in capsys.readouterr().err

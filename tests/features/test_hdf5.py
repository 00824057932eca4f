"""Files of features as the evaluation of SMKD writes them: what is read, and what is told of others."""

import builtins
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exuno.engine.errors import ExunoError
from exuno.features.cache import FeatureData, read_features

WITHOUT = "h5py is not installed: pip install 'exuno[hdf5]', or the group dev"


def write(path: Path, **parts: Any) -> Path:
    h5py = pytest.importorskip("h5py", reason=WITHOUT)
    with h5py.File(path, "w") as file:
        for name, values in parts.items():
            file.create_dataset(name, data=values)
    return path


def published(path: Path, images: int = 30, batch: int = 16, classes: int = 3, **changes: Any) -> Path:
    """Rows for whole batches, the last of them zero; labels int32, features float32, count int32 [1]."""
    rows = -(-images // batch) * batch
    features, labels = np.zeros((rows, 4), np.float32), np.zeros(rows, np.int32)
    features[:images] = np.random.default_rng(0).normal(size=(images, 4))
    labels[:images] = np.sort(np.arange(images) % classes)
    parts = {"all_feats": features, "all_labels": labels, "count": np.array([images], np.int32), **changes}
    return write(path, **{name: values for name, values in parts.items() if values is not None})


def test_the_rest_of_the_last_batch_is_left_out(tmp_path: Path) -> None:
    data = FeatureData(published(tmp_path / "test.hdf5"))
    assert (len(data), tuple(data.features.shape), data.num_classes) == (30, (30, 4), 3)
    assert np.bincount(data.labels.numpy()).tolist() == [10, 10, 10]
    assert str(data.features.dtype) == "torch.float32"
    assert data.features.any(1).all()
    with pytest.raises(ExunoError, match="features, no images"):
        data.fetch(np.array([0]))


def test_without_a_count_rows_of_zeros_at_the_end_are_no_images(tmp_path: Path) -> None:
    features, _ = read_features(published(tmp_path / "a.hdf5"))
    again, labels = read_features(published(tmp_path / "b.hdf5", count=None))
    np.testing.assert_array_equal(again, features)
    assert len(labels) == 30


def test_labels_are_numbered_anew_and_keep_their_names(tmp_path: Path) -> None:
    labels = np.array([7] * 16 + [3] * 14 + [0] * 2, np.int64)
    data = FeatureData(published(tmp_path / "a.hdf5", all_labels=labels))
    assert data.classes == ("3", "7")
    assert data.labels.tolist() == [1] * 16 + [0] * 14


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"all_labels": None, "all_names": [1]}, "holds all_feats, all_names, count"),
        ({"all_feats": np.zeros((32, 2, 2), np.float32)}, r"all_feats is float32 \[32, 2, 2\]"),
        ({"all_labels": np.zeros(9, np.int32)}, r"all_labels is int32 \[9\]"),
        ({"all_labels": np.zeros(32)}, "all_labels is float64"),
        ({"count": np.array([40])}, "says that 40 of its 32 rows are images"),
        ({"count": None, "all_feats": np.zeros((32, 4), np.float32)}, "says that 0 of its 32 rows"),
    ],
)
def test_other_layouts_are_told(changes: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(ExunoError, match=told):
        read_features(published(tmp_path / "a.hdf5", **changes))


def test_a_file_cut_short_is_told(tmp_path: Path) -> None:
    path = published(tmp_path / "a.hdf5")
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(ExunoError, match="is damaged"):
        read_features(path)


@pytest.mark.parametrize("content", [b"<!doctype html>", b"version https://git-lfs", b""])
def test_a_page_in_the_place_of_the_file_is_told(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.hdf5").write_bytes(content)
    with pytest.raises(ExunoError, match="no HDF5 file"):
        read_features(tmp_path / "a.hdf5")
    with pytest.raises(ExunoError, match="there is no file"):
        read_features(tmp_path / "b.hdf5")


def test_without_h5py_the_command_that_installs_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: Callable[..., str]
) -> None:
    (tmp_path / "a.hdf5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    real = builtins.__import__

    def absent(name: str, *args: Any, **keywords: Any) -> Any:
        if name == "h5py":
            raise ImportError(name)
        return real(name, *args, **keywords)

    monkeypatch.setattr(builtins, "__import__", absent)
    told = fails("fewshot", "eval", tmp_path / "a.hdf5")
    assert "feature files need h5py, which is not installed" in told
    assert "pip install 'exuno[hdf5]'" in told


def test_what_a_file_only_names_is_not_read(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason=WITHOUT)
    published(tmp_path / "other.hdf5")
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["all_feats"] = h5py.ExternalLink(str(tmp_path / "other.hdf5"), "all_feats")
        file["all_labels"] = np.zeros(32, np.int32)
    with pytest.raises(ExunoError, match=r"all_feats of .* lies in another file"):
        read_features(tmp_path / "a.hdf5")


def test_a_shape_without_content_takes_no_memory(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason=WITHOUT)
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file.create_dataset("all_feats", (10**7, 10**5), "f4", chunks=(16, 16))
        file.create_dataset("all_labels", (10**7,), "i4", chunks=(16,))
    with pytest.raises(ExunoError, match="EXUNO_MAX_BYTES"):
        read_features(tmp_path / "a.hdf5")

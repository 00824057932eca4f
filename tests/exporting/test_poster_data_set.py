"""A poster as a data set: the folder that ``datasets.load_dataset`` and Croissant's own library read."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from exuno.cli import main
from exuno.data.open import open_data
from exuno.data.poster.chroma import sheet_of
from exuno.data.poster.coding import SmallColours
from exuno.data.poster.format import save

datasets: Any = pytest.importorskip("datasets", reason="datasets is not installed")


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``datasets`` has a cache of its own, and no network."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


def exported(poster: Any, tmp_path: Path, *more: str) -> Path:
    save(poster, tmp_path / "mine.poster")
    args = ["export", str(tmp_path / "mine.poster"), "--to", str(tmp_path / "out"), "--format", "datasets", *more]
    assert main(args) == 0
    return tmp_path / "out"


def flat(value: Any) -> np.ndarray:
    """Lists or arrays in lists or arrays, as one float32 vector."""
    return np.asarray([value], np.float32) if np.isscalar(value) else np.concatenate([flat(each) for each in value])


def close_to(poster: Any, folder: Path) -> None:
    """Checks the rows that ``load_dataset`` reads against the poster's patches."""
    found = datasets.load_dataset(str(folder))
    assert list(found) == ["train"]
    rows = found["train"]
    data: Any = open_data(f"poster:{folder}", "train")
    images, labels = data.images.numpy(), data.labels.numpy()
    assert rows.features["label"].names == list(poster.class_names)
    whole = rows.with_format("numpy")[:]
    np.testing.assert_array_equal(whole["values"], images)
    np.testing.assert_allclose(whole["soft_label"], labels, atol=1e-7)
    np.testing.assert_array_equal(whole["label"], labels.argmax(1))
    pictures = np.stack([np.asarray(image) for image in rows["image"]])
    assert pictures.shape == (len(rows), 8, 8)
    if poster.whitening is None:
        np.testing.assert_array_equal(pictures, np.rint(images[:, 0].clip(0, 1) * 255))
    else:
        assert pictures.std() > 20  # seen again, around gray
        assert abs(pictures.mean() - 127.5) < 10


@pytest.mark.parametrize("whitened", [False, True])
def test_a_poster_folder_loads(whitened: bool, tiny_poster: Callable, tmp_path: Path) -> None:
    poster = tiny_poster(whitened=whitened, learned=True)
    close_to(poster, exported(poster, tmp_path))


def test_colours_of_half_the_size_are_columns_like_others(tiny_poster: Callable, tmp_path: Path) -> None:
    sheet = sheet_of(torch.from_numpy(np.random.default_rng(0).normal(size=(3, 16, 20))))
    stored = SmallColours(4).stored(sheet, (16, 20))
    poster = tiny_poster(**stored, mean=(0.5,) * 3, std=(0.2,) * 3)
    rows = datasets.load_dataset(str(exported(poster, tmp_path)), split="train").with_format("numpy")[:]
    np.testing.assert_allclose(rows["values"], poster.patches()[0] * 0.2 + 0.5, atol=1e-6)
    assert rows["image"].shape == (12, 8, 8, 3)


def test_exuno_reads_it_as_a_data_set_of_others(tiny_poster: Callable, tmp_path: Path) -> None:
    folder = exported(tiny_poster(), tmp_path)
    data = open_data(f"hf-datasets:{folder}", "train")
    assert (len(data), data.num_classes, data.image_size) == (12, 10, (8, 8))


def test_the_card_says_how_it_was_made_and_that_the_license_is_unknown(tiny_poster: Callable, tmp_path: Path) -> None:
    text = (exported(tiny_poster(), tmp_path) / "README.md").read_text()
    head = yaml.safe_load(text.split("---")[1])
    assert head["license"] == "unknown"
    assert head["configs"][0]["data_files"] == [{"split": "train", "path": "data/train-*.parquet"}]
    assert head["size_categories"] == ["n<1K"]
    assert "dataset-distillation" in head["tags"]
    for part in ("12 patches", "made of digits, whose license and terms hold for it, too", "seed: `3`"):
        assert part in text


def test_a_license_that_is_stated(tiny_poster: Callable, tmp_path: Path) -> None:
    folder = exported(tiny_poster(), tmp_path, "--license", "cc-by-4.0")
    text = (folder / "README.md").read_text()
    assert yaml.safe_load(text.split("---")[1])["license"] == "cc-by-4.0"
    assert "## License" not in text
    assert json.loads((folder / "croissant.json").read_text())["license"] == "cc-by-4.0"


@pytest.mark.parametrize("whitened", [False, True])
def test_croissant_is_valid_and_reads_the_same_rows(whitened: bool, tiny_poster: Callable, tmp_path: Path) -> None:
    library = pytest.importorskip("mlcroissant", reason="mlcroissant is not installed")
    folder = exported(tiny_poster(whitened=whitened), tmp_path)
    data = library.Dataset(jsonld=folder / "croissant.json")
    assert not data.metadata.ctx.issues.errors
    # Who is to be cited, and when it was published, only the publisher knows.
    assert all("is recommended" in each for each in data.metadata.ctx.issues.warnings)
    rows = datasets.load_dataset(str(folder), split="train").with_format("numpy")
    found = list(data.records("patches"))
    assert len(found) == len(rows) == 12
    for record, row in zip(found, rows, strict=True):
        np.testing.assert_array_equal(flat(record["patches/values"]), row["values"].ravel())
        np.testing.assert_array_equal(np.asarray(record["patches/soft_label"], np.float32), row["soft_label"])
        assert record["patches/label"] == row["label"]
        np.testing.assert_array_equal(np.asarray(record["patches/image"]), np.asarray(row["image"]))


def test_damage_is_noticed_by_the_sum_in_the_metadata(tiny_poster: Callable, tmp_path: Path) -> None:
    library = pytest.importorskip("mlcroissant", reason="mlcroissant is not installed")
    folder = exported(tiny_poster(), tmp_path)
    (table,) = folder.glob("data/*.parquet")
    table.write_bytes(table.read_bytes() + b"x")
    with pytest.raises(library.GenerationError):
        list(library.Dataset(jsonld=folder / "croissant.json").records("patches"))


def test_the_same_poster_gives_the_same_bytes(tiny_poster: Callable, tmp_path: Path) -> None:
    tables = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (table,) = exported(tiny_poster(), tmp_path / name).glob("data/*.parquet")
        tables.append(table.read_bytes())
    assert tables[0] == tables[1]


def test_what_synth_writes_loads_too(tmp_path: Path) -> None:
    for container, column in (("folder", "image"), ("wds", "jpg")):
        out = tmp_path / container
        args = ["synth", "photo:coffee", "--size", "16", "--count", "30", "--group", "10", "--out", str(out)]
        assert main([*args, "--container", container]) == 0
        rows = datasets.load_dataset(str(out), split="train")
        assert len(rows) == 30
        assert rows[0][column].size == (16, 16)


def test_a_format_of_the_other_kind_is_refused(tiny_poster: Callable, tmp_path: Path, fails) -> None:
    save(tiny_poster(), tmp_path / "mine.poster")
    said = fails("export", f"poster:{tmp_path / 'mine.poster'}", "--to", tmp_path / "out", "--onnx")
    assert "is a poster, which has no network to write as onnx" in said
    said = fails("export", "exuno:resnet8", "--to", tmp_path / "out", "--format", "datasets")
    assert "--format datasets is for posters, and exuno:resnet8 is a network" in said
    assert not (tmp_path / "out").exists()


def test_without_the_package(tiny_poster: Callable, tmp_path: Path, fails, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tiny_poster(), tmp_path / "mine.poster")
    monkeypatch.setitem(sys.modules, "datasets", None)
    said = fails("export", f"poster:{tmp_path / 'mine.poster'}", "--to", tmp_path / "out", "--format", "datasets")
    assert '--format datasets needs datasets, which is not installed. pip install "exuno[hf]"' in said


def test_the_hub_gets_a_data_set(tiny_poster: Callable, tmp_path: Path, monkeypatch, capsys) -> None:
    import huggingface_hub

    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(huggingface_hub, "create_repo", lambda repo, **options: asked.append(options))
    monkeypatch.setattr(huggingface_hub, "upload_folder", lambda **options: asked.append(options))
    exported(tiny_poster(), tmp_path, "--push", "me/mine")
    assert [options["repo_type"] for options in asked] == ["dataset", "dataset"]
    said = capsys.readouterr().out
    assert "https://huggingface.co/datasets/me/mine" in said
    assert "datasets.load_dataset('me/mine')" in said


def test_values_are_those_that_a_training_meets(tiny_poster: Callable, tmp_path: Path) -> None:
    """Unrounded: some lie outside of what a picture can show."""
    folder = exported(tiny_poster(), tmp_path)
    values = torch.tensor(datasets.load_dataset(str(folder), split="train").with_format("numpy")["values"][:])
    assert values.min() < 0 or values.max() > 1

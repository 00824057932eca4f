"""``hf-datasets:``, on data sets made here."""

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from exuno.cli import main
from exuno.data.named.hf_datasets import open_hub
from exuno.data.open import open_data
from exuno.engine.errors import ExunoError
from exuno.features.cache import key_of

datasets: Any = pytest.importorskip("datasets", reason="datasets is not installed")

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 8, 6, 3), np.uint8)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


def rows(first: int, last: int, labels: Any = None, **kinds: Any) -> Any:
    """Some of the images as a data set, with labels 0, 1, 2, 0, …"""
    images = [Image.fromarray(each) for each in PIXELS[first:last]]
    labels = labels or [number % 3 for number in range(first, last)]
    kinds = kinds or {"label": datasets.ClassLabel(names=["ant", "bee", "cow"])}
    content = {"id": list(range(first, last)), "picture": images, next(iter(kinds)): labels}
    features = {"id": datasets.Value("int64"), "picture": datasets.Image(), **kinds}
    return datasets.Dataset.from_dict(content, datasets.Features(features))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    datasets.DatasetDict({"train": rows(0, 8), "validation": rows(8, 12)}).save_to_disk(tmp_path / "saved")
    return tmp_path / "saved"


def test_images_labels_and_classes_are_those_that_were_saved(saved: Path) -> None:
    data = open_data(f"hf-datasets:{saved}")
    images, labels = data.fetch(np.array([7, 0, 3]))
    for image, position in zip(images, [7, 0, 3], strict=True):
        assert np.array_equal(image.permute(1, 2, 0), PIXELS[position])
    assert labels.tolist() == [1, 0, 0]
    assert (len(data), data.classes, data.num_classes) == (8, ("ant", "bee", "cow"), 3)
    assert (data.image_size, data.resize) == ((8, 6), None)


def test_validation_stands_in_for_the_test_and_a_named_split_for_all(saved: Path) -> None:
    test = open_data(f"hf-datasets:{saved}", "test")
    assert np.array_equal(test.fetch(np.array([0]))[0][0].permute(1, 2, 0), PIXELS[8])
    assert len(open_data(f"hf-datasets:{saved}@train", "test")) == 8
    with pytest.raises(ExunoError, match=r"has no split 'extra'. Its splits are train, validation"):
        open_data(f"hf-datasets:{saved}@extra")


def test_the_fingerprint_is_that_of_the_content(saved: Path, tmp_path: Path) -> None:
    first = open_data(f"hf-datasets:{saved}").fingerprint()
    assert open_data(f"hf-datasets:{saved}@train").fingerprint() == first
    assert open_data(f"hf-datasets:{saved}@validation").fingerprint() != first
    rows(0, 8, [2] * 8).save_to_disk(tmp_path / "other")
    assert open_data(f"hf-datasets:{tmp_path / 'other'}").fingerprint() != first


def test_features_of_other_pixels_of_the_same_size_are_others(tmp_path: Path) -> None:
    for name, shade in (("a", 0), ("b", 255)):  # bitmaps: as many bytes whatever they show
        stream = io.BytesIO()
        Image.new("RGB", (8, 8), (shade,) * 3).save(stream, "BMP")
        content = {"image": [{"bytes": stream.getvalue(), "path": "0.bmp"}], "label": [0]}
        features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
        datasets.Dataset.from_dict(content, features).save_to_disk(tmp_path / name)
    first, again, other = (open_data(f"hf-datasets:{tmp_path / name}") for name in "aab")
    assert key_of(None, None, first) == key_of(None, None, again) != key_of(None, None, other)


def test_a_folder_of_files_is_read_as_datasets_reads_it(tmp_path: Path) -> None:
    for position, pixels in enumerate(PIXELS[:6]):
        place = tmp_path / "mine" / ("train" if position < 4 else "test") / ("ant", "bee")[position % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place / f"{position}.png")
    data = open_data(f"hf-datasets:{tmp_path / 'mine'}", "test")
    assert (len(data), data.classes) == (2, ("ant", "bee"))
    assert np.array_equal(data.fetch(np.array([1]))[0][0].permute(1, 2, 0), PIXELS[5])


def test_labels_as_text_and_no_labels(tmp_path: Path) -> None:
    rows(0, 3, ["b", "a", "b"], label=datasets.Value("string")).save_to_disk(tmp_path / "text")
    data = open_data(f"hf-datasets:{tmp_path / 'text'}")
    assert (data.classes, data.fetch(np.arange(3))[1].tolist()) == (("a", "b"), [1, 0, 1])
    rows(0, 3, ["x", "y", "z"], caption=datasets.Value("string")).save_to_disk(tmp_path / "none")
    assert open_data(f"hf-datasets:{tmp_path / 'none'}").fetch(np.arange(3))[1].tolist() == [-1] * 3


def test_all_splits_together_tell_the_classes(tmp_path: Path) -> None:
    for kind, train, test in (("string", list("cab"), ["c", "b"]), ("int64", [2, 0, 1], [2, 1])):
        parts = {
            "train": rows(0, 3, train, label=datasets.Value(kind)),
            "test": rows(3, 5, test, label=datasets.Value(kind)),
        }
        datasets.DatasetDict(parts).save_to_disk(tmp_path / kind)
        data = open_data(f"hf-datasets:{tmp_path / kind}", "test")
        assert (data.num_classes, data.fetch(np.arange(2))[1].tolist()) == (3, [2, 1])
        assert data.classes == (("a", "b", "c") if kind == "string" else None)


@pytest.mark.parametrize("first", ["train", "test"])
def test_names_in_one_split_and_numbers_in_another_are_refused(first: str, tmp_path: Path) -> None:
    """They would be matched by number, and the number of no name is known."""
    name, number = {"label": datasets.Value("string")}, {"label": datasets.Value("int64")}
    other = "test" if first == "train" else "train"
    parts = {first: rows(0, 3, list("cab"), **name), other: rows(3, 6, [0, 1, 2], **number)}
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "both")
    spec = f"hf-datasets:{tmp_path / 'both'}"
    with pytest.raises(ExunoError, match=f"holds names, such as c, and in the split {other} numbers"):
        open_data(spec, first)
    with pytest.raises(ExunoError, match=f"holds numbers, such as 0, and in the split {first} names"):
        open_data(spec, other)
    assert open_data(f"{spec}@{first}").classes == ("a", "b", "c")
    bare = {first: rows(0, 3, list("cab"), **name), other: rows(3, 6, [-1] * 3, **number)}
    datasets.DatasetDict(bare | {"more": rows(6, 9, [0, 1, 2], **number)}).save_to_disk(tmp_path / "bare")
    assert open_data(f"hf-datasets:{tmp_path / 'bare'}", first).classes == ("a", "b", "c")


def test_what_is_wrong_with_a_split_is_told_of_that_one(tmp_path: Path) -> None:
    kind = {"label": datasets.Value("int64")}
    parts = {"train": rows(0, 3, [0, 1, 2], **kind), "test": rows(3, 5, [0, 1], **kind)}
    parts["unlabeled"] = rows(5, 8, [-1, -1, 2], **kind)
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "some")
    train, test = (open_data(f"hf-datasets:{tmp_path / 'some'}", split) for split in ("train", "test"))
    assert (train.num_classes, test.num_classes, test.fetch(np.arange(2))[1].tolist()) == (3, 3, [0, 1])
    with pytest.raises(ExunoError, match="row 0 of the column label"):
        open_data(f"hf-datasets:{tmp_path / 'some'}@unlabeled", "train")


def test_digits_as_text_are_numbers(tmp_path: Path) -> None:
    texts = [str(number) for number in range(12)]
    rows(0, 12, texts, label=datasets.Value("string")).save_to_disk(tmp_path / "text")
    data = open_data(f"hf-datasets:{tmp_path / 'text'}")
    assert (data.classes, data.num_classes, data.fetch(np.arange(12))[1].tolist()) == (None, 12, list(range(12)))


@pytest.mark.parametrize("kind", ["string", "int64"])
def test_rows_without_a_label_are_told(kind: str, tmp_path: Path) -> None:
    some = ["a", None, "b"] if kind == "string" else [0, None, 1]
    rows(0, 3, some, label=datasets.Value(kind)).save_to_disk(tmp_path / "some")
    with pytest.raises(ExunoError, match=r"row 1 of the column label of .* has no label"):
        open_data(f"hf-datasets:{tmp_path / 'some'}")
    rows(0, 3, [None] * 3, label=datasets.Value(kind)).save_to_disk(tmp_path / "none")
    assert open_data(f"hf-datasets:{tmp_path / 'none'}").num_classes == 0


def test_rows_without_a_picture_and_lists_of_labels_are_told(tmp_path: Path) -> None:
    bare = datasets.Dataset.from_dict({"image": [None]}, datasets.Features({"image": datasets.Image()}))
    bare.save_to_disk(tmp_path / "bare")
    with pytest.raises(ExunoError, match=r"row 0 of .* has no picture"):
        open_data(f"hf-datasets:{tmp_path / 'bare'}").fetch(np.arange(1))
    ragged = rows(0, 2, [[0, 1], [1]], label=datasets.Sequence(datasets.Value("int64")))
    ragged.save_to_disk(tmp_path / "ragged")
    with pytest.raises(ExunoError, match="holds lists"):
        open_data(f"hf-datasets:{tmp_path / 'ragged'}")


def test_a_teacher_learns_from_it(saved: Path, tmp_path: Path) -> None:
    args = ["teach", "digits", "--smoke", "--devices", "cpu", "--data", f"hf-datasets:{saved}"]
    assert main([*args, "--run-dir", str(tmp_path / "run")]) == 0


def test_mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets.Dataset.from_dict({"text": ["a"]}).save_to_disk(tmp_path / "text")
    with pytest.raises(ExunoError, match=r"has no column of images .it has text"):
        open_data(f"hf-datasets:{tmp_path / 'text'}")
    with pytest.raises(ExunoError, match="cannot be loaded"):
        open_data(f"hf-datasets:{tmp_path / 'nowhere'}")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ExunoError, match=r"needs the package datasets. pip install 'exuno\[hf\]'"):
        open_hub("cifar10", "train")


@pytest.mark.parametrize("struct", [False, True])
def test_bytes_of_pictures_in_a_table_are_read(struct: bool, tmp_path: Path) -> None:
    """As pandas and pyarrow write them: a column of bytes without a word of what they are."""
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    def png(pixels: Any) -> Any:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        return {"bytes": file.getvalue(), "path": None} if struct else file.getvalue()

    table = pa.table({"blob": [b"no picture"] * 8, "shown": [png(each) for each in PIXELS[:8]], "label": [0, 1] * 4})
    (tmp_path / "table").mkdir()
    pyarrow.parquet.write_table(table, tmp_path / "table/train.parquet")
    data = open_data(f"hf-datasets:{tmp_path / 'table'}")
    for image, pixels in zip(data.fetch(np.arange(8))[0], PIXELS[:8], strict=True):
        assert np.array_equal(image.permute(1, 2, 0), pixels)
    assert data.fingerprint()
    pyarrow.parquet.write_table(table.drop_columns(["shown"]), tmp_path / "table/train.parquet")
    with pytest.raises(ExunoError, match=r"no column of images \(it has blob, label\).*cast_column"):
        open_data(f"hf-datasets:{tmp_path / 'table'}")


def test_pictures_of_the_same_size_in_bytes_are_others(tmp_path: Path) -> None:
    found = []
    for value in (1, 2):
        file = io.BytesIO()
        Image.fromarray(np.full((8, 8, 3), value, np.uint8)).save(file, "BMP")
        table = {"image": [{"bytes": file.getvalue(), "path": None}] * 2, "label": [0, 1]}
        kinds = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
        datasets.Dataset.from_dict(table, kinds).save_to_disk(tmp_path / str(value))
        found.append(open_data(f"hf-datasets:{tmp_path / str(value)}"))
    assert found[0].fingerprint() == found[1].fingerprint()
    assert found[0].content() != found[1].content()


def test_of_several_columns_of_images_the_one_that_is_called_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = ([Image.fromarray(each) for each in PIXELS[first : first + 4]] for first in (0, 4))
    kinds = {"mask": datasets.Image(), "image": datasets.Image(), "label": datasets.Value("int64")}
    table = {"mask": one, "image": other, "label": [0, 1, 0, 1]}
    datasets.Dataset.from_dict(table, datasets.Features(kinds)).save_to_disk(tmp_path / "made")
    data = open_data(f"hf-datasets:{tmp_path / 'made'}")
    assert np.array_equal(data.fetch(np.array([1]))[0][0].permute(1, 2, 0), PIXELS[5])
    assert "has several columns of images: image is read, not mask" in capsys.readouterr().err


def test_columns_that_may_be_labels_and_are_not_read_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows(0, 8, species=datasets.Value("int64")).save_to_disk(tmp_path / "made")
    assert open_data(f"hf-datasets:{tmp_path / 'made'}").num_classes == 0
    assert "read without labels: of its columns id, species none is the label" in capsys.readouterr().err

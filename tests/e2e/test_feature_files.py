"""``exuno fewshot eval`` on files of features, as those that SMKD publishes."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from exuno.cli import main
from exuno.data.subset import labels_of
from exuno.fewshot.classes import open_classes
from exuno.fewshot.options import Classes

h5py = pytest.importorskip("h5py", reason="h5py is not installed: pip install 'exuno[hdf5]', or the group dev")
FEW = ["--episodes", "40", "--devices", "cpu"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def pixels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The raw pixels of the digits 5 to 9, in the order of their classes, as features in a file."""
    data = open_classes("digits", "test", Classes(), None, 0)
    assert data is not None
    order = np.argsort(labels_of(data), kind="stable")
    images, labels = data.fetch(order)
    assert isinstance(images, torch.Tensor)
    features = images.flatten(1).float().numpy() / 255
    rows = -(-len(features) // 300) * 300
    path = tmp_path_factory.mktemp("published") / "test_224_epoch40_teacher_1shot.hdf5"
    with h5py.File(path, "w") as file:
        file.create_dataset("all_feats", (rows, 64), "f")[: len(features)] = features
        file.create_dataset("all_labels", (rows,), "i")[: len(features)] = labels.numpy()
        file.create_dataset("count", (1,), "i")[0] = len(features)
    return path


def measured(folder: Path) -> dict[str, float]:
    result = json.loads((folder / "result.json").read_text())
    return {key: value for part in ("metrics", "baselines") for key, value in result[part].items()}


def test_a_file_alone_is_measured(pixels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    command = ["fewshot", "eval", str(pixels), *FEW, "--head", "prototype", "knn", "--protocol", "smkd"]
    assert main([*command, "--run-dir", str(run)]) == 0
    printed = capsys.readouterr().out
    assert "of the file, 64" in printed
    assert "may: its training" in printed
    assert "random network" not in printed
    found = measured(run)
    assert len(found) == 4
    assert found[f"{pixels.name}/5-way-5-shot/prototype"] > 0.7
    again = (run / "command.txt").read_text().splitlines()[0].split()[1:]
    assert main(again) == 0
    assert measured(Path(f"{run}-replay")) == found


def test_beside_the_images_it_has_the_accuracy_of_what_it_holds(pixels: Path, tmp_path: Path) -> None:
    """The same pixels by the file and from the images: other episodes, for the order differs, but the same accuracy."""
    run = tmp_path / "run"
    args = ["--data", "digits", "--episodes", "2000", "--devices", "cpu", "--run-dir", str(run)]
    assert main(["fewshot", "eval", f"features:{pixels}", *args]) == 0
    found = measured(run)
    for shot in (1, 5):
        ours = found[f"raw pixels/5-way-{shot}-shot/prototype"]
        assert found[f"{pixels.name}/5-way-{shot}-shot/prototype"] == pytest.approx(ours, abs=0.01)


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["FILE", "pixels", "--data", "features:FILE"], "has no images for pixels"),
        (["FILE", "--size", "8"], "--size cannot be chosen"),
        (["FILE", "--features", "cls"], "--features cannot be chosen"),
        (["FILE", "--part", "val"], "--part cannot be chosen"),
        (["FILE", "--views", "2"], "--views cannot be chosen"),
        (["FILE", "--blocks", "2"], "--blocks cannot be chosen"),
        (["FILE", "--split", "all"], "--split cannot be chosen"),
        (["FILE", "--way", "6"], "has 5 classes"),
        (["FILE", "--protocol", "reference"], "takes 600 of each class"),
        (["FILE", "--data", "digits", "--part", "train"], "digits/train has"),
        (["features:gone.hdf5"], "there is no file gone.hdf5"),
    ],
)
def test_mistakes(args: list[str], told: str, pixels: Path, fails: Callable[..., str]) -> None:
    typed = [each.replace("FILE", str(pixels)) for each in args]
    assert told in fails("fewshot", "eval", *typed)


def test_it_is_told_by_its_bytes_and_two_of_them_are_of_the_same_classes(
    pixels: Path, tmp_path: Path, fails: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "features.bin"
    other.write_bytes(pixels.read_bytes())
    assert main(["fewshot", "eval", str(other), str(pixels), *FEW]) == 0
    assert capsys.readouterr().out.count("of the file, 64") == 2
    with h5py.File(other, "r+") as file:
        file["all_labels"][:20] = file["all_labels"][20] + 1
    told = fails("fewshot", "eval", pixels, other, *FEW)
    assert "with other numbers in a class" in told
    assert "Measure one at a time" in told
    assert "what to test random:exuno:vit_tiny_8 on is unknown" in fails(
        "fewshot", "eval", pixels, "random:exuno:vit_tiny_8"
    )


def test_a_dry_run_and_a_smoke_run(pixels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fewshot", "eval", str(pixels), "--dry-run"]) == 0
    assert f"data: features:{pixels}" in capsys.readouterr().out
    assert main(["fewshot", "eval", str(pixels), "--smoke", "--devices", "cpu"]) == 0
    assert "20 episodes" in capsys.readouterr().out

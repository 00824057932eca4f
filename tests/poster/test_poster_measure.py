"""The final measurement, and ``exuno eval poster:PATH`` as a user types it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from mean_poster import RECIPE, digits, mean_poster

from exuno.cli import main
from exuno.data.images.digits import open_digits
from exuno.data.poster.format import Poster, save
from exuno.data.poster.whitening import fit
from exuno.engine.errors import ExunoError
from exuno.metrics import mean_interval
from exuno.poster.measure import Measured, accuracy_table, measure, plain
from exuno.poster.network import fresh_network
from exuno.poster.options import Evaluation, Inner
from exuno.poster.protocol import Recipe, train_and_test
from exuno.poster.real import Space

CPU = torch.device("cpu")
ARCH = "exuno:convnet_1_8-none"


@pytest.fixture(scope="module")
def poster() -> Poster:
    return mean_poster()


@pytest.fixture(scope="module")
def measured(poster: Poster) -> Measured:
    proof = Evaluation(networks=3, steps=(5, 30), baselines=2)
    return measure(poster, digits("test"), digits("train"), proof, 7, CPU, (ARCH,), quiet=True)


def test_the_poster_is_tested_as_its_protocol_says(poster: Poster, measured: Measured) -> None:
    assert measured.steps == (5, 20, 30)
    assert measured.chosen == 20

    def nets(seed: int) -> torch.nn.Module:
        return fresh_network(RECIPE.model, 10, 1, (8, 8), seed)

    again = train_and_test(*poster.patches(), nets, RECIPE.inner, {"test": digits("test")}, (5, 20, 30), 3, 7, CPU)
    np.testing.assert_array_equal(measured.poster, again.accuracies["test"])
    assert measured.metrics == {"poster/top1": pytest.approx(measured.poster[:, 1].mean())}
    assert measured.metrics["poster/top1"] > 0.6  # class means teach much
    low, high = mean_interval(measured.poster[:, 1])
    assert measured.intervals["poster/top1"] == (max(0, low), min(1, high))


def test_the_logits_are_those_of_the_network_nearest_to_the_mean(measured: Measured) -> None:
    share = (measured.logits.argmax(1) == digits("test")[1].numpy()).mean()
    at = measured.poster[:, 1]
    assert share == pytest.approx(at[np.abs(at - at.mean()).argmin()])


def test_baselines_and_other_networks(measured: Measured) -> None:
    assert set(measured.baselines) == {"random real images/top1", "herded real images/top1"}
    for name, curves in measured.real.items():
        assert curves.shape == (2, 3)
        assert measured.baselines[f"{name}/top1"] == pytest.approx(curves.mean(0).max())
    assert not np.array_equal(measured.real["random real images"][0], measured.real["random real images"][1])
    assert set(measured.architectures) == {f"{ARCH}/top1"}
    assert measured.others[ARCH].shape == (3, 3)
    assert set(measured.intervals) == {"poster/top1", *measured.baselines, *measured.architectures}
    assert [len(table["rows"]) for table in measured.tables[:2]] == [3, 2]


def test_one_network_has_no_interval(poster: Poster) -> None:
    proof = Evaluation(networks=1, steps=(2,), baselines=0)
    found = measure(poster, digits("test"), digits("train"), proof, 0, CPU, quiet=True)
    assert found.intervals == {}
    assert found.baselines == {}
    assert json.loads(json.dumps(found.metrics, allow_nan=False))


def test_a_table_by_hand() -> None:
    curves = {"one": np.array([[0.5, 0.25]]), "two": np.array([[0.4, 0.1], [0.6, 0.1]])}
    table = accuracy_table("T", "on", curves, (10, 2000), 2000)
    assert table["head"] == ["on", "networks", "10 steps", "2,000 steps *"]
    # t of one degree of freedom is 12.706, the deviation of 0.4 and 0.6 is 0.1414, so the half width is 1.2706.
    assert table["rows"] == [["one", "1", "50.0", "25.0"], ["two", "2", "50.0 ± 127.1", "10.0 ± 0.0"]]
    assert plain(table).splitlines()[1:3] == [
        "on   networks      10 steps  2,000 steps *",
        "one         1          50.0           25.0",
    ]


def test_recipes_come_back() -> None:
    recipe = Recipe("exuno:resnet8", Inner("sgd", 0.1, 0.5, 5e-4, 12, "none"), 600, (300, 600))
    assert Recipe.of(json.loads(json.dumps(recipe.to_dict()))) == recipe
    for broken in ({}, {**recipe.to_dict(), "inner": 3}, {**recipe.to_dict(), "steps": "many"}):
        with pytest.raises(ExunoError, match="protocol makes no sense"):
            Recipe.of(broken)


def test_images_in_the_space_of_a_poster() -> None:
    data, (expected, labels) = open_digits("train"), digits("train")
    found, own = Space.of(mean_poster()).images(data)
    torch.testing.assert_close(found, expected)
    assert torch.equal(own, labels)
    some, few = Space.of(mean_poster()).images(data, 3)
    assert torch.equal(some, found[[0, 720, 1441]])
    assert torch.equal(few, labels[[0, 720, 1441]])
    whitening = fit(data.images)
    white, _ = Space.of(mean_poster(whitening=whitening)).images(data)
    torch.testing.assert_close(white, whitening.apply(data.images), rtol=1e-3, atol=1e-3)
    unlabelled = open_digits("test")
    unlabelled.labels[3] = -1
    with pytest.raises(ExunoError, match="not labelled"):
        Space.of(mean_poster()).images(unlabelled)


@pytest.fixture
def saved(poster: Poster, tmp_path: Path) -> Path:
    return save(poster, tmp_path / "digits.poster")


def test_eval(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["eval", str(saved), "--networks", "2", "--baselines", "1", "--arch", ARCH, "--devices", "cpu"]
    assert main([*command, "--run-dir", str(tmp_path / "run")]) == 0
    out = capsys.readouterr().out
    assert "n = 355" in out
    assert " ".join(out.splitlines()[2].split()) == "trained on networks 10 steps 20 steps * 30 steps"
    content = json.loads((tmp_path / "run" / "result.json").read_text())
    assert content["n"] == {"poster/top1": 355}
    assert content["training_steps"] == {"chosen": 20, "tested": [10, 20, 30]}
    networks = np.array(content["networks"]["poster"])
    assert content["metrics"]["poster/top1"] == pytest.approx(networks[:, 1].mean())
    assert set(content["baselines"]) == {"random real images/top1", "herded real images/top1", "chance/top1"}
    assert content["ledger"]["pixels"] == 640
    assert content["lineage"]["poster"]["seed"] == 3
    page = (tmp_path / "run" / "report.html").read_text()
    assert "herded real images, 10" in page
    assert "one_network" in page
    assert "result.json says" not in page  # no number contradicts another
    assert main([*command, "--run-dir", str(tmp_path / "run")]) == 2
    assert "holds this measurement already" in capsys.readouterr().err
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["config"]
    assert config["data"] == "digits"
    replay = (tmp_path / "run" / "command.txt").read_text().splitlines()[0].split()[1:]
    assert main(replay) == 0
    again = json.loads(Path(replay[-1], "result.json").read_text())
    assert again["networks"] == content["networks"]


def test_eval_finds_the_poster_of_a_run_and_is_short_in_a_smoke_run(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "made").mkdir()
    saved.rename(tmp_path / "made" / "distilled.poster")
    assert main(["eval", str(tmp_path / "made"), "--smoke", "--devices", "cpu"]) == 0
    out = capsys.readouterr().out
    assert "n = 64" in out
    assert "4 steps *" in out


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--teacher", "exuno:resnet8"], "--teacher says nothing about"),
        (["--size", "16"], "--size says nothing about"),
        (["--networks", "0"], "--networks is 0"),
        (["--steps", "0", "5"], "--steps is 0 5"),
        (["--baselines", "-1"], "--baselines is -1"),
        (["--arch", "exuno:resnet9"], "resnet9"),
        (["--arch", "file:x.pt"], "there is no file x.pt"),
    ],
)
def test_mistakes(args: list[str], told: str, saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", f"poster:{saved}", "--devices", "cpu", "--baselines", "0", "--networks", "1", *args]) == 2
    assert told in capsys.readouterr().err


def test_other_classes_and_options_of_posters_for_models(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, labels = np.zeros((6, 8, 8), np.uint8), np.arange(6) % 3
    np.savez(tmp_path / "three.npz", train_images=images, train_labels=labels, test_images=images, test_labels=labels)
    assert main(["eval", str(saved), "--data", f"npz:{tmp_path}/three.npz"]) == 2
    assert "the poster has 10 classes but" in capsys.readouterr().err
    assert main(["eval", "timm:resnet18", "--data", "digits", "--networks", "3"]) == 2
    assert "which is no poster" in capsys.readouterr().err
    save(replace(mean_poster(), protocol={}), tmp_path / "odd.poster")
    assert main(["eval", str(tmp_path / "odd.poster")]) == 2
    assert "protocol makes no sense" in capsys.readouterr().err

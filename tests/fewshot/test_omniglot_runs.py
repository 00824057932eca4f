"""The official one-shot runs of Omniglot, which bring their episodes; and ``--split all``, to train for them."""

import json
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from exuno.cli import main
from exuno.data.named.omniglot import BACKGROUND, open_runs
from exuno.data.open import open_data
from exuno.engine.errors import ExunoError
from exuno.fewshot.classes import PARTS, open_classes
from exuno.fewshot.eval_models import Subject, seen
from exuno.fewshot.eval_options import complete
from exuno.fewshot.options import Classes, EvalConfig
from exuno.models.card import ModelCard
from exuno.models.classifier import Classifier

KEY = "raw pixels/20-way-1-shot/prototype"


def drawing(path: Path, mark: int) -> None:
    """Ink in the block of number ``mark``."""
    pixels = np.full((105, 105), 255, np.uint8)
    row, column = divmod(mark, 5)
    pixels[20 * row : 20 * row + 20, 20 * column : 20 * column + 20] = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs in the published layout, whose queries look like their class; the first n - 1 of run n like another."""
    root = tmp_path_factory.mktemp("runs")
    for run in range(1, 21):
        base, lines = root / "omniglot/all_runs", []
        answers = np.random.default_rng(run).permutation(20)
        for item, answer in enumerate(answers.tolist()):
            drawing(base / f"run{run:02}/training/class{item + 1:02}.png", item)
            drawing(base / f"run{run:02}/test/item{item + 1:02}.png", (answer + (item < run - 1)) % 20)
            lines.append(f"run{run:02}/test/item{item + 1:02}.png run{run:02}/training/class{answer + 1:02}.png")
        (base / f"run{run:02}/class_labels.txt").write_text("\n".join(lines))
    return root


def measured(root: Path, run: Path, *args: str) -> dict[str, dict[str, float]]:
    typed = ["--data", "omniglot-runs", "--data-root", str(root), "--run-dir", str(run), "--devices", "cpu"]
    assert main(["fewshot", "eval", "pixels", *args, *typed, "--cache", str(run.parent / "cache")]) == 0
    return json.loads((run / "result.json").read_text())


def test_data_that_bring_their_episodes(root: Path) -> None:
    data = open_data("omniglot-runs", root=root)
    assert (len(data), data.num_classes, data.image_size, data.channels) == (800, 400, (105, 105), 1)
    assert data.classes is not None
    assert data.classes[21] == "run02/class02"
    assert data.episodes is not None
    support, query = data.episodes
    assert support.shape == query.shape == (20, 20, 1)
    assert sorted(np.concatenate([support, query], None).tolist()) == list(range(800))
    assert torch.equal(data.fetch(support.ravel())[1], torch.arange(400))
    assert torch.equal(data.fetch(query.ravel())[1], torch.arange(400))
    run = open_runs(root / "omniglot")[6]
    assert np.array_equal(np.stack([*data.fetch(support[6].ravel())[0]]), run.support)
    assert torch.equal(data.fetch(query[6].ravel())[0][run.answers], run.query)


@pytest.mark.parametrize("below", ["omniglot", "omniglot/all_runs"])
def test_any_part_and_any_place(root: Path, below: str) -> None:
    whole = open_data("omniglot-runs", "test", root=root)
    for part in PARTS:
        found = open_classes("omniglot-runs", part, Classes(), root / below, 0)
        assert found is not None
        assert found.fingerprint() == whole.fingerprint()


def test_the_table_and_the_numbers(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = measured(root, tmp_path / "run", "--part", "test")
    accuracy = 1 - np.arange(20) / 20  # of each run
    assert found["metrics"] == {KEY: pytest.approx(accuracy.mean())}
    assert found["n"] == {KEY: 20}
    half = 2.093024 * accuracy.std(ddof=1) / 20**0.5  # the 97.5 % quantile of Student's t of 19 degrees
    assert found["intervals"][KEY] == pytest.approx([accuracy.mean() - half, accuracy.mean() + half], abs=1e-6)
    printed = capsys.readouterr().out
    for said in ("20-way 1-shot", "20 episodes that omniglot-runs brings", "(400 answers)", "nothing was learned"):
        assert said in printed
    assert measured(root, tmp_path / "smoke", "--smoke")["metrics"] == found["metrics"]


def test_all_classifiers_and_a_network(root: Path, tmp_path: Path) -> None:
    found = measured(root, tmp_path / "run", "random:exuno:vit_16_1_1_15", "--head", "prototype", "knn", "logistic")
    assert len(found["metrics"]) == 6
    assert set(found["n"].values()) == {20}
    assert found["metrics"][KEY] == found["metrics"][KEY.replace("prototype", "knn")]


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--way", "10"], "--way"),
        (["--shot", "5"], "--shot"),
        (["--queries", "15"], "--queries"),
        (["--episodes", "600"], "--episodes"),
        (["--protocol", "smkd"], "--protocol"),
        (["--split", "all"], "--split does not apply"),
    ],
)
def test_its_episodes_cannot_be_chosen(
    args: list[str], told: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = ["pixels", "--data", "omniglot-runs", "--data-root", str(root), *args]
    assert main(["fewshot", "eval", *typed]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert f"Leave out {args[0]}." in error


def test_what_its_episodes_are_may_be_repeated() -> None:
    plain = complete(EvalConfig(("pixels",), data="omniglot-runs"))
    assert (plain.way, plain.shot, plain.queries, plain.episodes) == (20, (1,), 1, 20)
    assert complete(plain) == plain


def test_neighbours_are_those_of_its_episodes() -> None:
    many = EvalConfig(("pixels",), data="omniglot-runs", head=("knn",), neighbours=10)
    assert complete(many).neighbours == 10
    with pytest.raises(ExunoError, match="--neighbours is 21"):
        complete(replace(many, neighbours=21))


def test_mistakes(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ExunoError, match="the runs of omniglot are not in"):
        open_data("omniglot-runs", root=tmp_path)
    (tmp_path / "omniglot").mkdir()
    (tmp_path / "omniglot/run01").symlink_to(root / "omniglot/all_runs/run01")
    with pytest.raises(ExunoError, match="does not hold 20 runs"):
        open_data("omniglot-runs", root=tmp_path)
    typed = ["--data", "omniglot-runs", "--data-root", str(root), "--run-dir", str(tmp_path / "run")]
    assert main(["fewshot", "pretrain", *typed, "--size", "32", "--devices", "cpu"]) == 2
    assert "is for measuring only" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("lineage", "statement"),
    [
        (
            {"data": "omniglot", "classes": ["Greek/character01", "Latin/character02 turned 90"]},
            "no: of the evaluation",
        ),
        ({"data": "omniglot", "classes": ["Greek/character01", "ULOG/character02"]}, "may: 1 classes of no background"),
        ({"data": "omniglot"}, "may: its training classes are unknown"),
        ({"data": "digits", "classes": ["0", "1"]}, "may: trained on digits"),
    ],
)
def test_it_is_said_whether_the_alphabets_were_seen(lineage: dict[str, object], statement: str) -> None:
    card = ModelCard("exuno:wrn_10_1", 0, 1, (8, 8), (0.5,), (0.5,), lineage={**lineage, "start": "exuno:vit_tiny_8"})
    found = seen(Subject("it", "run:it", Classifier(torch.nn.Identity(), card)), ("run01/class01",), "omniglot-runs")
    assert found.startswith(statement)


@pytest.mark.parametrize(
    ("first", "statement"),
    [
        ({"data": "omniglot", "classes": ["ULOG/character02"]}, "may: 1 classes of no background alphabet"),
        ({"data": "digits", "classes": ["0", "1"]}, "may: trained on digits"),
        ({"data": "omniglot", "classes": ["Latin/character02"]}, "no: of the evaluation alphabets"),
    ],
)
def test_the_alphabets_of_every_phase_count(first: dict[str, object], statement: str, tmp_path: Path) -> None:
    def card(lineage: dict[str, object]) -> ModelCard:
        return ModelCard("exuno:wrn_10_1", 0, 1, (8, 8), (0.5,), (0.5,), lineage=lineage)

    (tmp_path / "model.json").write_text(card({**first, "start": "exuno:vit_tiny_8"}).to_json())
    last = card({"data": "omniglot", "classes": ["Greek/character01"], "start": f"run:{tmp_path}"})
    model = Classifier(torch.nn.Identity(), last)
    assert seen(Subject("it", "run:it", model), ("run01/class01",), "omniglot-runs") == statement


def background(root: Path) -> Path:
    for mark, name in enumerate(("Greek/character01", "Greek/character02", "Latin/character01")):
        for i in range(4):
            drawing(root / f"omniglot/background_small/{name}/{i}.png", mark)
    return root


def test_every_class_is_trained_on(tmp_path: Path) -> None:
    background(tmp_path)
    drawing(tmp_path / "omniglot/images_evaluation/ULOG/character01/0.png", 9)
    everything = Classes("all", turns=True)
    train = open_classes("omniglot", "train", everything, tmp_path, 0)
    assert train is not None
    assert (len(train), train.num_classes) == (48, 12)
    assert train.classes is not None
    assert {name.partition("/")[0] for name in train.classes} < BACKGROUND
    assert open_classes("omniglot", "val", everything, tmp_path, 0) is None
    assert open_classes("omniglot", "test", everything, tmp_path, 0) is None
    digits = open_classes("digits", "train", Classes("all"), None, 0)
    assert digits is not None
    assert (len(digits), digits.classes) == (1797, tuple("0123456789"))


def test_a_training_on_every_class_ends_without_a_test(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, there = tmp_path / "phase1", ["--data", "omniglot", "--data-root", str(background(tmp_path))]
    small = "--turns --split all --size 32 --store 32 --model exuno:vit_16_1_1_8 --views.local-size 16 --smoke"
    assert main(["fewshot", "pretrain", *there, *small.split(), "--run-dir", str(run), "--devices", "cpu"]) == 0
    assert "No class was held back" in capsys.readouterr().out
    assert json.loads((run / "result.json").read_text())["metrics"] == {}
    assert (run / "report.html").is_file()
    typed = ["--data", "omniglot-runs", "--data-root", str(root), "--cache", str(tmp_path / "cache")]
    assert main(["fewshot", "eval", str(run), *typed, "--resize", "32", "--devices", "cpu"]) == 0
    assert "no: of the" in capsys.readouterr().out
    assert main(["fewshot", "eval", str(run)]) == 2
    assert "--split all trains on every one" in capsys.readouterr().err


def test_raw_pixels_on_the_published_runs(shared: Path, tmp_path: Path) -> None:
    """The same by a loop over the files, with PIL in place of exuno's resize."""
    base = tmp_path / "omniglot/all_runs"
    with tarfile.open(shared / "data/omniglot/one_shot_20way_runs.tar.gz") as tar:
        tar.extractall(base, filter="data")

    def vector(name: str) -> Tensor:
        with Image.open(base / name) as image:
            small = image.convert("L").resize((37, 37), Image.Resampling.BICUBIC).crop((2, 2, 34, 34))
        return torch.nn.functional.normalize(torch.tensor(np.asarray(small), dtype=torch.float64).flatten(), dim=0)

    right = []
    for lines in sorted(base.glob("run*/class_labels.txt")):
        pairs = [line.split() for line in lines.read_text().splitlines()]
        shown = sorted(name for _, name in pairs)
        support = torch.stack([vector(name) for name in shown])
        right.append(np.mean([shown[int((support @ vector(asked)).argmax())] == answer for asked, answer in pairs]))
    assert len(right) == 20
    assert measured(tmp_path, tmp_path / "run")["metrics"][KEY] == pytest.approx(np.mean(right), abs=0.0051)


def test_runs_beside_the_alphabets_are_not_trained_on(tmp_path: Path) -> None:
    drawing(tmp_path / "omniglot/Greek/character01/0.png", 1)
    drawing(tmp_path / "omniglot/run01/training/class01.png", 2)
    (tmp_path / "omniglot/run01/class_labels.txt").write_text("")
    data = open_classes("omniglot", "train", Classes("all"), tmp_path, 0)
    assert data is not None
    assert data.classes == ("Greek/character01",)

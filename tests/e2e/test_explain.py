"""``exuno explain penultimate`` as a user types it, on the digits: what it prints, what it leaves, what it refuses."""

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import Tensor, nn

from exuno.cli import main
from exuno.data.open import open_data
from exuno.models.classifier import Classifier
from exuno.models.files import save_model
from exuno.models.load import load_model

WORD = ["explain", "penultimate"]
CPU = ["--devices", "cpu", "--resamples", "20"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache/exuno/features"


def fit(model: Classifier, steps: int = 30) -> None:
    """A short training on the digits, so that classes have a geometry."""
    data: Any = open_data("digits", "train")
    optim = torch.optim.Adam(model.parameters(), 0.03)
    for step in range(steps):
        chosen = torch.arange(step * 64, step * 64 + 64) % len(data)
        pixels: Tensor = data.images[chosen].float() / 255
        nn.functional.cross_entropy(model(pixels), data.labels[chosen]).backward()
        optim.step()
        optim.zero_grad()


def make(
    folder: Path,
    seed: int,
    classes: int = 10,
    spec: str = "exuno:convnet_1_4",
    names: Any = None,
    steps: int = 30,
    zero: bool = False,
) -> Path:
    torch.manual_seed(seed)
    model = load_model(spec, classes=classes, in_chans=1, input_size=(8, 8), pretrained=False)
    if classes == 10:
        fit(model, steps)
    for parameter in model.parameters() if zero else ():
        nn.init.zeros_(parameter)
    named = tuple(names or "0123456789"[:classes]) if classes else None
    model.card = replace(model.card, class_names=named, lineage={"data": "digits", "seed": seed})
    save_model(model, folder)
    config = {"data": "digits", "data_root": None, "seed": seed}
    (folder / "config.yaml").write_text(yaml.safe_dump({"verb": "teach", "config": config}))
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three small networks that know the digits, and others that cannot be compared with them."""
    folder = tmp_path_factory.mktemp("runs")
    for name, seed in (("one", 1), ("two", 2), ("wide", 3)):
        make(folder / name, seed, spec="exuno:convnet_1_6" if name == "wide" else "exuno:convnet_1_4")
    make(folder / "four", 4, classes=4)
    make(folder / "bare", 5, classes=0, spec="exuno:vit_24_2_3_2")
    make(folder / "other", 6, names=[f"kind {i}" for i in range(10)])
    return folder


def test_three_models_are_compared(runs: Path, tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "seen"
    models = [str(runs / name) for name in ("one", "two", "wide")]
    command = [*WORD, *models, "--split", "train", "test", *CPU, "--images", "20", "--run-dir", str(out)]
    assert main(command) == 0
    printed = capsys.readouterr().out
    for word in ("one", "two", "wide", "train", "test", "reference", "η", "3 nearest averaged over the models"):
        assert word in printed
    result = json.loads((out / "result.json").read_text())
    keys = {f"{name}/{split}/eta" for name in ("two", "wide") for split in ("train", "test")}
    assert set(result["metrics"]) == set(result["intervals"]) == keys
    for key in keys:
        low, high = result["intervals"][key]
        assert low < result["metrics"][key] < high
    assert len(result["geometry"]) == 6
    assert result["geometry"]["one/test"]["top1"] > 0.5
    for name in ("one", "two", "wide"):
        for kind in ("projection", "distances"):
            with Image.open(out / f"figures/{kind}-{name}.png") as picture:
                assert picture.width > 600
    page = (out / "report.html").read_text()
    for text in ("Geometry of the features", "Distances, wide", "diffusion index", "Müller"):
        assert text in page
    with (out / "distances.csv").open() as file:
        lines = [*csv.DictReader(file)]
    assert len(lines) == 45
    assert np.mean([float(line["wide/test"]) for line in lines]) == pytest.approx(1, abs=1e-3)
    three = result["projected"]
    with (out / "projection.csv").open() as file:
        assert {line["class"] for line in csv.DictReader(file)} == set(three)
    nearest = [line for line in lines if {line["class"], line["other"]} == set(three[:2])]
    assert nearest[0]["similar"] == "1"

    # The same command shows the finished run again and touches nothing.
    before = (out / "result.json").read_bytes()
    assert main(command) == 0
    assert "Measured before" in capsys.readouterr().out
    assert (out / "result.json").read_bytes() == before
    # The command on file repeats it, from the features that were kept.
    assert len(list(cache.glob("*.npz"))) == 6
    assert main((out / "command.txt").read_text().splitlines()[0].split()[1:]) == 0
    repeated = json.loads(Path(f"{out}-replay/result.json").read_text())
    for part in ("metrics", "intervals", "n", "tables", "geometry", "projected"):
        assert repeated[part] == result[part]
    assert len(list(cache.glob("*.npz"))) == 6


def test_one_model_three_classes_as_asked_and_the_published_projection(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--classes", "3", "8", "1", "--projection", "pca", "--neighbours", "2", "--space", "all"]
    assert main([*WORD, str(runs / "one"), *asked, *CPU]) == 0
    assert "Projected: 3, 8 and 1, as asked." in capsys.readouterr().out
    (out,) = (tmp_path / "runs").glob("explain-penultimate-*")
    result = json.loads((out / "result.json").read_text())
    assert result["projected"] == ["3", "8", "1"]
    assert result["metrics"] == {}
    assert {path.name for path in (out / "figures").glob("*.png")} == {"projection-one.png", "distances-one.png"}
    assert all(len(row[1].split(", ")) == 2 for row in result["tables"][1]["rows"])


def test_the_reference_and_what_is_similar_can_be_chosen(runs: Path, tmp_path: Path) -> None:
    one, two, wide = (str(runs / name) for name in ("one", "two", "wide"))
    groups = tmp_path / "groups.json"
    groups.write_text(json.dumps({"round": ["0", "6", "8", "9"], "straight": ["1", "4", "7"]}))

    def index(*args: str) -> dict[str, float]:
        out = tmp_path / f"out-{len(list(tmp_path.iterdir()))}"
        assert main([*WORD, *args, *CPU, "--images", "12", "--run-dir", str(out)]) == 0
        return json.loads((out / "result.json").read_text())["metrics"]

    forward = index(one, two)["two/test/eta"]
    backward = index(one, two, "--reference", two)["one/test/eta"]
    assert (1 - forward) * (1 - backward) == pytest.approx(1)
    by_groups = index(one, two, "--similar", str(groups))["two/test/eta"]
    by_model = index(one, two, "--similar", wide)["two/test/eta"]
    assert len({round(value, 6) for value in (forward, by_groups, by_model)}) == 3
    assert set(index(one, "--reference", two)) == {"one/test/eta"}


def test_the_digits_load_no_timm_and_no_torchvision(runs: Path) -> None:
    """What trains, what explains and what measures them, in one process, which imports torch once."""
    one, cpu = str(runs / "one"), ["--devices", "cpu"]
    commands = [
        ["distill", "digits", "--teacher", f"run:{one}", "--smoke", *cpu, "--run-dir", "student"],
        [*WORD, one, "--smoke", *cpu],
        ["explain", "neurons", one, "--smoke", *cpu],
        ["fewshot", "eval", one, "--episodes", "20", *cpu, "--run-dir", "measured"],
    ]
    code = f"import sys; from exuno.cli import main; codes = [main(each) for each in {commands!r}]; "
    code += "print(codes, [name for name in ('torchvision', 'timm', 'sklearn', 'scipy') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[0, 0, 0, 0] []"


def test_one_model_has_nothing_to_draw_again_for(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = str(runs / "one"), str(runs / "two")
    assert main([*WORD, one, "--smoke", "--devices", "cpu"]) == 0
    assert "bootstrap" not in capsys.readouterr().err
    assert main([*WORD, one, two, "--smoke", "--devices", "cpu"]) == 0
    assert "bootstrap: 100 %" in capsys.readouterr().err


def test_a_model_that_guesses_is_named_in_the_note(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "raw", 1, steps=0)
    assert main([*WORD, str(runs / "one"), "raw", "--smoke", "--devices", "cpu"]) == 0
    assert "Near chance: raw; an η" in capsys.readouterr().out
    assert main([*WORD, str(runs / "one"), str(runs / "two"), "--smoke", "--devices", "cpu"]) == 0
    assert "Near chance" not in capsys.readouterr().out


@pytest.mark.parametrize("as_judge", [False, True])
@pytest.mark.parametrize("space", ["head", "all"])
def test_a_model_whose_classes_lie_in_one_place(
    space: str, as_judge: bool, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "nil", 1, steps=0, zero=True)
    others = ["--similar", "nil"] if as_judge else ["nil"]
    assert main([*WORD, str(runs / "one"), *others, "--space", space, "--smoke", "--devices", "cpu"]) == 2
    error = capsys.readouterr().err
    assert f"the classes of {'run:nil' if as_judge else 'nil'} lie in one place" in error
    assert "Leave it out" in error
    # No image is read for a last layer of zeros.
    assert ("explain penultimate: " in error) == (space == "all" or as_judge)


def test_a_smoke_run_and_a_dry_run(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*WORD, str(runs / "one"), str(runs / "two"), "--dry-run"]) == 0
    assert "data: digits" in capsys.readouterr().out
    assert not (tmp_path / "runs").exists()
    assert main([*WORD, str(runs / "one"), str(runs / "two"), "--smoke", "--devices", "cpu", "--run-dir", "s"]) == 0
    assert json.loads(Path("s/result.json").read_text())["n"] == {"two/test/eta": 60}


def test_pictures_of_names_that_look_alike_as_files(tmp_path: Path) -> None:
    for name in ("t-0.1", "t-0-1"):
        make(tmp_path / name, 1)
    assert main([*WORD, "t-0.1", "t-0-1", "--smoke", "--devices", "cpu", "--run-dir", "out"]) == 0
    assert len(list(Path("out/figures").glob("*.png"))) == 4


def few_classes(folder: Path, classes: int, images: int, seed: int = 0) -> str:
    """An npz data set of few classes."""
    labels = np.arange(classes * images) % classes
    pixels = np.random.default_rng(seed).integers(0, 256, (len(labels), 8, 8), np.uint8)
    both = {"train_images": pixels, "train_labels": labels, "test_images": pixels, "test_labels": labels}
    np.savez(folder / "few.npz", allow_pickle=False, **both)
    return f"npz:{folder / 'few.npz'}"


@pytest.mark.parametrize(
    ("args", "said", "todo"),
    [
        ([], "no model was given", "Name one or more"),
        (["gone"], "there is no run and no file 'gone'", "Give a run's folder"),
        (["ONE", "--classes", "3", "8"], "--classes is 3 8", "Give three of them"),
        (["ONE", "--classes", "3", "8", "3"], "--classes is 3 8 3", "Give three of them"),
        (["OTHER", "--classes", "kind 1", "kind 2", "knd 3"], "knows the classes kind 0", "same classes"),
        (["ONE", "--classes", "3", "8", "88"], "there is no class '88'", "Did you mean '8'?"),
        (["ONE", "FOUR"], "has 4 classes but digits/test has 10", "trained for these classes"),
        (["ONE", "BARE"], "extracts features and names no classes", "last layer"),
        (["ONE", "OTHER"], "other knows the classes kind 0, kind 1", "the same classes, in the same order"),
        (["ONE", "--neighbours", "9"], "--neighbours is 9, but there are 10 classes", "at most 8"),
        (["ONE", "--neighbours", "0"], "--neighbours is 0", "1 or more"),
        (["ONE", "--similar", "gone.json"], "there is no file gone.json", "Write one"),
        (["ONE", "--similar", "g.json", "--neighbours", "2"], "--neighbours is 2", "either it or groups"),
        (["ONE", "--resamples", "3"], "--resamples is 3", "20 or more"),
        (["ONE", "--images", "1"], "--images is 1", "2 or more"),
        (["ONE", "--split", "test", "test"], "--split is test test", "each part once"),
        (["TWO_CLASSES", "--data", "DATA"], "has 2 classes with two images or more", "at least three classes"),
        (["timm:resnet10t", "--data", "gone"], "'gone' is no data spec", "The forms are"),
        (["exuno:convnet_1_4"], "what to show exuno:convnet_1_4 is unknown", "Give --data"),
    ],
)
def test_mistakes_are_told_in_a_sentence(
    args: list[str], said: str, todo: str, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {name.upper(): str(runs / name) for name in ("one", "four", "bare", "other")}
    places |= {"DATA": few_classes(tmp_path, 2, 5), "TWO_CLASSES": str(runs / "four")}
    assert main([*WORD, *(places.get(each, each) for each in args), "--devices", "cpu"]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert todo in error
    assert len(error.splitlines()) == 2
    assert not (tmp_path / "runs").exists()


def test_a_model_whose_last_layer_is_not_linear(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = load_model("torchvision:squeezenet1_1", classes=10, pretrained=False)
    save_model(model, tmp_path / "squeeze")
    assert main([*WORD, str(tmp_path / "squeeze"), "--data", "digits", "--smoke", *CPU, "--run-dir", "out"]) == 2
    assert "torchvision:squeezenet1_1 are not a linear layer" in capsys.readouterr().err
    assert not Path("out/result.json").exists()


def test_another_model_in_the_place_of_one_that_was_measured(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "mine", 1)
    command = [*WORD, "mine", "--smoke", "--devices", "cpu"]
    assert main(command) == 0
    make(tmp_path / "mine", 2)
    assert main(command) == 2
    assert "run:mine has changed since the run" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["groups", "judge", "data"])
def test_something_else_in_the_place_of_what_the_numbers_came_from(
    what: str, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def write(change: int) -> None:
        groups = {"round": ["0", "6", "8"], "straight": ["1", "47"[change]]}
        Path("groups.json").write_text(json.dumps(groups if what == "groups" else {"round": ["0", "6"]}))
        make(tmp_path / "judge", 7 + change if what == "judge" else 7)
        few_classes(tmp_path, 10, 8, seed=change if what == "data" else 0)

    similar = "judge" if what == "judge" else "groups.json"
    data = ["--data", f"npz:{tmp_path / 'few.npz'}"]
    command = [*WORD, str(runs / "one"), *data, "--similar", similar, "--smoke", "--devices", "cpu"]
    write(0)
    assert main(command) == 0
    write(0)
    assert main(command) == 0
    assert "Measured before" in capsys.readouterr().out
    write(1)
    assert main(command) == 2
    told = {"groups": "groups.json has changed", "judge": "run:judge has changed", "data": "few.npz, test has changed"}
    assert told[what] in capsys.readouterr().err


def test_an_unknown_second_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "penultimat"]) == 2
    assert "Did you mean 'penultimate'?" in capsys.readouterr().err


@pytest.mark.parametrize("args", [["--help"], ["penultimate", "--help"]])
def test_help_imports_no_torch(args: list[str]) -> None:
    code = f"import sys; from exuno.cli import main; code = main({['explain', *args]!r}); "
    code += "print('HEAVY' if {'torch', 'timm', 'yaml'} & set(sys.modules) else 'LIGHT'); sys.exit(code)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "LIGHT" in done.stdout
    assert "penultimate" in done.stdout

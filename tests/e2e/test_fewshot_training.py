"""``exuno fewshot pretrain`` and ``distill`` as a user types them, on slivers of work: what they leave, that they
resume, that processes agree, what they refuse."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

from exuno.cli import main
from exuno.engine.errors import ExunoError
from exuno.engine.options import RunOptions
from exuno.engine.run import open_run
from exuno.fewshot.network import Projection, load_projection, open_start
from exuno.fewshot.options import Classes, DistillConfig, Head, PretrainConfig
from exuno.models.load import load_model
from exuno.models.zoo.vit import Vit
from exuno.presets import read

SHORT = (
    "--data digits --size 8 --epochs 3 --batch-size 64 --budget 0.15 --evaluations 2 --views.local 1"
    " --views.local-size 4 --views.blur 0 0 0 --head.outputs 16 --head.hidden 16 --head.bottleneck 8"
    " --teacher.momentum 0.6 --freeze-last 0 --optim.lr 0.01 --optim.warmup 0 --devices cpu"
)
MODEL = "exuno:vit_16_2_2_4"
ALL = "--weights.cls 1 --weights.masked 1 --weights.class-level 1 --weights.patch-level 1 --weights.supervised 1"
TERMS = {f"train/{name}" for name in ("cls", "masked", "class_level", "patch_level", "supervised")}
STEPS = 6  # 14 batches an epoch, 3 epochs, 15 % of them


def train(phase: str, folder: Path, *args: str | Path, code: int = 0) -> Path:
    """Runs ``exuno fewshot PHASE`` in a folder, short; later arguments win."""
    if phase == "pretrain":
        args = ("--model", MODEL, *args)
    assert main(["fewshot", phase, *SHORT.split(), *map(str, args), "--run-dir", str(folder)]) == code
    return folder


def result(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "result.json").read_text())


def logged(folder: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "time"} for line in lines]


def last_state(folder: Path) -> dict[str, torch.Tensor]:
    """What the newest checkpoint of a run holds of its method."""
    return torch.load(max(folder.glob("checkpoints/step-*.pt")), weights_only=True)["method"]


def delivered(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in ("model.safetensors", "projection.safetensors")]


@pytest.fixture(scope="module")
def phase1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train("pretrain", tmp_path_factory.mktemp("fewshot") / "phase1")


@pytest.fixture(scope="module")
def phase2(phase1: Path) -> Path:
    return train("distill", phase1.parent / "phase2", "--model", f"run:{phase1}")


def test_both_phases_leave_all_that_a_reader_needs(phase1: Path, phase2: Path) -> None:
    for folder, terms in ((phase1, {"cls", "masked"}), (phase2, {"class_level", "patch_level"})):
        assert {path.name for path in folder.iterdir()} >= {
            "config.yaml",
            "command.txt",
            "environment.json",
            "metrics.jsonl",
            "checkpoints",
            "figures",
            "model.safetensors",
            "model.json",
            "projection.safetensors",
            "result.json",
            "report.html",
        }
        content = result(folder)
        names = {f"test/5-way-{shot}-shot" for shot in (1, 5)}
        assert set(content["metrics"]) == names
        assert set(content["intervals"]) == set(content["n"]) == names | set(content["baselines"])
        assert {name.partition("/")[0] for name in content["baselines"]} == {"raw pixels", "random network"}
        assert all(0.2 < value <= 1 for value in content["metrics"].values())
        assert content["steps"] == STEPS
        assert content["images"] == STEPS * 64
        assert content["lineage"]["classes"] == ["0", "1", "2", "3", "4"]
        assert content["lineage"]["seed"] == 0
        assert content["tables"][0]["rows"][-1][-1] == "no"  # the test classes were not trained on
        lines = logged(folder)
        assert [line["step"] for line in lines if "train/nmi" in line] == [3, 6]
        assert all({"train/nmi", "train/ari"} <= set(line) for line in lines if "train/nmi" in line)
        steps = [line for line in lines if "train/loss" in line]
        assert [line["step"] for line in steps] == list(range(1, STEPS + 1))
        named = {f"train/{term}" for term in terms}
        assert set(steps[0]) == {"step", "epoch", "lr", "train/loss", *named}
        for line in steps:
            assert line["train/loss"] == pytest.approx(sum(line[name] for name in named), rel=1e-5)
        assert not any(name.startswith("val/") for line in lines for name in line)  # the digits have no such classes
    assert result(phase1)["lineage"]["start"] == MODEL
    assert result(phase2)["lineage"]["start"] == f"run:{phase1}"


def test_the_teachers_transformer_is_delivered_and_can_be_loaded(phase1: Path, phase2: Path) -> None:
    for folder in (phase1, phase2):
        model, state = load_model(f"run:{folder}", pretrained=True), last_state(folder)
        assert isinstance(model.net, Vit)
        assert (model.card.classes, model.card.input_size, model.card.in_chans) == (0, (8, 8), 1)
        assert model.card.lineage["data"] == "digits"
        head = load_file(folder / "projection.safetensors")
        for part, found in (("backbone", model.net.state_dict()), ("projection", head)):
            for name, value in found.items():
                assert torch.equal(value, state[f"teacher.{part}.{name}"])
        moved = [name for name in head if not torch.equal(head[name], state[f"student.projection.{name}"])]
        assert len(moved) == len(head)
        assert model(torch.rand(2, 1, 8, 8)).shape == (2, 16)


def test_phase_2_goes_on_with_transformer_and_head(phase1: Path, tmp_path: Path) -> None:
    """With a teacher that nearly stands still, what is delivered is where it began."""
    args = ["--model", f"run:{phase1}", "--teacher.momentum", "0.9999999"]
    first = {name: load_file(phase1 / f"{name}.safetensors") for name in ("model", "projection")}
    begun = train("distill", tmp_path / "same", *args)
    for part, state in first.items():
        found = load_file(begun / f"{part}.safetensors")
        assert all(torch.allclose(found[name], value, atol=1e-5) for name, value in state.items()), part
    other = train("distill", tmp_path / "other", *args, "--head.outputs", "12")
    found = load_file(other / "projection.safetensors")
    assert found["last.direction"].shape == (12, 8)
    assert not torch.allclose(found["perceptron.0.weight"], first["projection"]["perceptron.0.weight"], atol=1e-3)
    assert torch.allclose(load_file(other / "model.safetensors")["norm.bias"], first["model"]["norm.bias"], atol=1e-5)


def test_a_head_of_another_shape_stays_as_it_is(phase1: Path) -> None:
    options = Head(outputs=16, hidden=16, bottleneck=8)
    saved = load_file(phase1 / "projection.safetensors")
    continued = load_projection(f"run:{phase1}", Projection(16, options)).state_dict()
    assert all(torch.equal(value, saved[name]) for name, value in continued.items())
    for start in (f"file:{phase1 / 'model.safetensors'}", "run:nowhere"):
        fresh = Projection(16, options)
        before = fresh.last.direction.clone()
        assert torch.equal(load_projection(start, fresh).last.direction, before)


def test_a_finished_run_answers_at_once_and_its_config_replays_it(
    phase1: Path, phase2: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for phase, folder in (("pretrain", phase1), ("distill", phase2)):
        before = (folder / "result.json").stat().st_mtime_ns
        assert main(["fewshot", phase, str(folder / "config.yaml"), "--run-dir", str(folder)]) == 0
        assert (folder / "result.json").stat().st_mtime_ns == before
        capsys.readouterr()
        assert main(["fewshot", phase, str(folder / "config.yaml"), "--dry-run"]) == 0
        said = capsys.readouterr().out
        assert "0.45 epochs of the training classes of digits" in said
        assert "head:\n    outputs: 16" in said
    again = tmp_path / "again"
    assert main(["fewshot", "distill", str(phase2 / "config.yaml"), "--devices", "cpu", "--run-dir", str(again)]) == 0
    assert delivered(again) == delivered(phase2)
    assert logged(again) == logged(phase2)
    assert result(again)["metrics"] == result(phase2)["metrics"]


def test_eval_measures_what_the_training_measured(phase2: Path, tmp_path: Path) -> None:
    args = ["fewshot", "eval", str(phase2), "--devices", "cpu", "--no-baselines", "--cache", str(tmp_path / "cache")]
    assert main([*args, "--run-dir", str(tmp_path / "eval")]) == 0
    found, expected = result(tmp_path / "eval")["metrics"], result(phase2)["metrics"]
    for shot in (1, 5):
        assert found[f"phase2/5-way-{shot}-shot/prototype"] == pytest.approx(expected[f"test/5-way-{shot}-shot"])


def test_workers_change_nothing(phase1: Path, tmp_path: Path) -> None:
    assert delivered(train("pretrain", tmp_path / "run", "--workers", "1")) == delivered(phase1)


def default(*args: str) -> int:
    """A smoke run of phase 2 that starts where phase 2 starts by default, on the classes of that phase 1."""
    known = read("fewshot pretrain", "digits").config
    size, patch = str(known["size"]), known["model"].rpartition("_")[2]
    classes = ["--turns"] if known.get("turns") else []
    command = [
        "fewshot",
        "distill",
        "--model",
        "pretrain:digits",
        "--data",
        "digits",
        *classes,
        "--size",
        size,
        "--views.local-size",
        patch,
    ]
    return main([*command, "--smoke", "--devices", "cpu", *args])


def test_phase_1_is_trained_in_the_run_if_it_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert default("--run-dir", "first") == 0
    assert sorted(path.name for path in Path().iterdir()) == ["first"]
    inside = Path("first/phase1")
    assert result(Path("first"))["lineage"]["start"] == f"run:{inside}"
    assert result(inside)["preset"] == "digits"
    assert load_model("run:first", pretrained=True).card.arch == read("fewshot pretrain", "digits").config["model"]
    # A finished one in its own place is taken, and not trained again.
    assert main(["fewshot", "pretrain", "digits", "--smoke", "--devices", "cpu"]) == 0
    (there,) = Path("runs").iterdir()
    before = (there / "result.json").stat().st_mtime_ns
    assert default("--run-dir", "second") == 0
    assert not Path("second/phase1").exists()
    assert result(Path("second"))["lineage"]["start"] == f"run:{there}"
    assert (there / "result.json").stat().st_mtime_ns == before
    one, two = (load_file(f"{name}/model.safetensors") for name in ("first", "second"))
    assert all(torch.equal(value, two[name]) for name, value in one.items())
    # More classes made of the same ones need no other phase 1.
    assert default("--mirrored", "--run-dir", "mirrored") == 0
    assert result(Path("mirrored"))["lineage"]["start"] == f"run:{there}"
    # Another seed is another phase 1.
    assert default("--seed", "1", "--run-dir", "third") == 0
    assert Path("third/phase1/result.json").is_file()


@pytest.mark.parametrize("smoke", [False, True])
def test_phase_1_is_looked_for_where_it_lies_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, smoke: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    asked: list[PretrainConfig] = []

    def pretrain(config: PretrainConfig, preset: Any) -> Any:
        asked.append(config)
        return run

    options = RunOptions(run_dir=tmp_path / "run", seed=3, smoke=smoke)
    config = DistillConfig(
        data="digits", model="pretrain:digits", classes=Classes("own.csv", mirrored=True), run=options
    )
    run = open_run("fewshot distill", None, {}, {}, options)
    open_start(config, run, pretrain)
    run.close()
    (plan,) = asked
    assert plan.run.run_dir == tmp_path / "run/phase1"
    assert (plan.data, plan.run.seed, plan.run.smoke) == ("digits", 3, smoke)
    assert plan.classes == Classes("own.csv", turns=True)  # the same classes are new; the turns are phase 1's own
    assert plan.model == read("fewshot pretrain", "digits").config["model"]
    assert open_start(DistillConfig(data="digits", model="run:x"), run, pretrain) == "run:x"
    with pytest.raises(ExunoError, match="no preset of fewshot pretrain"):
        open_start(DistillConfig(data="digits", model="pretrain:digit"), run, pretrain)


def exuno(phase: str, *args: str | Path) -> list[str]:
    return [sys.executable, "-m", "exuno", "fewshot", phase, *SHORT.split(), *map(str, args)]


@pytest.mark.slow  # other verbs are killed in the fast tests; that this method goes on where it was, in tests/fewshot
def test_a_killed_run_ends_with_the_same_weights_bit_for_bit(phase1: Path, tmp_path: Path) -> None:
    args = ["--model", f"run:{phase1}", *ALL.split(), "--drop-path", "0.3", "--epochs", "6", "--budget", "1"]
    args += ["--evaluations", "21"]
    whole, cut = train("distill", tmp_path / "whole", *args), tmp_path / "cut"
    process = subprocess.Popen(
        exuno("distill", *args, "--run-dir", cut), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not any(int(path.stem[5:]) >= 20 for path in cut.glob("checkpoints/step-*.pt")):
        assert time.monotonic() < deadline
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    reached = max(int(path.stem[5:]) for path in cut.glob("checkpoints/step-*.pt"))
    assert reached < 6 * 14
    assert not (cut / "result.json").exists()
    train("distill", cut, *args)
    assert delivered(cut) == delivered(whole)
    assert logged(cut) == logged(whole)
    for name in ("metrics", "baselines", "lineage", "steps"):
        assert result(cut)[name] == result(whole)[name]
    one, two = last_state(cut), last_state(whole)
    assert all(torch.equal(value, two[name]) for name, value in one.items())


@pytest.mark.slow  # 40 s on a slow machine
def test_two_processes_train_to_the_weights_of_one(tmp_path: Path) -> None:
    """Phase 1 inside phase 2, so that one start of two processes shows both; in phase 2 all terms, over all images."""
    same = ["--drop-path", "0", "--optim.name", "sgd", "--optim.lr", "0.3", "--teacher.student-temperature", "0.5"]
    same += ["--teacher.temperature", "0.3", "0.3", "--teacher.patch-temperature", "0.3", "0.3"]
    plan = train("pretrain", tmp_path / "plan", *same)
    content = yaml.safe_load((plan / "config.yaml").read_text())
    (tmp_path / "first.yaml").write_text(yaml.safe_dump({"verb": content["verb"], "config": content["config"]}))
    args = ["--model", f"pretrain:{tmp_path / 'first.yaml'}", *ALL.split(), "--gather", *same]
    one, two = train("distill", tmp_path / "one", *args), tmp_path / "two"
    command = exuno("distill", *args, "--devices", "cpu:2", "--run-dir", two)
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for inside in (".", "phase1"):
        states = [last_state(folder / inside) for folder in (one, two)]
        assert len(states[0]) >= 80
        for name, value in states[0].items():
            torch.testing.assert_close(states[1][name], value, atol=2e-5, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}")
        for mine, theirs in zip(logged(one / inside), logged(two / inside), strict=True):
            assert mine.keys() == theirs.keys()
            if "train/nmi" in mine:  # the other lines hold the losses of the first process's share
                assert mine == pytest.approx(theirs, abs=0.01)
        assert min(value for line in logged(one / inside) for name, value in line.items() if name in TERMS) > 0.5
    begun, ended = last_state(one / "phase1"), last_state(one)
    assert (begun["teacher.projection.last.direction"] - ended["teacher.projection.last.direction"]).abs().max() > 1e-3
    assert "layer.weight" in ended


def images(folder: Path, parts: dict[str, int], count: int = 20, side: int = 12, channels: int = 3) -> str:
    """Class folders of noisy images, each class with a pattern of its own; returns the data spec."""
    random, number = np.random.default_rng(0), 0
    for part, classes in parts.items():
        for _ in range(classes):
            place = folder / part / f"class{number}"
            place.mkdir(parents=True)
            pattern = random.integers(60, 190, (4, 4, channels)).repeat(side // 4, 0).repeat(side // 4, 1)
            for k in range(count):
                pixels = (pattern + random.normal(0, 60, pattern.shape)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels.squeeze()).save(place / f"{k}.png")
            number += 1
    return f"folder:{folder}"


def test_the_best_weights_on_validation_classes_are_kept(tmp_path: Path) -> None:
    spec = images(tmp_path / "data", {"train": 4, "val": 3, "test": 3})
    args = ["--data", spec, "--batch-size", "20", "--budget", "1", "--evaluations", "6", "--validation.way", "3"]
    args += ["--validation.episodes", "60", "--optim.lr", "0.05", "--store", "12"]
    best = train("pretrain", tmp_path / "best", *args, "--validation.keep", "best")
    last = train("pretrain", tmp_path / "last", *args)
    found = [line for line in logged(best) if "val/3-way-1-shot" in line]
    accuracies = [line["val/3-way-1-shot"] for line in found]
    assert len(accuracies) == 6
    assert max(accuracies) > accuracies[-1], "the last is the best: this shows nothing"
    assert accuracies == [line["val/3-way-1-shot"] for line in logged(last) if "val/3-way-1-shot" in line]
    chosen = result(best)["lineage"]["chosen"]
    assert chosen == {"measured": "val/3-way-1-shot", "accuracy": max(accuracies)}
    assert "chosen" not in result(last)["lineage"]
    kept = load_file(best / "model.safetensors")
    state = last_state(best)
    assert any(not torch.equal(value, state[f"teacher.backbone.{name}"]) for name, value in kept.items())
    for name, value in load_file(last / "model.safetensors").items():
        assert torch.equal(value, state[f"teacher.backbone.{name}"])
    assert delivered(best / "best")[1] == delivered(best)[1] != delivered(last)[1]
    for name, value in load_file(best / "best/model.safetensors").items():
        assert torch.equal(value, kept[name])
    assert set(result(best)["metrics"]) == {"test/3-way-1-shot", "test/3-way-5-shot"}
    assert result(best)["lineage"]["classes"] == ["class0", "class1", "class2", "class3"]


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """Runs a short training that must fail; returns what it told the user."""

    def run(phase: str, *args: str | Path) -> str:
        train(phase, tmp_path / "run", *args, code=2)
        said = capsys.readouterr()
        assert "Traceback" not in said.err + said.out
        assert not (tmp_path / "run/model.safetensors").exists()
        assert len(said.err.split()) < 80
        return " ".join(said.err.split())

    return run


@pytest.mark.parametrize(
    ("args", "words", "todo"),
    [
        (["--size", "10"], "patches of 4", "multiple of the patch"),
        (["--views.local-size", "5"], "--views.local-size is 5, which patches of 4 pixels do not fill", "multiple"),
        (["--model", "exuno:vit_16_2_3_4"], "a width of 16 cannot be shared by 3 heads", "Take a multiple"),
        (["--teacher.temperature", "0", "0.07"], "--teacher.temperature is (0.0, 0.07)", "above 0"),
        (["--mask.ratio", "0.1", "0.2", "0.3"], "--mask.spread is (0.0, 0.2)", "as many numbers as --mask.ratio"),
        (["--model", "exuno:convnet_1_8"], "no vision transformer of exuno", "Give --model exuno:vit"),
        (["--model", "run:nowhere"], "nowhere", "."),
        (["--validation.keep", "best"], "has no validation classes to choose the best weights by", "keep last"),
        (["--weights.cls", "0", "--weights.masked", "0"], "--weights is", "at least one above"),
        (["--batch-size", "0"], "--batch-size is 0", "at least 1"),
        (["--split", "nowhere.csv"], "nowhere.csv", "."),
        (["--data", "digts"], "digts", "digits"),
    ],
)
def test_mistakes_are_told_in_one_sentence(fails, args: list[str], words: str, todo: str) -> None:
    said = fails("pretrain", *args)
    assert words in said
    assert todo in said


def test_a_start_that_does_not_fit_is_told(fails, phase1: Path, tmp_path: Path) -> None:
    start = ["--model", f"run:{phase1}"]
    assert "--size is 10, which patches of 4 pixels do not fill" in fails("distill", *start, "--size", "10")
    assert not (tmp_path / "run").exists(), "nothing happened in it: free for the corrected command"
    spec = images(tmp_path / "colour", {"train": 3, "val": 3, "test": 3})
    said = fails("distill", *start, "--data", spec)
    assert "takes images of 1 channels" in said
    assert "has 3" in said


def test_validation_that_cannot_be_is_told_before_the_training(fails, tmp_path: Path) -> None:
    spec = images(tmp_path / "data", {"train": 3, "val": 3, "test": 3}, count=4)
    args = ["--data", spec, "--batch-size", "4"]
    said = fails("pretrain", *args)
    assert "--validation.way is 5" in said
    assert "has 3 validation classes" in said
    assert not (tmp_path / "run").exists(), "nothing happened in it: free for the corrected command"
    said = fails("pretrain", *args, "--validation.way", "3", "--validation.shot", "4")
    assert "--validation.shot is 4, but a validation class" in said
    assert not (tmp_path / "run/metrics.jsonl").exists()


@pytest.mark.parametrize("word", ["", "train"])
def test_a_word_that_is_none_is_told(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fewshot", *([word] if word else [])]) == (2 if word else 0)
    said = capsys.readouterr()
    assert "exuno fewshot pretrain, distill, eval or predict" in said.err if word else "pretrain  phase 1" in said.out


def test_a_start_at_another_size_and_with_a_last_layer_gives_a_run_that_loads(tmp_path: Path) -> None:
    args = ["--model", MODEL, "--data", "digits", "--size", "8", "--epochs", "1", "--budget", "0.1", "--devices", "cpu"]
    taught = tmp_path / "taught"
    assert main(["teach", *args, "--run-dir", str(taught)]) == 0
    run = train("distill", tmp_path / "run", "--model", f"run:{taught}", "--size", "12", "--budget", "0.03")
    model = load_model(f"run:{run}", pretrained=True)
    assert (model.card.classes, model.card.input_size) == (0, (12, 12))
    assert "head.weight" not in model.net.state_dict()


def test_views_of_the_stored_size_where_no_size_is_given(tmp_path: Path) -> None:
    run = train("pretrain", tmp_path / "run", "--size", "None", "--store", "12", "--budget", "0.03")
    assert load_model(f"run:{run}", pretrained=True).card.input_size == (8, 8)


def test_phase_2_needs_a_start(fails) -> None:
    said = fails("distill")
    assert "nothing to start from" in said
    assert "run:DIR" in said

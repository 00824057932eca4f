"""``exuno fewshot eval`` as a user types it, on the digits: what it prints, what it leaves, what it refuses."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from exuno.cli import main
from exuno.models.files import save_model
from exuno.models.load import load_model

FEW = ["--episodes", "40", "--devices", "cpu"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/exuno/features"


@pytest.fixture(scope="module")
def phase1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory as phase 1 leaves it, its transformer untrained."""
    folder = tmp_path_factory.mktemp("runs") / "phase1"
    torch.manual_seed(1)
    stats: dict[str, Any] = {"mean": (0.3,), "std": (0.4,)}
    model = load_model("exuno:vit_24_2_3_2", classes=0, in_chans=1, input_size=(8, 8), pretrained=False, **stats)
    lineage = {"data": "digits", "classes": list("01234"), "start": "exuno:vit_24_2_3_2", "seed": 0}
    model.card = replace(model.card, lineage=lineage)
    save_model(model, folder)
    config = {"data": "digits", "data_root": None, "seed": 0, "split": "auto", "turns": False}
    (folder / "config.yaml").write_text(yaml.safe_dump({"verb": "fewshot pretrain", "config": config}))
    return folder


def test_a_run_is_measured_beside_pixels_and_a_random_network(
    phase1: Path, tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "measured"
    command = ["fewshot", "eval", str(phase1), *FEW]
    assert main([*command, "--run-dir", str(run)]) == 0
    printed = capsys.readouterr().out
    assert "Chance is 20." in printed
    for word in ("raw pixels", "random network", "phase1", "1-shot", "5-shot", "nothing was learned", "digits/test"):
        assert word in printed
    assert re.search(r"phase1 +│ cls\+patch, 48 +│ 8 +│ \d\d\.\d\d ± \d\.\d\d │ \d\d\.\d\d ± \d\.\d\d │ no ", printed)
    result = json.loads((run / "result.json").read_text())
    assert set(result["metrics"]) == {f"phase1/5-way-{shot}-shot/prototype" for shot in (1, 5)}
    assert len(result["baselines"]) == 4
    assert result["baselines"]["raw pixels/5-way-1-shot/prototype"] > 0.5
    assert set(result["n"].values()) == {40}
    assert result["lineage"]["phase1"]["classes"] == list("01234")
    page = (run / "report.html").read_text()
    for text in ("Where it looks", "Attention of phase1", "5-way 1-shot", "episodes of new classes", "cls+patch, 48"):
        assert text in page
    assert len(list(cache.glob("*.npz"))) == 3
    # A second time nothing is computed, the same is measured, and the run directory is left alone.
    before = (run / "result.json").read_bytes()
    assert main([*command, "--run-dir", str(run)]) == 2
    assert "holds this measurement already" in capsys.readouterr().err
    assert (run / "result.json").read_bytes() == before
    again = (run / "command.txt").read_text().splitlines()[0].split()[1:]
    assert main(again) == 0
    repeated = json.loads(Path(f"{run}-replay/result.json").read_text())
    for part in ("metrics", "baselines", "intervals", "n", "tables"):
        assert repeated[part] == result[part]
    assert len(list(cache.glob("*.npz"))) == 3


def test_any_network_and_several_classifiers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    model = load_model("exuno:convnet_1_4", classes=10, in_chans=1, input_size=(8, 8), pretrained=False)
    model.card = replace(model.card, class_names=tuple("0123456789"), lineage={"data": "digits", "seed": 0})
    save_model(model, tmp_path / "all")
    args = ["--data", "digits", "--way", "3", "--shot", "2", "--head", "prototype", "knn", "--no-baselines"]
    folder = tmp_path / "kept"
    assert main(["fewshot", "eval", str(tmp_path / "all"), "pixels", *args, *FEW, "--cache", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert "digits/test, knn" in printed
    assert printed.count("2-shot") == 2
    assert "yes: 5 of 5" in printed
    assert "random network" not in printed
    assert len(list(folder.iterdir())) == 2


def test_a_smoke_run_and_a_dry_run(phase1: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fewshot", "eval", str(phase1), "--dry-run"]) == 0
    assert not cache.exists()
    assert "data: digits" in capsys.readouterr().out
    assert main(["fewshot", "eval", str(phase1), "--smoke", "--devices", "cpu"]) == 0
    assert "20 episodes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["gone"], "there is no run and no file 'gone'"),
        (["run:gone", "--data", "digits"], "there is no run directory gone"),
        (["pixels"], "what to test pixels on is unknown"),
        ([], "no model was given"),
        (["RUN", "--way", "6"], "--way is 6, but digits/test has 5 classes"),
        (["RUN", "--shot", "500"], "--shot 500 and --queries 15 need 515"),
        (["RUN", "--protocol", "reference"], "images; --protocol reference takes 600 of each class"),
        (["RUN", "--shot", "0"], "--shot is 0"),
        (["RUN", "--part", "val"], "no classes for val"),
        (["RUN", "--size", "9"], "cannot be cut into the patches of 2"),
        (["RUN", "--size", "8", "--resize", "6"], "--resize is 6"),
        (["RUN", "random:exuno:convnet_1_4", "--features", "cls"], "has no features 'cls'"),
        (["RUN", "--head", "knn", "--neighbours", "6"], "--neighbours is 6"),
        (["random:exuno:nothing", "--data", "digits"], "exuno has no model 'nothing'"),
    ],
)
def test_mistakes_are_told_in_a_sentence(
    args: list[str], said: str, phase1: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = [str(phase1) if each == "RUN" else each for each in args]
    assert main(["fewshot", "eval", *typed]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 2
    assert not cache.exists()


def test_an_unknown_second_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fewshot", "measure"]) == 2
    assert "pretrain, distill, eval or predict" in capsys.readouterr().err


@pytest.mark.parametrize("args", [["--help"], ["eval", "--help"], ["pretrain", "--help"], ["distill", "--help"]])
def test_help_imports_no_torch(args: list[str]) -> None:
    code = f"import sys; from exuno.cli import main; code = main({['fewshot', *args]!r}); "
    code += "print('HEAVY' if {'torch', 'timm', 'yaml'} & set(sys.modules) else 'LIGHT'); sys.exit(code)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "LIGHT" in done.stdout
    if args == ["--help"]:
        for word in ("pretrain", "distill", "eval"):
            assert f"\n  {word} " in done.stdout

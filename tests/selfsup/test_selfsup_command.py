"""``exuno selfsup``: from a photograph to a network, a stop in the middle, and what is told."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exuno.cli import main
from exuno.commandline.presets import parse, to_begin
from exuno.distill import source as sources
from exuno.engine.ballot import Wishes
from exuno.engine.training import Training
from exuno.models.load import load_model
from exuno.selfsup.options import SelfsupConfig

SMOKE = ["--smoke", "--devices", "cpu"]


@pytest.mark.parametrize("method", ["rotnet", "deepcluster", "bigan", "simclr", "dino"])
def test_a_run_goes_on_bit_by_bit(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped after two of six steps, which of deepcluster is the middle of an epoch."""
    small = {"deepcluster": ["--settings", "clusters=8", "components=4"], "bigan": ["--settings", "codes=6", "width=4"]}
    command = ["selfsup", f"{method}-digits", "--model", "exuno:convnet_2_8-batch", "--patches", "64", "--fresh"]
    command += ["--batch-size", "16", "--epochs", "2", "--budget", "0.75", "--devices", "cpu", "--no-images"]
    command += small.get(method, [])
    assert main([*command, "--run-dir", str(tmp_path / "whole")]) == 0
    whole = (tmp_path / "whole/model.safetensors").read_bytes()
    result = json.loads((tmp_path / "whole/result.json").read_text())
    assert result["steps"] == 6
    assert 0 < result["metrics"]["neighbours/top1"] <= 1
    assert (tmp_path / "whole/figures/filters.png").is_file()
    model = load_model(f"run:{tmp_path / 'whole'}", pretrained=True)
    assert model.card.lineage["method"] == method
    assert model.card.lineage["source"][0]["spec"] == "photo:astronaut"
    advance = Training.advance

    def stop(self: Training, *rest: Any) -> object:
        if self.step == 2:
            raise KeyboardInterrupt
        return advance(self, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "wishes", lambda self: Wishes(save=True, stop=False))
        patch.setattr(Training, "advance", stop)
        assert main([*command, "--run-dir", str(tmp_path / "cut")]) != 0
    assert not (tmp_path / "cut/model.safetensors").exists()
    assert main([*command, "--run-dir", str(tmp_path / "cut")]) == 0
    assert (tmp_path / "cut/model.safetensors").read_bytes() == whole


def test_without_data_of_any_kind(tmp_path: Path) -> None:
    """A photograph alone: three channels, 32 pixels, nothing tested."""
    run = tmp_path / "run"
    assert main(["selfsup", "rotnet", "--model", "exuno:convnet_2_8", *SMOKE, "--run-dir", str(run)]) == 0
    assert json.loads((run / "result.json").read_text())["metrics"] == {}
    card = load_model(f"run:{run}", pretrained=True).card
    assert (card.in_chans, card.input_size, card.classes) == (3, (32, 32), 4)
    assert (run / "report.html").is_file()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("rotnet --method rotnett", "--method rotnett is no self-supervised method"),
        ("rotnet --settings angles=8", "has no option 'angles=8'"),
        ("deepcluster-digits --settings clusters=1", "--settings clusters is 1"),
        ("deepcluster-digits --settings clusters=500 --patches 100", "100 images cannot make 500 clusters"),
        ("deepcluster-digits --settings clusters=500 --patches 100 --dry-run", "100 images cannot make 500 clusters"),
        ("bigan-digits --size 4 --model exuno:convnet_1_8", "4x4 pixels are too small for bigan"),
        ("rotnet --source photo:cat digits", "mixes photographs with other data"),
        ("rotnet-digits --source digits --patches 9", "--patches would do nothing"),
        ("rotnet --model exuno:alexnet_bn --size 32", "pools an input of 32x32 pixels to nothing"),
        ("rotnet --data moving-digits", "has clips"),
        ("rotnet-digits --data npz:ONE", "has no test images of its own"),
        ("rotnets", "Did you mean 'rotnet'?"),
    ],
)
def test_mistakes(line: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, one = tmp_path / "run", tmp_path / "one.npz"
    np.savez(one, images=np.arange(640, dtype=np.uint8).reshape(10, 8, 8), labels=np.arange(10) % 2)
    line = line.replace("ONE", str(one))
    assert main(["selfsup", *line.split(), "--devices", "cpu", "--run-dir", str(run)]) == 2
    assert words in capsys.readouterr().err
    assert not run.exists()


def test_nothing_but_the_verb_starts_no_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["selfsup", *SMOKE, "--run-dir", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert "selfsup needs --source." in said
    assert "Or name a preset first: exuno selfsup" in said


def test_a_training_without_a_preset_tells_its_length(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And one by a preset, which has a cost of its own, or a smoke run does not."""
    told = "exuno: 2 steps of 8 samples: 16 samples seen, 16 of them made, none on disk; --dry-run tells"
    small = ["--model", "exuno:convnet_1_8", "--patches", "16", "--epochs", "1", "--batch-size", "8"]
    small += ["--devices", "cpu"]
    source = ["--source", "photo:astronaut"]
    for name, line, count in (("own", source, 1), ("preset", ["rotnet"], 0), ("smoke", [*source, "--smoke"], 0)):
        assert main(["selfsup", *line, *small, "--run-dir", str(tmp_path / name)]) == 0
        assert capsys.readouterr().err.count(told) == count


def test_a_length_is_told_where_something_begins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not of a run that is finished, and of several processes by the first."""
    line = ["selfsup", "--source", "photo:astronaut", "--model", "exuno:convnet_1_8", "--patches", "8"]
    line += ["--epochs", "1", "--batch-size", "8"]
    monkeypatch.chdir(tmp_path)
    for count in (1, 0):
        assert main([*line, "--devices", "cpu"]) == 0
        assert capsys.readouterr().err.count("exuno: 1 step of 8 samples: 8 samples seen") == count
    config, _ = parse("selfsup", SelfsupConfig, [*line[1:], "--seed", "1"])
    assert to_begin("selfsup", config)
    monkeypatch.setenv("RANK", "1")
    assert not to_begin("selfsup", config)


def test_a_preset_of_ones_own_that_names_no_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "own.yaml").write_text("verb: selfsup\nconfig: {method: rotnet, model: exuno:convnet_1_8}\n")
    assert main(["selfsup", str(tmp_path / "own.yaml"), "--source", "photo:astronaut", *SMOKE]) == 2
    assert "the preset own has no source, which selfsup needs" in capsys.readouterr().err


def test_a_dry_run_tells_the_cost_and_makes_a_few_patches(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []
    open_source = sources.open_source

    def watched(*args: Any) -> Any:
        source = open_source(*args)
        opened.append(len(source))
        return source

    monkeypatch.setattr(sources, "open_source", watched)
    assert main(["selfsup", "deepcluster-digits", "--devices", "cpu", "--dry-run"]) == 0
    assert opened == [64]  # of which 100 clusters cannot be made
    said = capsys.readouterr().out
    assert "1,250 steps of 128 samples: 160,000 samples seen, 20,000 of them made" in said
    assert "# checked" in said

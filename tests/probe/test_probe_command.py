"""``exuno probe``: rows beside each other, the page, resuming, and what is told."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from exuno.cli import main
from exuno.engine.ballot import Wishes
from exuno.engine.session import seed_everything
from exuno.engine.training import Training
from exuno.models.files import save_model
from exuno.models.load import load_model


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Three networks that know nothing, as folders of runs."""
    found = []
    for seed in range(3):
        seed_everything(seed)
        folder = tmp_path_factory.mktemp("model") / f"net{seed}"
        folder.mkdir()
        size: dict[str, Any] = {"classes": 4, "in_chans": 1, "input_size": (8, 8)}
        save_model(load_model("exuno:convnet_2_8-batch", **size, pretrained=False), folder)
        (folder / "config.yaml").write_text("verb: teach\nconfig: {data: digits}\n")
        found.append(str(folder))
    return found


def test_rows_beside_each_other(models: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    command = ["probe", f"{models[0]},{models[1]}", "--against", "random", models[2], "--seeds", "2", "--images", "300"]
    command += ["--neighbours", "5", "--numbers", "64", "--devices", "cpu"]
    assert main([*command, "--run-dir", str(run)]) == 0
    result = json.loads((run / "result.json").read_text())
    layers = ("blocks.0.2", "blocks.1.2")
    for layer in layers:
        for name in ("net0", "net2"):
            assert 0.3 < result["metrics"][f"{name}/{layer}/top1"] <= 1
            low, high = result["intervals"][f"{name}/{layer}/top1"]
            assert low <= result["metrics"][f"{name}/{layer}/top1"] <= high
            assert f"{name}/{layer}/neighbours/top1" in result["metrics"]
        assert f"random/{layer}/top1" in result["baselines"]
    assert [row[:2] for row in result["tables"][0]["rows"]] == [["net0", "2"], ["random", "2"], ["net2", "1"]]
    assert len(result["charts"]) == 2
    page = (run / "report.html").read_text()
    assert "linear probes" in page
    assert "layer 2" in page
    assert (run / "figures/filters-net0.png").is_file()
    capsys.readouterr()
    assert main([*command, "--run-dir", str(run)]) == 0
    assert "Measured before" in capsys.readouterr().out


def test_the_published_protocol_goes_on_where_it_stopped(
    models: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["probe", models[0], "--protocol", "published", "--epochs", "1", "--images", "64", "--batch-size", "16"]
    command += ["--numbers", "32", "--seeds", "1", "--devices", "cpu"]
    assert main([*command, "--run-dir", str(tmp_path / "whole")]) == 0
    whole = json.loads((tmp_path / "whole/result.json").read_text())
    advance = Training.advance

    def stop(self: Training, *rest: Any) -> object:
        if self.step == 2:
            raise KeyboardInterrupt
        return advance(self, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "wishes", lambda self: Wishes(save=True, stop=False))
        patch.setattr(Training, "advance", stop)
        assert main([*command, "--run-dir", str(tmp_path / "cut")]) != 0
    assert main([*command, "--run-dir", str(tmp_path / "cut")]) == 0
    cut = json.loads((tmp_path / "cut/result.json").read_text())
    assert cut["metrics"] == whole["metrics"]
    assert cut["baselines"] == whole["baselines"]
    lines = [(tmp_path / name / "metrics.jsonl").read_text().splitlines() for name in ("whole", "cut")]
    first, second = ([json.loads(line)["train/loss"] for line in each] for each in lines)
    assert first == second


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["random"], "random names no architecture"),
        (["MODEL", "--layers", "conv1"], "has no module 'conv1'"),
        (["MODEL", "--numbers", "0"], "--numbers is 0"),
        (["MODEL", "--protocol", "published", "--neighbours", "3"], "--neighbours needs features"),
        (["MODEL", "--against", "runs/none"], "there is no run and no file 'runs/none'"),
        (["exuno:convnet_2_8", "--data", "digits"], "architecture without weights"),
        (["MODEL", "--data", "moving-digits"], "has clips"),
    ],
)
def test_mistakes(
    args: list[str], words: str, models: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = [models[0] if word == "MODEL" else word for word in args]
    run = tmp_path / "run"
    assert main(["probe", *typed, "--devices", "cpu", "--run-dir", str(run)]) == 2
    assert words in capsys.readouterr().err
    assert not run.exists()


def test_a_dry_run(models: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert main(["probe", models[0], "--dry-run", "--devices", "cpu", "--run-dir", str(run)]) == 0
    said = capsys.readouterr().out
    assert "one pass over the images for each network" in said
    assert "# checked" in said
    assert not run.exists()


def test_data_without_a_test_split_are_refused_and_a_test_may_lack_the_last_class(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed_everything(0)
    size: dict[str, Any] = {"classes": 4, "in_chans": 1, "input_size": (8, 8)}
    save_model(load_model("exuno:convnet_2_8-batch", **size, pretrained=False), tmp_path / "net")
    images, labels = np.random.default_rng(0).integers(0, 256, (24, 8, 8), np.uint8), np.arange(24) % 4
    np.savez(tmp_path / "one.npz", images=images, labels=labels)
    probe = ["probe", str(tmp_path / "net"), "--smoke", "--devices", "cpu", "--data"]
    assert main([*probe, f"npz:{tmp_path / 'one.npz'}", "--run-dir", str(tmp_path / "a")]) == 2
    assert "has no test images of its own" in capsys.readouterr().err
    for split in ("train", "test"):
        with tarfile.open(tmp_path / f"{split}.tar", "w") as tar:
            for number in range(12 if split == "train" else 9):
                picture = io.BytesIO()
                Image.fromarray(images[number + 12 * (split == "test")]).save(picture, "PNG")
                for suffix, content in (
                    ("png", picture.getvalue()),
                    ("cls", b"%d" % (number % (4 - (split == "test")))),
                ):
                    entry = tarfile.TarInfo(f"{number}.{suffix}")
                    entry.size = len(content)
                    tar.addfile(entry, io.BytesIO(content))
    shards = f"wds:{tmp_path}/{{split}}.tar"
    assert main([*probe, shards, "--run-dir", str(tmp_path / "b")]) == 0
    teach = ["teach", "--model", "exuno:convnet_2_8", "--smoke", "--devices", "cpu", "--data", shards]
    assert main([*teach, "--run-dir", str(tmp_path / "c")]) == 0
    assert "of which the last 1 are not there" in capsys.readouterr().err

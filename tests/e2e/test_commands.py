"""The commands as a user types them, in process, on slivers of work."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from exuno.cli import main
from exuno.presets import files, read

SMOKE = ["--smoke", "--devices", "cpu"]


def result(folder: Path) -> dict:
    return json.loads((folder / "result.json").read_text())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished ``exuno distill digits --smoke``."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    assert main(["distill", "digits", *SMOKE, "--run-dir", str(folder)]) == 0
    return folder


def test_a_run_directory_holds_all_that_a_reader_needs(run: Path) -> None:
    names = {path.name for path in run.iterdir()}
    assert names >= {
        "config.yaml",
        "command.txt",
        "environment.json",
        "metrics.jsonl",
        "checkpoints",
        "model.safetensors",
        "model.json",
        "result.json",
        "report.html",
        "figures",
        "evaluation",
        "teacher",
    }
    content = result(run)
    assert set(content["metrics"]) >= {"teacher/top1", "student/top1", "agreement/top1"}
    assert content["lineage"]["source"][0]["spec"] == "photo:astronaut"
    assert len(content["lineage"]["source"][0]["sha256"]) == 64
    assert content["preset"] == "digits"
    card = json.loads((run / "model.json").read_text())
    assert card["class_names"] == [str(i) for i in range(10)]
    assert (card["in_chans"], card["input_size"]) == (1, [8, 8])


def test_a_finished_run_answers_at_once_and_is_not_touched(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (run / "result.json").stat().st_mtime_ns
    assert main(["distill", "digits", *SMOKE, "--run-dir", str(run)]) == 0
    assert (run / "result.json").stat().st_mtime_ns == before
    assert "report.html" in capsys.readouterr().out


def test_its_config_file_replays_it_bit_for_bit(run: Path, tmp_path: Path) -> None:
    assert main(["distill", str(run / "config.yaml"), "--devices", "cpu", "--run-dir", str(tmp_path / "again")]) == 0
    assert (tmp_path / "again/model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()
    assert result(tmp_path / "again")["metrics"] == result(run)["metrics"]


def test_eval_measures_what_the_run_measured(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "eval"
    args = ["eval", str(run), "--teacher", str(run / "teacher"), *SMOKE, "--run-dir", str(folder)]
    assert main(args) == 0
    replay = (folder / "command.txt").read_text().splitlines()[0].split()
    assert replay[:3] == ["exuno", "eval", f"run:{run}"]
    assert main([*replay[1:], "--smoke"]) == 0
    found, expected = result(folder)["metrics"], result(run)["metrics"]
    assert found["model/top1"] == expected["student/top1"]
    assert found["teacher/top1"] == expected["teacher/top1"]
    assert found["agreement/top1"] == expected["agreement/top1"]
    printed = capsys.readouterr().out
    assert f"{100 * expected['student/top1']:.2f} %" in printed
    assert "predicted as 0 1 2" in " ".join(printed.split())


def test_report_writes_the_page_again(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "report.html").unlink()
    assert main(["report", str(run)]) == 0
    assert (run / "report.html").stat().st_size > 10_000


def test_several_photographs_and_a_fixed_set_of_patches(tmp_path: Path) -> None:
    photo = tmp_path / "mine.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)).save(photo)
    args = ["distill", "digits", *SMOKE, "--no-fresh", "--source", str(photo), "photo:coffee", "noise:3"]
    assert main([*args, "--run-dir", str(tmp_path / "run")]) == 0
    specs = [each["spec"] for each in result(tmp_path / "run")["lineage"]["source"]]
    assert specs == [str(photo), "photo:coffee", "noise:3"]


def test_a_data_set_as_source_with_true_labels_and_another_size(run: Path, tmp_path: Path) -> None:
    args = ["distill", "digits", *SMOKE, "--teacher", f"run:{run / 'teacher'}", "--source", "digits", "--no-fresh"]
    args += [
        "--loss.hard",
        "0.5",
        "--size",
        "16",
        "--student",
        "exuno:convnet_2_16",
        "--run-dir",
        str(tmp_path / "run"),
    ]
    assert main(args) == 0
    assert json.loads((tmp_path / "run/model.json").read_text())["input_size"] == [16, 16]


def test_cached_logits_teach_the_same_as_asking_each_time(run: Path, tmp_path: Path) -> None:
    args = ["distill", "digits", *SMOKE, "--teacher", f"run:{run / 'teacher'}", "--no-fresh", "--mix.cutmix", "0"]
    assert main([*args, "--run-dir", str(tmp_path / "asked")]) == 0
    assert main([*args, "--cache-logits", "--run-dir", str(tmp_path / "cached")]) == 0
    assert len([*(tmp_path / "cached").glob("teacher_logits-*.npz")]) == 1
    asked, cached = (result(tmp_path / name)["metrics"] for name in ("asked", "cached"))
    assert cached["agreement/kl"] == pytest.approx(asked["agreement/kl"], rel=1e-3)


def test_cached_logits_are_of_the_pixels_that_the_student_sees(run: Path, tmp_path: Path) -> None:
    """Also where test images are resized and centre-cropped another way: WebDataset shards."""
    from exuno.data.images.digits import open_digits
    from exuno.distill.options import DistillConfig
    from exuno.distill.teacher import teacher_logits
    from exuno.distill.train import open_teacher, prepare
    from exuno.engine.devices import make_accelerator
    from exuno.engine.options import RunOptions
    from exuno.engine.run import open_run

    shards = tmp_path / "shards"
    args = ["synth", "photo:coffee", "--out", str(shards), "--size", "100", "--count", "40", "--container", "wds"]
    assert main(args) == 0
    spec, options = f"run:{run / 'teacher'}", RunOptions(devices="cpu", run_dir=tmp_path / "run")
    config = DistillConfig(spec, "exuno:convnet_2_16", "digits", (f"wds:{shards}/*.tar",), batch_size=8, run=options)
    opened, accelerator = open_run("distill", None, {}, {}, options), make_accelerator(options)
    setup = prepare(config, open_digits("test"), open_teacher(config, opened), accelerator)
    cached = teacher_logits(setup.teacher, setup.source, setup.size, accelerator, opened.dir)
    batch = next(setup.loader.epoch(0))
    with torch.no_grad():
        torch.testing.assert_close(cached[batch["index"]], setup.teacher.eval()(batch["images"]))


@pytest.mark.parametrize(
    "option",
    [
        *(["--loss.kind", kind] for kind in ("argmax", "dkd", "dist", "features")),
        ["--loss.t2", "--loss.temperature", "4"],
        ["--mix.mixup", "1"],
    ],
)
def test_ways_to_imitate(run: Path, tmp_path: Path, option: list[str]) -> None:
    args = ["distill", "digits", *SMOKE, "--teacher", f"run:{run / 'teacher'}", *option]
    assert main([*args, "--run-dir", str(tmp_path / "run")]) == 0


def test_teach_goes_on_from_a_run(run: Path, tmp_path: Path) -> None:
    args = ["teach", "digits", *SMOKE, "--model", f"run:{run}", "--label-smoothing", "0.1"]
    assert main([*args, "--run-dir", str(tmp_path / "run")]) == 0
    assert result(tmp_path / "run")["n"]["model/top1"] == 64


def test_mixed_precision_trains_and_delivers_full_precision(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    args = ["distill", "digits", *SMOKE, "--precision", "bf16", "--run-dir", str(tmp_path / "run")]
    assert main(args) == 0
    assert {str(value.dtype) for value in load_file(tmp_path / "run/model.safetensors").values()} == {"float32"}


def test_metrics_go_to_tensorboard_on_request(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    args = ["teach", "digits", *SMOKE, "--track", "tensorboard", "--run-dir", str(tmp_path / "run")]
    assert main(args) == 0
    assert list((tmp_path / "run/tensorboard").glob("events.*"))


@pytest.mark.parametrize(("verb", "name"), list(files()))
def test_every_preset_explains_itself(verb: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*verb.split(), name, "--dry-run"]) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    about = printed["about"]
    assert about["summary"]
    assert about["paper"]
    assert about["cost"]
    assert about["command"].startswith(f"exuno {verb} {name}")
    for key, value in read(verb, name).config.items():
        if not isinstance(value, dict):
            assert str(printed["config"][key]) == str(value)


def test_a_preset_is_copied_edited_and_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.yaml"
    assert main(["presets", "copy", "distill", "cifar100-wrn40_4-wrn16_4", str(file)]) == 0
    file.write_text(file.read_text().replace("epochs: 1000", "epochs: 7"))
    capsys.readouterr()
    assert main(["distill", str(file), "--dry-run", "--optim.lr", "0.5"]) == 0
    config = yaml.safe_load(capsys.readouterr().out)["config"]
    assert (config["epochs"], config["data"], config["optim"]["lr"]) == (7, "cifar100", 0.5)
    assert main(["presets", "copy", "distill", "digits", str(file)]) == 2


def test_budget_scales_epochs_and_schedule_together(tmp_path: Path) -> None:
    args = ["teach", "digits", "--devices", "cpu", "--epochs", "10", "--budget", "0.1"]
    assert main([*args, "--run-dir", str(tmp_path / "run")]) == 0
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["epoch"] == 1
    rates = [line["lr"] for line in lines if "lr" in line]
    assert max(rates) > 0.9 * 3e-3
    assert rates[-1] < 0.05 * 3e-3


def test_a_reader_that_has_seen_enough_is_no_mistake() -> None:
    """``exuno presets | head -1``: no traceback."""
    command = f"{sys.executable} -c 'from exuno.cli import run; run()' presets | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")

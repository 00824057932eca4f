"""``exuno study`` as a user types it: a grid with an impossible cell, killed and continued, on Ray, as jobs of
submitit, and mistakes."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from exuno.cli import main
from exuno.commandline.presets import parse
from exuno.engine.errors import ExunoError
from exuno.study.options import StudyConfig
from exuno.study.plan import plan
from exuno.study.rehearsal import rehearse

# The second temperature cannot be, which only shows when data are opened, after the teacher's training.
GRID = (
    *("--stages", "teach digits --epochs 2 --evaluations 1"),
    "distill --teacher {teach} --student exuno:convnet_2_16 --data digits --source digits --epochs 1 --evaluations 1",
    *("--axes", "teach.label-smoothing=0,0.1", "distill.loss.temperature=1,3 --augment.frames 2,2"),
    *("--rows", "temperature", "--columns", "label-smoothing", "--metrics", "top1", "top5"),
)


def study(folder: Path, *more: str) -> int:
    local = [] if {"--ray", "--processes"} & {*more} else ["--processes", "2"]
    return main(["study", *GRID, "--run-dir", str(folder), *local, *more])


def rows(folder: Path) -> dict[str, dict[str, str]]:
    """Cells by name, without how long they took."""
    with (folder / "cells.csv").open() as file:
        found = {Path(row["run"]).name: row for row in csv.DictReader(file)}
    return {name: {key: v for key, v in row.items() if key not in ("seconds", "run")} for name, row in found.items()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A study that ran undisturbed."""
    folder = tmp_path_factory.mktemp("study") / "run"
    assert study(folder) == 1  # a cell has no result
    return folder


def test_the_rest_finishes_and_the_table_says_which_failed_and_why(whole, capsys):
    result = json.loads((whole / "result.json").read_text())
    table, changes, across, failed = result["tables"]
    assert [row[0] for row in table["rows"]] == [
        "teach",
        "temperature = 1",
        "temperature = 3 --augment.frames 2",
        "temperature = 2",
    ]
    assert table["rows"][2][1:] == ["failed / failed", "failed / failed"]
    assert float(table["rows"][0][1].split()[0]) > 30
    assert changes["title"] == "Results: change from temperature = 1"
    assert across["title"].startswith("Results: change from ")
    assert len(failed["rows"]) == len(result["failures"]) == 2
    assert all("--augment.frames is for clips" in why for _, why in failed["rows"])
    assert len(rows(whole)) == 8
    page = (whole / "report.html").read_text()
    assert "Cells without a result" in page
    assert "<polyline" in page
    assert "failed" in (whole / "table.md").read_text()


def test_again_only_what_failed_is_tried(whole):
    before = {path: path.stat().st_mtime_ns for path in whole.glob("cells/*/result.json")}
    assert len(before) == 6
    assert study(whole) == 1
    assert {path: path.stat().st_mtime_ns for path in whole.glob("cells/*/result.json")} == before


@pytest.mark.slow
def test_shown_otherwise_it_is_the_same_study(whole):
    before = {path: path.stat().st_mtime_ns for path in whole.glob("cells/*/result.json")}
    assert study(whole, "--metrics", "agreement/kl", "--set", "seed=0") == 2  # another grid
    assert study(whole, "--metrics", "agreement/kl") == 1
    result = json.loads((whole / "result.json").read_text())
    assert result["tables"][0]["note"].startswith("agreement/kl")
    assert {path: path.stat().st_mtime_ns for path in whole.glob("cells/*/result.json")} == before
    assert study(whole) == 1


@pytest.mark.slow
def test_killed_half_way_it_goes_on_and_ends_with_the_same_table(whole, tmp_path):
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "exuno", "study", *GRID, "--run-dir", str(folder), "--processes", "2"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not any(folder.glob("cells/distill-*/result.json")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    finished = {path: path.stat().st_mtime_ns for path in folder.glob("cells/*/result.json")}
    assert 0 < len(finished) < 6
    time.sleep(1)  # its workers notice that it is gone
    assert study(folder, "--processes", "1") == 1  # of one is that of two
    assert all(path.stat().st_mtime_ns == then for path, then in finished.items())
    assert rows(folder) == rows(whole)
    assert (folder / "table.md").read_text() == (whole / "table.md").read_text()


@pytest.mark.slow
def test_on_ray_the_same_table(whole, tmp_path):
    pytest.importorskip("ray", reason="ray is not installed")
    assert study(tmp_path / "run", "--ray", "local") == 1
    assert rows(tmp_path / "run") == rows(whole)


@pytest.mark.slow
def test_as_jobs_of_submitit_the_same_table(whole, tmp_path):
    pytest.importorskip("submitit", reason="submitit is not installed")
    assert study(tmp_path / "run", "--slurm", "local") == 1
    assert rows(tmp_path / "run") == rows(whole)
    assert (tmp_path / "run/table.md").read_text() == (whole / "table.md").read_text()


def test_dry_run_lists_the_commands(capsys, tmp_path):
    assert study(tmp_path / "run", "--dry-run") == 0
    out = capsys.readouterr().out
    assert "# 8 cells: 2 of teach, 6 of distill" in out
    assert "# teach        2  2 label-smoothing; each serves 3 of distill" in out
    assert "# distill      6  2 label-smoothing x 3 loss.temperature" in out
    assert out.count("# exuno teach digits") == out.count("# exuno distill") == 1
    assert "# teach: about " in out
    assert out.endswith(
        "# checked: every command that is left to run, but for this:\n"
        "#   distill: whether all fits, since it begins with the runs of earlier commands\n"
    )
    assert not (tmp_path / "run").exists()


def test_a_finished_study_is_shown_again_without_its_data(capsys, tmp_path):
    data = tmp_path / "data.npz"
    images, labels = np.arange(6 * 64, dtype=np.uint8).reshape(6, 8, 8), np.array([0, 1] * 3)
    np.savez(data, train_images=images, train_labels=labels, test_images=images[:4], test_labels=labels[:4])
    command = ["study", "--stages", f"teach digits --data npz:{data} --epochs 1", "--axes", "label-smoothing=0,0.1"]
    command += ["--run-dir", str(tmp_path / "run"), "--processes", "1"]
    assert main(command) == 0
    data.unlink()
    assert main([*command, "--columns", "label-smoothing"]) == 0
    assert main([*command, "--dry-run"]) == 0
    assert "about" not in capsys.readouterr().out.split("# checked:")[0].split("differ in these values")[1]


def test_dry_run_says_what_it_could_not_check(capsys):
    assert main(["study", "--stages", "teach cifar10-resnet56", "--axes", "seed=0,1", "--dry-run"]) == 0
    told = "left to run, but for this:\n#   teach: whether all fits, since cifar10 needs --data-root\n"
    assert capsys.readouterr().out.endswith(told)
    assert main(["study", "--stages", "teach digits", "--dry-run"]) == 0
    assert capsys.readouterr().out.endswith("# checked: every command that is left to run\n")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "teach: cifar10 needs the folder of its files.\n       Give --data-root PATH, a folder with"),
        (["--data-root", "nowhere"], "teach: there is no folder nowhere.\n       Check --data-root."),
    ],
)
def test_data_that_no_cell_would_find_are_told_once(words, told, capsys, tmp_path, monkeypatch):
    """Also those of a preset, of which a dry run tells the cost without them."""
    monkeypatch.chdir(tmp_path)
    command = ["study", "--stages", "teach cifar10-resnet56", "distill cifar10-resnet56-resnet20 --teacher {teach}"]
    assert main([*command, "--axes", "seed=0,1", "--run-dir", "run", *words]) == 2
    assert told in (said := capsys.readouterr().err)
    assert "Also" not in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("place", [["--slurm", "big"], ["--ray", "ray://head:10001"]])
def test_data_of_other_machines_are_not_looked_for_here(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["--stages", "teach cifar10-resnet56", "--data-root", "nowhere", "--run-dir", "run"]
    config, _ = parse("study", StudyConfig, [*words, *place])
    assert rehearse(config, plan(config), None)[1] == ["teach: whether all fits, since there is no folder nowhere."]
    with pytest.raises(ExunoError, match="there is no folder nowhere"):
        rehearse(replace(config, slurm=None, ray=None), plan(config), None)


def test_dry_run_fits_a_terminal(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["study", "label-smoothing-digits", "--dry-run"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 100


def test_a_mistake_of_any_cell_is_told_before_the_first_one_runs(tmp_path, capsys):
    assert study(tmp_path / "run", "--set", "distill.cache-logits=true", "distill.augment.flip=0.5") == 2
    assert "exuno: distill with loss.temperature = 1: --cache-logits needs a source" in capsys.readouterr().err
    axes = ("--axes", "distill.loss.temperature=1,-3", "distill.fresh=false,true", "seed=0,x", "--columns", "fresh")
    assert study(tmp_path / "run", *axes, "--set", "distill.cache-logits=true") == 2
    told = capsys.readouterr().err
    assert "exuno: teach: --seed: 'x' is no whole number.\n" in told
    assert "Also distill with loss.temperature = 1, fresh = true: --cache-logits needs a source" in told
    assert "Also distill with loss.temperature = -3, fresh = false: --loss.temperature is -3.0.\n" in told
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--rows", "nosuch"], "'nosuch' is no axis of this study"),
        (["--set", "distill.epochs=1,2"], "--set distill.epochs has 2 values"),
        (["--set", "distill.optim.lrr=1"], "distill has no option --optim.lrr"),
        (["--stages", "teach digit", "distill digits"], "'digit' is no preset of teach"),
        (["--stages", "teach digits"], "no stage of this study has an option --distill.loss.temperature"),
        (["--stages", "photograph x"], "is no stage of a study"),
        (["--threads", "0"], "--threads"),
        (["--slurm", "local", "--ray", "local"], "--ray and --slurm are two places"),
        (["--slurm", "local", "--slurm-minutes", "0"], "--slurm-minutes is 0"),
        pytest.param(["--ray", "203.0.113.1:1"], "no Ray cluster", marks=pytest.mark.slow),
    ],
)
def test_mistakes(more, told, tmp_path, capsys):
    if "--ray" in more:
        pytest.importorskip("ray", reason="ray is not installed")
    assert study(tmp_path / "run", *more) == 2
    assert told in capsys.readouterr().err
    assert not list(tmp_path.glob("run/cells/*"))

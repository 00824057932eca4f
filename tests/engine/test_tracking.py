"""Trackers: what each service is sent, how a run that goes on is found there, and what a missing package is told."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from exuno.cli import main
from exuno.engine.errors import ExunoError
from exuno.engine.options import trackers
from exuno.engine.tracking import Tracking, check_trackers, identity_of
from exuno.engine.tracking.on_mlflow import TAG

SMOKE = ("--smoke", "--devices", "cpu")
LINES = [{"step": 1, "train/loss": 2.0}, {"step": 2, "train/loss": 1.0, "student/top1": 0.5}]
CONFIG = {"optim": {"lr": 0.1}, "source": ["a", "b"]}


def sent(name: str, folder: Path, lines: list[dict[str, Any]] = LINES) -> None:
    tracking = Tracking([name], folder, CONFIG)
    for line in lines:
        tracking(line)
    tracking.close()


class FakeRun:
    """A run of W&B or of Trackio, whose interfaces are alike."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, dict[str, Any]]] = []
        self.ended = False

    def log(self, values: dict[str, Any], step: int) -> None:
        self.lines.append((step, values))

    def finish(self) -> None:
        self.ended = True


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_a_line_arrives_with_its_step(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, begun = FakeRun(), []
    library = SimpleNamespace(init=lambda **options: begun.append(options) or run)
    monkeypatch.setitem(sys.modules, name, library)
    sent(name, tmp_path / "run")
    assert run.lines == [(1, {"train/loss": 2.0}), (2, {"train/loss": 1.0, "student/top1": 0.5})]
    assert run.ended
    sent(name, tmp_path / "run")
    sent(name, tmp_path / "other/run")
    identity = "id" if name == "wandb" else "name"
    first, again, other = (options[identity] for options in begun)
    assert first == again != other  # the folder is the run's identity
    assert begun[0]["config"] == CONFIG
    assert begun[0]["resume"] == "allow"


def test_trackio_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "store"))
    library = pytest.importorskip("trackio", reason="trackio is not installed")
    for line in LINES:  # the second time the run goes on
        sent("trackio", tmp_path / "run", [line])
    (name,) = library.Api().runs("exuno")
    assert name.name == f"run-{identity_of(tmp_path / 'run')[:6]}"
    assert "trackio" not in capsys.readouterr().out.lower()


@pytest.fixture
def mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """MLflow on a database of its own."""
    library = pytest.importorskip("mlflow", reason="mlflow is not installed")
    pytest.importorskip("alembic", reason="alembic is not installed")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'store.db'}")
    return library


def test_mlflow_holds_metrics_and_configuration_of_one_run(mlflow: Any, tmp_path: Path) -> None:
    folder = tmp_path / "it's mine"
    sent("mlflow", folder, LINES[:1])
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("exuno").experiment_id
    (run,) = client.search_runs([experiment])
    assert run.info.status == "KILLED"
    folder.mkdir()
    (folder / "result.json").write_text("{}")
    sent("mlflow", folder, LINES[1:])
    (run,) = client.search_runs([experiment])  # the same one goes on
    assert run.info.status == "FINISHED"
    assert run.data.tags[TAG] == identity_of(folder)
    assert run.data.params == {"optim.lr": "0.1", "source": "['a', 'b']"}
    losses = client.get_metric_history(run.info.run_id, "train/loss")
    assert [(each.step, each.value) for each in losses] == [(1, 2.0), (2, 1.0)]
    assert run.data.metrics["student/top1"] == 0.5


@pytest.mark.parametrize("uri", ["http://127.0.0.1:1", "sqlite:///{}/file/store.db"])
def test_a_server_that_mlflow_does_not_reach_is_a_sentence(uri: str, mlflow: Any, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.format(tmp_path))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(ExunoError, match="Check MLFLOW_TRACKING_URI"):
        sent("mlflow", tmp_path / "run")


@pytest.mark.parametrize("where", ["begin", "send", "end"])
def test_a_service_that_fails_costs_no_training(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines: list[Any] = []

    def refuse(*_: Any) -> None:
        raise RuntimeError("gone away.\nand more")

    @contextmanager
    def service(folder: Path, config: dict[str, Any]) -> Iterator[Any]:
        if where == "begin":
            refuse()
        yield refuse if where == "send" else lines.append
        if where == "end":
            refuse()

    monkeypatch.setattr(trackers, "get", lambda name: service)
    tracking = Tracking([f"{where}:service"], tmp_path, {})
    if where == "begin":
        with pytest.raises(ExunoError, match=r"--track begin:service: gone away\. Check the settings"):
            tracking(LINES[0])
        return
    for line in LINES:
        tracking(line)
    tracking.close()
    assert lines == ([] if where == "send" else LINES)
    said = f"--track {where}:service gets no more metrics (gone away); metrics.jsonl has all of them"
    assert capsys.readouterr().err.count(said) == 1


@pytest.mark.parametrize("name", trackers.names)
def test_a_missing_package_is_told_before_any_work(name: str, tmp_path: Path, fails, monkeypatch) -> None:
    needed = trackers.entries[name].facts["needs"][0]
    monkeypatch.setitem(sys.modules, needed, None)
    said = fails("teach", "digits", *SMOKE, "--track", name, "--run-dir", tmp_path / "run")
    assert f"--track {name} needs {needed}, which is not installed. pip install" in said
    assert not (tmp_path / "run").exists()


def test_one_of_ones_own_needs_no_registration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_tracker.py").write_text(
        "from contextlib import contextmanager\n"
        "@contextmanager\n"
        "def diary(folder, config):\n"
        "    with (folder / 'diary.txt').open('a') as file:\n"
        "        yield lambda values: print(values, file=file)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    args = ["teach", "digits", *SMOKE, "--track", "own_tracker:diary", "--run-dir", str(tmp_path / "run")]
    assert main(args) == 0
    assert "train/loss" in (tmp_path / "run/diary.txt").read_text()


def test_a_tracker_that_is_none(fails) -> None:
    said = fails("teach", "digits", *SMOKE, "--track", "mflow")
    assert "--track mflow is no tracker. Did you mean mlflow?" in said


def test_all_are_known() -> None:
    assert set(trackers.names) == {"tensorboard", "wandb", "mlflow", "trackio"}
    check_trackers(("tensorboard",))

"""What used to go wrong without a word: damaged weights and checkpoints, data and teachers that change under a run."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exuno.cli import main
from exuno.engine.training import Training

SMOKE = ["--smoke", "--devices", "cpu"]
Fails = Callable[..., str]


def flip(path: Path, place: float = 0.5) -> None:
    """Flips one bit of a file."""
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 16
    path.write_bytes(content)


def images(path: Path, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    rows: dict[str, Any] = {
        f"{split}_images": rng.integers(0, 256, (40, 8, 8), np.uint8) for split in ("train", "test")
    }
    rows |= dict.fromkeys(("train_labels", "test_labels"), np.arange(40) % 4)
    np.savez(path, **rows)
    return path


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], None]:
    """Runs a command that is stopped after its second step, with a checkpoint of each."""

    def run(args: list[str]) -> None:
        advance = Training.advance

        def step(self: Training, *rest: object) -> None:
            if self.step == 2:
                raise KeyboardInterrupt
            advance(self, *rest)  # type: ignore[arg-type]
            self.save()

        with monkeypatch.context() as patch:
            patch.setattr(Training, "advance", step)
            assert main(args) == 130

    return run


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("taught") / "run"
    assert main(["teach", "digits", *SMOKE, "--run-dir", str(run)]) == 0
    return run


def copy(run: Path, to: Path) -> Path:
    shutil.copytree(run, to)
    return to


def test_a_flipped_bit_in_the_newest_checkpoint_costs_one_interval_and_is_told(
    tmp_path: Path, stopped: Callable[[list[str]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["teach", "digits", *SMOKE, "--run-dir"]
    assert main([*args, str(tmp_path / "whole")]) == 0
    stopped([*args, str(tmp_path / "run")])
    flip(max((tmp_path / "run/checkpoints").glob("step-*.pt")))
    capsys.readouterr()
    assert main([*args, str(tmp_path / "run")]) == 0
    assert "The one before it is taken" in capsys.readouterr().err
    assert (tmp_path / "run/model.safetensors").read_bytes() == (tmp_path / "whole/model.safetensors").read_bytes()


@pytest.mark.parametrize("place", [0.2, 0.5, 0.9])
def test_flipped_weights_are_measured_by_nobody(taught: Path, tmp_path: Path, fails: Fails, place: float) -> None:
    run = copy(taught, tmp_path / "run")
    flip(run / "model.safetensors", place)
    for args in (["eval", f"run:{run}", "--data", "digits"], ["export", f"run:{run}", "--to", tmp_path / "out"]):
        told = fails(*args)
        assert "damaged" in told or "not a whole safetensors file" in told


def test_a_finished_run_with_flipped_weights_does_not_say_done(tmp_path: Path, fails: Fails) -> None:
    args = ["teach", "digits", *SMOKE, "--run-dir", str(tmp_path / "run")]
    assert main(args) == 0
    flip(tmp_path / "run/model.safetensors")
    assert "model.safetensors is damaged" in fails(*args)


def test_data_that_change_under_a_run_are_told(
    tmp_path: Path, stopped: Callable[[list[str]], None], fails: Fails
) -> None:
    data = images(tmp_path / "d.npz")
    args = [
        "teach",
        "--model",
        "exuno:convnet_2_4",
        "--data",
        f"npz:{data}",
        *SMOKE,
        "--run-dir",
        str(tmp_path / "run"),
    ]
    stopped(args)
    images(data, seed=1)
    assert "the training data of the run in" in fails(*args)
    images(data)
    assert main(args) == 0


def test_a_teacher_that_changes_under_a_run_is_told(
    taught: Path, tmp_path: Path, stopped: Callable[[list[str]], None], fails: Fails
) -> None:
    teacher = copy(taught, tmp_path / "teacher")
    args = ["distill", "digits", "--teacher", f"run:{teacher}", *SMOKE, "--run-dir", str(tmp_path / "run")]
    stopped(args)
    assert main(["teach", "digits", "--seed", "1", *SMOKE, "--run-dir", str(tmp_path / "other")]) == 0
    (teacher / "model.safetensors").write_bytes((tmp_path / "other/model.safetensors").read_bytes())
    assert "the teacher of the run in" in fails(*args)


def test_a_source_folder_that_changes_under_a_run_is_told(
    tmp_path: Path, stopped: Callable[[list[str]], None], fails: Fails, taught: Path
) -> None:
    source = tmp_path / "patches"
    synth = ["synth", "photo:coffee", "--count", "40", "--size", "8", "--workers", "1", "--out", str(source)]
    assert main(synth) == 0
    args = ["distill", "digits", "--teacher", f"run:{taught}", "--source", f"folder:{source}", *SMOKE]
    args += ["--run-dir", str(tmp_path / "run")]
    stopped(args)
    next(source.rglob("*.jpg")).unlink()
    assert "the source of the run in" in fails(*args)


@pytest.mark.parametrize("put_back", [False, True])
def test_a_run_directory_that_is_removed_under_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: Fails, put_back: bool
) -> None:
    run, advance = tmp_path / "run", Training.advance

    def step(self: Training, *rest: Any) -> None:
        advance(self, *rest)
        if self.step == 2:
            shutil.rmtree(run)
            if put_back:
                (run / "checkpoints").mkdir(parents=True)
                (run / ".lock").touch()
            self.save()

    monkeypatch.setattr(Training, "advance", step)
    assert "has been removed, or another put in its place" in fails("teach", "digits", *SMOKE, "--run-dir", str(run))
    assert not list(run.glob("checkpoints/*"))


def test_metrics_that_were_cut_are_told(
    tmp_path: Path, stopped: Callable[[list[str]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["teach", "digits", *SMOKE, "--run-dir", str(tmp_path / "run")]
    stopped(args)
    (tmp_path / "run/metrics.jsonl").write_text("")
    assert main(args) == 0
    assert "metrics.jsonl has 0 of the" in capsys.readouterr().err


def test_a_card_cannot_ask_for_a_download(taught: Path, tmp_path: Path, fails: Fails) -> None:
    from safetensors.torch import load_file, save_file

    run = copy(taught, tmp_path / "run")
    save_file(load_file(run / "model.safetensors"), run / "model.safetensors")  # without a card of its own
    card = json.loads((run / "model.json").read_text())
    for options in (
        {"pretrained": True, "pretrained_cfg_overlay": {"url": "http://127.0.0.1:9/x"}},
        {"checkpoint_path": "/etc/passwd"},
        {"img_size": "http://127.0.0.1:9/x"},
    ):
        (run / "model.json").write_text(json.dumps({**card, "arch": "timm:resnet18", "options": options}))
        told = fails("eval", f"run:{run}", "--data", "digits")
        assert "is no option of a model that a card may set" in told or "options missing or of another kind" in told


def shell(script: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs a script in which ``exuno`` is the command."""
    script = f'exuno() {{ {sys.executable} -m exuno "$@"; }}; {script}'
    return subprocess.run(["sh", "-c", script], capture_output=True, text=True, **options)


def test_a_deleted_working_directory(tmp_path: Path) -> None:
    done = shell(
        "mkdir gone; cd gone; rmdir ../gone; exuno synth photo:coffee --count 4 --size 8 --out x", cwd=tmp_path
    )
    assert done.returncode == 2
    assert "the folder that you stand in has been removed" in done.stderr


@pytest.mark.parametrize("streams", [">&-", ">&- 2>&-", "<&-", "2>/dev/full", ">&- 2>/dev/full"])
def test_work_is_done_whoever_listens(streams: str, tmp_path: Path) -> None:
    done = shell(f"exuno synth photo:coffee --count 4 --size 8 --workers 1 --out {tmp_path}/x {streams}")
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert len(list((tmp_path / "x").rglob("*.jpg"))) == 4


def test_a_closed_output_is_not_taken_for_the_next_file(tmp_path: Path) -> None:
    """What is opened next would have its number, and get all that is printed."""
    assert shell(f"exuno report {tmp_path} >&- 2>&-").returncode == 2
    code = "import os; from exuno.cli import _open_standard; _open_standard(); print(os.open('/dev/null', 0))"
    done = shell(f'{sys.executable} -c "{code}" <&- 3>&- 4>&-')
    assert int(done.stdout) >= 3


def test_a_mistake_that_nobody_can_be_told() -> None:
    assert shell("exuno nosuch 2>/dev/full").returncode == 2


def test_a_full_and_a_closed_output() -> None:
    full = shell("exuno presets > /dev/full")
    assert full.returncode == 2
    assert "No space left" in full.stderr
    assert "Traceback" not in full.stderr + shell("exuno presets >&-").stderr


def test_a_limit_on_the_size_of_files(tmp_path: Path) -> None:
    synth = "exuno synth photo:coffee --count 64 --size 64 --container wds --workers 1"
    done = shell(f"ulimit -f 8; {synth} --out {tmp_path}/x")
    assert done.returncode == 2
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_home_and_no_unicode() -> None:
    bare = {key: value for key, value in os.environ.items() if key != "HOME"}
    done = shell("exuno presets", env={**bare, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"})
    assert done.returncode == 0
    assert "Traceback" not in done.stderr

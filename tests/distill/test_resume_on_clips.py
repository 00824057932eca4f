"""A distillation on clips is the same, bit for bit, after a stop in its middle and with any number of workers."""

from pathlib import Path

import pytest

from exuno.cli import main
from exuno.engine.ballot import Wishes
from exuno.engine.session import seed_everything
from exuno.engine.training import Training
from exuno.models.files import save_model
from exuno.models.load import load_model

NETWORK = "exuno:x3d_xs_w0.5_d0.5"


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A teacher that knows nothing answers as well as another; four steps of fresh clips, runs of their frames, flips
    and CutMix."""
    seed_everything(1)
    teacher = tmp_path_factory.mktemp("teacher")
    save_model(load_model(NETWORK, classes=8, in_chans=1, input_size=(20, 20), pretrained=False), teacher)
    args = ["distill", "--teacher", f"run:{teacher}", "--student", NETWORK, "--data", "moving-digits", "--smoke"]
    args += ["--fresh", "--video.frames", "6", "--augment.frames", "4", "--augment.flip", "0.5", "--mix.cutmix", "1"]
    return [*args, "--optim.lr", "0.01", "--devices", "cpu"]


@pytest.fixture(scope="module")
def whole(command: list[str], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    run = tmp_path_factory.mktemp("whole")
    assert main([*command, "--run-dir", str(run / "run")]) == 0
    return (run / "run/model.safetensors").read_bytes()


def test_a_stop_in_the_middle(
    command: list[str], whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    advance = Training.advance

    def stop(self: Training, *rest: object) -> object:
        if self.step == 2:
            raise KeyboardInterrupt
        return advance(self, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Training, "wishes", lambda self: Wishes(save=True, stop=False))
        patch.setattr(Training, "advance", stop)
        assert main([*command, "--run-dir", str(run)]) != 0
    assert [path.name for path in sorted(run.glob("checkpoints/*.pt"))][-1] == "step-000000002.pt"
    assert not (run / "model.safetensors").exists()
    assert main([*command, "--run-dir", str(run)]) == 0
    assert (run / "model.safetensors").read_bytes() == whole


def test_workers(command: list[str], whole: bytes, tmp_path: Path) -> None:
    assert main([*command, "--workers", "2", "--run-dir", str(tmp_path / "run")]) == 0
    assert (tmp_path / "run/model.safetensors").read_bytes() == whole

"""``--ema`` and ``--adversarial``: what is averaged and kept, where pixels go, and what users do wrong."""

from pathlib import Path

import pytest
import torch

from exuno.cli import main
from exuno.distill.method import Distillation, following
from exuno.distill.options import Loss, Mix
from exuno.engine.ballot import Wishes
from exuno.engine.method import TrainState, numbers_at
from exuno.engine.training import Training
from exuno.models.classifier import Classifier
from exuno.models.load import load_model

COMMAND = ["distill", "digits", "--smoke", "--devices", "cpu", "--student", "exuno:convnet_2_8-batch", "--ema", "0.9"]


def network(seed: int) -> Classifier:
    torch.manual_seed(seed)
    return load_model("exuno:convnet_1_8-batch", classes=5, in_chans=1, input_size=(8, 8), pretrained=False)


def method(**options: float) -> Distillation:
    return Distillation(network(0), network(1), Loss(temperature=2.0), Mix(), 0, (8, 8), **options)  # pyright: ignore


def test_the_average_follows_weights_and_statistics() -> None:
    learning = method(ema=0.5)
    average = learning.average
    assert average is not None
    assert learning.graduate is average
    expected = {key: value.double().clone() for key, value in average.state_dict().items()}
    for step in range(12):
        for each in [*learning.student.parameters(), *learning.student.buffers()]:
            each.data.add_(1)
        learning.after_step(numbers_at(learning, TrainState(step, 12, 12), torch.device("cpu")))
        share = 1 - min(0.5, (1 + step) / (10 + step))
        for key, now in learning.student.state_dict().items():
            expected[key] += (now - expected[key]) * (share if now.is_floating_point() else 1)
    assert any("running_mean" in key for key in expected)
    for key, value in average.state_dict().items():
        torch.testing.assert_close(value.double(), expected[key], msg=key)
    assert not any(each.requires_grad for each in average.parameters())


def test_the_average_forgets_its_start() -> None:
    assert following(0.999, 0) == 0.9
    assert following(0.999, 100) == pytest.approx(9 / 110)
    assert following(0.999, 10**6) == pytest.approx(0.001)


def test_without_an_average_the_student_is_kept() -> None:
    learning = method()
    assert learning.graduate is learning.student
    assert not any(key.startswith("average") for key in learning.state_dict())


def test_a_stop_in_the_middle_changes_no_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    advance = Training.advance

    def stop(self: Training, *rest: object) -> object:
        if self.step == 2:
            raise KeyboardInterrupt
        return advance(self, *rest)  # type: ignore[arg-type]

    whole, parted, plain = (tmp_path / name for name in ("whole", "parted", "plain"))
    assert main([*COMMAND, "--run-dir", str(whole)]) == 0
    teacher = ["--teacher", f"run:{whole / 'teacher'}"]
    assert main([*COMMAND, *teacher, "--run-dir", str(tmp_path / "again")]) == 0
    with monkeypatch.context() as patch:
        patch.setattr(Training, "wishes", lambda self: Wishes(save=True, stop=False))
        patch.setattr(Training, "advance", stop)
        assert main([*COMMAND, *teacher, "--run-dir", str(parted)]) != 0
    assert main([*COMMAND, *teacher, "--run-dir", str(parted)]) == 0
    kept = (tmp_path / "again/model.safetensors").read_bytes()
    assert (parted / "model.safetensors").read_bytes() == kept
    assert main([*COMMAND[:-2], *teacher, "--run-dir", str(plain)]) == 0
    assert (plain / "model.safetensors").read_bytes() != kept


def test_pixels_move_to_where_both_differ_more() -> None:
    learning = method(adversarial=0.02)
    images = torch.rand(16, 1, 8, 8)
    images[0] = 1.0
    moved = learning.challenged(images)
    assert not moved.requires_grad
    assert moved.min() >= 0
    assert moved.max() <= 1
    assert (moved - images).abs().max() == pytest.approx(0.02, abs=1e-6)
    with torch.no_grad():
        losses = [
            float(learning.imitation(learning.student(x), learning.teacher_logits(x), torch.full((16,), -1)))
            for x in (images, moved)
        ]
    assert losses[1] > 1.02 * losses[0]
    assert all(each.grad is None for each in learning.parameters())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["digits", "--ema", "1"], "--ema is 1.0. Give a number from 0 to below 1"),
        (["digits", "--adversarial", "2"], "--adversarial is 2.0. Give a share of the range of pixels"),
        (
            ["digits", "--no-fresh", "--mix.cutmix", "0", "--cache-logits", "--adversarial", "0.1"],
            "same in every epoch",
        ),
    ],
)
def test_mistakes(words: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["distill", *words, "--smoke", "--run-dir", str(tmp_path / "run")]) == 2
    assert told in " ".join(capsys.readouterr().err.split())

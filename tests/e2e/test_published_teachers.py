"""The published CIFAR-10 ResNets through ``exuno eval``: it prints what their authors published."""

from pathlib import Path

import numpy as np
import pytest

from exuno.cli import main


@pytest.mark.parametrize(
    ("depth", "published"),
    [
        (20, "91.73 %"),
        pytest.param(32, "92.63 %", marks=pytest.mark.slow),
        pytest.param(56, "93.39 %", marks=pytest.mark.slow),
    ],
)
def test_eval_prints_the_published_accuracy(
    depth: int, published: str, shared: Path, cifar10_test, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, labels = cifar10_test[0].transpose(0, 2, 3, 1), cifar10_test[1]
    file = tmp_path / "cifar10.npz"
    np.savez(file, train_images=images[:10], train_labels=labels[:10], test_images=images, test_labels=labels)
    weights = shared / f"data/teachers/cifar10_resnet{depth}.safetensors"
    assert main(["eval", f"file:{weights}", "--data", f"npz:{file}", "--devices", "cpu"]) == 0
    assert f"top-1      {published}" in capsys.readouterr().out

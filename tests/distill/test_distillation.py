"""One step of a distillation: which loss its options ask for."""

from typing import Any

import pytest
import torch

from exuno.distill.losses.soft_target import soft_target, standardise
from exuno.distill.method import Distillation
from exuno.distill.options import Loss, Mix
from exuno.engine.method import Numbers
from exuno.engine.options import Optim
from exuno.models.classifier import Classifier
from exuno.models.load import load_model

AT = Numbers({})


@pytest.fixture
def pair() -> tuple[Classifier, Classifier]:
    torch.manual_seed(0)
    teacher, student = (
        load_model("exuno:convnet_1_8", classes=5, in_chans=1, input_size=(8, 8), pretrained=False) for _ in range(2)
    )
    return teacher, student


@pytest.mark.parametrize("standardised", [False, True])
def test_standardise_is_done_to_both_sides(pair: tuple[Classifier, Classifier], standardised: bool) -> None:
    teacher, student = pair
    images = torch.rand(4, 1, 8, 8)
    batch = {"images": images, "labels": torch.full((4,), -1), "index": torch.arange(4)}
    method = Distillation(teacher, student, Loss(temperature=3, t2=True, standardise=standardised), Mix(), 0, (8, 8))
    loss = method(batch, AT).loss
    told, asked = student.eval()(images), teacher.eval()(images)
    plain = soft_target(told, asked, 3.0, t2=True)
    expected = soft_target(standardise(told), standardise(asked), 3.0, t2=True) if standardised else plain
    torch.testing.assert_close(loss, expected)
    assert (abs(loss - plain) > 1e-3) == standardised


def test_features_of_tests_are_not_kept() -> None:
    """The student is tested between steps; what passes its last layer then is nobody's."""
    torch.manual_seed(0)
    made: Any = {"classes": 3, "input_size": (8, 8), "in_chans": 1, "pretrained": False}
    teacher, student = (load_model(f"exuno:convnet_2_{width}", **made) for width in (8, 4))
    method = Distillation(teacher, student, Loss(kind="features"), Mix(), seed=0, size=(8, 8))
    assert method.projection.weight.shape == (32, 16)
    for _ in range(3):
        student(torch.rand(5, 1, 8, 8))
    batch = {"images": torch.rand(6, 1, 8, 8), "labels": torch.full((6,), -1), "index": torch.arange(6)}
    loss = method(batch, Numbers({})).loss
    assert [len(tap) for tap in method.taps] == [0, 0]
    loss.backward()
    assert all(p.grad is not None for group in method.parameter_groups(Optim()) for p in group["params"])

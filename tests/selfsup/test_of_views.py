"""SimCLR and DINO: their losses beside lightly's, their steps, and what learns."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from exuno.data.augmentation.views import make_views
from exuno.engine.errors import ExunoError
from exuno.engine.method import Method, Numbers, TrainState, numbers_at
from exuno.engine.options import Optim
from exuno.engine.ranges import check_fields
from exuno.fewshot.losses import dino, sharpen
from exuno.models.classifier import Classifier
from exuno.models.load import load_model
from exuno.selfsup.methods.dino import Dino
from exuno.selfsup.methods.simclr import SimCLR, nt_xent

CPU = torch.device("cpu")


def network(outputs: int) -> Classifier:
    torch.manual_seed(0)
    return load_model("exuno:convnet_2_8-batch", classes=outputs, in_chans=3, input_size=(16, 16), pretrained=False)


def images(count: int = 6) -> Tensor:
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def batch_of(count: int = 6) -> dict[str, Tensor]:
    return {"images": images(count), "index": torch.arange(count)}


def step(method: Method, at: int = 0) -> Tensor:
    return method(batch_of(), numbers_at(method, TrainState(at, 8, 4), CPU)).loss


def test_nt_xent_is_lightlys() -> None:
    """lightly 1.6.0: ``NTXentLoss(temperature)(codes[0], codes[1])`` of these codes."""
    codes = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64).float()
    assert nt_xent(codes, 0.5).item() == pytest.approx(2.479743003845215, abs=1e-6)
    assert nt_xent(codes, 0.1).item() == pytest.approx(6.506466865539551, abs=1e-6)
    assert nt_xent(3 * codes, 0.1).item() == pytest.approx(6.506466865539551, abs=1e-5)  # lengths do not count


def test_the_loss_of_dino_is_lightlys() -> None:
    """lightly 1.6.0: ``DINOLoss(6, 0.04, 0.04, 1, 0.1)(list(teacher), list(student), epoch=5)`` with this centre."""
    random = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(v, 5, 6, generator=random, dtype=torch.float64).float() for v in (4, 2))
    targets = sharpen(teacher, torch.arange(6) / 10, 0.04)
    assert dino(student / 0.1, targets).mean().item() == pytest.approx(13.914119720458984, rel=1e-6)


def test_simclr_compares_the_two_views_of_each_image() -> None:
    """The step by hand: views, network, head, and for each code the share of its partner among all others."""
    options = SimCLR(hidden=12, width=5)
    method = options.make(network(12), 24, (16, 16), 3).eval()
    found = step(method, at=5)  # of epoch 1
    views, local = make_views(images(), 24 + torch.arange(6), options.views, 16, 3)
    assert local is None
    with torch.no_grad():
        codes = method.projection(method.model(views.flatten(0, 1))).double().numpy()
    unit = codes / np.linalg.norm(codes, axis=1, keepdims=True)
    weights = np.exp(unit @ unit.T / 0.5)
    np.fill_diagonal(weights, 0)
    expected = np.mean([-math.log(weights[i, (i + 6) % 12] / weights[i].sum()) for i in range(12)])
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_the_views_of_an_epoch_are_its_own() -> None:
    method = SimCLR(hidden=12).make(network(12), 24, (16, 16), 0).eval()
    assert step(method, 0).item() == step(method, 1).item() != step(method, 4).item()


@pytest.mark.parametrize("local", [0, 3])
def test_the_teacher_of_dino_follows_and_is_what_is_kept(local: int) -> None:
    model = network(10)
    method = Dino(prototypes=7, hidden=10, local=local, momentum=0.75).make(model, 24, (16, 16), 0)
    optimizer = torch.optim.SGD(method.parameter_groups(Optim()), 0.5, weight_decay=0.0)
    before = [each.clone() for each in method.teacher.parameters()]
    step(method).backward()
    assert all(each.grad is None for each in method.teacher.parameters())
    assert all(each.grad is not None for each in method.student.parameters() if each.requires_grad)
    optimizer.step()
    moved = [each.detach().clone() for each in method.student.parameters()]
    assert any(not torch.equal(a, b) for a, b in zip(before, moved, strict=True))
    method.after_step(numbers_at(method, TrainState(0, 8, 4), CPU))
    for old, student, now in zip(before, moved, method.teacher.parameters(), strict=True):
        torch.testing.assert_close(now, 0.75 * old + 0.25 * student)
    assert method.seen is not None
    torch.testing.assert_close(method.centre, 0.1 * method.seen)
    assert method.teacher[0] is model


def test_what_decays_and_what_learns() -> None:
    method = Dino(hidden=10).make(network(10), 24, (16, 16), 0)
    decaying, free = method.parameter_groups(Optim())
    assert {each.ndim for each in free["params"]} == {1}
    assert free["weight_decay"] == 0
    assert not any(each is other for each in decaying["params"] for other in method.teacher.parameters())
    contrast = SimCLR(hidden=10).make(network(10), 24, (16, 16), 0)
    assert len(contrast.parameter_groups(Optim())[0]["params"]) == len(list(contrast.parameters()))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (SimCLR(temperature=0), "--settings temperature is 0"),
        (SimCLR(least=2), "--settings least is 2"),
        (Dino(momentum=1.5), "--settings momentum is 1.5"),
        (Dino(prototypes=1), "--settings prototypes is 1"),
    ],
)
def test_settings_that_no_training_can_use(options: SimCLR | Dino, told: str) -> None:
    with pytest.raises(ExunoError, match=told):
        check_fields(options, "settings ")


def test_a_few_steps_of_simclr_bring_partners_together() -> None:
    method = SimCLR(hidden=16, width=8, colour=0.0).make(network(16), 6, (16, 16), 0)
    optimizer = torch.optim.Adam(method.parameter_groups(Optim()), 0.01)
    at = Numbers({"epoch": torch.zeros(())})
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = method(batch_of(), at).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.3

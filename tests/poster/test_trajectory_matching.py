"""Trajectory matching: its loss against plain autograd through the student's steps, its experts, and the command."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from safetensors.torch import load_file
from torch import nn

from exuno.cli import main
from exuno.engine.errors import ExunoError
from exuno.poster.algorithms.trajectory_matching import Prepared, TrajectoryMatching
from exuno.poster.augment import Augmentation
from exuno.poster.context import InnerLoopContext, Material
from exuno.poster.options import Inner, Unroll

OPTIONS = TrajectoryMatching(experts=2, expert_epochs=3, expert_batch=4, expert_lr=0.1, latest=1, epochs=2, steps=3)
generator = torch.Generator().manual_seed(0)
REAL, LABELS = torch.randn(12, 1, 4, 4, generator=generator), torch.arange(12) % 3
PATCHES, SOFT = torch.randn(6, 1, 4, 4, generator=generator), torch.rand(6, 3, generator=generator).softmax(1)


def network(seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(16, 5), nn.Tanh(), nn.Linear(5, 3))


@pytest.fixture
def context() -> InnerLoopContext:
    none = Augmentation("none")
    inner = Inner(name="sgd", lr=0.3, momentum=0.5, weight_decay=0.01, augment="none")
    return InnerLoopContext(network, inner, Unroll(), none, none, 7)


def prepared(context: InnerLoopContext, folder: Path) -> Prepared:
    return OPTIONS.prepare(context, Material((REAL, LABELS), 3, folder, Accelerator(cpu=True)))


def test_the_loss_and_its_gradient_are_those_of_autograd_through_the_steps(context: Any, tmp_path: Path) -> None:
    made = prepared(context, tmp_path)
    for number in range(4):
        patches, soft = PATCHES.clone().requires_grad_(), SOFT.clone().requires_grad_()
        loss = made(context, patches, soft, REAL, LABELS, number)
        loss.backward()
        mine = [x.clone() for x in (patches, soft, SOFT)][:2]
        # The same by hand: SGD of torch's form, written out with a graph, from every start that it may have had.
        found = []
        for expert in made.experts:
            for epoch in range(OPTIONS.latest + 1):
                x, y = (each.detach().requires_grad_() for each in mine)
                flat, velocity = expert[epoch].clone().requires_grad_(), torch.zeros_like(expert[0])
                for _ in range(OPTIONS.steps):
                    w1, b1, w2, b2 = (p.view(s) for p, s in zip(flat.split([80, 5, 15, 3]), SHAPES, strict=True))
                    logits = torch.tanh(x.flatten(1) @ w1.T + b1) @ w2.T + b2
                    inner = -(y * F.log_softmax(logits, 1)).sum(1).mean()
                    [grad] = torch.autograd.grad(inner, flat, create_graph=True)
                    velocity = velocity * 0.5 + grad + 0.01 * flat
                    flat = flat - 0.3 * velocity
                goal = expert[epoch + OPTIONS.epochs]
                outer = (flat - goal).square().sum() / (expert[epoch] - goal).square().sum()
                found.append((outer.item(), torch.autograd.grad(outer, (x, y))))
        value, grads = min(found, key=lambda each: abs(each[0] - loss.item()))
        assert loss.item() == pytest.approx(value, rel=1e-4)
        assert patches.grad is not None
        assert soft.grad is not None
        torch.testing.assert_close(patches.grad, grads[0], rtol=1e-3, atol=1e-6)
        torch.testing.assert_close(soft.grad, grads[1], rtol=1e-3, atol=1e-6)


SHAPES = ((5, 16), (5,), (3, 5), (3,))


def test_a_student_that_does_not_move_is_as_far_as_it_was(context: Any, tmp_path: Path) -> None:
    """Equation 2: the distance is divided by the expert's, so a student that stays has the loss 1."""
    made = prepared(context, tmp_path)
    still = InnerLoopContext(
        network, Inner(name="sgd", lr=1e-9, augment="none"), Unroll(), context.real, context.real, 7
    )
    assert made(still, PATCHES, SOFT, REAL, LABELS, 0).item() == pytest.approx(1, abs=1e-4)


def test_experts_learn_are_kept_and_are_not_trained_again(context: Any, tmp_path: Path) -> None:
    first = prepared(context, tmp_path)
    files = sorted((tmp_path / "experts").iterdir())
    assert [file.name for file in files] == ["0000.safetensors", "0001.safetensors"]
    assert first.experts.shape == (2, 4, 103)
    losses = []
    for flat in first.experts[0]:
        w1, b1, w2, b2 = (p.view(s) for p, s in zip(flat.split([80, 5, 15, 3]), SHAPES, strict=True))
        losses.append(F.cross_entropy(torch.tanh(REAL.flatten(1) @ w1.T + b1) @ w2.T + b2, LABELS).item())
    assert losses == sorted(losses, reverse=True)
    before = files[0].stat().st_mtime_ns
    assert torch.equal(prepared(context, tmp_path).experts, first.experts)
    assert files[0].stat().st_mtime_ns == before
    files[1].unlink()
    assert torch.equal(prepared(context, tmp_path).experts, first.experts)
    assert load_file(files[1])["epochs"].shape == (4, 103)


def test_epochs_beyond_the_experts_are_told(context: Any, tmp_path: Path) -> None:
    material = SimpleNamespace(folder=tmp_path)
    with pytest.raises(ExunoError, match="latest=2 and epochs=2 go beyond the 3"):
        TrajectoryMatching(expert_epochs=3, latest=2).prepare(context, material)  # pyright: ignore[reportArgumentType]


def test_the_command(tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ["--algorithm", "mtt", "--algorithm-options", "experts=1", "expert_epochs=3", "latest=1", "steps=2"]
    assert main(["poster", "digits", "--smoke", "--devices", "cpu", "--run-dir", str(run), *words]) == 0
    assert len(list((run / "experts").iterdir())) == 1
    assert json.loads((run / "result.json").read_text())["lineage"]["poster"]["algorithm"] == "mtt"

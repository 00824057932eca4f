"""LARS and Muon: their steps, and that they train, stop and go on like the other optimizers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from exuno.cli import main
from exuno.engine.optim import make_optimizer, orthogonalized
from exuno.engine.options import Optim

CPU = torch.device("cpu")


def lars(*weights: nn.Parameter, **changes: Any) -> torch.optim.Optimizer:
    settings: dict[str, Any] = {"name": "lars", "lr": 10.0, "weight_decay": 0.1, **changes}
    return make_optimizer([{"params": list(weights)}], Optim(**settings), CPU)


def stepped(optimizer: torch.optim.Optimizer, weight: nn.Parameter, gradient: list) -> list:
    weight.grad = torch.tensor(gradient)
    optimizer.step()
    return weight.tolist()


def test_two_steps_of_a_layer_by_hand() -> None:
    weight = nn.Parameter(torch.tensor([[3.0, 4.0]]))
    optimizer = lars(weight)
    # u = g + 0.1 w = (0.6, 0.8), |u| = 1, |w| = 5; v = 0.001 * 5 u = (0.003, 0.004); w - 10 v
    assert stepped(optimizer, weight, [[0.3, 0.4]])[0] == pytest.approx([2.97, 3.96])
    # |w| = 4.95; u = (0.6, 0.8) again; v = 0.9 (0.003, 0.004) + 0.00495 u = (0.00567, 0.00756)
    assert stepped(optimizer, weight, [[0.303, 0.404]])[0] == pytest.approx([2.9133, 3.8844])


def test_tensors_of_one_dimension_have_neither_decay_nor_factor() -> None:
    bias = nn.Parameter(torch.tensor([2.0]))
    optimizer = lars(bias)
    assert stepped(optimizer, bias, [0.5]) == pytest.approx([-3.0])
    assert stepped(optimizer, bias, [0.5]) == pytest.approx([-12.5])  # v = 0.9 * 0.5 + 0.5


def test_the_length_of_a_step_does_not_depend_on_that_of_the_gradient() -> None:
    found = []
    for scale in (1e-3, 1e3):
        weight = nn.Parameter(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
        found.append(stepped(lars(weight, weight_decay=0.0), weight, [[scale, 0.0], [0.0, scale]]))
    assert found[0][0] == pytest.approx(found[1][0])
    assert found[0][1] == pytest.approx(found[1][1])


def test_norms_of_zero_leave_the_gradient_as_it_is() -> None:
    weight, still = nn.Parameter(torch.zeros(1, 2)), nn.Parameter(torch.ones(1, 2))
    optimizer = lars(weight, still, weight_decay=0.0)
    still.grad = torch.zeros(1, 2)
    assert stepped(optimizer, weight, [[0.1, 0.0]])[0] == pytest.approx([-1.0, 0.0])
    assert still.tolist() == [[1.0, 1.0]]


def test_parameters_without_a_gradient_stay_and_groups_have_their_own_decay() -> None:
    """As the projection's frozen last layer, and norms and biases, have it."""
    free, frozen = nn.Parameter(torch.tensor([[3.0, 4.0]])), nn.Parameter(torch.ones(2, 2))
    groups = [{"params": [free], "weight_decay": 0.0}, {"params": [frozen]}]
    optimizer = make_optimizer(groups, Optim(name="lars", lr=10.0, weight_decay=0.1), CPU)
    assert stepped(optimizer, free, [[0.6, 0.8]])[0] == pytest.approx([2.97, 3.96])
    assert torch.equal(frozen, torch.ones(2, 2))


@pytest.mark.parametrize("name", ["lars", "muon"])
def test_a_state_that_was_kept_goes_on_bit_by_bit(name: str) -> None:
    torch.manual_seed(0)
    start, gradients = torch.randn(3, 4), torch.randn(4, 3, 4)
    whole, half, rest = (nn.Parameter(start.clone()) for _ in range(3))
    one, two, three = (lars(each, name=name) for each in (whole, half, rest))
    for number, gradient in enumerate(gradients.tolist()):
        stepped(one, whole, gradient)
        if number < 2:
            stepped(two, half, gradient)
            continue
        if number == 2:
            rest.data.copy_(half.data)
            three.load_state_dict(two.state_dict())
        stepped(three, rest, gradient)
    assert torch.equal(whole, rest)


def test_muon_is_torchs_on_matrices_and_adamw_on_the_rest() -> None:
    """torch's Muon, which takes matrices alone, in bfloat16: equal to its rounding. Filters are matrices."""
    torch.manual_seed(0)
    start, bias = torch.randn(6, 3, 2, 2), torch.randn(5)
    filters, vector = nn.Parameter(start.clone()), nn.Parameter(bias.clone())
    flat, same = nn.Parameter(start.flatten(1).clone()), nn.Parameter(bias.clone())
    ours = make_optimizer([{"params": [filters, vector]}], Optim(name="muon", lr=0.1, weight_decay=0.2), CPU)
    settings: dict[str, Any] = {"momentum": 0.9, "adjust_lr_fn": "match_rms_adamw"}
    theirs = torch.optim.Muon([flat], 0.1, weight_decay=0.2, **settings)
    adamw = torch.optim.AdamW([same], 0.1, weight_decay=0.2)
    for _ in range(3):
        gradient, other = torch.randn(6, 12), torch.randn(5)
        filters.grad, vector.grad = gradient.view_as(filters).clone(), other.clone()
        flat.grad, same.grad = gradient.clone(), other.clone()
        for optimizer in (ours, theirs, adamw):
            optimizer.step()
    moved = (flat - start.flatten(1)).norm()
    assert (filters.flatten(1) - flat).norm() < 0.02 * moved
    torch.testing.assert_close(vector, same)
    assert filters.grad is not None  # handed back


def test_a_step_of_float16_that_overflowed_changes_nothing() -> None:
    """As a scaler of a GPU has it, here on the processor: gradients are divided, or the step is left out."""
    weight, bias = nn.Parameter(torch.ones(2, 3)), nn.Parameter(torch.ones(3))
    optimizer = lars(weight, bias, name="muon", lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    scaler.scale((weight @ bias).sum() * float("inf")).backward()
    scaler.step(optimizer)
    scaler.update()
    assert torch.equal(weight, torch.ones(2, 3))
    assert torch.equal(bias, torch.ones(3))
    optimizer.zero_grad()
    scaler.scale((weight @ bias).sum()).backward()
    scaler.step(optimizer)
    assert torch.equal(optimizer.state[weight]["velocity"], torch.ones(2, 3))  # not times the scale
    assert bias.isfinite().all()
    assert not torch.equal(bias, torch.ones(3))


def test_singular_values_are_brought_near_one() -> None:
    torch.manual_seed(0)
    for shape in ((8, 30), (30, 8)):
        matrix = torch.randn(shape) * torch.logspace(0, -2, shape[1])
        u, _, v = torch.linalg.svd(matrix, full_matrices=False)
        found = orthogonalized(matrix)
        inside = torch.diag(u.T @ found @ v.T)  # in the basis of the singular vectors it is diagonal
        torch.testing.assert_close(u @ torch.diag(inside) @ v, found, atol=1e-4, rtol=0)
        assert inside.min() > 0.3
        assert inside.max() < 1.3


@pytest.mark.parametrize(("name", "rate"), [("lars", "5"), ("muon", "3e-3")])
def test_it_trains_by_the_command_line(tmp_path: Path, name: str, rate: str) -> None:
    args = ["teach", "digits", "--model", "exuno:convnet_1_8", "--devices", "cpu", "--epochs", "2"]
    args += ["--optim.name", name, "--optim.lr", rate, "--optim.weight-decay", "1e-4"]
    assert main([*args, "--run-dir", str(tmp_path / "run")]) == 0
    assert json.loads((tmp_path / "run/result.json").read_text())["metrics"]["model/top1"] > 0.5


@pytest.mark.parametrize("name", ["lars", "adam", "muon"])
def test_nesterov_is_refused(fails: Callable[..., str], name: str) -> None:
    told = fails("teach", "digits", "--optim.name", name, "--optim.nesterov", "--smoke")
    assert f"--optim.nesterov with --optim.name {name} is on" in told

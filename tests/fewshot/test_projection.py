"""The head: unit vectors, prototypes of a length of their own, shared or not."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from exuno.fewshot.network import Projection, Prototypes
from exuno.fewshot.options import Head

SMALL = Head(outputs=12, patch_outputs=7, hidden=10, bottleneck=6)


def head(**changes: Any) -> Projection:
    torch.manual_seed(0)
    return Projection(8, replace(SMALL, **changes))


def test_prototypes_are_torch_s_weight_normalisation() -> None:
    torch.manual_seed(0)
    ours, theirs = Prototypes(6, 12, False), weight_norm(nn.Linear(6, 12, bias=False))
    with torch.no_grad():
        ours.length.uniform_(0.5, 2)
        theirs.parametrizations.weight.original0.copy_(ours.length)  # pyright: ignore
        theirs.parametrizations.weight.original1.copy_(ours.direction)  # pyright: ignore
    x = torch.randn(3, 5, 6)
    torch.testing.assert_close(ours(x), theirs(x))


def test_outputs_are_cosines_at_first() -> None:
    made, tokens = head(), 5 * torch.randn(4, 9, 8)
    torch.testing.assert_close(made.bottleneck(tokens).norm(dim=-1), torch.ones(4, 9))
    out = made(tokens)
    assert out.shape == (4, 9, 12)
    assert out.abs().max() <= 1 + 1e-6
    directions = nn.functional.normalize(made.last.direction, dim=1)
    torch.testing.assert_close(out, made.bottleneck(tokens) @ directions.T)


@pytest.mark.parametrize(
    ("layers", "linear"), [(1, [(8, 6)]), (2, [(8, 10), (10, 6)]), (3, [(8, 10), (10, 10), (10, 6)])]
)
def test_the_perceptron_has_its_layers_and_no_gelu_at_the_end(layers: int, linear: list[tuple[int, int]]) -> None:
    made = head(layers=layers).perceptron
    found = [(x.in_features, x.out_features) for x in made if isinstance(x, nn.Linear)]
    assert found == linear
    assert [type(x) for x in made[1::2]] == [nn.GELU] * (layers - 1)
    assert isinstance(made[-1], nn.Linear)


def test_tokens_share_the_last_layer_or_have_one_each() -> None:
    tokens = torch.randn(5, 8)
    shared, apart = head(), head(shared=False)
    assert shared.outputs == (12, 12)
    assert shared.last_patch is None
    assert torch.equal(shared.patches(tokens), shared(tokens))
    assert apart.outputs == (12, 7)
    assert apart(tokens).shape == (5, 12)
    assert apart.patches(tokens).shape == (5, 7)
    apart.patches(tokens).sum().backward()
    assert apart.last.direction.grad is None
    assert apart.perceptron[0].weight.grad is not None


def test_the_published_last_layer_keeps_the_start_of_nn_linear() -> None:
    """Uniform up to 1 / sqrt(256) = 0.0625, which has the deviation 0.0361; ours by default 0.02. The rest of the head
    is the same, and so are the outputs' lengths."""
    spreads = {}
    for init in ("paper", "reference"):
        torch.manual_seed(0)
        made = Projection(8, Head(outputs=2048, patch_outputs=512, hidden=10, shared=False, init=init))
        for last in (made.last, made.last_patch):
            assert last is not None
            spreads.setdefault(init, []).append(last.direction.std().item())
            assert torch.equal(last.length, torch.ones_like(last.length))
        assert made.perceptron.get_parameter("0.weight").std().item() == pytest.approx(0.02, rel=0.2)
        if init == "reference":
            assert 0.062 < made.last.direction.abs().max().item() <= 0.0625
    assert spreads["paper"] == pytest.approx([0.02, 0.02], rel=0.01)
    linear = nn.Linear(256, 2048, bias=False).weight.std().item()
    assert spreads["reference"] == pytest.approx([linear, linear], rel=0.01)
    assert linear == pytest.approx(0.0361, rel=0.01)


@pytest.mark.parametrize("unit_norm", [True, False])
def test_a_unit_norm_freezes_the_length(unit_norm: bool) -> None:
    made = head(unit_norm=unit_norm, shared=False)
    for last in (made.last, made.last_patch):
        assert last is not None
        assert last.length.requires_grad is not unit_norm
        assert last.direction.requires_grad
        assert torch.equal(last.length, torch.ones_like(last.length))


def test_batch_normalisation_shows_small_differences() -> None:
    torch.manual_seed(1)
    tokens = torch.randn(8) + 0.01 * torch.randn(64, 5, 8)  # nearly the same for every image
    plain, normed = head(), head(norm="batch")
    spread = [made(tokens).std((0, 1)).mean().item() for made in (plain, normed)]
    assert spread[1] > 10 * spread[0]
    hidden = normed.double().perceptron[:2](tokens.double())
    torch.testing.assert_close(hidden.mean((0, 1)), torch.zeros(10, dtype=torch.float64), atol=1e-10, rtol=0)
    assert len(head(norm="batch", layers=1).perceptron) == 1

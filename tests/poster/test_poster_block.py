"""The fused block against the three operations that it stands for, up to second derivatives."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from exuno.poster.block import norm_relu_pool

SHAPES = [(3, 2, 4, 6), (2, 3, 5, 4), (2, 2, 4, 7), (2, 2, 5, 5), (1, 1, 2, 2)]


def plain(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.avg_pool2d(F.group_norm(x, x.shape[1], weight, bias).relu(), 2)


def inputs(shape: tuple[int, int, int, int], dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """x with maps that are neither centred nor of deviation 1, weights of both signs, biases."""
    generator = torch.Generator().manual_seed(sum(shape))
    x = torch.randn(shape, dtype=torch.float64, generator=generator) * 2 + 0.7
    weight, bias = torch.randn(2, shape[1], dtype=torch.float64, generator=generator)
    return [each.to(dtype).requires_grad_() for each in (x, weight, bias + 0.3)]


def second_order(block, parts: list[Tensor]) -> list[Tensor]:
    """Value, first derivatives, and the derivatives of a random function of the first derivatives."""
    generator = torch.Generator().manual_seed(5)
    out = block(*parts)
    incoming = torch.randn(out.shape, dtype=torch.float64, generator=generator).to(out).requires_grad_()
    first = torch.autograd.grad(out, parts, incoming, create_graph=True)
    cotangents = [torch.randn(each.shape, dtype=torch.float64, generator=generator).to(out) for each in first]
    second = torch.autograd.grad(first, [*parts[:2], incoming], cotangents)
    return [out, *first, *second]


@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_both_derivatives_are_those_of_the_plain_operations(shape: tuple[int, int, int, int]) -> None:
    parts = inputs(shape)
    for found, expected in zip(second_order(norm_relu_pool, parts), second_order(plain, parts), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("shape", SHAPES[:4])
def test_derivatives_by_differences(shape: tuple[int, int, int, int]) -> None:
    parts = inputs(shape)
    assert torch.autograd.gradcheck(norm_relu_pool, parts)
    assert torch.autograd.gradgradcheck(norm_relu_pool, parts)


def test_each_input_alone_may_need_a_gradient() -> None:
    for wanted in range(3):
        parts = [each.detach().requires_grad_(i == wanted) for i, each in enumerate(inputs((2, 2, 4, 4)))]
        x, weight, bias = parts
        outputs = (block(x, weight, bias).square().sum() for block in (norm_relu_pool, plain))
        found, expected = (torch.autograd.grad(output, parts[wanted])[0] for output in outputs)
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("offset", [0.0, 5.0])
def test_single_precision_loses_no_more_than_the_plain_operations(offset: float) -> None:
    """Against float64: at most three times the error of torch's own, also where maps are far from centred."""
    truth = second_order(plain, [_moved(each, i, offset) for i, each in enumerate(inputs((8, 4, 16, 16)))])
    single = [_moved(each, i, offset) for i, each in enumerate(inputs((8, 4, 16, 16), torch.float32))]
    for found, usual, true in zip(
        second_order(norm_relu_pool, single), second_order(plain, single), truth, strict=True
    ):
        error, least = ((each.double() - true).norm() / true.norm() for each in (found, usual))
        assert error < max(3 * least, 2e-6)


def _moved(part: Tensor, number: int, offset: float) -> Tensor:
    return part if number else (part + offset).detach().requires_grad_()


def test_other_memory_formats_and_no_gradient() -> None:
    x, weight, bias = inputs((2, 3, 4, 4), torch.float32)
    last = x.detach().contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(norm_relu_pool(last, weight, bias), plain(x, weight, bias))
    with torch.no_grad():
        assert not norm_relu_pool(x, weight, bias).requires_grad


def test_a_constant_map_has_finite_derivatives() -> None:
    x = torch.ones(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    weight, bias = (torch.full((2,), value, dtype=torch.float64, requires_grad=True) for value in (1.0, 0.5))
    assert all(each.isfinite().all() for each in second_order(norm_relu_pool, [x, weight, bias]))

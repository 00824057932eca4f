"""The losses against loops over views, classes and pairs: values, gradients, and what holds without any loop."""

from collections.abc import Callable
from typing import NamedTuple

import pytest
import smkd_loops as loops
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from exuno.engine.errors import ExunoError
from exuno.fewshot.losses import Pairs, Term, class_level, dino, find_pairs, masked, patch_level, sharpen
from exuno.fewshot.losses.shared import soft_cross_entropy
from exuno.fewshot.options import Mode

MODES: list[Mode] = ["paper", "reference"]
LABELS = st.lists(st.integers(-1, 3), min_size=1, max_size=9)


class Problem(NamedTuple):
    """What student and teacher give for a batch."""

    cls: Tensor  # [V, B, K], wants a gradient
    teacher_cls: Tensor  # [G, B, K]
    patch: Tensor  # [G, B, P, K], wants a gradient
    teacher_patch: Tensor  # [G, B, P, K]
    features: Tensor  # [G, B, P, D]
    teacher_features: Tensor  # [G, B, P, D]
    attention: Tensor  # [G, B, P]
    mask: Tensor  # [G, B, P]
    labels: Tensor  # [B]

    @property
    def pairs(self) -> Pairs:
        index = torch.arange(len(self.labels)) * 3
        return find_pairs(self.labels, index, self.labels, index)


def problem(labels: list[int], seed: int = 0, seen: int = 2, local: int = 2, patches: int = 5) -> Problem:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator) * 2

    images, outputs, width = len(labels), 7, 6
    zero = torch.zeros(outputs)
    return Problem(
        draw(seen + local, images, outputs).requires_grad_(),
        sharpen(draw(seen, images, outputs), zero, 0.5),
        draw(seen, images, patches, outputs).requires_grad_(),
        sharpen(draw(seen, images, patches, outputs), zero, 0.5),
        draw(seen, images, patches, width),
        draw(seen, images, patches, width),
        draw(seen, images, patches).softmax(-1),
        draw(seen, images, patches) > 0.8,
        torch.tensor(labels),
    )


def agree(found: Term, expected: Tensor, student: Tensor) -> None:
    """Same value and gradient, to 1e-5 of their size."""
    grads = [torch.autograd.grad(loss, student)[0] for loss in (found.mean(), expected)]
    torch.testing.assert_close(found.mean(), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-5, atol=1e-6 * max(1.0, float(grads[1].abs().max())))


@given(LABELS, st.integers(0, 9), st.integers(1, 3), st.integers(0, 2))
@settings(max_examples=20, deadline=None)
def test_dino(labels: list[int], seed: int, seen: int, local: int) -> None:
    p = problem(labels, seed, seen, local)
    agree(dino(p.cls, p.teacher_cls), loops.dino(p.cls, p.teacher_cls), p.cls)


@pytest.mark.parametrize("mode", MODES)
@given(LABELS, st.integers(0, 9))
@settings(max_examples=20, deadline=None)
def test_masked(mode: Mode, labels: list[int], seed: int) -> None:
    p = problem(labels, seed)
    expected = loops.masked(p.patch, p.teacher_patch, p.mask, mode)
    agree(masked(p.patch, p.teacher_patch, p.mask, mode), expected, p.patch)


@pytest.mark.parametrize("mode", MODES)
@given(LABELS, st.integers(0, 9), st.integers(1, 3), st.integers(0, 2))
@settings(max_examples=20, deadline=None)
def test_class_level(mode: Mode, labels: list[int], seed: int, seen: int, local: int) -> None:
    p = problem(labels, seed, seen, local)
    expected = loops.class_level(p.cls, p.teacher_cls, p.labels, mode)
    agree(class_level(p.cls, p.teacher_cls, p.pairs, mode), expected, p.cls)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("mode", MODES)
@given(LABELS, st.integers(0, 9), st.integers(1, 3), st.integers(1, 6))
@settings(max_examples=20, deadline=None)
def test_patch_level(mode: Mode, weighted: bool, labels: list[int], seed: int, seen: int, patches: int) -> None:
    p = problem(labels, seed, seen, patches=patches)
    four = (p.patch, p.teacher_patch, p.features, p.teacher_features)
    attention = p.attention if weighted else None
    loop = loops.patch_level if mode == "paper" else loops.patch_level_published
    agree(patch_level(*four, p.pairs, mode, attention), loop(*four, p.labels, attention), p.patch)


def test_patches_without_direction() -> None:
    """Features of length 0 and, in the published code, sums that are 0."""
    p = problem([0, 0, 1, 0])
    p.features[0, 1], p.teacher_features[1, :, 2] = 0, 0
    four = (p.patch, p.teacher_patch, p.features, p.teacher_features)
    agree(patch_level(*four, p.pairs), loops.patch_level(*four, p.labels), p.patch)
    agree(patch_level(*four, p.pairs, "reference"), loops.patch_level_published(*four, p.labels), p.patch)


def every_loss(p: Problem, mode: Mode) -> dict[str, tuple[Callable[[], Term], Tensor]]:
    four = (p.patch, p.teacher_patch, p.features, p.teacher_features)
    return {
        "dino": (lambda: dino(p.cls, p.teacher_cls), p.cls),
        "masked": (lambda: masked(p.patch, p.teacher_patch, p.mask, mode), p.patch),
        "class": (lambda: class_level(p.cls, p.teacher_cls, p.pairs, mode), p.cls),
        "patch": (lambda: patch_level(*four, p.pairs, mode), p.patch),
    }


@pytest.mark.parametrize("mode", MODES)
def test_no_repeated_class_is_0_with_gradients_of_0(mode: Mode) -> None:
    p = problem([4, 2, -1, -1], local=0)
    p.mask.zero_()
    losses = every_loss(p, mode)
    for name in ("masked", "patch", *(["class"] if mode == "reference" else [])):
        loss, student = losses[name]
        found = loss()
        assert found.mean() == 0, name
        assert not torch.autograd.grad(found.mean(), student)[0].any(), name
    assert losses["patch"][0]().count == 0


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_computes_in_float32(mode: Mode, dtype: torch.dtype) -> None:
    """Under autocast, half outputs give what their values give in float32, and a gradient of their own type."""
    p = problem([0, 1, 0, 0, 1, 2])
    half = p._replace(cls=p.cls.detach().to(dtype).requires_grad_(), patch=p.patch.detach().to(dtype).requires_grad_())
    wide = p._replace(
        cls=half.cls.detach().float().requires_grad_(), patch=half.patch.detach().float().requires_grad_()
    )
    for name, (loss, student) in every_loss(half, mode).items():
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = loss().mean()
        other, leaf = every_loss(wide, mode)[name]
        expected = other().mean()
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
        grad, right = torch.autograd.grad(found, student)[0], torch.autograd.grad(expected, leaf)[0]
        assert grad.dtype == dtype
        torch.testing.assert_close(grad.float(), right, rtol=0.02, atol=0.005 * float(right.abs().max()))


def test_targets_need_no_sum_of_1() -> None:
    """Some rows or all, in float64."""
    student = torch.randn(6, 5, dtype=torch.float64, requires_grad=True)
    targets = torch.rand(6, 5, dtype=torch.float64)
    for rows in (torch.tensor([4, 0, 3]), None):
        chosen = slice(None) if rows is None else rows
        found = soft_cross_entropy(student, targets[chosen].__getitem__, rows)
        agree(Term(found, torch.ones(())), -(targets * student.log_softmax(1))[chosen].sum(), student)


def test_a_second_backward_pass_is_refused() -> None:
    p = problem([0, 0])
    loss = dino(p.cls, p.teacher_cls).mean()
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_published_patch_loss_refuses_rows_of_other_processes() -> None:
    p = problem([0, 0])
    twice = [torch.cat([x, x], 1) for x in (p.teacher_patch, p.teacher_features)]
    with pytest.raises(ExunoError, match="2 images with 4 rows"):
        patch_level(p.patch, twice[0], p.features, twice[1], p.pairs, "reference")

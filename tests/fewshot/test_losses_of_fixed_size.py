"""The losses as they run where the device is not asked how many terms there are: the same as where it is."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_fewshot_losses import MODES, problem
from torch import Tensor

from exuno.fewshot.losses import Term, hidden_rows, ibot, masked, patch_level, smkd
from exuno.fewshot.options import Mode

LABELS = st.lists(st.integers(-1, 2), min_size=1, max_size=7)


def both(loss: Callable[[Tensor], Term], student: Tensor) -> None:
    """Compares totals, numbers and gradients."""
    found = []
    for free in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            for module in (ibot, smkd):
                patch.setattr(module, "reads_are_free", lambda device, free=free: free)
            leaf = student.detach().clone().requires_grad_()
            term = loss(leaf)
            term.mean().backward()
            found.append((term.total.detach(), term.count, leaf.grad))
    for exact, fixed in zip(*found, strict=True):
        assert exact is not None
        torch.testing.assert_close(fixed, exact, rtol=1e-5, atol=1e-7)


@given(LABELS, st.integers(0, 99), st.booleans())
@settings(max_examples=30, deadline=None)
def test_patches_find_the_same_partners(labels: list[int], seed: int, attention: bool) -> None:
    p = problem(labels, seed=seed)
    weights = p.attention if attention else None
    known = (p.teacher_patch, p.features, p.teacher_features, p.pairs)
    both(lambda student: patch_level(student, *known, attention=weights), p.patch)


@pytest.mark.parametrize("mode", MODES)
@given(share=st.floats(0, 1), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_masked_patches_are_told(mode: Mode, share: float, seed: int) -> None:
    p = problem([0, 1, 0], seed=seed)
    mask = torch.rand(p.patch.shape[:3], generator=torch.Generator().manual_seed(seed)) < share
    most = int(mask.sum(2).max())
    for bound in (None, most, most + 1):
        both(lambda x, bound=bound: masked(x, p.teacher_patch, mask, mode, hidden_rows(mask, bound)), p.patch)
        both(lambda x, bound=bound: masked(*picked(x, p.teacher_patch, mask, bound, mode)), p.patch)


def picked(student: Tensor, teacher: Tensor, mask: Tensor, most: int | None, mode: Mode) -> Any:
    """The arguments of a network that projects the masked patches alone."""
    rows = hidden_rows(mask, most)
    return *(x.flatten(0, 2)[rows] for x in (student, teacher)), mask, mode, rows


def test_a_bound_that_is_too_low_would_be_noticed() -> None:
    p = problem([0, 1, 0], seed=1)
    mask = torch.ones(p.patch.shape[:3], dtype=torch.bool)
    with pytest.raises(AssertionError):
        both(lambda student: masked(student, p.teacher_patch, mask, "paper", hidden_rows(mask, 1)), p.patch)

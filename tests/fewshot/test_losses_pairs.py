"""Which images are pairs, the teacher's probabilities, and batches whose teachers come from several processes."""

import pytest
import torch
from test_fewshot_losses import MODES, problem

from exuno.fewshot.losses import Term, class_level, find_pairs, patch_level, sharpen
from exuno.fewshot.options import Mode


def test_pairs() -> None:
    labels, index = torch.tensor([5, -1, 5]), torch.tensor([70, 20, 30])
    rows, where = torch.tensor([5, -1, -1, 5, 5, 0]), torch.tensor([30, 20, 40, 70, 50, 60])
    pairs = find_pairs(labels, index, rows, where)
    assert pairs.positive.int().tolist() == [[1, 0, 0, 0, 1, 0], [0] * 6, [0, 0, 0, 1, 1, 0]]
    assert pairs.own.tolist() == [3, 1, 0]


def test_an_image_that_was_drawn_twice_is_not_its_own_positive_and_keeps_its_row() -> None:
    labels, index = torch.tensor([1, 1, 1]), torch.tensor([8, 8, 9])
    for teachers in (1, 3):
        pairs = find_pairs(labels, index, labels.repeat(teachers), index.repeat(teachers))
        assert pairs.own.tolist() == [0, 1, 2]
        assert pairs.positive[:, :3].int().tolist() == [[0, 0, 1], [0, 0, 1], [1, 1, 0]]


def test_sharpen() -> None:
    logits = torch.tensor([[1.0, 2.0, 0.0]], dtype=torch.bfloat16, requires_grad=True)
    found = sharpen(logits, torch.tensor([0.5, 1.0, 0.0]), 0.25)
    assert found.dtype == torch.float32
    assert not found.requires_grad
    torch.testing.assert_close(found, torch.tensor([[2.0, 4.0, 0.0]]).softmax(-1))


def test_counts_of_processes_add_up() -> None:
    """Two local losses, each its total over the mean count, average to the loss of both."""
    a, b = Term(torch.tensor(6.0), torch.tensor(2.0)), Term(torch.tensor(1.0), torch.tensor(3.0))
    both = Term(a.total + b.total, a.count + b.count)
    each = [part.total / (both.count / 2) for part in (a, b)]
    torch.testing.assert_close(sum(each) / 2, both.mean())


@pytest.mark.parametrize("mode", MODES)
def test_slices_of_a_batch_with_the_teachers_of_all_give_the_whole(mode: Mode) -> None:
    p = problem([0, 1, 0, 0, -1, 1, 2, 0], seed=3)
    index = torch.arange(8) + 5
    slices = [slice(0, 4), slice(4, 8)]
    pairs = [find_pairs(p.labels[part], index[part], p.labels, index) for part in slices]
    found = [class_level(p.cls[:, part], p.teacher_cls, pair, mode) for part, pair in zip(slices, pairs, strict=True)]
    same(found, class_level(p.cls, p.teacher_cls, p.pairs, mode), p.cls)
    if mode == "paper":
        for attention in (None, p.attention):
            found = [
                patch_level(
                    p.patch[:, part],
                    p.teacher_patch,
                    p.features[:, part],
                    p.teacher_features,
                    pair,
                    attention=None if attention is None else attention[:, part],
                )
                for part, pair in zip(slices, pairs, strict=True)
            ]
            four = (p.patch, p.teacher_patch, p.features, p.teacher_features)
            same(found, patch_level(*four, p.pairs, attention=attention), p.patch)


def same(parts: list[Term], whole: Term, student: torch.Tensor) -> None:
    total = torch.stack([part.total for part in parts]).sum()
    torch.testing.assert_close(total, whole.total, rtol=1e-5, atol=1e-6)
    assert sum(float(part.count) for part in parts) == whole.count
    found, expected = (torch.autograd.grad(x, student)[0] for x in (total, whole.total))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)

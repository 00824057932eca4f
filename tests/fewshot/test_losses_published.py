"""Mode ``reference`` against numbers that the published code gave; golden/smkd.json tells how."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from exuno.fewshot.losses import Term, class_level, dino, find_pairs, masked, patch_level, sharpen

GOLDEN = json.loads((Path(__file__).parent / "golden/smkd.json").read_text())


def draw(name: str, *shape: int) -> Tensor:
    state = np.random.RandomState(GOLDEN["seeds"][name])
    return torch.tensor(state.standard_normal(shape), dtype=torch.float32)


def losses() -> dict[str, tuple[Term, Tensor, Tensor]]:
    """Each loss with the student's outputs that it depends on, and the probe of its gradient."""
    views, seen, images, side, outputs, width, heads = GOLDEN["shape"].values()
    patches, temperature, labels = side**2, GOLDEN["temperatures"], torch.tensor(GOLDEN["labels"])
    cls = draw("student_cls", views, images, outputs).requires_grad_()
    patch = draw("student_patch", seen, images, patches, outputs).requires_grad_()
    cls_probe, patch_probe = draw("probe_cls", *cls.shape), draw("probe_patch", *patch.shape)
    student_cls, student_patch = cls / temperature["student"], patch / temperature["student"]
    teacher = sharpen(draw("teacher_cls", seen, images, outputs), draw("centre", outputs), temperature["teacher"])
    teacher_patch = sharpen(
        draw("teacher_patch", *patch.shape), draw("patch_centre", outputs), temperature["teacher_patch"]
    )
    features = draw("student_features", seen, images, patches, width)
    teacher_features = draw("teacher_features", seen, images, patches, width)
    attention = draw("teacher_attention", seen, images, heads, 1 + patches, 1 + patches).exp().mean(2)[:, :, 0, 1:]
    attention = attention / attention.sum(-1, keepdim=True)
    mask = draw("mask", seen, images, patches) > 0.3
    mask[0, 2] = False
    index = torch.arange(images)
    pairs = find_pairs(labels, index, labels, index)
    four = (student_patch, teacher_patch, features, teacher_features)
    return {
        "dino": (dino(student_cls, teacher), cls, cls_probe),
        "masked": (masked(student_patch, teacher_patch, mask, "reference"), patch, patch_probe),
        "class_level": (class_level(student_cls, teacher, pairs, "reference"), cls, cls_probe),
        "patch_level": (patch_level(*four, pairs, "reference"), patch, patch_probe),
        "patch_level_attention": (patch_level(*four, pairs, "reference", attention), patch, patch_probe),
    }


@pytest.mark.parametrize("name", GOLDEN["losses"])
def test_published_numbers(name: str) -> None:
    loss, student, probe = losses()[name]
    (grad,) = torch.autograd.grad(loss.mean(), student)
    assert loss.mean().item() == pytest.approx(GOLDEN["losses"][name]["value"], rel=1e-5)
    assert (grad * probe).sum().item() == pytest.approx(GOLDEN["losses"][name]["slope"], rel=1e-4, abs=1e-5)

"""Distillation losses against numbers worked out by hand and against their properties."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

from exuno.distill.losses.dist import Dist
from exuno.distill.losses.dkd import DecoupledDistillation
from exuno.distill.losses.features import FeatureImitation
from exuno.distill.losses.hard_label import Argmax, argmax_target, hard_label
from exuno.distill.losses.soft_target import SoftTarget, soft_target, standardise

GOLDEN_DKD, GOLDEN_DIST = 6.082027, 2.715080


def test_two_classes_by_hand() -> None:
    # teacher softmax([ln 3, 0]) = (3/4, 1/4); student (1/2, 1/2): KL = 3/4 ln(3/2) + 1/4 ln(1/2)
    teacher, student = torch.tensor([[math.log(3), 0.0]]), torch.zeros(1, 2)
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert soft_target(student, teacher, 1.0).item() == pytest.approx(expected, rel=1e-6)


def test_temperature_divides_the_logits_and_t2_multiplies_the_loss() -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(8, 5), torch.randn(8, 5)
    plain = soft_target(student / 3, teacher / 3, 1.0)
    assert soft_target(student, teacher, 3.0).item() == pytest.approx(plain.item(), rel=1e-5)
    assert soft_target(student, teacher, 3.0, t2=True).item() == pytest.approx(9 * plain.item(), rel=1e-5)


def test_gradient_is_the_difference_of_the_softmaxes() -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(4, 6, dtype=torch.float64, requires_grad=True), torch.randn(4, 6)
    soft_target(student, teacher, 2.0).backward()
    expected = (torch.softmax(student.detach() / 2, 1) - torch.softmax(teacher.double() / 2, 1)) / 2 / 4
    assert student.grad is not None
    torch.testing.assert_close(student.grad, expected, atol=1e-6, rtol=1e-5)


@given(st.integers(0, 2**31), st.floats(0.5, 64), st.floats(-5, 5))
def test_kl_is_not_negative_zero_for_equals_and_blind_to_shifts(seed: int, temperature: float, shift: float) -> None:
    torch.manual_seed(seed)
    a, b = torch.randn(3, 7), torch.randn(3, 7)
    assert soft_target(a, b, temperature) > -1e-6
    assert abs(soft_target(a, a, temperature).item()) < 1e-6
    moved = soft_target(a + shift, b - shift, temperature)
    assert moved.item() == pytest.approx(soft_target(a, b, temperature).item(), abs=1e-5)


def test_standardised_logits_are_the_z_scores_of_numpy() -> None:
    logits = np.random.default_rng(0).normal(3, 5, (6, 9)).astype(np.float32)
    expected = (logits - logits.mean(1, keepdims=True)) / logits.std(1, keepdims=True)
    np.testing.assert_allclose(standardise(torch.from_numpy(logits)).numpy(), expected, atol=1e-5)


def test_the_loss_of_standardised_logits_in_numpy() -> None:
    random = np.random.default_rng(1)
    student, teacher, temperature = random.normal(0, 2, (5, 7)), random.normal(1, 9, (5, 7)), 2.0

    def p(logits: np.ndarray) -> np.ndarray:
        z = (logits - logits.mean(1, keepdims=True)) / logits.std(1, keepdims=True) / temperature
        return np.exp(z) / np.exp(z).sum(1, keepdims=True)

    expected = 4 * (p(teacher) * np.log(p(teacher) / p(student))).sum(1).mean()
    told, asked = (standardise(torch.from_numpy(each)) for each in (student, teacher))
    assert soft_target(told, asked, temperature, t2=True).item() == pytest.approx(expected, rel=1e-5)


@given(st.integers(0, 2**31), st.floats(0.1, 100), st.floats(-50, 50))
def test_standardised_teachers_of_any_scale_and_shift_teach_the_same(seed: int, scale: float, shift: float) -> None:
    torch.manual_seed(seed)
    student, teacher = torch.randn(3, 7, requires_grad=True), torch.randn(3, 7)
    first, other = (
        soft_target(standardise(student), standardise(each), 2.0) for each in (teacher, scale * teacher + shift)
    )
    assert other.item() == pytest.approx(first.item(), abs=1e-3)
    gradients = [torch.autograd.grad(loss, student, retain_graph=True)[0] for loss in (first, other)]
    torch.testing.assert_close(gradients[1], gradients[0], atol=1e-3, rtol=0)


def test_equal_logits_are_standardised_to_zero() -> None:
    assert torch.equal(standardise(torch.full((2, 4), 7.0)), torch.zeros(2, 4))


def test_argmax_ignores_all_but_the_top_class() -> None:
    student = torch.randn(4, 3)
    sure, unsure = torch.eye(3)[[0, 1, 2, 0]] * 10, torch.eye(3)[[0, 1, 2, 0]] * 0.1
    assert torch.equal(argmax_target(student, sure), argmax_target(student, unsure))


def hard(labels: list[int], partner: list[int], share: float, logits: Tensor) -> float:
    return hard_label(logits, torch.tensor(labels), torch.tensor(partner), share, 1 - share).item()


def test_hard_labels_share_with_the_partner() -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    log_p = torch.log_softmax(logits, 1)
    expected = -(0.7 * (log_p[0, 0] + log_p[1, 1]) + 0.3 * (log_p[0, 1] + log_p[1, 0])) / 2
    assert hard([0, 1], [1, 0], 0.7, logits) == pytest.approx(expected.item(), rel=1e-6)


def test_images_without_label_count_for_nothing() -> None:
    logits = torch.randn(3, 4)
    assert hard([-1, -1, -1], [-1, -1, -1], 1.0, logits) == 0
    assert hard([2, -1, -1], [-1, -1, 2], 1.0, logits) == pytest.approx(
        -torch.log_softmax(logits, 1)[0, 2].item(), rel=1e-6
    )


def softmax64(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


@given(logits=arrays(np.float64, (2, 4, 5), elements=st.floats(-8, 8)), temperature=st.floats(1, 8))
def test_dkd_is_equation_7(logits: np.ndarray, temperature: float) -> None:
    """The two parts from probabilities, one image after another, in NumPy's float64."""
    labels = np.array([0, 3, -1, 4])
    p, q = (softmax64(x / temperature) for x in logits)  # student, teacher
    total = 0.0
    for i, label in enumerate(labels):
        t = (
            label if label >= 0 else int((logits[1, i].astype(np.float32) / np.float32(temperature)).argmax())
        )  # ties fall as they do there
        rest = [c for c in range(5) if c != t]
        tckd = q[i, t] * np.log(q[i, t] / p[i, t])
        tckd += q[i, rest].sum() * np.log(q[i, rest].sum() / p[i, rest].sum())
        hat_p, hat_q = p[i, rest] / p[i, rest].sum(), q[i, rest] / q[i, rest].sum()
        total += (0.7 * tckd + 3 * (hat_q * np.log(hat_q / hat_p)).sum()) * temperature**2 / len(labels)
    loss = DecoupledDistillation(temperature, 0.7, 3.0)
    student, teacher = (torch.from_numpy(x).float() for x in logits)
    assert loss(student, teacher, torch.from_numpy(labels)).item() == pytest.approx(total, rel=2e-3, abs=1e-4)


def test_dkd_is_plain_distillation_where_the_rest_weighs_what_the_teacher_gives_it() -> None:
    """Equation 6: KL = TCKD + (1 - p of the target class) NCKD; one image, so that the weight is one number."""
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 1, 6, generator=generator) * 3
    rest = 1 - (teacher / 2).softmax(1).max().item()
    labels = torch.tensor([-1])
    whole = soft_target(student, teacher, 2.0, t2=True)
    assert DecoupledDistillation(2.0, 1.0, rest)(student, teacher, labels).item() == pytest.approx(whole.item(), 1e-5)


@given(logits=arrays(np.float64, (2, 4, 5), elements=st.floats(-5, 5)))
def test_dist_is_correlation(logits: np.ndarray) -> None:
    """NumPy's corrcoef of rows and of columns."""
    p, q = (softmax64(x / 2) for x in logits)
    if min(x.std(axis).min() for x in (p, q) for axis in (0, 1)) < 1e-3:
        return  # no correlation of a constant
    rows = np.mean([1 - np.corrcoef(p[i], q[i])[0, 1] for i in range(4)])
    columns = np.mean([1 - np.corrcoef(p[:, c], q[:, c])[0, 1] for c in range(5)])
    student, teacher = (torch.from_numpy(x).float() for x in logits)
    loss = Dist(1.5, 0.5, 2.0)(student, teacher, torch.full((4,), -1))
    assert loss.item() == pytest.approx(4 * (1.5 * rows + 0.5 * columns), rel=2e-3, abs=2e-3)


def test_golden_numbers_of_dkd_and_dist() -> None:
    """Written down from the NumPy computations above, logits i mod 7 and i² mod 5 for i = 0 … 11, labels 2, -1, 0."""
    i = torch.arange(12.0).reshape(3, 4)
    student, teacher, labels = i % 7, i**2 % 5, torch.tensor([2, -1, 0])
    assert DecoupledDistillation()(student, teacher, labels).item() == pytest.approx(GOLDEN_DKD, rel=1e-5)
    assert Dist()(student, teacher, labels).item() == pytest.approx(GOLDEN_DIST, rel=1e-5)


@pytest.mark.parametrize("loss", [SoftTarget(), Argmax(), DecoupledDistillation(), Dist()])
def test_imitation_teaches_the_student_alone(loss: Any) -> None:
    generator = torch.Generator().manual_seed(1)
    student, teacher = torch.randn(2, 6, 5, generator=generator).double().unbind()
    student.requires_grad_()
    teacher.requires_grad_()
    labels = torch.full((6,), -1)
    loss(student, teacher, labels).backward()
    assert teacher.grad is None
    assert student.grad is not None
    step = student.detach() - 1e-2 * student.grad
    assert loss(step, teacher.detach(), labels) < loss(student.detach(), teacher.detach(), labels)


def test_features_are_compared_behind_a_layer_that_learns() -> None:
    loss = FeatureImitation(weight=2.0, logits=0.0)
    projection = loss.projection(3, 4)
    assert projection.weight.shape == (4, 3)
    features = torch.tensor([[3.0, 4.0, 0.0, 0.0]])
    logits = torch.zeros(1, 2)
    off = features + torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    # 2 x the mean of (1, 0, 0, 0)² over the mean of (9, 16, 0, 0): 2 x 0.25 / 6.25
    assert loss(logits, logits, torch.tensor([-1]), off, features).item() == pytest.approx(0.08)
    both = FeatureImitation(weight=2.0, logits=1.0, temperature=1.0)
    student, teacher = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    whole = both(student, teacher, torch.tensor([-1]), off, features).item()
    assert whole == pytest.approx(0.08 + soft_target(student, teacher, 1.0).item())

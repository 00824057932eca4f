"""One outer step: clipping, learned labels, runs, what a checkpoint holds."""

import pytest
import torch
from torch import Tensor, nn

from exuno.data.poster.coding import Coding
from exuno.data.poster.layout import Layout
from exuno.data.poster.patches import Canvas, array_labels, fixed_labels
from exuno.data.poster.quantisation import quantise, quantise_labels
from exuno.engine.errors import ExunoError
from exuno.engine.method import Numbers, TrainState, numbers_at
from exuno.engine.options import Optim
from exuno.poster.augment import Augmentation
from exuno.poster.context import InnerLoopContext
from exuno.poster.method import Distiller
from exuno.poster.options import Inner, Unroll
from exuno.poster.start import initial_label_array

LAYOUT = Layout(size=(8, 12), image=(4, 4), patch=(4, 4), patches=(3, 4), grid=(2, 3), area=(4, 4))
ORDER = torch.arange(6).view(2, 3).numpy()
BATCH = {"images": torch.randn(10, 1, 4, 4), "labels": torch.arange(10) % 6}


def at(step: int) -> Numbers:
    """What the loop tells a distiller whose moving average decays by 0.9."""
    return told(distiller(), step)


def told(method: Distiller, step: int) -> Numbers:
    return numbers_at(method, TrainState(step, 100, 10), torch.device("cpu"))


def toy(
    context: InnerLoopContext, images: Tensor, labels: Tensor, real: Tensor, classes: Tensor, number: int
) -> Tensor:
    """A loss that depends on everything."""
    return (images.square().mean() + (labels * torch.arange(6)).mean() + real.mean()) * (1 + number)


def distiller(learned: bool = False, scale: float = 1.0, **unroll: float) -> Distiller:
    options = Unroll(window=1, total=2, **unroll)  # pyright: ignore[reportArgumentType]
    context = InnerLoopContext(lambda _: nn.Identity(), Inner(), options, Augmentation("crop"), Augmentation("none"), 0)
    labels = initial_label_array(LAYOUT, ORDER, 6) if learned else fixed_labels(LAYOUT, ORDER, 6)
    start = torch.randn(1, *LAYOUT.size, generator=torch.Generator().manual_seed(0))
    return Distiller(start, labels, LAYOUT, toy, context, scale)


def clipped(method: Distiller, norm: float, step: int) -> float:
    """The norm of the gradient after clipping one of ``norm``."""
    method.pixels.grad = torch.ones_like(method.pixels) * norm / method.pixels.numel() ** 0.5
    method.before_step(told(method, step))
    grad = method.pixels.grad
    assert grad is not None
    return grad.norm().item()


def test_the_gradient_is_clipped_to_twice_its_moving_average() -> None:
    method = distiller()
    assert clipped(method, 3.0, 0) == pytest.approx(3)  # the first one sets the average
    assert method.norm.item() == pytest.approx(3)
    assert clipped(method, 5.0, 1) == pytest.approx(5)
    assert method.norm.item() == pytest.approx(0.9 * 3 + 0.1 * 5)
    average = 0.9 * 3.2 + 0.1 * 100
    assert clipped(method, 100.0, 2) == pytest.approx(2 * average, rel=1e-5)
    assert method.norm.item() == pytest.approx(average)
    assert clipped(method, 0.0, 3) == 0
    assert method.norm.item() == pytest.approx(0.9 * average)


def test_clipping_can_be_set_and_left_out() -> None:
    method = distiller(clip=0.5, clip_decay=0.5)
    assert clipped(method, 4.0, 0) == pytest.approx(2)
    assert clipped(method, 2.0, 1) == pytest.approx(1.5)
    free = distiller(clip=0.0)
    clipped(free, 1.0, 0)
    assert clipped(free, 1e6, 1) == pytest.approx(1e6, rel=1e-5)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_is_found_where_the_loop_asks(value: float) -> None:
    method = distiller()
    clipped(method, 1.0, 0)
    method.check(1)
    clipped(method, value, 4)
    with pytest.raises(ExunoError, match=f"the gradient of the poster became {value} by outer step 5") as raised:
        method.check(5)
    assert "--inner.lr" in (raised.value.todo or "")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_spoils_all_that_follow(value: float) -> None:
    method = distiller()
    optimizer = torch.optim.Adam([method.pixels])
    clipped(method, value, 0)
    optimizer.step()
    assert method.pixels.isnan().all()  # so asking now and then is asking often enough


def test_a_gradient_of_the_labels_that_is_not_finite_is_found() -> None:
    method = distiller(learned=True)
    assert isinstance(method.labels, nn.Parameter)
    method.labels.grad = torch.full_like(method.labels, float("nan"))
    clipped(method, 1.0, 0)
    with pytest.raises(ExunoError, match="the gradient of the labels became nan"):
        method.check(1)


def test_learned_labels_stay_above_zero_and_have_a_rate_of_their_own() -> None:
    method = distiller(learned=True, scale=4.0)
    with torch.no_grad():
        method.labels[2] = -1
        method.labels[3] = 2
    method.after_step(at(0))
    assert method.labels[2].max() == 0
    assert method.labels[3].min() == 2
    groups = method.parameter_groups(Optim())
    assert [(group["params"], group.get("lr_scale", 1)) for group in groups] == [
        ([method.pixels], 1),
        ([method.labels], 0.25),
    ]
    assert len(distiller().parameter_groups(Optim())) == 1
    assert [name for name, _ in distiller().named_parameters()] == ["pixels"]


def test_the_algorithm_gets_patches_labels_and_an_augmented_real_batch() -> None:
    seen: list[tuple[Tensor, Tensor, Tensor, int]] = []

    def spy(
        context: InnerLoopContext, images: Tensor, labels: Tensor, real: Tensor, classes: Tensor, number: int
    ) -> Tensor:
        assert torch.equal(classes, BATCH["labels"])
        seen.append((images, labels, real, number))
        return images.sum()

    for learned in (False, True):
        method = distiller(learned)
        method.algorithm = spy
        method(BATCH, at(3))
        images, labels, real, number = seen[-1]
        assert torch.equal(images, Canvas(LAYOUT).patches(method.pixels))
        expected = array_labels(method.labels, LAYOUT) if learned else fixed_labels(LAYOUT, ORDER, 6)
        assert torch.equal(labels, expected)
        assert number == 3
        assert torch.equal(real, method.context.real.draw(10, 0, "poster/real", 3)(BATCH["images"]))
        assert not torch.equal(real, BATCH["images"])
        assert labels.requires_grad == learned


def test_several_runs_are_the_mean_of_single_ones() -> None:
    many, single = distiller(learned=True, runs=3), distiller(learned=True)
    out = many(BATCH, at(2))
    out.loss.backward()
    losses, grads = [], []
    for number in (6, 7, 8):
        single.zero_grad()
        alone = single(BATCH, at(number))
        alone.loss.backward()
        losses.append(alone.loss.item())
        assert single.pixels.grad is not None
        grads.append(single.pixels.grad.clone())
    assert out.loss.item() == pytest.approx(sum(losses) / 3, rel=1e-6)
    assert many.pixels.grad is not None
    torch.testing.assert_close(many.pixels.grad, torch.stack(grads).mean(0))
    assert len(set(losses)) == 3


def test_processes_share_the_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    from exuno.poster import method as module

    whole = distiller(runs=4)(BATCH, at(1)).loss.item()
    parts = []
    monkeypatch.setattr(module.dist, "is_initialized", lambda: True)
    monkeypatch.setattr(module.dist, "get_world_size", lambda: 2)
    for rank in range(2):
        monkeypatch.setattr(module.dist, "get_rank", lambda rank=rank: rank)
        parts.append(distiller(runs=4)(BATCH, at(1)).loss.item())
    assert parts[0] != parts[1]
    assert sum(parts) / 2 == pytest.approx(whole, rel=1e-6)


def test_the_best_poster_is_kept_and_comes_back_from_a_checkpoint() -> None:
    method = distiller(learned=True)
    posters = []
    for score in (0.5, 0.7, 0.7, 0.6):
        with torch.no_grad():
            method.pixels.add_(1)
            method.labels.add_(0.5)
        posters.append((method.pixels.detach().clone(), method.labels.detach().clone()))
        method.update_best(score)
        method.after_step(at(0))
    assert method.best_score.item() == pytest.approx(0.7)
    clipped(method, 3.0, 0)
    again = distiller(learned=True)
    again.load_state_dict(method.state_dict())
    for each in (method, again):
        assert torch.equal(each.best_pixels, posters[1][0])  # the first of equals
        assert torch.equal(each.best_labels, posters[1][1])
        assert torch.equal(each.pixels, posters[3][0])
        assert each.done == 4
        assert each.norm.item() == pytest.approx(3)


def test_a_poster_that_was_never_judged_is_the_first_one() -> None:
    method = distiller()
    assert torch.equal(method.best_pixels, method.pixels)
    assert torch.equal(method.best_labels, method.labels)
    with torch.no_grad():
        method.pixels.add_(1)
    assert not torch.equal(method.best_pixels, method.pixels)


def test_a_score_of_zero_is_better_than_none() -> None:
    method = distiller()
    with torch.no_grad():
        method.pixels.add_(1)
    method.update_best(0.0)
    assert torch.equal(method.best_pixels, method.pixels)


def test_logs_tell_the_gradient_of_the_step_before() -> None:
    method = distiller()
    clipped(method, 3.0, 0)
    out = method(BATCH, at(1))
    clipped(method, 30.0, 1)
    later = method(BATCH, at(2))
    assert out.logs["train/gradient_norm"].item() == pytest.approx(3)  # not what the buffer became since
    assert later.logs["train/gradient_norm"].item() == pytest.approx(30)  # before clipping


def test_a_step_sees_what_few_bits_leave_and_moves_what_lies_below() -> None:
    seen: list[tuple[Tensor, Tensor]] = []

    def watch(
        context: InnerLoopContext, images: Tensor, labels: Tensor, real: Tensor, classes: Tensor, number: int
    ) -> Tensor:
        seen.append((images.detach(), labels.detach()))
        return images.sum() + labels.square().sum()

    context, generator = distiller().context, torch.Generator().manual_seed(0)
    start, array = (torch.rand(*shape, generator=generator) for shape in ((1, *LAYOUT.size), (6, 2, 3)))
    method = Distiller(start, array, LAYOUT, watch, context, coding=Coding(2), label_bits=4)
    method(BATCH, at(0)).loss.backward()
    images, labels = seen[0]
    assert len(images.unique()) == 4
    pixels, low, high = quantise(start, 2)
    stored = low[0] + torch.from_numpy(pixels) / 255 * (high[0] - low[0])
    torch.testing.assert_close(images, Canvas(LAYOUT).patches(stored).float())
    levels = torch.from_numpy(quantise_labels(array, 4)).float()
    assert levels.max() == 15
    torch.testing.assert_close(labels, array_labels(levels, LAYOUT))
    assert torch.equal(method.pixels, start)
    assert method.pixels.grad is not None
    assert method.labels.grad is not None
    counts = torch.ones(Canvas(LAYOUT).patches(start).shape)
    plain = start.clone().requires_grad_()
    (Canvas(LAYOUT).patches(plain) * counts).sum().backward()
    torch.testing.assert_close(method.pixels.grad, plain.grad)
    assert method.labels.grad.abs().sum() > 0

"""One step of phase 1 and of phase 2: what learns, what follows, what each weight switches on."""

import copy
import math
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from exuno.engine.method import Numbers, StepOutput, TrainState, numbers_at
from exuno.engine.options import Optim, Views
from exuno.fewshot.method import MaskedDistillation, Outputs
from exuno.fewshot.network import Projection
from exuno.fewshot.options import Head, LossWeights, Mask, PretrainConfig, Teacher
from exuno.models.zoo.vit import Vit

NAMES = ("cls", "masked", "class_level", "patch_level", "supervised")
ALL = LossWeights(1.0, 1.0, 1.0, 1.0, 1.0)
CONFIG = PretrainConfig(
    data="digits",
    size=8,
    drop_path=0.0,
    views=Views(local=1, local_size=4, blur=(0, 0, 0)),
    mask=Mask(ratio=(0.5,), spread=(0.0,)),
    head=Head(outputs=12, patch_outputs=10, hidden=16, bottleneck=8),
)
IMAGES = 20
AT = TrainState(0, 40, 4)


def make(config: PretrainConfig = CONFIG, **changes: Any) -> MaskedDistillation:
    torch.manual_seed(0)
    config = replace(config, **changes)
    net = Vit(16, 2, 2, 2, 0, 1, (8, 8))
    with torch.no_grad():
        net.mask_token.normal_()
    method = MaskedDistillation(net, Projection(16, config.head), config, 3, IMAGES, 8, (0.4,), (0.2,))
    return method.train()


def batch(labels: tuple[int, ...] = (0, 1, 2, 0, 1, 1)) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (len(labels), 1, 10, 10), dtype=torch.uint8, generator=generator)
    return {"images": images, "labels": torch.tensor(labels), "index": torch.arange(len(labels)) * 3}


def told(method: MaskedDistillation, at: TrainState = AT) -> Numbers:
    """What the loop tells a method."""
    return numbers_at(method, at, torch.device("cpu"))


def ran(method: MaskedDistillation, at: TrainState = AT) -> StepOutput:
    """A forward pass."""
    return method(batch(), told(method, at))


def step(method: MaskedDistillation, at: TrainState = AT, lr: float = 0.1) -> dict[str, Tensor]:
    """One step as the loop takes it, by plain gradient descent."""
    numbers = told(method, at)
    out = method(batch(), numbers)
    out.loss.backward()
    method.before_step(numbers)
    with torch.no_grad():
        for parameter in method.parameters():
            if parameter.grad is not None:
                parameter -= lr * parameter.grad
                parameter.grad = None
    method.after_step(numbers)
    return out.logs


def listen(*networks: torch.nn.Module) -> list[Outputs]:
    """What the networks will say, in the order in which they say it."""
    said: list[Any] = []
    for network in networks:
        network.register_forward_hook(lambda module, args, output: said.append(output))
    return said


def state(module: torch.nn.Module) -> dict[str, Tensor]:
    return copy.deepcopy(module.state_dict())


@pytest.mark.parametrize("name", NAMES)
def test_a_weight_alone_gives_its_term_alone(name: str) -> None:
    method = make(weights=replace(LossWeights(), **{name: 2.0}))
    out = method(batch(), told(method))
    assert list(out.logs) == [f"train/{name}"]
    assert not out.logs[f"train/{name}"].requires_grad
    assert out.loss.item() == pytest.approx(2 * out.logs[f"train/{name}"].item(), rel=1e-6)
    assert out.loss.item() > 0.1
    assert (method.layer is not None) == (name == "supervised")
    out.loss.backward()
    learned = {key for key, p in method.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    assert "student.backbone.patch_embed.proj.weight" in learned
    assert ("layer.weight" in learned) == (name == "supervised")
    assert ("student.projection.last.direction" in learned) == (name != "supervised")


@pytest.mark.parametrize("mode", ["paper", "reference"])
def test_weighted_terms_add_up(mode) -> None:
    weights = LossWeights(0.5, 2.0, 1.5, 3.0, 0.25)
    out = ran(make(weights=weights, mode=mode))
    assert list(out.logs) == [f"train/{name}" for name in NAMES]
    total = sum(getattr(weights, name) * out.logs[f"train/{name}"].item() for name in NAMES)
    assert out.loss.item() == pytest.approx(total, rel=1e-6)
    for name in NAMES:
        alone = ran(make(weights=replace(LossWeights(), **{name: 1.0}), mode=mode)).logs[f"train/{name}"]
        if name != "supervised":  # whose layer is drawn anew
            torch.testing.assert_close(alone, out.logs[f"train/{name}"])


@pytest.mark.parametrize("labels", [(0, 1, 2), (-1, -1, -1), (1,)])
def test_a_batch_without_two_images_of_a_class_is_finite(labels: tuple[int, ...]) -> None:
    weights = replace(ALL, supervised=0.0)
    for mask in (CONFIG.mask, Mask(ratio=(0.0,), spread=(0.0,))):
        method = make(weights=weights, mask=mask)
        out = method(batch(labels), told(method))
        assert all(value.isfinite() for value in (out.loss, *out.logs.values()))
        assert out.logs["train/patch_level"] == 0
        out.loss.backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in method.parameters())


def test_a_step_is_a_function_of_the_draws() -> None:
    first, again = (ran(make(weights=ALL)).loss for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(ran(make(weights=ALL), TrainState(4, 40, 4)).loss, first)  # the next epoch
    assert torch.equal(ran(make(), TrainState(3, 40, 4)).loss, ran(make(), TrainState(2, 40, 4)).loss) is False


def test_the_teacher_follows_the_student_along_a_cosine() -> None:
    for number in (0, 10, 30):
        method, at = make(teacher=Teacher(momentum=0.6)), TrainState(number, 40, 4)
        before = state(method.teacher)
        step(method, at)
        keep = 1 - (1 - 0.6) * (math.cos(math.pi * number / 40) + 1) / 2
        for name, now in method.student.state_dict().items():
            expected = keep * before[name] + (1 - keep) * now
            torch.testing.assert_close(method.teacher.state_dict()[name], expected, atol=1e-6, rtol=1e-5)
        moved = [name for name in before if not torch.equal(before[name], method.teacher.state_dict()[name])]
        assert len(moved) > 20


def test_the_teacher_gets_no_gradients_and_no_stochastic_depth() -> None:
    method = make(weights=ALL, drop_path=0.5)
    method(batch(), told(method)).loss.backward()
    assert all(not p.requires_grad and p.grad is None for p in method.teacher.parameters())
    images = torch.randn(6, 1, 8, 8)
    assert torch.equal(method.teacher.backbone.tokens(images), method.teacher.backbone.tokens(images))
    assert not torch.equal(method.student.backbone.tokens(images), method.student.backbone.tokens(images))
    assert {id(p) for group in method.parameter_groups(Optim()) for p in group["params"]}.isdisjoint(
        id(p) for p in method.teacher.parameters()
    )


def test_masks_are_for_the_student_and_its_global_views_alone() -> None:
    method = make()
    seen: dict[str, list[Any]] = {"student": [], "teacher": []}

    def remember(into: list[Any], module: torch.nn.Module, args: Any) -> None:
        into.extend(args)

    for name, network in (("student", method.student), ("teacher", method.teacher)):
        network.register_forward_pre_hook(partial(remember, seen[name]))
    method(batch(), told(method))
    (wide,), (masked, mask, near) = seen["teacher"], seen["student"]
    assert torch.equal(wide, masked)
    assert wide.shape == (2, 6, 1, 8, 8)
    assert near.shape == (1, 6, 1, 4, 4)
    assert mask.shape == (2, 6, 16)
    assert (mask.sum(2) <= 8).all()
    assert mask.any()
    assert -2 - 1e-5 <= wide.min() < 0 < wide.max() <= 3 + 1e-5  # (pixels - 0.4) / 0.2
    token = state(method.teacher.backbone)["mask_token"]
    with torch.no_grad():
        method.teacher.backbone.mask_token.add_(9)
    said = method(batch(), told(method))
    with torch.no_grad():
        method.teacher.backbone.mask_token.copy_(token)
    assert torch.equal(said.loss, method(batch(), told(method)).loss)


def test_the_network_answers_for_every_view() -> None:
    method = make(head=replace(CONFIG.head, shared=False)).eval()
    wide, near = torch.randn(2, 3, 1, 8, 8), torch.randn(4, 3, 1, 4, 4)
    mask = torch.rand(2, 3, 16) < 0.5
    out = method.student(wide, mask, near, centred=True)
    some = torch.tensor([3, 40, 95])
    alone = method.student(wide, mask, near, rows=some, centred=True)
    assert out.patch is not None
    assert out.patch_mean is not None
    assert alone.patch is not None
    torch.testing.assert_close(alone.patch, out.patch.flatten(0, 2)[some])
    torch.testing.assert_close(method.student(wide, mask, near, rows=some).patch, alone.patch)
    torch.testing.assert_close(out.patch_mean, out.patch.mean((0, 1, 2)))
    torch.testing.assert_close(alone.patch_mean, out.patch_mean)
    assert (out.cls.shape, out.patch.shape) == ((6, 3, 12), (2, 3, 16, 10))
    assert (out.features.shape, out.token.shape) == ((2, 3, 16, 16), (2, 3, 16))
    net, head = method.student.backbone, method.student.projection
    for view in range(2):
        tokens = net.tokens(wide[view], mask[view])
        torch.testing.assert_close(out.token[view], tokens[:, 0])
        torch.testing.assert_close(out.features[view], tokens[:, 1:])
        torch.testing.assert_close(out.cls[view], head(tokens[:, 0]))
        torch.testing.assert_close(out.patch[view], head.patches(tokens[:, 1:]))
    for view in range(4):
        torch.testing.assert_close(out.cls[2 + view], head(net.tokens(near[view])[:, 0]))


def test_the_centres_follow_the_teacher() -> None:
    method = make(head=replace(CONFIG.head, shared=False), teacher=Teacher(centre=0.8))
    said = listen(method.teacher)
    assert not method.centre.any()
    expected, patches = torch.zeros(12), torch.zeros(10)
    for number in range(3):
        step(method, TrainState(number, 40, 4))
        expected = 0.8 * expected + 0.2 * said[-1].cls.mean((0, 1))
        patch = said[-1].patch_mean
        assert patch is not None
        patches = 0.8 * patches + 0.2 * patch
        torch.testing.assert_close(method.centre, expected)
        torch.testing.assert_close(method.patch_centre, patches)
    assert {"centre", "patch_centre"} <= set(method.state_dict())


def test_outputs_are_centred_and_have_the_temperatures_of_their_moment() -> None:
    """The [CLS] term recomputed from the networks' outputs."""
    options = Teacher(temperature=(0.04, 0.08), warmup=0.5, student_temperature=0.2)
    for number, temperature in ((0, 0.04), (10, 0.06), (20, 0.08), (39, 0.08)):
        method = make(teacher=options, weights=LossWeights(cls=1.0))
        with torch.no_grad():
            method.centre.normal_(std=0.05)
        said = listen(method.teacher, method.student)
        found = method(batch(), told(method, TrainState(number, 40, 4))).loss
        target = ((said[0].cls - method.centre) / temperature).softmax(-1)
        guess = (said[1].cls / 0.2).log_softmax(-1)
        terms = [-(target[q] * guess[v]).sum(-1).mean() for q in range(2) for v in range(3) if v != q]
        torch.testing.assert_close(found, torch.stack(terms).mean())


def test_temperatures_rise_linearly_over_the_warm_up() -> None:
    method = make(teacher=Teacher(warmup=0.25))
    found = [method._temperature((0.04, 0.08), TrainState(number, 40, 4)) for number in (0, 5, 10, 30)]
    assert found == pytest.approx([0.04, 0.06, 0.08, 0.08])
    assert make(teacher=Teacher(warmup=0.0))._temperature((0.04, 0.08), AT) == 0.08


def test_the_patch_temperature_is_one_of_its_own() -> None:
    said = []
    for patch in ((0.04, 0.04), (0.09, 0.09)):
        method = make(teacher=Teacher(temperature=(0.05, 0.05), patch_temperature=patch))
        said.append(method(batch(), told(method)).logs)
    assert torch.equal(said[0]["train/cls"], said[1]["train/cls"])
    assert not torch.equal(said[0]["train/masked"], said[1]["train/masked"])


def test_the_supervised_layer_reads_the_students_global_tokens() -> None:
    method = make(weights=LossWeights(supervised=1.0))
    said = listen(method.student)
    found = method(batch(), told(method)).loss
    assert method.layer is not None
    logits = [method.layer(said[0].token[view]) for view in range(2)]
    expected = torch.stack([F.cross_entropy(x, batch()["labels"]) for x in logits]).mean()
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("shared", [True, False])
def test_the_last_layer_rests_at_first(shared: bool) -> None:
    method = make(freeze_last=0.5, head=replace(CONFIG.head, shared=shared))
    before = state(method.student.projection)
    for number in range(2):  # 4 steps are an epoch
        step(method, TrainState(number, 40, 4))
    now = state(method.student.projection)
    last = [name for name in before if name.startswith("last")]
    assert len(last) == (2 if shared else 4)
    for name in before:
        assert torch.equal(before[name], now[name]) == (name in last), name
    step(method, TrainState(2, 40, 4))
    assert not any(torch.equal(before[name], value) for name, value in state(method.student.projection).items())


def test_a_unit_norm_keeps_the_length_and_moves_the_direction() -> None:
    method = make(freeze_last=0.0, head=replace(CONFIG.head, unit_norm=True))
    direction = method.student.projection.last.direction.clone()
    step(method)
    assert (method.student.projection.last.length == 1).all()
    assert not torch.equal(method.student.projection.last.direction, direction)
    learning = [p for group in method.parameter_groups(Optim()) for p in group["params"]]
    assert not any(p is method.student.projection.last.length for p in learning)


def test_biases_and_norms_do_not_decay() -> None:
    method = make(weights=ALL)
    decaying, free = method.parameter_groups(Optim(weight_decay=0.1))
    assert "weight_decay" not in decaying
    assert free["weight_decay"] == 0
    names = {id(p): name for name, p in method.named_parameters()}
    rest = {names[id(p)] for p in free["params"]}
    learned = {name for name, p in method.named_parameters() if p.requires_grad}
    assert {names[id(p)] for p in decaying["params"]} | rest == learned
    assert {names[id(p)] for p in decaying["params"]}.isdisjoint(rest)
    assert "layer.bias" in rest
    assert "student.backbone.norm.weight" in rest
    assert "student.backbone.blocks.0.attn.qkv.bias" in rest
    for name in ("pos_embed", "cls_token", "mask_token", "patch_embed.proj.weight"):
        assert f"student.backbone.{name}" not in rest
    assert all(dict(method.named_parameters())[name].ndim == 1 for name in rest)


def test_a_continued_method_goes_on_where_it_was() -> None:
    method = make(weights=ALL)
    step(method)
    again = make(weights=ALL)
    again.load_state_dict(state(method))
    step(method, TrainState(1, 40, 4))
    step(again, TrainState(1, 40, 4))
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in method.state_dict().items())


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("names", [(name,) for name in NAMES] + [("cls", "masked"), NAMES])
def test_every_parameter_that_learns_has_a_gradient(names: tuple[str, ...], shared: bool) -> None:
    """Processes that wait for the gradient of an unused parameter would stop."""
    weights = replace(LossWeights(), **dict.fromkeys(names, 1.0))
    method = make(weights=weights, head=replace(CONFIG.head, shared=shared))
    method(batch((0, 1, 2)), told(method)).loss.backward()
    learning = {id(p) for group in method.parameter_groups(Optim()) for p in group["params"]}
    for name, parameter in method.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad == (id(parameter) in learning), name


def test_two_processes_that_gather_compute_the_loss_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each half of a batch is a process; what they would exchange is recorded first and then handed to both."""
    from exuno.fewshot import method as module

    def lively() -> MaskedDistillation:
        made = make(weights=ALL, gather=True, teacher=Teacher(temperature=(0.2, 0.2), patch_temperature=(0.2, 0.2)))
        with torch.no_grad():  # so that images differ in what is said of them
            for one, two in zip(made.student.parameters(), made.teacher.parameters(), strict=True):
                two.copy_(one.add_(0.3 * torch.randn_like(one)))
        return made

    def learn(rows: slice) -> tuple[Tensor, list[Tensor]]:
        method = lively()
        loss = method({name: x[rows] for name, x in batch().items()}, told(method)).loss
        loss.backward()
        return loss.detach(), [p.grad for p in method.parameters() if p.grad is not None]

    loss, gradients = learn(slice(None))
    alone = torch.stack([learn(slice(start, start + 3))[0] for start in (0, 3)]).mean()
    assert (alone - loss).abs() > 1e-3
    said: list[list[tuple[Tensor, int]]] = [[], []]
    for number in range(2):

        def record(x: Tensor, dim: int = 0, into: list[tuple[Tensor, int]] = said[number]) -> Tensor:
            into.append((x.detach(), dim))
            return torch.cat([x, x], dim) if x.ndim else x

        monkeypatch.setattr(module, "gathered", record)
        monkeypatch.setattr(module, "mean_of_all", lambda x: x)
        learn(slice(3 * number, 3 * number + 3))
    found = []
    for number in range(2):
        turns = iter([torch.cat([a, b], dim) for (a, dim), (b, _) in zip(*said, strict=True)])
        monkeypatch.setattr(module, "gathered", lambda x, dim=0, turns=turns: next(turns))
        counts: list[Tensor] = []
        for half in range(2):  # the counts of both halves, which depend on what was gathered
            turns_of_half = iter([torch.cat([a, b], dim) for (a, dim), (b, _) in zip(*said, strict=True)])
            monkeypatch.setattr(module, "gathered", lambda x, dim=0, turns=turns_of_half: next(turns))
            monkeypatch.setattr(module, "mean_of_all", lambda x, into=counts: into.append(x) or x)
            learn(slice(3 * half, 3 * half + 3))
        means = iter([(a + b) / 2 for a, b in zip(counts[: len(counts) // 2], counts[len(counts) // 2 :], strict=True)])
        monkeypatch.setattr(module, "gathered", lambda x, dim=0, turns=turns: next(turns))
        monkeypatch.setattr(module, "mean_of_all", lambda x, means=means: next(means))
        found.append(learn(slice(3 * number, 3 * number + 3)))
    torch.testing.assert_close((found[0][0] + found[1][0]) / 2, loss)
    for one, two, whole in zip(found[0][1], found[1][1], gradients, strict=True):
        torch.testing.assert_close((one + two) / 2, whole, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("mode", ["paper", "reference"])
def test_patches_count_by_attention(mode: Any) -> None:
    weights = LossWeights(patch_level=1.0)
    plain, weighed = (make(mode=mode, weights=replace(weights, by_attention=by)) for by in (False, True))
    said = listen(plain.student, plain.teacher, weighed.student, weighed.teacher)
    values = [step(method)["train/patch_level"] for method in (plain, weighed)]
    assert [out.attention is None for out in said] == [True, True, False, False]
    attention = said[2].attention
    assert attention is not None
    torch.testing.assert_close(attention.sum(-1), torch.ones(2, 6))
    assert torch.isfinite(values[1])
    assert values[0] != values[1]
    torch.testing.assert_close(said[1].features, said[3].features, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("patch_level", [0.0, 1.0])
def test_masked_patches_alone_are_projected_where_that_is_the_same(norm: Any, patch_level: float) -> None:
    weights = LossWeights(cls=1.0, masked=1.0, patch_level=patch_level)
    method, every = (make(weights=weights, head=replace(CONFIG.head, norm=norm)) for _ in range(2))
    every.masked_alone = False
    said = listen(method.student, method.teacher)
    alone = norm == "none" and not patch_level
    assert method.masked_alone == alone
    for x, y in zip(step(method).values(), step(every).values(), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-5, atol=1e-6)
    for out in said:
        assert out.patch is not None
        assert out.patch.ndim == (2 if alone else 4)
    for name, value in method.state_dict().items():
        torch.testing.assert_close(value, every.state_dict()[name], rtol=1e-4, atol=1e-5)


def test_patches_that_no_loss_reads_are_not_projected() -> None:
    method = make(weights=LossWeights(cls=1.0))
    said = listen(method.student, method.teacher)
    step(method)
    assert all(out.patch is None for out in said)


def test_views_are_made_in_full_precision() -> None:
    method, seen = make(), []
    method.student.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    plain, mixed = make(), []
    plain.student.register_forward_pre_hook(lambda module, args: mixed.append(args[0]))
    method(batch(), told(method))
    with torch.autocast("cpu", torch.bfloat16):
        plain(batch(), told(plain))
    torch.testing.assert_close(seen[0], mixed[0], atol=0, rtol=0)

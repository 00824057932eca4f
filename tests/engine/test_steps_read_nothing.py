"""One step of every method on tensors without values: what reads a value from the device fails here.

On a GPU such a read waits for all work before it, and a step that has one cannot be recorded.
"""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
    unset_fake_temporarily,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from exuno.data.augmentation import views
from exuno.data.poster.layout import Layout
from exuno.data.poster.patches import fixed_labels
from exuno.distill.method import Distillation
from exuno.distill.options import Loss, Mix
from exuno.engine.devices import make_accelerator
from exuno.engine.method import Batch, Method, Numbers, StepOutput, Table, TrainState
from exuno.engine.optim import Rates, make_optimizer
from exuno.engine.options import Optim, RunOptions, Views
from exuno.engine.training import Step
from exuno.fewshot import masks
from exuno.fewshot.losses import ibot, smkd
from exuno.fewshot.method import MaskedDistillation
from exuno.fewshot.network import Projection
from exuno.fewshot.options import Head, LossWeights, PretrainConfig
from exuno.models.classifier import Classifier
from exuno.models.load import load_model
from exuno.models.zoo.vit import Vit
from exuno.poster.algorithms.distribution_matching import distribution_matching
from exuno.poster.algorithms.gradient_matching import match
from exuno.poster.algorithms.rat_bptt import rat_bptt
from exuno.poster.augment import Augmentation
from exuno.poster.context import Algorithm, InnerLoopContext
from exuno.poster.method import Distiller
from exuno.poster.network import fresh_network
from exuno.poster.options import Inner, Unroll
from exuno.poster.start import initial_label_array
from exuno.selfsup.methods import Pretext
from exuno.selfsup.methods.bigan import BiGAN
from exuno.selfsup.methods.deepcluster import DeepCluster
from exuno.selfsup.methods.dino import Dino
from exuno.selfsup.methods.rotnet import RotNet
from exuno.selfsup.methods.simclr import SimCLR
from exuno.teach.train import Supervised

PLAIN = Optim(name="adamw", weight_decay=0.1, weight_decay_end=0.2, clip=1.0)


Fake = Callable[[Tensor], Tensor]


def swap(module: nn.Module, fake: Fake) -> None:
    """Replaces the tensors of a module, and of what it keeps out of checkpoints, by such without values."""
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                part._parameters[name] = nn.Parameter(fake(parameter.detach()), requires_grad=parameter.requires_grad)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = fake(buffer)
        for name, value in vars(part).items():
            if isinstance(value, tuple) and value and isinstance(value[0], nn.Module):
                swap(value[0], fake)
            elif isinstance(value, Tensor):
                setattr(part, name, fake(value))


class Crossings(TorchDispatchMode):
    """Notes what goes from host to device or back; Python numbers may."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor) and x.ndim]
        made = [x for x in tree_leaves(out) if isinstance(x, Tensor)]
        if len({x.device.type for x in (*given, *made)}) > 1:
            self.found.append(str(func))
        return out


def trace(
    method: Method, batch: Batch, optim: Optim = PLAIN, steps: int = 2, recorded: bool = True, gpu: bool = True
) -> None:
    """Steps as the loop takes them, and the forward pass of one on a GPU that is not there.

    Raises:
        DataDependentOutputException, DynamicOutputShapeException: something was read.
        AssertionError: something was copied between host and GPU.
    """
    if gpu:
        forward_on_gpu(copy.deepcopy(method), batch)
    accelerator, cpu = make_accelerator(RunOptions(devices="cpu")), torch.device("cpu")
    mode = FakeTensorMode(allow_non_fake_inputs=not gpu)
    swap(method.train(), mode.from_tensor)
    with mode:
        optimizer = make_optimizer(method.parameter_groups(optim), optim, cpu)
        rates = Rates(optimizer, optim, [0], recorded)
        step, table = Step(method, method, optimizer, rates, optim, accelerator), Table(cpu)
        there = {name: mode.from_tensor(x) for name, x in batch.items()}
        for number in range(steps):
            at = TrainState(number, 10, 5)
            numbers = Numbers(table.write({**rates.numbers(at), **method.numbers(at)}), method.phase(at))
            rates.place(numbers)
            step(there, numbers)


def forward_on_gpu(method: Method, batch: Batch) -> None:
    """A backward pass would need a driver."""

    def fake(x: Tensor) -> Tensor:
        with mode:
            return torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device="cuda")

    mode, crossings, at = FakeTensorMode(), Crossings(), TrainState(0, 10, 5)
    swap(method.train(), fake)
    numbers = Numbers({name: fake(torch.zeros(())) for name in method.numbers(at)}, method.phase(at))
    there = {name: fake(x) for name, x in batch.items()}
    with mode, crossings:
        out = method(there, numbers)
    assert out.loss.device.type == "cuda"
    assert not crossings.found


def model(classes: int = 5, name: str = "convnet_1_8", channels: int = 1) -> Classifier:
    return load_model(f"exuno:{name}", classes=classes, in_chans=channels, input_size=(8, 8), pretrained=False)


def images(count: int = 6, channels: int = 1, side: int = 8) -> dict[str, Tensor]:
    return {
        "images": torch.rand(count, channels, side, side),
        "labels": torch.arange(count) % 5,
        "index": torch.arange(count),
    }


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "lars", "muon"])
@pytest.mark.parametrize("recorded", [False, True])
def test_teach(name: Any, recorded: bool) -> None:
    trace(Supervised(model(), 0.1), images(), Optim(name=name, weight_decay_end=0.1, clip=1.0), recorded=recorded)


def test_teach_with_batch_norm_other_sizes_and_soft_labels() -> None:
    trace(Supervised(model(name="resnet8", channels=3)), images(channels=3, side=11), Optim(clip=1.0, clip_each=True))
    trace(Supervised(model()), images(channels=3) | {"labels": torch.rand(6, 5)})


DISTILLATIONS = [
    (Loss(), Mix()),
    (Loss(t2=True, standardise=True), Mix(cutmix=1.0)),
    (Loss(kind="argmax"), Mix(mixup=1.0)),
    (Loss(hard=0.3), Mix(1.0, 1.0, 0.5)),
]


@pytest.mark.parametrize(("loss", "mixing"), DISTILLATIONS)
def test_distill(loss: Loss, mixing: Mix) -> None:
    trace(Distillation(model(), model(), loss, mixing, 0, (8, 8)), images(channels=3))


def test_distill_from_kept_answers_and_with_a_teacher_of_its_own_precision() -> None:
    trace(Distillation(model(), model(), Loss(), Mix(), 0, (8, 8), torch.rand(6, 5)), images())
    trace(Distillation(model(), model(), Loss(), Mix(), 0, (8, 8), precision=torch.bfloat16), images())


LAYOUT = Layout(size=(8, 12), image=(8, 8), patch=(4, 4), patches=(3, 4), grid=(2, 3), area=(4, 4))
ORDER = torch.arange(6).view(2, 3).numpy()


@pytest.mark.parametrize(
    ("algorithm", "backend", "learned"),
    [(rat_bptt, "checkpointed", True), (rat_bptt, "reverse", False), (distribution_matching, "checkpointed", True)],
)
def test_poster(algorithm: Algorithm, backend: Any, learned: bool) -> None:
    """Its draws and networks are the host's, sent without waiting. Gradient matching asks once: see below; trajectory
    matching begins with networks that have values, and is the unrolled training of the first."""
    unroll = Unroll(window=2, total=3, backend=backend)
    augment = Augmentation("all:flip_color"), Augmentation("crop_cutout")

    def network(seed: int) -> nn.Module:
        with unset_fake_temporarily() as mode:  # weights have values where they are drawn
            net = fresh_network("exuno:convnet_2_8", 6, 1, (8, 8), seed)
        assert isinstance(mode, FakeTensorMode)
        swap(net, mode.from_tensor)
        return net

    context = InnerLoopContext(network, Inner(batch=5), unroll, *augment, 0)
    labels = initial_label_array(LAYOUT, ORDER, 6) if learned else fixed_labels(LAYOUT, ORDER, 6)
    trace(Distiller(torch.randn(1, 8, 12), labels, LAYOUT, algorithm, context), images(10), steps=1, gpu=False)


def test_gradient_matching_asks_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which classes its real batch has, and its patches: all in one read."""
    asked: list[int] = []
    known = Tensor.tolist
    monkeypatch.setattr(Tensor, "tolist", lambda x: asked.append(x.numel()) or known(x))
    for name in ("item", "__bool__", "nonzero", "unique"):
        monkeypatch.setattr(Tensor, name, forbidden)
    weights = [torch.randn(6, 64, requires_grad=True)]
    images, soft, classes = torch.randn(8, 1, 8, 8), torch.rand(5, 6), torch.arange(8) % 3
    patches = torch.randn(5, 1, 8, 8, requires_grad=True)

    def network(weights: Any, x: Tensor) -> Tensor:
        return x.flatten(1) @ weights[0].T

    told = network(weights, patches).log_softmax(1)
    loss, _ = match(network, weights, told, soft, images, classes, [patches])
    assert asked == [12]
    assert loss.shape == ()


def forbidden(*given: Any) -> Any:
    raise AssertionError("a value was read")


IBOT = LossWeights(cls=1.0, masked=1.0)
SMKD = LossWeights(class_level=1.0, patch_level=1.0, supervised=1.0, by_attention=True)


@pytest.mark.parametrize(
    ("weights", "mode"), [(IBOT, "paper"), (SMKD, "paper"), (LossWeights(1, 1, 1, 1, 1), "reference")]
)
def test_fewshot(weights: LossWeights, mode: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the processor, too, as if it were not to be asked; there the sizes may be."""
    for module in (views, masks, ibot, smkd):
        monkeypatch.setattr(module, "reads_are_free", lambda device: False)
    monkeypatch.setattr(masks, "STEPS", 3)
    config = PretrainConfig(
        data="digits",
        size=8,
        weights=weights,
        mode=mode,
        views=Views(local=2, local_size=4),
        head=Head(outputs=12, hidden=16, bottleneck=8, norm="batch"),
        freeze_last=0.1,
    )
    net = Vit(16, 1, 2, 2, 0, 3, (8, 8))
    method = MaskedDistillation(net, Projection(16, config.head), config, 5, 20, 8, (0.4,) * 3, (0.2,) * 3)
    batch = images(6, 3) | {"images": torch.zeros(6, 3, 10, 10, dtype=torch.uint8)}
    trace(method, batch, replace(config.optim, clip_each=True), steps=1)


@pytest.mark.parametrize(
    "options",
    [RotNet(), BiGAN(codes=4, width=4), SimCLR(hidden=4), Dino(hidden=4), DeepCluster(clusters=4)],
    ids=lambda one: type(one).__name__,
)
def test_selfsup(options: Pretext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "reads_are_free", lambda device: False)
    """By muon as well, which they may take."""
    for optim in (PLAIN, Optim(name="muon")):
        trace(options.make(model(4, "convnet_2_4-batch", 3), 20, (8, 8), 0), images(6, 3), optim, steps=1)


class Careless(Supervised):
    """What the others must not do."""

    def __init__(self, what: str) -> None:
        super().__init__(model())
        self.what = what

    def forward(self, batch: Batch, numbers: Numbers) -> StepOutput:
        out = super().forward(batch, numbers)
        match self.what:
            case "item":
                out.loss.item()
            case "branch":
                if out.loss > 1:
                    return out
            case "cpu":
                out.loss.cpu().tolist()
            case "index":
                batch["images"][batch["labels"] > 1].sum()
            case "copy":
                batch["images"].new_tensor([1.0, 2.0])
        return out


def test_a_copy_is_noticed() -> None:
    with pytest.raises(AssertionError):
        trace(Careless("copy"), images())


@pytest.mark.parametrize("what", ["item", "branch", "cpu", "index"])
def test_a_read_is_noticed(what: str) -> None:
    with pytest.raises((DataDependentOutputException, DynamicOutputShapeException)):
        trace(Careless(what), images())

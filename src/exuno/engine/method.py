"""What a training step is to the loop: a module that knows a paper, what the host tells it, and schedules."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from exuno.engine.options import Optim


@dataclass(frozen=True)
class TrainState:
    """Where a training stands: ``step`` optimizer steps of ``total`` are done, ``per_epoch`` make an epoch."""

    step: int
    total: int
    per_epoch: int

    @property
    def fraction(self) -> float:
        """Share of the training that is done, in [0, 1)."""
        return self.step / self.total

    @property
    def epoch(self) -> float:
        """Epochs done, with decimals."""
        return self.step / self.per_epoch


Schedule = Callable[[TrainState], float]


def cosine(start: float, end: float, fraction: float) -> float:
    """Half a cosine wave from ``start`` to ``end``, at a fraction of the way."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * fraction))


def learning_rate(optim: Optim) -> Schedule:
    """Linear warm-up, then constant, cosine to ``lr_end`` (Loshchilov and Hutter, ICLR 2017) or steps.

    All in fractions of the training, so that a smaller budget keeps the shape.
    """

    def rate(at: TrainState) -> float:
        warmup = optim.warmup * at.total
        if at.step < warmup:
            return optim.lr * (at.step + 1) / (warmup + 1)
        if optim.schedule == "cosine":
            done = (at.step - warmup) / max(1.0, at.total - warmup)
            return cosine(optim.lr, optim.lr_end, done)
        if optim.schedule == "step":
            return optim.lr * optim.gamma ** sum(at.fraction >= m for m in optim.milestones)
        return optim.lr

    return rate


Batch = Mapping[str, Tensor]


@dataclass(frozen=True)
class Numbers:
    """What depends on the step and is known before it."""

    values: Mapping[str, Tensor]
    """Float32 scalars on the device of the training, by name."""
    phase: Hashable = None
    """Of the step."""

    def __getitem__(self, name: str) -> Tensor:
        return self.values[name]


@torch.no_grad()
def follow(average: nn.Module, source: nn.Module, share: Tensor) -> None:
    """Moves the parameters of a moving average towards those of its source by ``share`` of the way, in place."""
    pairs: Any = (list(average.parameters()), list(source.parameters()))
    foreach: Any = torch  # with its operations on lists of tensors, which its stubs leave out
    foreach._foreach_lerp_(*pairs, [share] * len(pairs[0]))


@dataclass(frozen=True)
class StepOutput:
    """What one training step returns: ``loss``, a scalar with a graph, and ``logs``, detached scalars."""

    loss: Tensor
    logs: dict[str, Tensor]


class Method(nn.Module, ABC):
    """A module that knows the paper and not the loop. Its training step is its ``forward``, so that DDP sees it.

    A step reads nothing back from the device and takes no Python branch on a value: on a GPU it is recorded once and
    replayed (``engine/graph.py``), so whatever changes from step to step is in ``batch``, in ``numbers`` or in a
    tensor that is written in place. Numbers are float32: whole ones are exact up to 2^24, and where a factor and its
    complement are both needed, both are numbers.
    """

    recordable = True
    """Whether a step may be recorded as a whole."""
    by_sample = True
    """Whether a step takes the longer the more samples it has, so that few of them tell how long one takes."""
    compilable = False
    """Whether torch.compile takes its forward pass as one graph: no draws by NumPy, no hooks that keep tensors, and
    nothing that is differentiated twice."""

    @property
    def records(self) -> bool:
        """Whether it has recorded parts of its steps by itself."""
        return False

    @abstractmethod
    def forward(self, batch: Batch, numbers: Numbers) -> StepOutput:
        """One step."""

    def numbers(self, at: TrainState) -> dict[str, float]:
        """What this method's steps need to know of where the training stands; the same names at every step."""
        return {}

    def phase(self, at: TrainState) -> Hashable:
        """Which structure the step has: a step is recorded anew for each phase."""
        return None

    @abstractmethod
    def parameter_groups(self, optim: Optim) -> list[dict[str, Any]]:
        """What learns. A group may have an ``lr_scale`` of its own, by which the learning rate is multiplied, and a
        ``weight_decay`` of its own, which no schedule changes."""

    def before_step(self, numbers: Numbers) -> None:
        """Changes the gradients, averaged over all processes, before the optimizer takes them."""

    def after_step(self, numbers: Numbers) -> None:
        """What follows a step of the optimizer."""

    def check(self, step: int) -> None:
        """Asked where the loop reads from the device anyway, before it logs or saves after ``step`` steps.

        Raises:
            ExunoError: the training is spoilt.
        """


class Table:
    """A small vector on the device that holds the numbers of the step at hand.

    Its memory stays the same from step to step, so that a recorded step reads what was written last.

    Args:
        device: where the steps run.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.names: tuple[str, ...] | None = None
        self.vector = torch.zeros(0, device=device)
        self.numbers: dict[str, Tensor] = {}

    def write(self, values: Mapping[str, float]) -> dict[str, Tensor]:
        """Writes values, the same names every time; returns them by name as float32 scalars on the device."""
        if self.names is None:
            self.names = tuple(values)
            self.vector = torch.zeros(len(values), device=self.device)
            self.numbers = dict(zip(values, self.vector.unbind(), strict=True))
        if tuple(values) != self.names:
            raise ValueError(f"the numbers of a step are {self.names} and became {tuple(values)}")
        if values:
            host = torch.tensor([*values.values()], dtype=torch.float32)
            # Pinned memory comes from torch's pool, which hands it out again only when the copy is done.
            self.vector.copy_(host.pin_memory() if self.device.type == "cuda" else host, non_blocking=True)
        return self.numbers


def numbers_at(method: Method, at: TrainState, device: torch.device) -> Numbers:
    """What a method is told at a moment, for one step by itself."""
    return Numbers(Table(device).write(method.numbers(at)), method.phase(at))

"""What a training step is to the loop: a module that knows a paper and not the loop."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from exuno.engine.options import Optim
from exuno.engine.schedule import Progress

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

    @property
    def records(self) -> bool:
        """Whether it has recorded parts of its steps by itself."""
        return False

    @abstractmethod
    def forward(self, batch: Batch, numbers: Numbers) -> StepOutput:
        """One step."""

    def numbers(self, at: Progress) -> dict[str, float]:
        """What this method's steps need to know of where the training stands; the same names at every step."""
        return {}

    def phase(self, at: Progress) -> Hashable:
        """Which structure the step has: a step is recorded anew for each phase."""
        return None

    @abstractmethod
    def parameter_groups(self, optim: Optim) -> list[dict[str, Any]]:
        """What learns. A group may have a ``scale`` of its own, by which the learning rate is multiplied, and a
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

"""Numbers that the host knows and a step on the device needs, sent without waiting."""

from collections.abc import Mapping

import torch
from torch import Tensor

from exuno.engine.method import Method, Numbers
from exuno.engine.schedule import Progress


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


def numbers_at(method: Method, at: Progress, device: torch.device) -> Numbers:
    """What a method is told at a moment, for one step by itself."""
    return Numbers(Table(device).write(method.numbers(at)), method.phase(at))

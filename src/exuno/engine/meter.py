"""Means of what the steps report."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


class Meter:
    """Means of the logs since the last log line, summed on the device so that no step waits for the host."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.count = 0

    def add(self, logs: Mapping[str, Tensor]) -> None:
        """Adds the detached scalars of one step."""
        for name, value in logs.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.count += 1

    def pop(self) -> dict[str, float]:
        """The means, and begins anew."""
        means = {name: (total / self.count).item() for name, total in self.sums.items()}
        self.sums, self.count = {}, 0
        return means

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"sums": self.sums, "count": self.count}

    def restore(self, state: dict[str, Any], device: torch.device) -> None:
        """From a checkpoint."""
        self.sums = {name: value.to(device) for name, value in state["sums"].items()}
        self.count = state["count"]

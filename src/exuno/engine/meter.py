"""Means of what the steps report."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


class Meter:
    """Means of the logs since the last log line, summed on the device so that no step waits for the host.

    The sums are changed in place, so that a recorded step adds to them; who counts is the host.
    """

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ()
        self.sums: Tensor | None = None
        self.count = 0

    def add(self, logs: Mapping[str, Tensor]) -> None:
        """Adds the detached scalars of one step, always of the same names; whoever calls raises ``count``."""
        values = torch.stack([value.float() for value in logs.values()])
        if self.sums is None:
            self.names, self.sums = tuple(logs), torch.zeros_like(values)
        assert tuple(logs) == self.names
        self.sums += values

    def pop(self) -> dict[str, float]:
        """The means, in one read from the device, and begins anew."""
        assert self.sums is not None
        means = dict(zip(self.names, (self.sums / self.count).tolist(), strict=True))
        self.sums.zero_()
        self.count = 0
        return means

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        sums = {} if self.sums is None else dict(zip(self.names, self.sums.clone().unbind(), strict=True))
        return {"sums": sums if self.count else {}, "count": self.count}

    def restore(self, state: dict[str, Any], device: torch.device) -> None:
        """From a checkpoint."""
        self.count = state["count"]
        if state["sums"]:
            self.names = tuple(state["sums"])
            self.sums = torch.stack([value.float() for value in state["sums"].values()]).to(device)

"""What ``teach`` and ``distill`` share around the loop: seeding, planning, smoke, and the words at the end."""

import random
from dataclasses import dataclass, replace
from typing import Any, TypeVar

SMOKE_STEPS = 4
SMOKE_BATCH = 16

Config = TypeVar("Config")


def seed_everything(seed: int) -> None:
    """Seeds the global generators (weights, dropout); samples have their own (exuno.data.rng)."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.manual_seed(seed)


def steps(epochs: float, budget: float, per_epoch: int, smoke: bool) -> int:
    """The length of a training in optimizer steps, scaled by the budget, at least 1."""
    return SMOKE_STEPS if smoke else max(1, round(epochs * per_epoch * budget))


def smoke(config: Config) -> Config:
    """The same configuration on a sliver of work."""
    values: dict[str, Any] = {"batch_size": min(SMOKE_BATCH, config.batch_size), "evaluations": 1}  # pyright: ignore
    if hasattr(config, "patches"):
        values["patches"] = min(4 * SMOKE_BATCH, config.patches)  # pyright: ignore
    return replace(config, **values)  # pyright: ignore


@dataclass(frozen=True)
class Head:
    """The first ``limit`` samples of a data set, spread over it: what a smoke run tests on."""

    data: Any
    limit: int = 64

    def __len__(self) -> int:
        return min(self.limit, len(self.data))

    def fetch(self, positions: Any) -> Any:
        return self.data.fetch(positions * (len(self.data) // len(self)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.data, name)


def explain(config: dict[str, Any], preset: Any, cost: list[str]) -> None:
    """What ``--dry-run`` prints: the resolved configuration as YAML, what is known of it, and what it would cost."""
    import yaml

    content = {"about": preset.about} if preset else {}
    print(yaml.safe_dump({**content, "config": config}, sort_keys=False, allow_unicode=True, width=110), end="")
    print("\n".join(f"# {line}" for line in cost))

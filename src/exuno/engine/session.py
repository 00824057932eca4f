"""What ``teach`` and ``distill`` share around the loop: seeding, planning, smoke, and the words at the end."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from exuno.engine.options import EXECUTION

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


def counted(count: float, what: str) -> str:
    """``1 step``, ``2,000 steps``, ``0.5 epochs``."""
    number = f"{count:,}" if isinstance(count, int) else f"{count:g}"
    return f"{number} {what}{'' if count == 1 else 's'}"


@dataclass(frozen=True)
class Subset:
    """The first ``limit`` samples of a data set, spread over it: what a smoke run tests on."""

    data: Any
    limit: int = 64

    def __len__(self) -> int:
        return min(self.limit, len(self.data))

    def fetch(self, positions: Any) -> Any:
        return self.data.fetch(positions * len(self.data) // len(self))

    @property
    def groups(self) -> Any:
        """Groups of these samples, counted anew."""
        import numpy as np

        every = self.data.groups
        chosen = np.arange(len(self)) * len(self.data) // len(self)
        return None if every is None else np.unique(every[chosen], return_inverse=True)[1]

    def __getattr__(self, name: str) -> Any:
        if name == "data":  # asked for before it is set, when a worker process unpickles this
            raise AttributeError(name)
        return getattr(self.data, name)


FREE = (
    *("source", "data_root", "evaluations", "budget", "cache_logits"),
    *(*EXECUTION, "seed", "precision", "teacher_precision", "deterministic", "sync_batchnorm", "loader", "smoke"),
)


PAST = {"fewshot pretrain": "pretrained", "fewshot distill": "distilled"}
NAMED = ("data", "model", "teacher", "student")
"""Options whose values stand in the title of a run that changes them."""


def about_of(preset: Any, config: dict[str, Any], stated: dict[str, Any]) -> dict[str, Any]:
    """What a preset says of itself, as far as it still holds for this configuration.

    Summary and published numbers belong to the preset's own models, data and recipe; another photograph, a budget or
    the way of execution leave them comparable, anything else does not. A file without a preset's name, such as the
    config.yaml of a run that had none, says nothing of a configuration that changes it.
    """
    if preset is None:
        return {}
    changed = [key for key in config if key not in FREE and config[key] != stated[key]]
    if not changed:
        return {**preset.about, **({"budget": config["budget"]} if config.get("budget", 1) != 1 else {})}
    kept = {key: value for key, value in preset.about.items() if key not in ("summary", "published", "cost")}
    if not preset.name:
        return kept
    told = [f"{key.replace('_', ' ')}{f' ({config[key]})' if key in NAMED else ''}" for key in changed]
    return {**kept, "summary": f"{preset.name} with other {', '.join(told)}"}


def summary_of(verb: str, config: Mapping[str, Any]) -> str:
    """What a run does, in the words of its models and data: the title of one without a preset; empty where its
    configuration names none."""
    try:
        match verb:
            case "teach":
                return f"{config['model']} taught on {config['data']}"
            case "distill":
                seen = ", ".join(config["source"])
                tested = f", tested on {config['data']}" if config["data"] else ""
                return f"{config['student']} distilled from {config['teacher']} on {seen}{tested}"
            case "selfsup":
                return f"{config['model']} by {config['method']} on {', '.join(config['source'])}"
            case "poster":
                return f"A poster of {config['data']} for {config['model']}"
            case _ if verb in PAST:
                return f"{config['model']} {PAST[verb]} on {config['data']}"
            case "study":
                stages = " and ".join(stage.split(" --")[0] for stage in config["stages"])
                axes = ", ".join(axis.split("=")[0] for axis in config.get("axes") or ())
                return f"A study of {stages}{f' over {axes}' if axes else ''}"
    except (KeyError, TypeError, AttributeError):  # of a record that somebody changed
        pass
    return ""


def print_plan(config: dict[str, Any], preset: Any, cost: list[str]) -> None:
    """What ``--dry-run`` prints: the resolved configuration as YAML, what is known of it, and what it would cost."""
    import yaml

    content = {"about": preset.about} if preset else {}
    content["config"] = config
    # A line of YAML ends behind the word that exceeds its width.
    print(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=84), end="")
    print("\n".join(f"# {line}".rstrip() for line in cost))

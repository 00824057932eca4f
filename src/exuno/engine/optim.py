"""Optimizers by name."""

from collections.abc import Iterable
from typing import Any

import torch

from exuno.engine.errors import ExunoError
from exuno.engine.options import Optim


def make_optimizer(groups: Iterable[dict[str, Any]], optim: Optim, device: torch.device) -> torch.optim.Optimizer:
    """The optimizer of ``optim`` over parameter groups; one fused kernel for all parameters where torch has it.

    Raises:
        ExunoError: nothing to train.
    """
    groups = list(groups)
    if not any(parameter.requires_grad for group in groups for parameter in group["params"]):
        raise ExunoError("no parameter of this model is trainable", "Choose a model that learns.")
    common: dict[str, Any] = {
        "lr": optim.lr,
        "weight_decay": optim.weight_decay,
        "fused": device.type in ("cpu", "cuda"),
    }
    if optim.name == "sgd":
        return torch.optim.SGD(groups, momentum=optim.momentum, nesterov=optim.nesterov, **common)
    return (torch.optim.AdamW if optim.name == "adamw" else torch.optim.Adam)(groups, **common)

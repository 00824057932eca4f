"""Supervised training as a method of the loop."""

from typing import Any

import torch.nn.functional as F

from exuno.data.base import classes_of
from exuno.engine.method import Batch, Method, Numbers, StepOutput
from exuno.engine.options import Optim
from exuno.models.classifier import Classifier


class Supervised(Method):
    """Cross-entropy with label smoothing: (1 - a) NLL + a mean(-log p) (Szegedy et al., CVPR 2016).

    Args:
        model: the network that learns.
        label_smoothing: a in [0, 1).
    """

    def __init__(self, model: Classifier, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.model, self.label_smoothing = model, label_smoothing

    def forward(self, batch: Batch, numbers: Numbers) -> StepOutput:
        """One step. ``batch``: images [B, C, H, W] in [0, 1]; labels int64 [B], or soft ones float32 [B, K]."""
        logits, labels = self.model(batch["images"]).float(), batch["labels"]
        loss = F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        return StepOutput(loss, {"train/top1": (logits.detach().argmax(1) == classes_of(labels)).float().mean()})

    def parameter_groups(self, optim: Optim) -> list[dict[str, Any]]:
        """All parameters, alike."""
        return [{"params": list(self.model.parameters())}]

"""Distillation as a method of the loop: mix the pixels, ask teacher and student, compare."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from exuno.distill.losses import argmax_target, hard_label, soft_target, standardise
from exuno.distill.mix import mix
from exuno.distill.options import Loss, Mix
from exuno.engine.loop import Batch, StepOutput
from exuno.engine.options import Optim
from exuno.engine.schedule import Progress
from exuno.models.classifier import Classifier
from exuno.models.frozen import frozen


class Distillation(nn.Module):
    """Trains ``student`` to imitate ``teacher`` on whatever images come.

    Args:
        teacher: answers and does not learn; a frozen copy is made.
        student: the network that learns.
        loss: temperature and terms.
        mixing: CutMix, MixUp.
        seed: of the mixing.
        cached: the teacher's logits of every position of a fixed source [N, C], instead of asking the teacher.
    """

    def __init__(
        self, teacher: Classifier, student: Classifier, loss: Loss, mixing: Mix, seed: int, cached: Tensor | None = None
    ) -> None:
        super().__init__()
        self.student, self.loss, self.mixing, self.seed = student, loss, mixing, seed
        # In a tuple, so that neither checkpoints nor DDP carry what never changes.
        self.frozen = (frozen(teacher),)
        self.cached = cached

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Distillation":
        self.frozen[0]._apply(fn)
        if self.cached is not None:
            self.cached = fn(self.cached)
        return super()._apply(fn, recurse)

    def forward(self, batch: Batch, at: Progress) -> StepOutput:
        """One step. ``batch``: images [B, C, H, W] in [0, 1], labels int64 [B], index int64 [B]."""
        images, share = mix(batch["images"], self.mixing, self.seed, at.step)
        with torch.no_grad():
            target = self.frozen[0](images) if self.cached is None else self.cached[batch["index"]]
        logits = self.student(images)
        if self.loss.argmax:
            loss = argmax_target(logits, target)
        else:
            sides = (standardise(logits), standardise(target)) if self.loss.standardise else (logits, target)
            loss = soft_target(*sides, self.loss.temperature, self.loss.t2)
        if self.loss.hard:
            labels = batch["labels"]
            truth = hard_label(logits, labels, labels.flip(0), share)
            loss = (1 - self.loss.hard) * loss + self.loss.hard * truth
        agreement = (logits.detach().argmax(1) == target.argmax(1)).float().mean()
        return StepOutput(loss, {"train/agreement": agreement})

    def parameter_groups(self, optim: Optim) -> list[dict[str, Any]]:
        """All parameters of the student, alike."""
        return [{"params": list(self.student.parameters())}]

    def before_step(self, at: Progress) -> None:
        """The gradient is used as it is."""

    def after_step(self, at: Progress) -> None:
        """Nothing follows a step."""

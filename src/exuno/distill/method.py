"""Distillation as a method of the loop: mix the pixels, ask teacher and student, compare."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from exuno.distill.losses import argmax_target, hard_label, soft_target, standardise
from exuno.distill.mix import draw, mix
from exuno.distill.options import Loss, Mix
from exuno.engine.method import Batch, Method, Numbers, StepOutput
from exuno.engine.options import Optim
from exuno.engine.schedule import Progress
from exuno.models.classifier import Classifier
from exuno.models.frozen import frozen


class Distillation(Method):
    """Trains ``student`` to imitate ``teacher`` on whatever images come.

    Args:
        teacher: answers and does not learn; a frozen copy is made.
        student: the network that learns.
        loss: temperature and terms.
        mixing: CutMix, MixUp.
        seed: of the mixing.
        size: (H, W) of the images that come; of recordings (1, S).
        cached: the teacher's logits of every position of a fixed source [N, C], instead of asking the teacher.
        precision: in which the teacher answers; default: that of the student.
    """

    def __init__(
        self,
        teacher: Classifier,
        student: Classifier,
        loss: Loss,
        mixing: Mix,
        seed: int,
        size: tuple[int, int],
        cached: Tensor | None = None,
        precision: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.student, self.loss, self.mixing, self.seed, self.size = student, loss, mixing, seed, size
        self.precision = precision
        # In a tuple, so that neither checkpoints nor DDP carry what never changes.
        self.frozen = (frozen(teacher),)
        self.cached = cached

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Distillation":
        self.frozen[0]._apply(fn)
        if self.cached is not None:
            self.cached = fn(self.cached)
        return super()._apply(fn, recurse)

    def numbers(self, at: Progress) -> dict[str, float]:
        """What is mixed in this step."""
        return draw(self.mixing, self.seed, at.step, self.size) if self.mixing.cutmix or self.mixing.mixup else {}

    @torch.no_grad()
    def _asked(self, images: Tensor) -> Tensor:
        """The teacher's logits."""
        if self.precision is None:
            return self.frozen[0](images)
        half = self.precision != torch.float32
        with torch.autocast(images.device.type, self.precision if half else None, enabled=half):
            return self.frozen[0](images)

    def forward(self, batch: Batch, numbers: Numbers) -> StepOutput:
        """One step. ``batch``: images [B, C, H, W] in [0, 1], labels int64 [B], index int64 [B]."""
        images = mix(batch["images"], self.mixing, numbers)
        target = self._asked(images) if self.cached is None else self.cached[batch["index"]]
        logits = self.student(images)
        if self.loss.argmax:
            loss = argmax_target(logits, target)
        else:
            sides = (standardise(logits), standardise(target)) if self.loss.standardise else (logits, target)
            loss = soft_target(*sides, self.loss.temperature, self.loss.t2)
        if self.loss.hard:
            labels = batch["labels"]
            mixed = self.mixing.cutmix or self.mixing.mixup
            shares = (numbers["own"], numbers["other"]) if mixed else (1.0, 0.0)
            truth = hard_label(logits, labels, labels.flip(0), *shares)
            loss = (1 - self.loss.hard) * loss + self.loss.hard * truth
        agreement = (logits.detach().argmax(1) == target.argmax(1)).float().mean()
        return StepOutput(loss, {"train/agreement": agreement})

    def parameter_groups(self, optim: Optim) -> list[dict[str, Any]]:
        """All parameters of the student, alike."""
        return [{"params": list(self.student.parameters())}]

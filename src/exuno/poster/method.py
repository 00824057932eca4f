"""One outer step of a distillation, as a method of the loop."""

import math
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn

from exuno.data.poster.coding import Coding
from exuno.data.poster.layout import Layout
from exuno.data.poster.patches import Canvas, array_labels, shared_labels
from exuno.data.poster.quantisation import rounded_labels
from exuno.engine.errors import ExunoError
from exuno.engine.method import Batch, Method, Numbers, StepOutput, TrainState
from exuno.engine.options import Optim
from exuno.poster.context import Algorithm, InnerLoopContext


class Distiller(Method):
    """A poster that learns.

    Args:
        start: the initial poster, float [C, H, W] of the distilled space, or what ``coding`` trains in its place.
        labels: fixed soft labels of the patches [P, K], or the initial label array [K, h, w] to learn.
        layout: geometry.
        algorithm: tells the outer loss.
        context: what it works with.
        label_lr_scale: divides the learning rate of the labels.
        coding: how pixels are stored, and so what a step sees of them.
        label_bits: of a learned label; below 16 each step sees them rounded.
        order: of learned labels that belong to classes, [K, 1, K], the class at each place of the grid; None where they
            belong to cells.
    """

    norm: Tensor
    last_norm: Tensor
    label_norm: Tensor
    steps: Tensor
    labels: Tensor
    best_pixels: Tensor
    best_labels: Tensor
    best_score: Tensor

    def __init__(
        self,
        start: Tensor,
        labels: Tensor,
        layout: Layout,
        algorithm: Algorithm,
        context: InnerLoopContext,
        label_lr_scale: float = 1.0,
        coding: Coding = Coding(8),
        label_bits: int = 16,
        order: NDArray[np.int64] | None = None,
    ) -> None:
        super().__init__()
        self.algorithm, self.context, self.canvas = algorithm, context, Canvas(layout)
        self.label_lr_scale, self.coding, self.label_bits, self.order = label_lr_scale, coding, label_bits, order
        self.pixels = nn.Parameter(start.clone())
        if labels.ndim == 3:
            self.labels = nn.Parameter(labels.clone())
        else:
            self.register_buffer("labels", labels.clone())
        self.register_buffer("norm", torch.zeros(()))
        self.register_buffer("last_norm", torch.zeros(()))
        self.register_buffer("label_norm", torch.zeros(()), persistent=False)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("best_pixels", start.clone())
        self.register_buffer("best_labels", labels.clone())
        self.register_buffer("best_score", torch.tensor(-1.0, dtype=torch.float64))

    by_sample = False  # most of a step are its inner ones
    recordable = False  # networks are made, and lengths of trainings drawn, on the host; inner steps are recorded

    @property
    def records(self) -> bool:
        return self.context.shelf is not None and self.context.shelf.recordings.made > 0

    def numbers(self, at: TrainState) -> dict[str, float]:
        """How far the moving average of the norm follows: at first all the way."""
        return {"follow": 1 - self.context.unroll.clip_decay if at.step else 1.0}

    def phase(self, at: TrainState) -> int:
        """The number of the outer step, to which all draws belong."""
        return at.step

    def forward(self, batch: Batch, numbers: Numbers) -> StepOutput:
        """One outer step; logs the norm of the gradient of the step before.

        ``batch``: real images [B, C, h, w] of the distilled space, labels int64 [B].

        Each process computes its share of the inner runs; the loop averages their gradients.
        """
        real, classes = batch["images"], batch["labels"]
        images, labels = self.canvas.patches(self.seen_pixels()), self.seen_labels()
        world, rank = (dist.get_world_size(), dist.get_rank()) if dist.is_initialized() else (1, 0)
        runs = self.context.unroll.runs
        losses = []
        for run in range(rank, runs, world):
            assert isinstance(numbers.phase, int)
            number = numbers.phase * runs + run
            seen = self.context.real.draw(len(real), self.context.seed, "poster/real", number)(real)
            losses.append(self.algorithm(self.context, images, labels, seen, classes, number))
        return StepOutput(torch.stack(losses).mean(), {"train/gradient_norm": self.last_norm.clone()})

    def seen_pixels(self) -> Tensor:
        """The poster that a step sees, [C, H, W]."""
        return self.coding.seen(self.pixels, self.canvas.layout.size)

    def seen_labels(self) -> Tensor:
        """The labels of the patches that a step sees, [P, K]."""
        if self.labels.ndim == 2:
            return self.labels
        array = rounded_labels(self.labels, self.label_bits) if self.label_bits < 16 else self.labels
        layout = self.canvas.layout
        return array_labels(array, layout) if self.order is None else shared_labels(array, layout, self.order)

    def parameter_groups(self, optim: Optim) -> list[dict[str, Any]]:
        """The pixels, and learned labels with a rate of their own."""
        groups: list[dict[str, Any]] = [{"params": [self.pixels]}]
        if isinstance(self.labels, nn.Parameter):
            groups.append({"params": [self.labels], "lr_scale": 1 / self.label_lr_scale})
        return groups

    def before_step(self, numbers: Numbers) -> None:
        """Clips the gradient of the pixels to a multiple of the moving average of its norm."""
        grad, by_labels = self.pixels.grad, self.labels.grad
        assert grad is not None
        norm, clip = grad.norm(), self.context.unroll.clip
        if by_labels is not None:
            self.label_norm.copy_(by_labels.norm())
        self.last_norm.copy_(norm)
        self.norm.lerp_(norm, numbers["follow"])
        if clip:
            grad.mul_((clip * self.norm / norm.clamp(min=1e-30)).clamp(max=1))

    @torch.no_grad()
    def after_step(self, numbers: Numbers) -> None:
        """Learned labels stay non-negative."""
        self.steps += 1
        if isinstance(self.labels, nn.Parameter):
            self.labels.clamp_(min=0)

    def check(self, step: int) -> None:
        """See :meth:`Method.check`; a gradient that is not finite makes every later one so."""
        for name, norm in zip(
            ("poster", "labels"), torch.stack([self.last_norm, self.label_norm]).tolist(), strict=True
        ):
            if not math.isfinite(norm):
                raise ExunoError(
                    f"the gradient of the {name} became {norm} by outer step {step}",
                    "Lower --inner.lr or --optim.lr, or shorten --unroll.window.",
                )

    @property
    def done(self) -> int:
        """Outer steps done."""
        return int(self.steps)

    @torch.no_grad()
    def update_best(self, score: float) -> None:
        """Keeps the poster as it is if none before had so high a score."""
        if score > self.best_score.item():
            self.best_score.fill_(score)
            self.best_pixels.copy_(self.pixels)
            self.best_labels.copy_(self.labels)

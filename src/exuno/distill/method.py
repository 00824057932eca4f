"""Distillation as a method of the loop, and its mixing of pixels.

A loader gives each process a mirrored slice of the batch, so that the same pairs meet on any number of processes. What
is drawn is known before the step and goes to the device as numbers, so that a step is the same work whatever is drawn.
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exuno.data.rng import generator
from exuno.distill.losses import OnFeatures, make_loss
from exuno.distill.losses.hard_label import hard_label
from exuno.distill.options import Loss, Mix
from exuno.engine.errors import ExunoError
from exuno.engine.method import Batch, Method, Numbers, StepOutput, TrainState, follow
from exuno.engine.options import Optim
from exuno.models.classifier import Classifier, fuse_batchnorm
from exuno.models.head import head_of


def draw(options: Mix, seed: int, step: int, size: tuple[int, int]) -> dict[str, float]:
    """What happens to the batch of a step: a pure function of (seed, step).

    CutMix: Yun et al. (ICCV 2019); a box of area 1 - λ with a uniform centre, cut off at the border, comes from the
    partner. MixUp: Zhang et al. (ICLR 2018); λ x + (1 - λ) partner.

    Args:
        options: what to do.
        seed: the run's seed.
        step: number of the optimizer step.
        size: (H, W) of the images or frames; of recordings (1, S), in which the box is a stretch of time.

    Returns:
        ``top``, ``bottom``, ``left``, ``right``: the box in pixels, empty for none; ``keep``: λ of MixUp, 1 for none;
        ``own`` and ``other``: the shares of the image and of its partner (after the box was cut off), which sum to 1.
    """
    found = dict.fromkeys(("top", "bottom", "left", "right"), 0.0) | {"keep": 1.0, "own": 1.0, "other": 0.0}
    active = [name for name in ("cutmix", "mixup") if getattr(options, name) > 0]
    numbers = generator(seed, "mix", step)
    if not active or numbers.random() >= options.probability:
        return found
    name = active[int(numbers.integers(len(active)))]
    alpha = getattr(options, name)
    share = float(numbers.beta(alpha, alpha))
    if name == "mixup":
        return found | {"keep": share, "own": share, "other": 1 - share}
    height, width = size
    y, x = float(numbers.random()), float(numbers.random())
    if height == 1:
        (top, bottom), (_, _, left, right) = (0, 1), box(1, width, 1 - (1 - share) ** 2, y, x)
    else:
        top, bottom, left, right = box(height, width, share, y, x)
    own = 1.0 - (bottom - top) * (right - left) / (height * width)
    return found | {"top": top, "bottom": bottom, "left": left, "right": right, "own": own, "other": 1 - own}


def mix(images: Tensor, options: Mix, numbers: Numbers) -> Tensor:
    """Mixes each image of a batch with its mirror image in the order of the batch.

    Args:
        images: [B, C, H, W]; clips [B, C, T, H, W], in which the box goes through all frames; recordings [B, 1, S].
        options: what may happen.
        numbers: what happens, of :func:`draw`.
    """
    if not options.cutmix and not options.mixup:
        return images
    partner = images.flip(0)
    mixed = torch.lerp(partner, images, numbers["keep"]) if options.mixup else images
    if not options.cutmix:
        return mixed
    column = torch.arange(images.shape[-1], device=images.device)
    inside = (column >= numbers["left"]) & (column < numbers["right"])
    if images.ndim > 3:
        row = torch.arange(images.shape[-2], device=images.device)
        inside = ((row >= numbers["top"]) & (row < numbers["bottom"]))[:, None] & inside
    return torch.where(inside, partner, mixed)


def box(height: int, width: int, share: float, y: float, x: float) -> tuple[int, int, int, int]:
    """CutMix's box (top, bottom, left, right): sides ``sqrt(1 - share)`` of the image's, centre at (y, x) in [0, 1)."""
    ratio = (1.0 - share) ** 0.5
    half_height, half_width = int(height * ratio) // 2, int(width * ratio) // 2
    row, column = int(y * height), int(x * width)
    return (
        max(0, row - half_height),
        min(height, row + half_height),
        max(0, column - half_width),
        min(width, column + half_width),
    )


def following(ema: float, step: int) -> float:
    """By which share of the way an average goes to the weights after step ``step`` (0, 1, …): 1 minus the smaller of
    ``ema`` and (1 + step) / (10 + step), so that the random weights of the start are soon forgotten (as the
    ``num_updates`` of TensorFlow's ExponentialMovingAverage)."""
    return 1 - min(ema, (1 + step) / (10 + step))


def tap(net: nn.Module, layer: str) -> tuple[int, list[Tensor]]:
    """Keeps what goes into the last layer of a network.

    Returns:
        Its width F, and a list that holds the input [B, F] of the last pass.

    Raises:
        ExunoError: the last layer has no matrix of weights.
    """
    head, found = net.get_submodule(layer), []

    def keep(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        found[:] = [inputs[0].flatten(1)]  # tests of the student pass here, too, and nobody takes what they leave

    head.register_forward_pre_hook(keep)
    weight = getattr(head, "weight", None)
    if not isinstance(weight, Tensor) or weight.ndim < 2:
        raise ExunoError(f"the last layer of this network, {layer}, has no features", "Take another --loss.kind.")
    return weight.shape[1], found


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
        ema: share of an average of the student's weights that stays in each step; 0 keeps none.
        adversarial: by how much pixels move to where the two differ more, see :meth:`challenged`.
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
        ema: float = 0.0,
        adversarial: float = 0.0,
    ) -> None:
        super().__init__()
        self.student, self.loss, self.mixing, self.seed, self.size = student, loss, mixing, seed, size
        self.precision, self.ema, self.adversarial = precision, ema, adversarial
        self.average = copy.deepcopy(student).requires_grad_(False) if ema else None
        # In a tuple, so that neither checkpoints nor DDP carry what never changes.
        self.frozen = (fuse_batchnorm(teacher),)
        self.cached = cached
        self.imitation = make_loss(loss)
        self.projection: nn.Module = nn.Identity()
        self.taps: tuple[list[Tensor], ...] = ()
        self.compilable = not isinstance(self.imitation, OnFeatures)
        if isinstance(self.imitation, OnFeatures):
            widths, self.taps = zip(
                *(tap(each.net, head_of(model)) for each, model in ((student, student), (self.frozen[0], teacher))),
                strict=True,
            )
            self.projection = self.imitation.projection(*widths)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Distillation":
        self.frozen[0]._apply(fn)
        if self.cached is not None:
            self.cached = fn(self.cached)
        return super()._apply(fn, recurse)

    @property
    def graduate(self) -> Classifier:
        """What is tested and saved: the student, or the average of its weights."""
        return self.average or self.student

    def numbers(self, at: TrainState) -> dict[str, float]:
        """What is mixed in this step, and how far the average follows."""
        mixed = draw(self.mixing, self.seed, at.step, self.size) if self.mixing.cutmix or self.mixing.mixup else {}
        return mixed | ({"follow": following(self.ema, at.step)} if self.ema else {})

    @torch.no_grad()
    def after_step(self, numbers: Numbers) -> None:
        """The average follows the student: weights and running statistics by the same share, counters at once."""
        if self.average is None:
            return
        follow(self.average, self.student, numbers["follow"])
        for ours, theirs in zip(self.average.buffers(), self.student.buffers(), strict=True):
            if ours.is_floating_point():
                ours.lerp_(theirs, numbers["follow"])
            else:
                ours.copy_(theirs)

    def challenged(self, images: Tensor) -> Tensor:
        """Images whose pixels moved by ``adversarial`` along the sign of the gradient of KL(teacher || student),
        through both networks, to where the student knows less of the teacher.

        The aim is that of Micaelli and Storkey (NeurIPS 2019), who train a generator for it; the step on the pixels
        themselves is that of Goodfellow, Shlens and Szegedy (ICLR 2015). Batch norms of the student see the images
        before and after it.

        Args:
            images: [B, C, H, W] in [0, 1], or clips.

        Returns:
            The same shape, in [0, 1], without a gradient.
        """
        with torch.enable_grad():
            moving = images.detach().requires_grad_()
            asked, told = (
                F.log_softmax(each.float() / self.loss.temperature, 1)
                for each in (self.answer(moving), self.student(moving))
            )
            [slope] = torch.autograd.grad((asked.exp() * (asked - told)).sum(), moving)
        return (images + self.adversarial * slope.sign()).clamp(0, 1)

    @torch.no_grad()
    def teacher_logits(self, images: Tensor) -> Tensor:
        """Logits [B, C] of the teacher, in its precision."""
        return self.answer(images)

    def answer(self, images: Tensor) -> Tensor:
        """The same with a gradient to the images."""
        if self.precision is None:
            return self.frozen[0](images)
        half = self.precision != torch.float32
        with torch.autocast(images.device.type, self.precision if half else None, enabled=half):
            return self.frozen[0](images)

    def forward(self, batch: Batch, numbers: Numbers) -> StepOutput:
        """One step. ``batch``: images [B, C, H, W] in [0, 1], labels int64 [B], index int64 [B]."""
        images = mix(batch["images"], self.mixing, numbers)
        if self.adversarial:
            images = self.challenged(images)
        target = self.teacher_logits(images) if self.cached is None else self.cached[batch["index"]]
        logits = self.student(images)
        labels, mixed = batch["labels"], bool(self.mixing.cutmix or self.mixing.mixup)
        true = self.loss.hard and labels.ndim == 1 and not mixed  # else they are no numbers of the teacher's classes
        known = labels if true else torch.full((len(images),), -1, device=labels.device)
        loss = self.imitation(logits, target, known, *self._features())
        if self.loss.hard:
            shares = (numbers["own"], numbers["other"]) if mixed else (1.0, 0.0)
            truth = hard_label(logits, labels, labels.flip(0), *shares)
            loss = (1 - self.loss.hard) * loss + self.loss.hard * truth
        agreement = (logits.detach().argmax(1) == target.argmax(1)).float().mean()
        return StepOutput(loss, {"train/agreement": agreement})

    def _features(self) -> tuple[Tensor, ...]:
        """The student's features of this step behind the projection, and the teacher's; none if no loss asks."""
        if not self.taps:
            return ()
        student, teacher = (each.pop() for each in self.taps)
        return self.projection(student), teacher

    def parameter_groups(self, optim: Optim) -> list[dict[str, Any]]:
        """All parameters of the student and of a projection of its features, alike."""
        return [{"params": [*self.student.parameters(), *self.projection.parameters()]}]

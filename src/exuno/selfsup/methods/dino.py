"""DINO: a student tells what its moving average says of another view (Caron et al., ICCV 2021)."""

from copy import deepcopy
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from exuno.data.augmentation.views import make_views
from exuno.data.loader import Loader
from exuno.engine.method import Batch, Method, Numbers, StepOutput, TrainState, cosine, follow
from exuno.engine.options import Optim, Views
from exuno.engine.ranges import FROM_0, FROM_1, PROBABILITY, SHARE, TEMPERATURE, Range
from exuno.fewshot.losses import dino, sharpen
from exuno.fewshot.losses.shared import mean_of_all
from exuno.fewshot.network import Projection
from exuno.fewshot.options import Head
from exuno.models.classifier import Classifier
from exuno.selfsup.methods import methods


class SelfDistillation(Method):
    """Every view of the student learns from each global view of the teacher but itself.

    Local views are resized to the side of the global ones, so that any network takes them. The teacher is what is kept:
    the moving average is the better network (section 5.2).

    Args:
        model: the teacher, whose last layer gives what enters the projection head.
        options: of the loss.
        samples: N of the source; with the epoch it numbers the draws of the views.
        side: of a view in pixels.
        seed: of the views.
    """

    centre: Tensor

    def __init__(self, model: Classifier, options: "Dino", samples: int, side: int, seed: int) -> None:
        super().__init__()
        self.options, self.samples, self.side, self.seed = options, samples, side, seed
        head = Projection(
            options.hidden,
            Head(outputs=options.prototypes, hidden=options.hidden, layers=2, norm="batch", unit_norm=True),
        )
        self.student = nn.ModuleList([deepcopy(model), deepcopy(head)])
        self.teacher = nn.ModuleList([model, head]).requires_grad_(False)
        self.register_buffer("centre", torch.zeros(options.prototypes))
        self.seen: Tensor | None = None

    def numbers(self, at: TrainState) -> dict[str, float]:
        """The epoch, of which the views are a function, and how far the teacher follows the student."""
        return {"epoch": at.step // at.per_epoch, "follow": 1 - cosine(self.options.momentum, 1.0, at.fraction)}

    def forward(self, batch: Batch, numbers: Numbers) -> StepOutput:
        """One step. ``batch``: images [B, C, H, W] in [0, 1], index int64 [B]."""
        options, draws = self.options, numbers["epoch"].long() * self.samples + batch["index"]
        views, near = make_views(batch["images"], draws, options.views(self.side), self.side, self.seed)
        with torch.no_grad():
            said = self._said(self.teacher, views)
            self.seen = said.mean((0, 1))
            targets = sharpen(said, self.centre, options.teacher_temperature)
        seen = views if near is None else torch.cat([views, near])
        term = dino(self._said(self.student, seen) / options.temperature, targets)
        return StepOutput(term.mean(), {})

    def _said(self, network: nn.ModuleList, views: Tensor) -> Tensor:
        """Outputs [V, B, K] of views [V, B, C, H, W]."""
        model, head = network
        return head(model(views.flatten(0, 1)).float().unflatten(0, views.shape[:2]))

    def parameter_groups(self, optim: Optim) -> list[dict[str, Any]]:
        """Biases and norms do not decay."""
        learning = [each for each in self.student.parameters() if each.requires_grad]
        return [
            {"params": [each for each in learning if each.ndim > 1]},
            {"params": [each for each in learning if each.ndim == 1], "weight_decay": 0.0},
        ]

    @torch.no_grad()
    def after_step(self, numbers: Numbers) -> None:
        """The teacher follows the student, the centre the teacher's outputs."""
        follow(self.teacher, self.student, numbers["follow"])
        assert self.seen is not None
        self.centre.lerp_(mean_of_all(self.seen), 0.1)


@methods.register("dino", paper="Caron et al., ICCV 2021")
@dataclass(frozen=True)
class Dino:
    """The loss and its views."""

    prototypes: Annotated[int, Range(low=2)] = 1024
    """K, which student and teacher compare; published for ImageNet: 65,536."""
    hidden: Annotated[int, FROM_1] = 512
    """Width of the projection head, and of the last layer before it."""
    local: Annotated[int, FROM_0] = 2
    """Local views beside the two global ones; published: 8 to 10."""
    momentum: Annotated[float, Range(low=0, high=1)] = 0.99
    """Share of itself that the teacher keeps at first; rises to 1 along a cosine. Published, for long trainings:
    0.996."""
    temperature: Annotated[float, TEMPERATURE] = 0.1
    """Of the student."""
    teacher_temperature: Annotated[float, TEMPERATURE] = 0.04
    """Of the teacher."""
    least: Annotated[float, SHARE] = 0.25
    """Border between the areas of global views, above it, and of local ones, below: a share of the image."""
    blur: Annotated[float, PROBABILITY] = 0.0
    """Probability of a Gaussian blur; published for ImageNet: 1, 0.1 and 0.5."""
    flip: Annotated[float, PROBABILITY] = 0.5
    """Probability of a horizontal flip."""

    def views(self, side: int) -> Views:
        """The views of images whose side in training is ``side``."""
        return Views(
            scale=(self.least, 1.0),
            local=self.local,
            local_size=side,
            local_scale=(self.least / 5, self.least),
            flip=self.flip,
            blur=(self.blur, self.blur, self.blur),
        )

    @property
    def outputs(self) -> int:
        return self.hidden

    def make(self, model: Classifier, samples: int, size: tuple[int, int], seed: int) -> SelfDistillation:
        """See :class:`exuno.selfsup.methods.Pretext`."""
        return SelfDistillation(model, self, samples, min(size), seed)

    def batches(self, method: SelfDistillation, loader: Loader) -> Loader:
        """The loader itself."""
        return loader

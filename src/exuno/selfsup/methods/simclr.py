"""SimCLR: two views of an image agree, and differ from those of others (Chen, Kornblith, Norouzi and Hinton, ICML
2020)."""

from dataclasses import dataclass
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exuno.data.augmentation.views import GLOBAL, make_views
from exuno.data.loader import Loader
from exuno.engine.method import Batch, Method, Numbers, StepOutput, TrainState
from exuno.engine.options import Optim, Views
from exuno.engine.ranges import FROM_1, PROBABILITY, SHARE, TEMPERATURE, Range
from exuno.models.classifier import Classifier
from exuno.selfsup.methods import methods


def nt_xent(codes: Tensor, temperature: float) -> Tensor:
    """The normalised, temperature-scaled cross-entropy, equation 1: which of the other 2 B - 1 views is the other one
    of the same image?

    Args:
        codes: [2, B, D], of both views of B images, of any length.
        temperature: by which cosines are divided.

    Returns:
        The mean over all 2 B views, a scalar.
    """
    count = codes.shape[1]
    unit = F.normalize(codes.float().flatten(0, 1), dim=1)
    logits = unit @ unit.T / temperature
    logits = logits.masked_fill(torch.eye(2 * count, dtype=torch.bool, device=codes.device), float("-inf"))
    partner = (torch.arange(2 * count, device=codes.device) + count) % (2 * count)
    return F.cross_entropy(logits, partner)


class Contrast(Method):
    """NT-Xent of two views of each image of a batch.

    Args:
        model: a network whose last layer gives the hidden units of the projection head.
        options: of the loss.
        samples: N of the source; with the epoch it numbers the draws of the views.
        side: of a view in pixels.
        seed: of the views.
    """

    def __init__(self, model: Classifier, options: "SimCLR", samples: int, side: int, seed: int) -> None:
        super().__init__()
        self.model, self.options, self.samples, self.side, self.seed = model, options, samples, side, seed
        self.projection = nn.Sequential(nn.ReLU(), nn.Linear(options.hidden, options.width))
        self.views = options.views

    def numbers(self, at: TrainState) -> dict[str, float]:
        """The epoch, of which the views are a function."""
        return {"epoch": at.step // at.per_epoch}

    def forward(self, batch: Batch, numbers: Numbers) -> StepOutput:
        """One step. ``batch``: images [B, C, H, W] in [0, 1], index int64 [B]."""
        draws = numbers["epoch"].long() * self.samples + batch["index"]
        views, _ = make_views(batch["images"], draws, self.views, self.side, self.seed)
        codes = self.projection(self.model(views.flatten(0, 1)).float()).unflatten(0, (GLOBAL, -1))
        return StepOutput(nt_xent(codes, self.options.temperature), {})

    def parameter_groups(self, optim: Optim) -> list[dict[str, Any]]:
        """All parameters, alike."""
        return [{"params": [*self.model.parameters(), *self.projection.parameters()]}]


@methods.register("simclr", paper="Chen, Kornblith, Norouzi and Hinton, ICML 2020")
@dataclass(frozen=True)
class SimCLR:
    """The loss and its views; the defaults are those for CIFAR-10 (appendix B.9)."""

    temperature: Annotated[float, TEMPERATURE] = 0.5
    """By which cosines are divided; published for ImageNet: 0.1."""
    hidden: Annotated[int, FROM_1] = 512
    """Width of the projection head, which takes the place of the last layer."""
    width: Annotated[int, FROM_1] = 128
    """Of the codes that are compared."""
    least: Annotated[float, SHARE] = 0.08
    """Smallest area of a view, a share of the image."""
    colour: Annotated[float, Range(low=0, high=1.25)] = 0.5
    """Strength of the colour jitter; published for ImageNet: 1."""
    blur: Annotated[float, PROBABILITY] = 0.0
    """Probability of a Gaussian blur; published for ImageNet: 0.5."""
    flip: Annotated[float, PROBABILITY] = 0.5
    """Probability of a horizontal flip."""

    @property
    def views(self) -> Views:
        """Two views, nothing but crop, flip, colours and blur."""
        jitter = (0.8 * self.colour, 0.8 * self.colour, 0.8 * self.colour, 0.2 * self.colour)
        blur = (self.blur, self.blur, 0.0)
        return Views(scale=(self.least, 1.0), local=0, flip=self.flip, jitter=jitter, gray=0.2, blur=blur, solarize=0.0)

    @property
    def outputs(self) -> int:
        return self.hidden

    def make(self, model: Classifier, samples: int, size: tuple[int, int], seed: int) -> Contrast:
        """See :class:`exuno.selfsup.methods.Pretext`."""
        return Contrast(model, self, samples, min(size), seed)

    def batches(self, method: Contrast, loader: Loader) -> Loader:
        """The loader itself."""
        return loader

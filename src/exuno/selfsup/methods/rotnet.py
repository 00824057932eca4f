"""RotNet: by how many quarter turns was the image rotated (Gidaris, Singh and Komodakis, ICLR 2018)?"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from exuno.data.loader import Loader
from exuno.engine.errors import ExunoError
from exuno.engine.method import Batch, Method, Numbers, StepOutput
from exuno.engine.options import Optim
from exuno.models.classifier import Classifier
from exuno.selfsup.methods import methods

TURNS = 4


def rotations(images: Tensor) -> tuple[Tensor, Tensor]:
    """Every image [B, C, S, S] turned by 0, 1, 2 and 3 quarters, counterclockwise: [4 B, C, S, S], all images of a turn
    together; and the turns, int64 [4 B]."""
    turned = torch.cat([torch.rot90(images, turn, (2, 3)) for turn in range(TURNS)])
    return turned, torch.arange(TURNS, device=images.device).repeat_interleave(len(images))


class Rotation(Method):
    """Cross-entropy of the four turns of each image.

    Args:
        model: a network with four logits.
    """

    compilable = True

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch, numbers: Numbers) -> StepOutput:
        """One step. ``batch``: images [B, C, S, S] in [0, 1]."""
        images, turns = rotations(batch["images"])
        logits = self.model(images).float()
        right = (logits.detach().argmax(1) == turns).float().mean()
        return StepOutput(F.cross_entropy(logits, turns), {"train/rotation": right})

    def parameter_groups(self, optim: Optim) -> list[dict[str, Any]]:
        """All parameters, alike."""
        return [{"params": list(self.model.parameters())}]


@methods.register("rotnet", paper="Gidaris, Singh and Komodakis, ICLR 2018")
@dataclass(frozen=True)
class RotNet:
    """RotNet has no options."""

    @property
    def outputs(self) -> int:
        return TURNS

    def make(self, model: Classifier, samples: int, size: tuple[int, int], seed: int) -> Rotation:
        """See :class:`exuno.selfsup.methods.Pretext`."""
        if size[0] != size[1]:
            raise ExunoError(
                f"images of {size[1]}x{size[0]} pixels do not fit themselves when turned by a quarter",
                f"Give --size {min(size)}, which cuts out squares.",
            )
        return Rotation(model)

    def batches(self, method: Rotation, loader: Loader) -> Loader:
        """The loader itself."""
        return loader

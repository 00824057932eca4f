"""Which normalisation of its input a network was trained with, found by asking it under several."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from exuno.data.constants import CIFAR, IMAGENET
from exuno.models.card import ModelCard
from exuno.models.classifier import Classifier

ALIKE = 0.05
"""Two normalisations that move no pixel by more than this, in units of the normalised input, are one."""


@dataclass(frozen=True)
class Candidate:
    """A normalisation: pixels in [0, 1] minus ``mean``, over ``std``, perhaps with the channels turned round."""

    name: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    bgr: bool = False
    """Blue, green, red after normalising, as OpenCV and Caffe order them; each colour keeps its own mean and std."""

    def ends(self) -> list[float]:
        """What black and white become, in the order in which the network gets the channels."""
        pairs = list(zip(self.mean, self.std, strict=True))
        return [
            value for mean, std in (reversed(pairs) if self.bgr else pairs) for value in (-mean / std, (1 - mean) / std)
        ]


def candidates(card: ModelCard, mean: Sequence[float], std: Sequence[float]) -> list[Candidate]:
    """The normalisations worth trying, the card's first; equal ones are one, under both names.

    Args:
        card: of the model.
        mean: of each channel of the data's training images, for pixels in [0, 1].
        std: likewise. Statistics of three channels say nothing to a network of one, and are left out.
    """
    channels = card.in_chans
    listed = [Candidate("the card's", card.mean, card.std)]
    if len(mean) in (1, channels):
        own = tuple(mean) * (channels // len(mean)), tuple(std) * (channels // len(std))
        listed.append(Candidate("the data's own", *own))
    if channels == 3:
        listed += [Candidate("ImageNet's", *IMAGENET), Candidate("CIFAR's", *CIFAR)]
    flat = {"0.5 / 0.5": (0.5, 0.5), "none, [0, 1]": (0.0, 1.0), "none, [0, 255]": (0.0, 1 / 255)}
    listed += [Candidate(name, (m,) * channels, (s,) * channels) for name, (m, s) in flat.items()]
    if channels == 3:
        listed.append(Candidate("the card's, BGR", card.mean, card.std, bgr=True))
        listed.append(Candidate("Caffe's (BGR, [0, 255] minus a mean)", IMAGENET[0], (1 / 255,) * 3, bgr=True))
    found: list[Candidate] = []
    for one in listed:
        twin = next((i for i, other in enumerate(found) if alike(one, other)), None)
        if twin is None:
            found.append(one)
        else:
            found[twin] = replace(found[twin], name=f"{found[twin].name} = {one.name}")
    return found


def alike(one: Candidate, other: Candidate) -> bool:
    """Whether a network could hardly notice the difference: never of two orders of the channels, whose numbers may be
    the same while its pixels are not."""
    return one.bgr == other.bgr and max(abs(a - b) for a, b in zip(one.ends(), other.ends(), strict=True)) <= ALIKE


class _Turned(nn.Module):
    """A network that gets its channels in the opposite order."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.flip(1).contiguous(memory_format=torch.channels_last))


def under(model: Classifier, candidate: Candidate) -> Classifier:
    """The same network (not a copy of it) behind another normalisation."""
    net = _Turned(model.net) if candidate.bgr else model.net
    return Classifier(net, replace(model.card, mean=candidate.mean, std=candidate.std))

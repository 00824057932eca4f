"""BiGAN: an encoder that inverts a generator, since a discriminator of pairs (image, code) cannot tell them apart
(Donahue, Krähenbühl and Darrell, ICLR 2017).

The loop has one optimizer, so a step is one loss of two parts: the discriminator's, in which images and codes are
detached, and that of encoder and generator, in which the discriminator's parameters are. All three networks take their
step together, each by the gradient that it would have by itself; the published code alternates, two steps to one.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from exuno.data.images.resize import resize
from exuno.data.loader import Loader
from exuno.engine.errors import ExunoError
from exuno.engine.method import Batch, Method, Numbers, StepOutput
from exuno.engine.options import Optim
from exuno.engine.ranges import FROM_1, Range
from exuno.models.classifier import Classifier, match_channels
from exuno.selfsup.methods import methods

START = 4
"""Side of the feature maps that the generator begins with and the discriminator ends with."""


class Generator(nn.Module):
    """Codes [B, Z] -> images [B, C, S, S] in [-1, 1]: transposed convolutions with batch normalisation (DCGAN)."""

    def __init__(self, codes: int, channels: int, doublings: int, width: int) -> None:
        super().__init__()
        widths = [width << (doublings - i - 1) for i in range(doublings)]
        self.first = nn.Sequential(
            nn.Linear(codes, widths[0] * START**2), nn.BatchNorm1d(widths[0] * START**2), nn.ReLU()
        )
        layers: list[nn.Module] = []
        for have, want in pairwise(widths):
            layers += [nn.ConvTranspose2d(have, want, 4, 2, 1, bias=False), nn.BatchNorm2d(want), nn.ReLU()]
        self.rest = nn.Sequential(*layers, nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1), nn.Tanh())

    def forward(self, codes: Tensor) -> Tensor:
        return self.rest(self.first(codes).unflatten(1, (-1, START, START)))


class Discriminator(nn.Module):
    """Images [B, C, S, S] in [-1, 1] and codes [B, Z] -> logits [B], large where the image came first."""

    def __init__(self, codes: int, channels: int, doublings: int, width: int) -> None:
        super().__init__()
        widths = [channels, *(width << i for i in range(doublings))]
        layers: list[nn.Module] = []
        for have, want in pairwise(widths):
            layers += [nn.Conv2d(have, want, 4, 2, 1), nn.LeakyReLU(0.2)]
        self.image = nn.Sequential(*layers, nn.Flatten())
        hidden = 8 * width
        self.code = nn.Sequential(nn.Linear(codes, hidden), nn.LeakyReLU(0.2))
        self.both = nn.Sequential(
            nn.Linear(widths[-1] * START**2 + hidden, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, 1)
        )

    def forward(self, images: Tensor, codes: Tensor) -> Tensor:
        return self.both(torch.cat([self.image(images), self.code(codes)], 1)).squeeze(1)


class Bidirectional(Method):
    """The three networks, of which the encoder is what is wanted.

    Args:
        model: the encoder, a network whose logits are the code.
        side: of the images that are generated and compared, ``START`` times a power of 2.
        width: channels of the widest feature maps of generator and discriminator.
    """

    compilable = True

    def __init__(self, model: Classifier, side: int, width: int) -> None:
        super().__init__()
        self.model, self.side, self.codes = model, side, model.card.classes
        doublings = (side // START).bit_length() - 1
        shape = (self.codes, model.card.in_chans, doublings, width)
        self.generator, self.discriminator = Generator(*shape), Discriminator(*shape)

    def forward(self, batch: Batch, numbers: Numbers) -> StepOutput:
        """One step. ``batch``: images [B, C, H, W] in [0, 1]."""
        pixels = match_channels(batch["images"], self.model.card.in_chans)
        images, encoded = resize(pixels, (self.side, self.side)) * 2 - 1, self.model(pixels).float()
        drawn = torch.rand_like(encoded) * 2 - 1
        generated = self.generator(drawn).float()
        first = self.discriminator(images, encoded.detach()).float()
        second = self.discriminator(generated.detach(), drawn).float()
        telling = F.softplus(-first).mean() + F.softplus(second).mean()
        judge = {name: value.detach() for name, value in self.discriminator.named_parameters()}
        first_again = functional_call(self.discriminator, judge, (images, encoded)).float()
        second_again = functional_call(self.discriminator, judge, (generated, drawn)).float()
        fooling = F.softplus(first_again).mean() + F.softplus(-second_again).mean()
        right = ((first.detach() > 0).float().mean() + (second.detach() < 0).float().mean()) / 2
        logs = {"train/discriminator": telling.detach(), "train/encoder": fooling.detach(), "train/told": right}
        return StepOutput(telling + fooling, logs)

    def parameter_groups(self, optim: Optim) -> list[dict[str, Any]]:
        """All parameters of the three networks, alike."""
        return [{"params": list(self.parameters())}]


@methods.register("bigan", paper="Donahue, Krähenbühl and Darrell, ICLR 2017")
@dataclass(frozen=True)
class BiGAN:
    """Codes, and the two networks beside the encoder."""

    codes: Annotated[int, FROM_1] = 50
    """Numbers of a code, drawn evenly from -1 to 1; published: 200 for ImageNet."""
    width: Annotated[int, Range(low=1, high=1024)] = 32
    """Channels of generator and discriminator at the full size of the image; they double as it halves."""
    side: Annotated[int, Range(low=2 * START)] = 64
    """Largest side of what is generated and compared; the encoder sees whole images."""

    @property
    def outputs(self) -> int:
        return self.codes

    def make(self, model: Classifier, samples: int, size: tuple[int, int], seed: int) -> Bidirectional:
        """See :class:`exuno.selfsup.methods.Pretext`."""
        if min(size) < 2 * START:
            raise ExunoError(
                f"images of {size[1]}x{size[0]} pixels are too small for bigan", f"Give --size {2 * START} or more."
            )
        side = START << ((min(self.side, *size) // START).bit_length() - 1)
        return Bidirectional(model, side, self.width)

    def batches(self, method: Bidirectional, loader: Loader) -> Loader:
        """The loader itself."""
        return loader

"""The probes: batch normalisation without parameters and a linear layer on the pooled activations of each layer.

Fast, on features that were computed once: the layers of a network are one batched problem. Published, on fresh crops
(yukimasano/linear-probes): a ``Method`` of the loop in which every image passes each network once.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exuno.data import rng
from exuno.engine.method import Batch, Method, Numbers, StepOutput, cosine
from exuno.engine.options import Optim
from exuno.models.classifier import Classifier
from exuno.probe.layers import Layer, activations

RATE, DECAY, LEAST = 3e-3, 1e-5, 1500
"""Of Adam in the fast protocol: rate at the beginning of a cosine, weight decay, and the fewest steps."""
EPSILON = 1e-5
"""Of the batch normalisation."""


def standardise(train: Tensor, *others: Tensor) -> None:
    """Brings features [N, C, P] in place to mean 0 and variance 1 of each channel C over the training images, and
    those of others by the same map: what batch normalisation without parameters converges to."""
    count = train.shape[0] * train.shape[2]
    mean = sum(part.sum((0, 2), dtype=torch.float64) for part in train.split(4096)) / count
    assert isinstance(mean, Tensor)
    shifted = (part.double() - mean[:, None] for part in train.split(4096))
    variance = sum((part.square().sum((0, 2)) for part in shifted), start=torch.zeros_like(mean)) / count
    scale = (variance + EPSILON).rsqrt()
    for features in (train, *others):
        features.sub_(mean.to(features.dtype)[:, None]).mul_(scale.to(features.dtype)[:, None])


def solve(
    train: Sequence[Tensor],
    labels: Tensor,
    test: Sequence[Tensor],
    classes: int,
    *,
    epochs: int,
    batch_size: int = 192,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Tensor:
    """The logits of one linear classifier for each layer, all trained together by Adam, for the test images.

    Each classifier sees its own layer only, so that it ends as it would by itself; narrower layers are filled up with
    zeros, whose weights stay as they began.

    Args:
        train: of each of L layers, features of N images, standardised, [N, D_l].
        labels: of these, int64 [N].
        test: of each layer, features of M images, [M, D_l].
        classes: K.
        epochs: times that the training images are seen; more where that would be fewer than 1,500 steps.
        batch_size: images in a step.
        seed: of first weights (Xavier) and order.
        progress: called with the number of images of each step.

    Returns:
        float32 [L, M, K].
    """
    count, widths, batch_size = len(labels), [each.shape[1] for each in train], min(batch_size, len(labels))
    wide, per_epoch, device = max(widths), max(1, len(labels) // batch_size), labels.device
    steps = max(epochs * per_epoch, LEAST if epochs > 1 else 1)
    weight = torch.zeros(len(train), wide, classes)
    for place, width in enumerate(widths):
        weight[place, :width] = first_weights(width, classes, seed)
    weight = weight.to(device).requires_grad_()
    bias = torch.zeros(len(train), 1, classes, device=device, requires_grad=True)
    optimizer = torch.optim.Adam([weight, bias], RATE, weight_decay=DECAY)
    batch = torch.zeros(len(train), batch_size, wide, device=device)
    order = torch.zeros(0, dtype=torch.int64)
    for step in range(steps):
        epoch, place = divmod(step, per_epoch)
        if place == 0:
            order = torch.from_numpy(rng.generator(seed, "probe order", epoch).permutation(count)).to(device)
        rows = order[place * batch_size : (place + 1) * batch_size]
        for layer, (features, width) in enumerate(zip(train, widths, strict=True)):
            batch[layer, :, :width] = features[rows]
        logits = torch.baddbmm(bias, batch, weight)
        loss = F.cross_entropy(logits.flatten(0, 1), labels[rows].repeat(len(train))) * len(train)
        for group in optimizer.param_groups:
            group["lr"] = cosine(RATE, 0.0, step / steps)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if progress:
            progress(len(rows))
    weight, bias = weight.detach(), bias.detach()
    return torch.stack(
        [
            torch.cat([part.float() @ weight[layer, :width] + bias[layer] for part in features.split(4096)])
            for layer, (features, width) in enumerate(zip(test, widths, strict=True))
        ]
    )


def first_weights(width: int, classes: int, seed: int) -> Tensor:
    """Of a probe, [D, K]: uniform, of Glorot and Bengio's width. A function of the seed, whatever other layers there
    are, so that a layer that is probed by itself gets the same probe."""
    drawn = torch.Generator().manual_seed(int(rng.generator(seed, "probes").integers(2**31)))
    return (torch.rand(width, classes, generator=drawn) * 2 - 1) * (6 / (width + classes)) ** 0.5


class Probes(Method):
    """Probes on all layers of networks that do not learn.

    Args:
        trunks: networks and their layers.
        classes: K.
        seed: of the first weights.
    """

    def __init__(self, trunks: Sequence[tuple[Classifier, Sequence[Layer]]], classes: int, seed: int = 0) -> None:
        super().__init__()
        # In a tuple, so that checkpoints do not carry what never changes.
        self.trunks = tuple((model.eval().requires_grad_(False), tuple(layers)) for model, layers in trunks)
        heads = []
        for _, layers in self.trunks:
            for layer in layers:
                linear = nn.Linear(layer.numbers, classes)
                linear.weight.data.copy_(first_weights(layer.numbers, classes, seed).T)
                nn.init.zeros_(linear.bias)
                heads.append(nn.Sequential(nn.BatchNorm2d(layer.channels, affine=False), nn.Flatten(), linear))
        self.heads = nn.ModuleList(heads)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Probes":
        for model, _ in self.trunks:
            model._apply(fn)
        return super()._apply(fn, recurse)

    def logits(self, images: Tensor) -> list[Tensor]:
        """Of every probe, [B, K]."""
        found = [maps for model, layers in self.trunks for maps in activations(model, layers, images)]
        return [head(maps).float() for head, maps in zip(self.heads, found, strict=True)]

    def forward(self, batch: Batch, numbers: Numbers) -> StepOutput:
        """One step. ``batch``: images [B, C, H, W] in [0, 1], labels int64 [B]."""
        answers, labels = self.logits(batch["images"]), batch["labels"]
        losses = torch.stack([F.cross_entropy(each, labels) for each in answers])
        right = torch.stack([(each.detach().argmax(1) == labels).float().mean() for each in answers])
        return StepOutput(losses.sum(), {"train/top1": right.mean()})

    def parameter_groups(self, optim: Optim) -> list[dict[str, Any]]:
        """Of the linear layers, alike."""
        return [{"params": list(self.heads.parameters())}]

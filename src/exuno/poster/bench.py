"""What every algorithm works with: fresh networks, inner batches, augmentation; all functions of (seed, number)."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from exuno.data import rng
from exuno.engine.devices import send
from exuno.poster.augment import Augmentation
from exuno.poster.fresh import fresh_network, seeded
from exuno.poster.options import Inner, PosterConfig, Unroll
from exuno.poster.protocol import batch_size, subset


@dataclass(frozen=True)
class Bench:
    """The surroundings of an outer step."""

    network: Callable[[int], nn.Module]
    """Seed -> a network with fresh weights on the device, for images of the distilled space."""
    inner: Inner
    unroll: Unroll
    real: Augmentation
    """Of the real batch."""
    synthetic: Augmentation
    """Of the patches."""
    seed: int

    def fresh(self, number: int) -> nn.Module:
        """The network of inner run ``number``."""
        return self.network(rng.seed_of(self.seed, "poster/weights", number))

    def noise(self, net: nn.Module, number: int, step: int) -> AbstractContextManager[None]:
        """A context in which dropout draws what belongs to one step of one inner run; nothing for a network without."""
        if not any("Drop" in type(module).__name__ for module in net.modules()):
            return nullcontext()
        index = number * (self.unroll.total + 1) + step
        device = next(net.parameters()).device
        return seeded(rng.seed_of(self.seed, "poster/dropout", index), device)

    def batch(self, images: Tensor, labels: Tensor, index: int) -> tuple[Tensor, Tensor]:
        """Patches [P, C, h, w] and labels [P, K] -> the augmented batch ``index``, differentiable in both."""
        count = batch_size(self.inner, len(images))
        chosen = subset(len(images), count, self.seed, "poster/batch", index)
        if chosen is not None:
            chosen = send(chosen, images.device)
            images, labels = images.index_select(0, chosen), labels.index_select(0, chosen)
        return self.synthetic.draw(count, self.seed, "poster/augment", index)(images), labels


class Algorithm(Protocol):
    """One way to tell how good a poster is."""

    def __call__(
        self, bench: Bench, images: Tensor, labels: Tensor, real: Tensor, classes: Tensor, number: int
    ) -> Tensor:
        """The outer loss of inner run ``number``, a scalar.

        Args:
            bench: see :class:`Bench`.
            images: all patches of the poster, float [P, C, h, w].
            labels: their soft labels [P, K].
            real: augmented real images, float [N, C, h, w] of the distilled space.
            classes: their labels, int64 [N].
            number: of the run, never the same twice.

        Returns:
            With a graph to ``images`` and ``labels``.
        """
        ...


@torch.no_grad()
def there(net: nn.Module, device: torch.device) -> nn.Module:
    """A network of the processor on a device, without waiting for it."""
    return net._apply(lambda x: send(x, device))


def make_bench(
    config: PosterConfig, classes: int, channels: int, image: tuple[int, int], device: torch.device
) -> Bench:
    """The bench of a configuration."""

    def network(seed: int) -> nn.Module:
        return there(fresh_network(config.model, classes, channels, image, seed), device)

    augmentations = Augmentation(config.real_augment), Augmentation(config.inner.augment)
    return Bench(network, config.inner, config.unroll, *augmentations, config.run.seed)

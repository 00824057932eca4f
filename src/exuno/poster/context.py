"""What every algorithm works with: fresh networks, inner batches, augmentation; all functions of (seed, number)."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from exuno.data import rng
from exuno.engine.devices import send
from exuno.engine.errors import tell
from exuno.engine.graph import Recorder, Recordings
from exuno.poster.augment import Augmentation, Draw
from exuno.poster.inner import make_inner
from exuno.poster.network import Function, as_function, fresh_network, is_pure, seeded
from exuno.poster.options import Inner, PosterConfig, Unroll
from exuno.poster.protocol import batch_size, subset
from exuno.poster.recorded import RecordedSteps, RecordedTraining
from exuno.poster.unroll import Training


@dataclass
class Pieces:
    """In pieces of how many the outer loss takes its real images."""

    size: int | None = None
    """None while it is not known what the memory holds."""


@dataclass(frozen=True)
class InnerLoopContext:
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
    shelf: RecordedSteps | None = None
    """Where inner steps are recorded, if they are."""
    pieces: Pieces = field(default_factory=Pieces)

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
        chosen, draw = self.plan(len(images), index)
        if chosen is not None:
            chosen = send(chosen, images.device)
            images, labels = images.index_select(0, chosen), labels.index_select(0, chosen)
        return draw(images), labels

    def plan(self, patches: int, index: int) -> tuple[Tensor | None, Draw]:
        """Which of the patches batch ``index`` takes, int64 (None for all), and what happens to them."""
        count = batch_size(self.inner, patches)
        chosen = subset(patches, count, self.seed, "poster/batch", index)
        return chosen, self.synthetic.draw(count, self.seed, "poster/augment", index)

    def training(
        self, net: nn.Module, images: Tensor, labels: Tensor, number: int, first: int
    ) -> tuple[list[Tensor], Function, Training]:
        """Parameters and function of a network, and its training on the poster.

        Args:
            net: as :meth:`fresh` made it.
            images: patches of the poster.
            labels: their labels.
            number: of the inner run.
            first: index of its first batch.
        """
        parameters, network = as_function(net)
        shapes, optimizer = [p.shape for p in parameters], make_inner(self.inner)

        def batch(step: int) -> tuple[Tensor, Tensor]:
            return self.batch(images, labels, first + step)

        if self.shelf is None or not is_pure(network):
            training = Training(network, shapes, optimizer, batch, lambda step: self.noise(net, number, step))
            return parameters, network, training

        def plan(step: int) -> tuple[Tensor | None, Draw]:
            return self.plan(len(images), first + step)

        shelf: Any = {"shelf": self.shelf, "plan": plan, "images": images, "labels": labels}
        return parameters, network, RecordedTraining(network, shapes, optimizer, batch, **shelf)


@dataclass(frozen=True)
class Material:
    """What an algorithm may prepare itself from, before the first step."""

    train: tuple[Tensor, Tensor]
    """Real images of the distilled space, float [N, C, h, w], and labels, int64 [N]."""
    classes: int
    folder: Path
    """Of the run: what is written there is found by a continued one."""
    accelerator: Accelerator


class Algorithm(Protocol):
    """One way to tell how good a poster is."""

    def __call__(
        self, context: InnerLoopContext, images: Tensor, labels: Tensor, real: Tensor, classes: Tensor, number: int
    ) -> Tensor:
        """The outer loss of inner run ``number``, a scalar.

        Args:
            context: see :class:`InnerLoopContext`.
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
def to_device(net: nn.Module, device: torch.device) -> nn.Module:
    """A network of the processor on a device, without waiting for it."""
    return net._apply(lambda x: send(x, device))


def make_context(
    config: PosterConfig,
    classes: int,
    channels: int,
    image: tuple[int, int],
    device: torch.device,
    recorder: Recorder | None = None,
) -> InnerLoopContext:
    """The context of a configuration; ``recorder`` records its inner steps."""

    def network(seed: int) -> nn.Module:
        return to_device(fresh_network(config.model, classes, channels, image, seed), device)

    augmentations = Augmentation(config.real_augment), Augmentation(config.inner.augment)
    shelf = None if recorder is None else RecordedSteps(Recordings(recorder, tell))
    return InnerLoopContext(network, config.inner, config.unroll, *augmentations, config.run.seed, shelf)

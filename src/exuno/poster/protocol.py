"""Training from a poster, and testing; and how a poster's file says it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from exuno.data import rng
from exuno.engine.devices import send
from exuno.engine.errors import ExunoError
from exuno.engine.progress import ProgressBar
from exuno.poster.augment import Augmentation
from exuno.poster.network import seeded
from exuno.poster.options import Evaluation, Inner

BATCH = 128  # the most patches of a step, unless the options say otherwise
CHUNK = 500  # test images at a time

Nets = Callable[[int], nn.Module]
"""Seed -> a network with fresh weights, on the CPU, that takes images of the distilled space."""


@dataclass(frozen=True)
class Tested:
    """What networks that learned from a poster answered."""

    steps: tuple[int, ...]
    """S numbers of training steps, ascending."""
    accuracies: dict[str, NDArray[np.float64]]
    """Test set -> share of right answers [networks, S]; an answer that is not finite is wrong."""
    logits: NDArray[np.float32] | None = None
    """Logits [networks, N, K] on the first test set after the steps that were to be kept."""


def batch_size(inner: Inner, patches: int) -> int:
    """How many of the patches a step takes."""
    return min(inner.batch or BATCH, patches)


def subset(patches: int, batch: int, seed: int, stream: str, index: int) -> Tensor | None:
    """Which patches a step takes, int64 [batch], ascending and drawn without repetition; None for all of them."""
    if batch >= patches:
        return None
    return torch.from_numpy(np.sort(rng.generator(seed, stream, index).permutation(patches)[:batch]))


def train_and_test(
    images: Tensor,
    labels: Tensor,
    nets: Nets,
    inner: Inner,
    tests: Mapping[str, tuple[Tensor, Tensor]],
    steps: Sequence[int],
    networks: int,
    seed: int,
    device: torch.device,
    progress: ProgressBar | None = None,
    keep: int | None = None,
) -> Tested:
    """Train fresh networks on a poster and test each of them after several numbers of steps.

    One network after the other: a vmap over all of them is slower by 14 % on 8x8 patches and by 43 % on 32x32 ones
    (5 and 3 networks, one CPU core).

    Args:
        images: patches, float [P, C, h, w] of the distilled space.
        labels: soft labels [P, K].
        nets: see :data:`Nets`; each network gets another seed.
        inner: optimizer, batch and augmentation.
        tests: name -> images, float [N, C, h, w] of the distilled space, and labels, int64 [N].
        steps: numbers of training steps after which to test.
        networks: how many.
        seed: weights, batches and augmentation of network i are functions of (seed, i).
        device: where to train.
        progress: counts training steps, ``networks`` x the largest number.
        keep: number of steps (one of ``steps``) for which the logits on the first test set are kept.

    Raises:
        ExunoError: no steps, or no networks.
    """
    steps = tuple(sorted(set(steps)))
    if not steps or steps[0] < 1 or networks < 1:
        raise ExunoError(f"{networks} networks tested after {list(steps)} steps", "Give at least 1 of each.")
    images, labels = images.to(device), labels.to(device)
    tests = {name: (x.to(device), y.to(device)) for name, (x, y) in tests.items()}
    found = {name: np.zeros((networks, len(steps))) for name in tests}
    kept: list[NDArray[np.float32]] = []
    for number in range(networks):
        own = rng.seed_of(seed, "proof/weights", number)
        with seeded(own, device):  # dropout draws from the global generator
            net = nets(own).to(device)
            for column, count in enumerate(train(net, images, labels, inner, steps, seed, number, progress)):
                for name, (x, y) in tests.items():
                    logits = answers(net, x)
                    right = (logits.argmax(1) == y) & logits.isfinite().all(1)
                    found[name][number, column] = right.double().mean().item()
                    if count == keep and name == next(iter(tests)):
                        kept.append(logits.float().cpu().numpy())
    return Tested(steps, found, np.stack(kept) if kept else None)


def train(
    net: nn.Module,
    images: Tensor,
    labels: Tensor,
    inner: Inner,
    steps: Sequence[int],
    seed: int,
    number: int,
    progress: ProgressBar | None = None,
) -> Iterator[int]:
    """Train network ``number``, and yield each of the ascending numbers of ``steps`` once so many are done.

    Arguments as for :func:`prove`, all on one device.
    """
    augmentation, optimizer = Augmentation(inner.augment), make_optimizer(net, inner)
    batch = batch_size(inner, len(images))
    net.train()
    for step in range(steps[-1]):
        index = (number << 32) + step
        chosen = subset(len(images), batch, seed, "proof/batch", index)
        x, y = (images, labels) if chosen is None else (part[send(chosen, part.device)] for part in (images, labels))
        loss = F.cross_entropy(net(augmentation.draw(batch, seed, "proof/augment", index)(x)), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if progress:
            progress.advance(1)
        if step + 1 in steps:
            yield step + 1
            net.train()


def make_optimizer(net: nn.Module, inner: Inner) -> torch.optim.Optimizer:
    """The inner optimizer for a module, in torch's fused form."""
    parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]
    if inner.name == "adam":
        return torch.optim.Adam(parameters, inner.lr, weight_decay=inner.weight_decay, fused=True)
    return torch.optim.SGD(parameters, inner.lr, inner.momentum, weight_decay=inner.weight_decay, fused=True)


@torch.inference_mode()
def answers(net: nn.Module, images: Tensor) -> Tensor:
    """Logits [N, K] for images [N, C, h, w] on the network's device; leaves it in the mode for testing."""
    net.eval()
    return torch.cat([net(part) for part in images.split(CHUNK)])


@dataclass(frozen=True)
class Recipe:
    """The protocol of a poster."""

    model: str
    """Network: a model spec without weights."""
    inner: Inner
    """Optimizer, batch and augmentation."""
    steps: int
    """Training steps chosen on held-out data, never on test data: the accuracy that counts is the one after them."""
    tested: tuple[int, ...] = Evaluation().steps
    """Numbers of steps among which they were chosen."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for ``Poster.protocol``."""
        return {"model": self.model, "inner": asdict(self.inner), "steps": self.steps, "tested": list(self.tested)}

    @classmethod
    def of(cls, protocol: Mapping[str, Any]) -> "Recipe":
        """Read ``Poster.protocol``. Raises ExunoError where it is none."""
        try:
            known = {field.name for field in fields(Inner)}
            inner = Inner(**{key: value for key, value in protocol["inner"].items() if key in known})
            tested = tuple(int(count) for count in protocol.get("tested", Evaluation().steps))
            return cls(str(protocol["model"]), inner, int(protocol["steps"]), tested)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise ExunoError(
                f"the poster's protocol makes no sense: {dict(protocol)}",
                "Take its poster.json from where it was made.",
            ) from None

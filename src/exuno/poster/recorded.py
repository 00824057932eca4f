"""Inner steps that are recorded once and replayed (``engine/graph.py``): a step of a small network is hundreds of
kernels of a few microseconds, and an outer step hundreds of those.

Two pieces of work are recorded, a step of the network and the way back through one, each for every choice of
augmentations; they read and change tensors that stay from outer step to outer step. Networks that are pure functions of
their parameters only: no dropout, no running statistics.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from exuno.engine.devices import send
from exuno.engine.graph import Recordings, Repeat
from exuno.poster.augment import Draw
from exuno.poster.inner import State
from exuno.poster.unroll import Training

Plan = Callable[[int], tuple[Tensor | None, Draw]]
"""Inner step -> which patches it takes, int64 [B] (None for all), and what happens to them; both the host's."""


@dataclass
class RecordedSteps:
    """Tensors that stay, and what is done with them."""

    recordings: Recordings
    tensors: dict[Hashable, Tensor] = field(default_factory=dict)
    work: dict[Hashable, Repeat] = field(default_factory=dict)

    def put(self, name: Hashable, value: Tensor, device: torch.device) -> Tensor:
        """The tensor of that name and this shape, with the content of ``value``."""
        key = name, value.shape, value.dtype
        if key not in self.tensors:
            self.tensors[key] = torch.empty(value.shape, dtype=value.dtype, device=device)
        mine = self.tensors[key]
        if mine is not value:
            mine.copy_(send(value.detach(), device), non_blocking=True)
        return mine

    def do(self, key: Hashable, work: Callable[[], None]) -> None:
        """Does the work of that name; only the first that is given is kept."""
        if key not in self.work:
            self.work[key] = Repeat(work, self.recordings)
        self.work[key]()


@dataclass(frozen=True)
class RecordedTraining(Training):
    """A training whose steps are on a shelf.

    Args:
        shelf: see above.
        plan: see :data:`Plan`.
        images: patches of the poster [P, C, h, w], as the plan chooses from.
        labels: their labels [P, K].
    """

    shelf: RecordedSteps = field(kw_only=True)
    plan: Plan = field(kw_only=True)
    images: Tensor = field(kw_only=True)
    labels: Tensor = field(kw_only=True)

    def _batch(self, step: int) -> tuple[Hashable, list[Tensor], Callable[[], tuple[Tensor, Tensor]]]:
        """The structure of a step, the leaves of its batch, and the batch as a function of tensors on the shelf."""
        device, put = self.images.device, self.shelf.put
        chosen, draw = self.plan(step)
        given = self.images, self.labels
        leaves = [put(name, x, device) for name, x in zip(("images", "labels"), given, strict=True)]
        wanted = tuple(x.requires_grad for x in given)
        mine = None if chosen is None else put("chosen", chosen, device)
        ops = tuple((name, put(("operation", place), u, device)) for place, (name, u) in enumerate(draw.ops))

        def batch() -> tuple[Tensor, Tensor]:
            images, labels = sources
            if mine is not None:
                images, labels = images.index_select(0, mine), labels.index_select(0, mine)
            return Draw(ops)(images), labels

        sources = [leaf.detach().requires_grad_(want) for leaf, want in zip(leaves, wanted, strict=True)]
        shapes = tuple(x.shape for x in (*sources, *(u for _, u in ops)))
        return (tuple(name for name, _ in ops), shapes, None if mine is None else mine.shape, wanted), sources, batch

    def _state(self, name: str, state: State) -> State:
        return tuple(self.shelf.put((name, place), part, part.device) for place, part in enumerate(state))

    def _rate(self, step: int) -> Tensor:
        return self.shelf.put("rate", torch.tensor(self.optimizer.rate(step)), self.images.device)

    def advance(self, state: State, step: int) -> State:
        key, _, batch = self._batch(step)
        mine, rate = self._state("state", state), self._rate(step)

        def work() -> None:
            gradient = self.gradient_of(mine[0], batch, step, False)
            write(mine, self.optimizer.step(mine, gradient.flat(), rate))

        self.shelf.do(("advance", key, mine[0].shape), work)
        return mine

    def retreat(
        self, state: State, step: int, after: State, totals: Sequence[Tensor], sources: Sequence[Tensor]
    ) -> State:
        key, leaves, batch = self._batch(step)
        mine, later, rate = self._state("before", state), self._state("after", after), self._rate(step)
        wanted = [leaf for leaf in leaves if leaf.requires_grad]
        found = [self.shelf.put(("found", place), total, total.device) for place, total in enumerate(totals)]

        def work() -> None:
            gradient = self.gradient_of(mine[0], batch, step, True)
            write(later, self.pull_by(rate, mine, gradient, later, found, wanted))

        self.shelf.do(("retreat", key, mine[0].shape), work)
        write(totals, found)
        return later

    def kept(self, state: State) -> State:
        return tuple(part.clone() for part in state)


def write(to: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    """Copies tensors."""
    for one, value in zip(to, values, strict=True):
        one.copy_(value)

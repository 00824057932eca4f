"""The teacher chooses: of many candidate patches, those that a student learns most from.

A photograph seldom looks like all classes alike: of the first 20,000 patches of a star field, a teacher of digits calls
92 % a 2 or a 3, and a student learns little of the others. Candidates are cheap, so several times as many are made as
are wanted, the teacher looks at each once, and a rule keeps a share. What is kept is a function of teacher, source,
seed and number alone: epoch e of fresh patches is chosen from candidates that belong to it.

A rule is a function ``(classes, margins, count, classes_of_teacher) -> positions``, registered below or given as
``module:Name``.
"""

from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor

from exuno.data.batches import Maker, batches, in_memory
from exuno.data.loader import IN_ORDER
from exuno.data.subset import abbreviated
from exuno.distill.options import DistillConfig, rules
from exuno.distill.source import FreshPatches, Patches
from exuno.engine.errors import ExunoError, tell
from exuno.engine.options import Augment
from exuno.engine.progress import ProgressBar
from exuno.features.cache import Features, cached, key_of
from exuno.models.classifier import Classifier, fuse_batchnorm

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

BATCH = 1024
"""Candidates that the teacher looks at together."""


@rules.register("balanced", summary="as evenly over the teacher's classes as the candidates allow")
def balanced(classes: Ints, margins: Floats, count: int, known: int) -> Ints:
    """Each class as often as the others, the first candidates of each; a class that has fewer gives all of its own.

    Args:
        classes: the teacher's top class of each candidate, [N].
        margins: by how much its logit exceeds the second one, [N].
        count: how many to keep, at most N.
        known: number of the teacher's classes.

    Returns:
        Positions of the kept candidates, rising, [count].
    """
    return _take(np.arange(len(classes)), classes, count, known)


@rules.register("boundary", summary="balanced, and nearest to the teacher's decision boundaries")
def boundary(classes: Ints, margins: Floats, count: int, known: int) -> Ints:
    """As :func:`balanced`, but of each class those with the smallest margin: where the teacher nearly says another
    class, its logits tell most of where one class ends."""
    return _take(np.argsort(margins, kind="stable"), classes, count, known)


def _take(order: Ints, classes: Ints, count: int, known: int) -> Ints:
    """The first of each class in ``order``, as many as its quota."""
    sorted_classes = classes[order]
    by_class = np.argsort(sorted_classes, kind="stable")
    have = np.bincount(classes, minlength=known)
    rank = np.empty(len(classes), np.int64)  # 0, 1, … within each class
    rank[by_class] = np.arange(len(classes)) - np.repeat(np.cumsum(have) - have, have)
    return np.sort(order[rank < quotas(have, count)[sorted_classes]])


def quotas(have: Ints, count: int) -> Ints:
    """How many to take of each class so that ``count`` are taken, none more than it has, as evenly as possible."""
    taken = np.zeros_like(have)
    left, order = count, np.argsort(have, kind="stable")
    for i, each in enumerate(order):  # the rarest first: what it lacks, the others give in equal parts
        taken[each] = min(have[each], left // (len(order) - i))
        left -= taken[each]
    spare = np.flatnonzero(have > taken)[:left]  # what does not divide
    taken[spare] += 1
    return taken


class Chosen(Patches):
    """The patches that the teacher chose.

    Args:
        patches: what makes patches of any number.
        numbers: those that were chosen, epoch after epoch, [E P].
        origin: what says how they were chosen.
    """

    def __init__(self, patches: Patches, numbers: Ints, origin: str) -> None:
        super().__init__(patches.stream, patches.channels, f"{patches.origin} {origin}")
        self.numbers = numbers

    def fetch(self, positions: Ints) -> tuple[Tensor, Tensor]:
        """See :meth:`Patches.fetch`."""
        return super().fetch(self.numbers[positions])


class FreshChosen(Chosen, FreshPatches):
    """The same, where every epoch has patches of its own; ``fetch_draws`` takes positions in all of them."""

    def drawn_on(self, device: torch.device) -> Maker | None:
        """See :meth:`FreshPatches.drawn_on`."""
        maker = super().drawn_on(device)
        return maker and (lambda draws: maker(self.numbers[draws]))


def select(
    config: DistillConfig,
    teacher: Classifier,
    patches: Patches,
    size: tuple[int, int],
    accelerator: Accelerator,
    folder: Path | None,
    epochs: int,
) -> Any:
    """The patches that a rule keeps of ``config.candidates`` times as many.

    Args:
        config: which rule, how many patches and candidates.
        teacher: looks at the candidates as it will in training, before augmentation.
        patches: makes them; fresh or not.
        size: (H, W) in training.
        accelerator: the first process looks, the others read what it found.
        folder: where the choice is kept, so that a continued run does not look again; None keeps none.
        epochs: that get patches of their own, of fresh ones.

    Raises:
        ExunoError: no such rule.
    """
    rule, count = rules.get(config.select), len(patches)
    fresh = isinstance(patches, FreshPatches)
    rounds = epochs if fresh else 1
    pool = FreshPatches(copy(patches.stream), patches.channels, patches.origin)
    pool.stream.length = count * config.candidates
    known = teacher.card.classes

    def look() -> Features:
        kept, have = [], np.zeros(known, np.int64)
        with torch.inference_mode(), ProgressBar("choose patches", len(pool) * rounds, "patches") as bar:
            device = accelerator.device
            frozen = fuse_batchnorm(teacher).to(device)
            how: dict[str, Any] = {"device": device, "workers": config.run.workers, **IN_ORDER}
            loader = batches(pool, BATCH, Augment(), 0, size, **how)
            for epoch in range(rounds):
                tops, margins = [], []
                for batch in loader.epoch(epoch):
                    two = frozen(batch["images"].to(device)).float().topk(min(2, known), 1)
                    tops.append(two.indices[:, 0])
                    margins.append(two.values[:, 0] - two.values[:, -1])
                    bar.advance(len(tops[-1]))
                top, margin = torch.cat(tops).cpu().numpy(), torch.cat(margins).cpu().numpy()
                kept.append(checked(rule(top, margin, count, known), count, len(pool)) + epoch * len(pool))
                have += np.bincount(top, minlength=known)
        tell_absent(have, teacher)
        return torch.zeros(len(kept) * count, 0), torch.from_numpy(np.concatenate(kept))

    shaped = {"rule": config.select, "candidates": config.candidates, "rounds": rounds}
    source: Any = patches
    key = key_of(teacher, teacher.card, source, kind="chosen", size=size, device=accelerator.device.type, **shaped)
    with accelerator.main_process_first():
        _, numbers = cached(folder, f"chosen-{key[:16]}", look)
    chosen = (FreshChosen if fresh else Chosen)(patches, numbers.numpy(), key)
    return chosen if fresh else in_memory(chosen)


def checked(kept: Any, count: int, candidates: int) -> Ints:
    """What a rule answered. Raises ExunoError unless it is ``count`` positions of candidates."""
    kept = np.asarray(kept)
    if kept.shape != (count,) or kept.dtype.kind not in "iu" or kept.min() < 0 or kept.max() >= candidates:
        raise ExunoError(
            f"the rule of --select answered {kept.dtype} {list(kept.shape)}, and {count} positions are wanted",
            f"Let it return {count} integers from 0 to {candidates - 1}.",
        )
    return kept.astype(np.int64)


def tell_absent(have: Ints, teacher: Classifier) -> None:
    """Says which classes no candidate was taken for."""
    names = teacher.card.class_names or [str(i) for i in range(len(have))]
    if absent := [names[i] for i in np.flatnonzero(have == 0)]:
        tell(
            f"the teacher takes no candidate for {abbreviated(absent)}: the student sees no patch that it would call "
            "so; more --candidates or another --source may have some"
        )

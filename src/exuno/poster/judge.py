"""The poster on the way: judged on held-out data as it would be stored, the best one kept, a picture of each."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from exuno.data import rng
from exuno.data.poster import Poster, png
from exuno.engine.files import atomic
from exuno.engine.training import Evaluator
from exuno.poster.bench import Bench
from exuno.poster.method import Distiller
from exuno.poster.protocol import prove
from exuno.poster.sets import Set

Press = Callable[[Tensor, Tensor], Poster]
"""Pixels [C, H, W] and labels (of patches, or the array) -> the poster as it is stored, rounded."""


def judge(held: Set, bench: Bench, press: Press, steps: Sequence[int], networks: int, frames: Path | None) -> Evaluator:
    """An evaluator of the loop that yields ``held/top1``, the mean accuracy of fresh networks on held-out data.

    Args:
        held: images and labels of the distilled space.
        bench: networks and inner options.
        press: see :data:`Press`.
        steps: training steps after which they are tested; the most accurate of them counts.
        networks: how many.
        frames: folder for a picture of each poster that was judged; None for no pictures.
    """

    def run(method: nn.Module, accelerator: Accelerator) -> Iterator[tuple[str, float]]:
        assert isinstance(method, Distiller)
        if accelerator.is_main_process:
            poster = press(method.pixels, method.labels)
            if frames:
                save_frame(poster, frames, method.done)
            best = float(score(poster, held, bench, steps, networks, accelerator.device).max())
            method.remember(best)
            yield "held/top1", best

    return run


def score(
    poster: Poster, held: Set, bench: Bench, steps: Sequence[int], networks: int, device: torch.device
) -> np.ndarray:
    """Mean accuracy on held-out data after each number of steps; not of the networks of the test at the end."""
    images, labels = poster.patches()
    seed = rng.seed_of(bench.seed, "poster/judge")
    proven = prove(images, labels, bench.network, bench.inner, {"held": held}, steps, networks, seed, device)
    return proven.accuracies["held"].mean(0)


def save_frame(poster: Poster, frames: Path, done: int) -> None:
    """Writes a poster as ``frames/STEPS.png``."""
    with atomic(frames / f"{done:09d}.png") as temporary:
        temporary.write_bytes(png(poster.pixels))

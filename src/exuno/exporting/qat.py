"""Quantisation-aware distillation: a network in 8 bits learns to answer as it does in float32, on patches.

The teacher is the network itself, and what it is asked about are new patches of the photographs that calibrated it, so
no data are needed. The forward pass rounds as the file does (Jacob et al., CVPR 2018, section 3), weights and scales
learn through it (:mod:`exuno.exporting.graph`).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from exuno.data.batches import batches
from exuno.data.loader import Batch
from exuno.distill.losses.soft_target import soft_target
from exuno.distill.options import DistillConfig
from exuno.distill.source import open_source
from exuno.distill.untested import NoData
from exuno.engine.errors import ExunoError
from exuno.engine.method import cosine
from exuno.engine.options import Augment
from exuno.engine.progress import ProgressBar
from exuno.exporting.check import example, sides, translating
from exuno.exporting.graph import Graph
from exuno.exporting.options import calibrating
from exuno.models.classifier import Classifier, fuse_batchnorm, match_channels

BATCH = 64
TEMPERATURE = 4.0
WEIGHTS, SCALES = 1e-4, 1e-2
"""Learning rates of Adam at the start of a cosine: of weights, and of the logarithms of scales."""


def adapt(model: Classifier, files: tuple[Path, Path], source: tuple[str, ...], steps: int, root: Path | None) -> None:
    """Train the numbers of a file in 8 bits, and write it anew.

    Args:
        model: the network, in evaluation mode.
        files: in float32, and in 8 bits, made of it.
        source: what it learns on, as ``--source`` of ``exuno distill``.
        steps: of the optimizer, 64 images each.
        root: folder of the benchmark data sets.

    Raises:
        ExunoError: an operator that torch has no form of, or a source that holds no images.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    graph, teacher = Graph(files[1], files[0]).to(device), fuse_batchnorm(model).to(device)
    groups = [
        {"params": [*graph.weights.parameters()], "lr": WEIGHTS},
        {"params": [*graph.factors.parameters()], "lr": SCALES},
    ]
    with translating(model, "a network in 8 bits that torch can train"), torch.no_grad():
        graph(example(model, 2, *sides(model)).to(device))
    optimizer = torch.optim.Adam(groups)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: cosine(1.0, 0.0, step / steps))
    with ProgressBar("8 bits", steps * BATCH, "samples") as bar:
        for _, pixels in zip(range(steps), images(model, source, steps, root, device), strict=False):
            with torch.no_grad():
                target = teacher(pixels)
            loss = soft_target(graph(pixels), target, TEMPERATURE, t2=True)
            if not loss.isfinite():
                raise ExunoError(
                    "--qat diverged: the network's answers in 8 bits are not finite",
                    "Leave it out, or give more --calibration-images.",
                )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            bar.advance(len(pixels), f"loss {loss.item():.4f}")
    graph.write(files[1])


def calibration_source(
    model: Classifier, source: tuple[str, ...], count: int, root: Path | None, fresh: bool = False
) -> Any:
    """What ``--calibrate`` names, opened for a network as ``exuno distill`` opens its ``--source``.

    Args:
        model: whose size and channels the images have.
        source: photographs, a folder or a data spec.
        count: of patches, if it is photographs.
        root: folder of the benchmark data sets.
        fresh: patches are others in every epoch.

    Raises:
        ExunoError: a source that is not there, or holds no images.
    """
    plan = DistillConfig(teacher="", student="", source=source, data_root=root, patches=count, fresh=fresh)
    return open_source(plan, NoData(model.card), model.card.input_size, model.card.in_chans)


def images(
    model: Classifier, source: tuple[str, ...], steps: int, root: Path | None, device: torch.device
) -> Iterator[Tensor]:
    """Batches [64, C, H, W] in [0, 1] without end, of the network's own size and channels: patches of photographs, each
    of which comes once, or the images of a training set, shuffled."""
    with calibrating():
        found = calibration_source(model, source, steps * BATCH, root, fresh=True)
        loader = batches(found, BATCH, Augment(), 0, model.card.input_size, device=device)
    epoch = 0
    while True:
        each: Batch
        for each in loader.epoch(epoch):
            yield match_channels(each["images"], model.card.in_chans).contiguous()
        epoch += 1

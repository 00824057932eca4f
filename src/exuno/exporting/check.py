"""What is written is compared with torch before it is kept: on images and recordings of several sizes, in several
batches."""

import contextlib
import copy
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from exuno.engine.errors import ExunoError, first_line
from exuno.models.card import ModelCard
from exuno.models.classifier import NAMES, Classifier

TOLERANCE = 1e-4
"""Largest difference from torch's logits, relative to the largest of them where that is above 1."""

Size = tuple[int, ...]
"""Batch and sides of an input."""


@dataclass(frozen=True)
class Written:
    """A format in which a network was written."""

    file: str
    """In the folder of the model."""
    difference: float
    """Largest difference of a logit from torch's."""
    any_size: bool
    """Whether it takes inputs of any size, and resizes them; else of the network's own alone."""
    run: Callable[[Tensor], Any]
    """Input -> logits [B, classes], by what was written."""
    batch: str = "any"
    """Inputs that it takes at once."""


def signature(card: ModelCard) -> tuple[str, str]:
    """Name of the input, and its axes after the batch."""
    if card.hearing:
        return "recordings", "1, samples"
    frames = f"{card.frames}, " if card.frames else ""
    return "pixels", f"{card.in_chans}, {frames}height, width"


def sides(model: Classifier) -> tuple[int, ...]:
    """Height and width, or length, of what it takes."""
    return (model.card.hearing.length,) if model.card.hearing else model.card.input_size


def free_sizes(first: int, *width: int) -> list[Size]:
    """Sizes to compare at, of formats that take any: the network's own, then larger and smaller ones."""
    return [
        (1, first, *width),
        (3, 2 * first + 3, *(side + side // 2 for side in width)),
        (2, max(first // 2, 1), *width),
    ]


def own_sizes(*own: int) -> list[Size]:
    """Likewise of formats that take the network's own size alone."""
    return [(batch, *own) for batch in (1, 3, 2)]


def example(model: Classifier, batch: int, *size: int) -> Tensor:
    """Random input: pixels in [0, 1], recordings in [-1, 1]."""
    random, card = torch.Generator().manual_seed(0), model.card
    axes = (1,) if card.hearing else (card.in_chans, card.frames) if card.frames else (card.in_chans,)
    values = torch.rand(batch, *axes, *size, generator=random)
    return 2 * values - 1 if card.hearing else values


def traced(model: Classifier) -> tuple[Tensor, dict[int, Any]]:
    """An example for torch.export and the axes of it that are free: not the network's own size, nor equal sides, which
    would be taken for one."""
    own = sides(model)
    values = example(model, 2, *(side + 9 - 4 * axis for axis, side in enumerate(own)))
    free = (0, *range(values.ndim - len(own), values.ndim))
    return values, dict.fromkeys(free, torch.export.Dim.DYNAMIC)


def in_plain_layout(model: Classifier) -> Classifier:
    """A copy that leaves tensors as they lie, for formats that know one layout."""
    copied = copy.deepcopy(model)
    copied.layout = torch.contiguous_format
    return copied.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]


def compare(model: Classifier, run: Callable[[Tensor], Any], form: str, sizes: Sequence[Size]) -> float:
    """The largest difference of a logit from torch's.

    Args:
        model: in evaluation mode, on the CPU.
        run: input -> logits [B, classes] of what was written.
        form: what the format is called, for messages.
        sizes: at which they are compared.

    Raises:
        ExunoError: a difference above the tolerance.
    """
    return max(_difference(model, run, form, *size) for size in sizes)


def _difference(model: Classifier, run: Callable[[Tensor], Any], form: str, batch: int, *size: int) -> float:
    values = example(model, batch, *size)
    with torch.inference_mode():
        expected = model(values).numpy()
    difference = float(np.abs(np.asarray(run(values)) - expected).max())
    if not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
        raise ExunoError(
            f"the {form} form of {model.card.arch} computes something else: for {batch} {NAMES[model.ndim]} of "
            f"{'x'.join(map(str, reversed(size)))} its logits differ from torch's by up to {difference:.2g} (the "
            f"largest is {np.abs(expected).max():.3g})",
            "It was not written; leave out this format.",
        )
    return difference


@contextlib.contextmanager
def translating(model: Classifier, form: str) -> Iterator[None]:
    """Without the remarks of exporters on their own insides; what they cannot do is told as a mistake.

    Raises:
        ExunoError: the network has no form there.
    """
    before = logging.root.manager.disable
    with warnings.catch_warnings(), Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        except ExunoError:
            raise
        except Exception as error:  # every exporter has exceptions of its own for all it lacks
            raise ExunoError(
                f"{model.card.arch} cannot be written as {form}: {first_line(error)}",
                "Leave out this format; the other files do not need it.",
            ) from error
        finally:
            logging.disable(before)

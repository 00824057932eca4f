"""A model with its preprocessing as one ONNX file: pixels or recordings in, logits out, any batch, any size."""

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from exuno.engine.errors import ExunoError
from exuno.engine.files import atomic
from exuno.models.card import ModelCard
from exuno.models.classifier import NAMES, Classifier

TOLERANCE = 1e-4
"""Largest difference from torch's logits, relative to the largest of them where that is above 1."""


def signature(card: ModelCard) -> tuple[str, str]:
    """Name of the input, and its axes after the batch."""
    if card.hearing:
        return "recordings", "1, samples"
    frames = f"{card.frames}, " if card.frames else ""
    return "pixels", f"{card.in_chans}, {frames}height, width"


def write_onnx(model: Classifier, path: Path) -> float:
    """Write ``model`` (in evaluation mode, on the CPU) as ONNX and compare it with torch.

    The input ``pixels`` is float32 [batch, C, height, width] in [0, 1], or [batch, C, frames, height, width] for a
    model of clips; for one of recordings it is ``recordings`` [batch, 1, samples] in [-1, 1], at the model's rate. The
    output ``logits`` is [batch, classes]. Batch, height, width and samples are free; resizing and normalisation, or
    the spectrogram, are inside.

    Returns:
        The largest difference of a logit from torch's, over several sizes and batches.

    Raises:
        ExunoError: the extra is missing, the network has no form in ONNX, or it computes something else there.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401, used by torch.onnx
        from onnx_ir.passes.common import NameFixPass
    except ImportError as error:
        raise ExunoError(f"ONNX needs {error.name}, which is not installed", 'pip install "exuno[onnx]"') from None
    own, (name, _) = _sides(model), signature(model.card)
    # Not its own size, at which resizing would be left out, nor equal sides, which would be taken for one.
    example = _example(model, 2, *(side + 9 - 4 * axis for axis, side in enumerate(own)))
    free = (0, *range(example.ndim - len(own), example.ndim))
    try:
        with _quiet():
            program = torch.onnx.export(
                model,
                (example,),
                input_names=[name],
                output_names=["logits"],
                dynamic_shapes=(dict.fromkeys(free, torch.export.Dim.DYNAMIC),),
                dynamo=True,
                verbose=False,
                optimize=not model.card.hearing,
            )
    except Exception as error:  # torch.export and its translation have exceptions of their own for all they lack
        raise ExunoError(
            f"{model.card.arch} cannot be written as ONNX: {(str(error).strip().splitlines() or [''])[0]}",
            "Leave out --onnx; the other files need no ONNX.",
        ) from error
    assert program is not None
    if model.card.hearing:
        # The optimizer, which also makes names unique, leaves out additions below 1e-8; silence needs one of 1e-12.
        NameFixPass()(program.model)
    with atomic(path) as temporary:
        program.save(temporary, external_data=False)
        session = onnxruntime.InferenceSession(temporary, providers=["CPUExecutionProvider"])
        return max(_difference(model, session, *size) for size in _sizes(*own))


def _sides(model: Classifier) -> tuple[int, ...]:
    """Height and width, or length, of what it takes."""
    return (model.card.hearing.length,) if model.card.hearing else model.card.input_size


def _sizes(first: int, *width: int) -> list[tuple[int, ...]]:
    """Batch and sides: the network's own, then larger and smaller ones."""
    return [
        (1, first, *width),
        (3, 2 * first + 3, *(side + side // 2 for side in width)),
        (2, max(first // 2, 1), *width),
    ]


def _difference(model: Classifier, session: Any, batch: int, *sides: int) -> float:
    """Largest difference of a logit; raises ExunoError above the tolerance."""
    example = _example(model, batch, *sides)
    with torch.inference_mode():
        expected = model(example).numpy()
    (found,) = session.run(["logits"], {signature(model.card)[0]: example.numpy()})
    difference = float(np.abs(found - expected).max())
    if not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
        raise ExunoError(
            f"the ONNX form of {model.card.arch} computes something else: for {batch} {NAMES[model.ndim]} of "
            f"{'x'.join(map(str, reversed(sides)))} its logits differ from torch's by up to {difference:.2g} (the "
            f"largest is {np.abs(expected).max():.3g})",
            "It was not written; leave out --onnx.",
        )
    return difference


def _example(model: Classifier, batch: int, *sides: int) -> Tensor:
    """Random input: pixels in [0, 1], recordings in [-1, 1]."""
    random, card = torch.Generator().manual_seed(0), model.card
    axes = (1,) if card.hearing else (card.in_chans, card.frames) if card.frames else (card.in_chans,)
    example = torch.rand(batch, *axes, *sides, generator=random)
    return 2 * example - 1 if card.hearing else example


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks on its own insides."""
    with warnings.catch_warnings(), Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        warnings.simplefilter("ignore")
        before = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)

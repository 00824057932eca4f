"""A model with its preprocessing as one ONNX file: pixels in, logits out, any batch, any size."""

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from exuno.engine.errors import ExunoError
from exuno.engine.files import atomic
from exuno.models.classifier import Classifier

TOLERANCE = 1e-4
"""Largest difference from torch's logits, relative to the largest of them where that is above 1."""


class Clips(nn.Module):
    """A classifier of clips whose batch stays symbolic: each frame is prepared as a single image."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        assert model.card.frames
        self.frames = model.card.frames
        self.image = Classifier(nn.Identity(), replace(model.card, frames=None))
        self.net = model.net

    def forward(self, clips: Tensor) -> Tensor:
        """Clips [B, C, frames, H, W] in [0, 1] -> logits [B, classes]."""
        images = self.image(clips.transpose(1, 2).flatten(0, 1))
        return self.net(images.unflatten(0, (-1, self.frames)).transpose(1, 2))


def write_onnx(model: Classifier, path: Path) -> float:
    """Write ``model`` (in evaluation mode, on the CPU) as ONNX and compare it with torch.

    The input ``pixels`` is float32 [batch, C, height, width] in [0, 1], or [batch, C, frames, height, width] for a
    model of clips; the output ``logits`` is [batch, classes]. Batch, height and width are free; resizing and
    normalisation are inside.

    Returns:
        The largest difference of a logit from torch's, over several sizes and batches.

    Raises:
        ExunoError: the extra is missing, the network has no form in ONNX, or it computes something else there.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401, used by torch.onnx
    except ImportError as error:
        raise ExunoError(f"ONNX needs {error.name}, which is not installed", 'pip install "exuno[onnx]"') from None
    if model.ndim == 3:
        raise ExunoError(f"{model.card.arch} hears recordings, which are not written as ONNX", "Leave out --onnx.")
    height, width = model.card.input_size
    example = _pixels(model, 2, height + 9, width + 5)  # not its own size, at which the resizing would be left out
    free = {0: torch.export.Dim.DYNAMIC, example.ndim - 2: torch.export.Dim.DYNAMIC}
    free[example.ndim - 1] = torch.export.Dim.DYNAMIC
    try:
        with _quiet():
            program = torch.onnx.export(
                Clips(model) if model.card.frames else model,
                (example,),
                input_names=["pixels"],
                output_names=["logits"],
                dynamic_shapes=(free,),
                dynamo=True,
                verbose=False,
            )
    except Exception as error:  # torch.export and its translation have exceptions of their own for all they lack
        raise ExunoError(
            f"{model.card.arch} cannot be written as ONNX: {(str(error).strip().splitlines() or [''])[0]}",
            "Leave out --onnx; the other files need no ONNX.",
        ) from error
    assert program is not None
    with atomic(path) as temporary:
        program.save(temporary, external_data=False)
        session = onnxruntime.InferenceSession(temporary, providers=["CPUExecutionProvider"])
        return max(_difference(model, session, *size) for size in _sizes(height, width))


def _sizes(height: int, width: int) -> list[tuple[int, int, int]]:
    """Batch, height and width: its own size, then larger and smaller images."""
    return [(1, height, width), (3, 2 * height + 3, width + width // 2), (2, max(height // 2, 1), width)]


def _difference(model: Classifier, session: Any, batch: int, height: int, width: int) -> float:
    """Largest difference of a logit; raises ExunoError above the tolerance."""
    pixels = _pixels(model, batch, height, width)
    with torch.inference_mode():
        expected = model(pixels).numpy()
    (found,) = session.run(["logits"], {"pixels": pixels.numpy()})
    difference = float(np.abs(found - expected).max())
    if not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
        raise ExunoError(
            f"the ONNX form of {model.card.arch} computes something else: for {batch} images of {width}x{height} its "
            f"logits differ from torch's by up to {difference:.2g} (the largest is {np.abs(expected).max():.3g})",
            "It was not written; leave out --onnx.",
        )
    return difference


def _pixels(model: Classifier, batch: int, height: int, width: int) -> Tensor:
    frames = (model.card.frames,) if model.card.frames else ()
    random = torch.Generator().manual_seed(0)
    return torch.rand(batch, model.card.in_chans, *frames, height, width, generator=random)


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

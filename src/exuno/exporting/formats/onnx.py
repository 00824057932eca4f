"""A model with its preprocessing as one ONNX file: pixels or recordings in, logits out, any batch, any size."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from exuno.engine.files import atomic
from exuno.exporting.check import Written, compare, free_sizes, sides, signature, traced, translating
from exuno.exporting.options import formats
from exuno.models.card import ModelCard
from exuno.models.classifier import Classifier

FILE = "model.onnx"


@formats.register("onnx", needs=("onnx", "onnxscript", "onnxruntime"), install='pip install "exuno[onnx]"')
def onnx(model: Classifier, folder: Path) -> Written:
    """Write ``model.onnx``: see :func:`write_onnx`."""
    difference = write_onnx(model, folder / FILE)
    return Written(FILE, difference, any_size=True, run=runner(folder / FILE, model.card))


def write_onnx(model: Classifier, path: Path) -> float:
    """Write ``model`` (in evaluation mode, on the CPU) as ONNX and compare it with torch.

    The input ``pixels`` is float32 [batch, C, height, width] in [0, 1], or [batch, C, frames, height, width] for a
    model of clips; for one of recordings it is ``recordings`` [batch, 1, samples] in [-1, 1], at the model's rate. The
    output ``logits`` is [batch, classes]. Batch, height, width and samples are free; resizing and normalisation, or
    the spectrogram, are inside.

    Returns:
        The largest difference of a logit from torch's, over several sizes and batches.

    Raises:
        ExunoError: the network has no form in ONNX, or it computes something else there.
    """
    from onnx_ir.passes.common import NameFixPass

    values, free = traced(model)
    with translating(model, "ONNX"):
        program = torch.onnx.export(
            model,
            (values,),
            input_names=[signature(model.card)[0]],
            output_names=["logits"],
            dynamic_shapes=(free,),
            dynamo=True,
            verbose=False,
            optimize=not model.card.hearing,
        )
    assert program is not None
    if model.card.hearing:
        # The optimizer, which also makes names unique, leaves out additions below 1e-8; silence needs one of 1e-12.
        NameFixPass()(program.model)
    with atomic(path) as temporary:
        program.save(temporary, external_data=False)
        return compare(model, runner(temporary, model.card), "ONNX", free_sizes(*sides(model)))


def runner(path: Path, card: ModelCard) -> Callable[[Tensor], Any]:
    """What an ONNX file of ours answers on the CPU: input as of the model, in its channels -> logits [B, classes]."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # what it thinks of a graph is no concern of the user's
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = signature(card)[0]
    return lambda values: session.run(["logits"], {name: values.numpy()})[0]

"""A model with its preprocessing as a program of torch.export: loads where torch is, without exuno or the network's
source."""

from pathlib import Path

import torch

from exuno.engine.files import atomic
from exuno.exporting.check import Written, compare, free_sizes, sides, traced, translating
from exuno.exporting.options import formats
from exuno.models.classifier import Classifier

FILE = "model.pt2"


@formats.register("torch-export")
def torch_export(model: Classifier, folder: Path) -> Written:
    """Write ``model.pt2``, which ``torch.export.load`` opens: inputs and output as in ONNX, any batch and any size.

    Raises:
        ExunoError: the network cannot be traced, or the program computes something else.
    """
    values, free = traced(model)
    with translating(model, "torch.export"), torch.no_grad(), atomic(folder / FILE) as temporary:
        program = torch.export.export(model, (values,), dynamic_shapes=(free,))
        with temporary.open("wb") as file:
            torch.export.save(program, file)
        with temporary.open("rb") as file:
            loaded = torch.export.load(file).module()
        difference = compare(model, loaded, "torch.export", free_sizes(*sides(model)))
    return Written(FILE, difference, any_size=True, run=loaded)

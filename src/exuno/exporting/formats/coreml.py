"""A model as a Core ML package, for Apple's devices."""

import platform
from pathlib import Path
from typing import Any

import torch

from exuno.engine.errors import ExunoError
from exuno.engine.files import atomic_folder
from exuno.exporting.check import Written, compare, example, in_plain_layout, own_sizes, sides, signature, translating
from exuno.exporting.options import formats
from exuno.models.classifier import Classifier

FOLDER = "model.mlpackage"


@formats.register("coreml", needs=("coremltools",), install="pip install coremltools")
def coreml(model: Classifier, folder: Path) -> Written:
    """Write ``model.mlpackage``, an ML program in float32: one input at a time, of the network's own size.

    Raises:
        ExunoError: this is no Mac, the network has no form there, or it computes something else.
    """
    if platform.system() != "Darwin":
        raise ExunoError(
            f"Core ML runs on macOS alone, and this is {platform.system()}: what is written could not be compared",
            "Give the same command on a Mac, or choose another format.",
        )
    own = sides(model)
    with translating(model, "Core ML"), atomic_folder(folder / FOLDER) as temporary:
        program = converted(model)
        program.save(str(temporary / FOLDER))
        name = signature(model.card)[0]

        def run(values: torch.Tensor) -> torch.Tensor:
            answers = [program.predict({name: value[None].numpy()})["logits"] for value in values]
            return torch.cat([torch.as_tensor(answer) for answer in answers])

        difference = compare(model, run, "Core ML", own_sizes(*own))
        for part in (temporary / FOLDER).iterdir():
            part.rename(temporary / part.name)
        (temporary / FOLDER).rmdir()
    return Written(FOLDER, difference, any_size=False, run=run, batch="1")


def converted(model: Classifier) -> Any:
    """The model as coremltools makes it; only a Mac can run it."""
    import coremltools as ct  # pyright: ignore[reportMissingImports]

    values = example(model, 1, *sides(model))
    with torch.no_grad():
        program = torch.export.export(in_plain_layout(model), (values,)).run_decompositions({})
    return ct.convert(
        program,
        inputs=[ct.TensorType(name=signature(model.card)[0], shape=tuple(values.shape))],
        outputs=[ct.TensorType(name="logits")],
        convert_to="mlprogram",
        compute_precision=ct.precision.FLOAT32,
        minimum_deployment_target=ct.target.iOS16,
    )

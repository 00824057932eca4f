"""A model as a LiteRT file (TensorFlow Lite's successor), for Android and microcontrollers."""

from pathlib import Path

import torch

from exuno.engine.files import atomic
from exuno.exporting.check import Written, compare, example, in_plain_layout, own_sizes, sides, translating
from exuno.exporting.options import formats
from exuno.models.classifier import Classifier

FILE = "model.tflite"


@formats.register("litert", needs=("litert_torch", "ai_edge_litert"), install="pip install litert-torch")
def litert(model: Classifier, folder: Path) -> Written:
    """Write ``model.tflite``: one input at a time, of the network's own size.

    Raises:
        ExunoError: the network has no form there, or it computes something else.
    """
    import litert_torch  # pyright: ignore[reportMissingImports]
    from ai_edge_litert.interpreter import Interpreter  # pyright: ignore[reportMissingImports]

    own = sides(model)
    with translating(model, "LiteRT"), atomic(folder / FILE) as temporary:
        litert_torch.convert(in_plain_layout(model), (example(model, 1, *own),)).export(str(temporary))
        signature = Interpreter(model_content=temporary.read_bytes()).get_signature_runner()
        [name] = signature.get_input_details()
        [output] = signature.get_output_details()

        def run(values: torch.Tensor) -> torch.Tensor:
            answers = [torch.from_numpy(signature(**{name: value[None].numpy()})[output].copy()) for value in values]
            return torch.cat(answers)

        difference = compare(model, run, "LiteRT", own_sizes(*own))
    return Written(FILE, difference, any_size=False, run=run, batch="1")

"""A model as a program of ExecuTorch, PyTorch's runtime for phones, with XNNPACK's kernels for processors."""

from pathlib import Path

import torch

from exuno.engine.files import atomic
from exuno.exporting.check import Written, compare, example, in_plain_layout, own_sizes, sides, translating
from exuno.exporting.options import formats
from exuno.models.classifier import Classifier

FILE = "model.pte"
LARGEST = 64
"""Images of a batch: ExecuTorch plans its memory beforehand."""


@formats.register("executorch", needs=("executorch",), install="pip install executorch")
def executorch(model: Classifier, folder: Path) -> Written:
    """Write ``model.pte``: batches of 1 to 64, at the network's own size.

    Raises:
        ExunoError: the network has no form there, or it computes something else.
    """
    from executorch.backends.xnnpack.partition import xnnpack_partitioner  # pyright: ignore[reportMissingImports]
    from executorch.exir import to_edge_transform_and_lower  # pyright: ignore[reportMissingImports]
    from executorch.runtime import Runtime  # pyright: ignore[reportMissingImports]

    own = sides(model)
    free = ({0: torch.export.Dim("batch", min=1, max=LARGEST)},)
    with translating(model, "ExecuTorch"), torch.no_grad():
        # Memory is planned for the batch of the example, whatever the Dim says (ExecuTorch 1.5).
        exported = torch.export.export(in_plain_layout(model), (example(model, LARGEST, *own),), dynamic_shapes=free)
        kernels = [xnnpack_partitioner.XnnpackPartitioner()]
        lowered = to_edge_transform_and_lower(exported, partitioner=kernels).to_executorch()
    with atomic(folder / FILE) as temporary:
        temporary.write_bytes(lowered.buffer)
        with translating(model, "ExecuTorch"):
            # A method reads the bytes of its program and does not keep it: whoever lets go of that reads freed memory.
            program = Runtime.get().load_program(temporary.read_bytes())
            run = lambda x: program.load_method("forward").execute([x])[0]  # noqa: E731
            difference = compare(model, run, "ExecuTorch", [*own_sizes(*own), (LARGEST, *own)])
    return Written(FILE, difference, any_size=False, run=run, batch=f"1 to {LARGEST}")

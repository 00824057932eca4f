"""A model as OpenVINO's intermediate representation, for Intel's processors and accelerators."""

from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from exuno.engine.files import atomic_folder
from exuno.exporting.check import Written, compare, own_sizes, sides, translating
from exuno.exporting.formats.onnx import FILE as ONNX
from exuno.exporting.formats.onnx import write_onnx
from exuno.exporting.options import formats
from exuno.models.classifier import Classifier

FOLDER, FILE = "openvino", "model.xml"


@formats.register(
    "openvino",
    needs=("openvino", "onnx", "onnxscript", "onnxruntime"),
    install='pip install openvino "exuno[onnx]"',
)
def openvino(model: Classifier, folder: Path) -> Written:
    """Write ``openvino/model.xml`` and ``model.bin`` by way of ONNX, in float32: any batch, at the network's own size,
    because OpenVINO resizes without antialiasing.

    Raises:
        ExunoError: the network has no form there, or it computes something else.
    """
    ov: Any = import_module("openvino")

    with TemporaryDirectory() as scratch:
        source = folder / ONNX
        if not source.is_file():
            source = Path(scratch) / ONNX
            write_onnx(model, source)
        with translating(model, "OpenVINO"):
            converted = ov.convert_model(source)
            axes = converted.inputs[0].partial_shape
            own = sides(model)
            converted.reshape([-1, *(axes[i] for i in range(1, len(axes) - len(own))), *own])
    with atomic_folder(folder / FOLDER) as temporary:
        ov.save_model(converted, temporary / FILE, compress_to_fp16=False)
        precise = {"INFERENCE_PRECISION_HINT": "f32", "CACHE_DIR": ""}  # newer processors calculate in bfloat16 else
        with translating(model, "OpenVINO"):
            compiled = ov.Core().compile_model(temporary / FILE, "CPU", precise)
            run = lambda x: compiled(x.numpy())[0]  # noqa: E731
            difference = compare(model, run, "OpenVINO", own_sizes(*own))
    return Written(f"{FOLDER}/{FILE}", difference, any_size=False, run=run)

"""Post-training static quantisation of an ONNX file to 8 bits, calibrated on patches of a photograph.

Weights are int8 with a scale for each output channel, activations int8 with a scale and a zero point for each tensor:
the range that it had over the calibration images (Jacob et al., CVPR 2018, section 3; ONNX Runtime's QDQ form). No
labels are needed, and no data that the network was trained on. What that loses, the network can learn to do without:
:mod:`exuno.exporting.qat`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from exuno.engine.errors import ExunoError
from exuno.engine.files import atomic
from exuno.engine.session import Subset
from exuno.evaluate.measure import match_labels, ordered_batches, record
from exuno.exporting.check import translating
from exuno.exporting.formats.onnx import FILE as ONNX
from exuno.exporting.formats.onnx import runner
from exuno.exporting.options import ExportConfig, calibrating
from exuno.exporting.qat import adapt, calibration_source
from exuno.metrics import Summary, agreement
from exuno.models.classifier import NAMES, Classifier, match_channels

FILE = "model-int8.onnx"
OPERATORS = ("Conv", "Gemm", "MatMul", "Add", "Relu", "MaxPool", "AveragePool", "GlobalAveragePool", "ReduceMean")
"""What calculates in 8 bits. Resizing and normalisation, which come first, and what else there is stay in float32."""
CHUNK = 50
"""Calibration images that the network sees at once: all its activations are in memory."""


@dataclass(frozen=True)
class Form:
    """A network in float32 or in 8 bits."""

    name: str
    size: int
    """Bytes of its file."""
    agreement: float
    """Share of its predictions on the calibration images that are those of float32."""
    measured: Summary | None = None
    """On labelled data, if there are any."""


@dataclass(frozen=True)
class Quantised:
    """A network in 8 bits, beside itself in float32."""

    forms: list[Form]
    """In float32, as it was calibrated, and as it learned after that, if it did."""
    images: int
    """Images of the calibration."""
    steps: int
    """That it learned."""
    data: str = ""
    """Labelled data on which all were measured; empty if on none."""
    why: str = ""
    """Why they were not measured."""


class Answers(nn.Module):
    """An ONNX file in the place of its model: pixels [B, C, H, W] in [0, 1], gray or RGB -> logits [B, classes]."""

    def __init__(self, model: Classifier, path: Path) -> None:
        super().__init__()
        self.card, self.run = model.card, runner(path, model.card)

    def forward(self, pixels: Tensor) -> Tensor:
        return torch.from_numpy(self.run(match_channels(pixels, self.card.in_chans).contiguous()))


def check_quantisable(model: Classifier) -> None:
    """Raises ExunoError for a network of clips or recordings."""
    if model.ndim != 4:
        raise ExunoError(
            f"{model.card.arch} takes {NAMES[model.ndim]}, and --int8 is for networks of single images",
            "Leave out --int8; --format onnx writes it in float32.",
        )


def calibration_images(
    model: Classifier, source: tuple[str, ...], count: int, root: Path | None = None
) -> list[NDArray[np.float32]]:
    """Images from which the ranges of activations are told, in chunks [at most 50, C, H, W] in [0, 1], of the network's
    own size and channels: patches of photographs as ``exuno distill`` makes them by default, or images spread over a
    training set.

    Raises:
        ExunoError: a source that is not there, or holds no images.
    """
    with calibrating():
        found = ordered_batches(Subset(calibration_source(model, source, count, root), count), model.card.input_size)
        whole = [match_channels(batch["images"], model.card.in_chans) for batch in found.epoch(0)]
    return [chunk.contiguous().numpy() for chunk in torch.cat(whole).split(CHUNK)]


def quantise(source: Path, target: Path, images: Iterable[NDArray[np.float32]]) -> None:
    """Write ``source``, an ONNX file of ours, in 8 bits to ``target``.

    Args:
        images: of the calibration, in chunks [B, C, H, W] in [0, 1].
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        chunks: Iterator[dict[str, Any]] = iter([{"pixels": chunk} for chunk in images])

        def get_next(self) -> dict[str, Any] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
            return next(self.chunks, None)

    with atomic(target) as temporary:
        quantize_static(
            source,
            temporary,
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(OPERATORS),
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
        )


def write_int8(model: Classifier, folder: Path, config: ExportConfig) -> Quantised:
    """Write model-int8.onnx beside model.onnx and hold the two against each other.

    Args:
        model: in evaluation mode, on the CPU.
        folder: holds model.onnx.
        config: says what to calibrate and to measure on.

    Raises:
        ExunoError: nothing to calibrate on, data that were named and do not fit, or a network that has no such form.
    """
    images = calibration_images(model, config.calibrate, config.calibration_images, config.data_root)
    files = folder / ONNX, folder / FILE
    test, why = None, ""
    try:
        test = open_test(model, config)
    except ExunoError as error:
        if config.data is not None:
            raise
        why = error.what
    whole = [torch.from_numpy(chunk) for chunk in images]
    expected = _ask(Answers(model, files[0]), whole)

    def form(name: str, file: Path) -> Form:
        answers = Answers(model, file)
        same = agreement(expected, _ask(answers, whole)).top1
        summary = record(None, "", answers, *test, torch.device("cpu"))[0] if test else None  # pyright: ignore
        return Form(name, file.stat().st_size, same, summary)

    with translating(model, "int8"):
        quantise(*files, images)
    forms = [form(f"`{ONNX}`", files[0])]
    if config.qat:
        forms.append(form("in 8 bits, as calibrated", files[1]))
        adapt(model, files, config.calibrate, config.qat, config.data_root)
    forms.append(form(f"`{FILE}`", files[1]))
    return Quantised(forms, sum(map(len, images)), config.qat, test[0].name if test else "", why)


def _ask(answers: Answers, images: list[Tensor]) -> NDArray[np.float32]:
    with torch.inference_mode():
        return np.concatenate([answers(chunk).numpy() for chunk in images])


def open_test(model: Classifier, config: ExportConfig) -> tuple[Any, tuple[int, int]]:
    """Labelled data that a network is measured on, and the size of their images.

    Raises:
        ExunoError: none are known, or they are not at hand, or do not fit.
    """
    from exuno.data.holdout import check_seen, open_held
    from exuno.evaluate.eval import complete
    from exuno.evaluate.options import EvalConfig
    from exuno.training import size_of

    known = complete(EvalConfig(model=config.model, data=config.data, data_root=config.data_root))
    assert known.data is not None
    test = open_held(known.data, known.split, known.data_root, known.held)
    check_seen(config.model, model.card.lineage, known.data, known.data_root, known.held)
    return match_labels(model, test, "the model"), size_of(known, test)

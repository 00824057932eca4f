"""What a network keeps in other formats and in 8 bits, and how fast they are.

    taskset -c 0 python benchmarks/export.py --model run:runs/digits --data digits --formats torch-export openvino

A row for each format, with the size of its files, top-1 on the whole test set and the largest difference of a logit to
torch's. Under ``taskset -c 0`` everything runs on one core. Speed is measured for all rows in turns, so often, and told
as median, smallest and largest.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from common import record, spread
from exuno.evaluate.measure import match_labels, ordered_batches
from exuno.exporting.formats.onnx import runner
from exuno.exporting.int8 import calibration_images, quantise
from exuno.exporting.options import formats
from exuno.exporting.packages import check_packages
from exuno.metrics import predict, wilson_interval
from exuno.models.classifier import Classifier, match_channels
from exuno.models.load import load_model

BATCH = 50
Run = Callable[[Tensor], Any]
Row = dict[str, object]


class Bench:
    """A model, its test set, and what torch answers."""

    def __init__(self, spec: str, data: str, root: Path | None) -> None:
        from exuno.data.open import open_data

        self.model: Classifier = load_model(spec, pretrained=True).eval()
        test = match_labels(self.model, open_data(data, "test", root=root), "the model")
        loaded = list(ordered_batches(test, self.model.card.input_size).epoch(0))
        pixels = torch.cat([match_channels(batch["images"], self.model.card.in_chans) for batch in loaded])
        self.batches = [each.contiguous() for each in pixels.split(BATCH)]
        self.labels = torch.cat([batch["labels"] for batch in loaded]).numpy()
        self.torch = self.ask(self.answer)

    def answer(self, pixels: Tensor) -> Tensor:
        return self.model(pixels)

    def ask(self, run: Run, batch: int = BATCH) -> NDArray[np.float32]:
        """Logits [N, C] of the test set; ``batch``: images at once, no more than 50."""
        return np.concatenate([np.asarray(run(part)) for each in self.batches for part in each.split(batch)])


@dataclass(frozen=True)
class Form:
    """A form of the network."""

    name: str
    size: int
    """Bytes."""
    run: Run
    batch: int = BATCH
    """The most that it takes at once."""


def forms(bench: Bench, names: list[str], calibration: str, root: Path | None, folder: Path) -> list[Form]:
    """The network in every form; ``names``: of formats besides ONNX, ``calibration``: of 100 images."""
    weights = sum(each.numel() for each in bench.model.state_dict().values()) * 4
    found = [Form("fp32, torch", weights, bench.answer)]
    for name in ("onnx", *names):
        check_packages(name)
        written = formats.get(name)(bench.model, folder)
        path = folder / written.file
        path = path.parent if path.parent != folder else path
        files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
        size, batch = sum(each.stat().st_size for each in files), 1 if written.batch == "1" else BATCH
        found.append(Form(f"fp32, {name}", size, written.run, batch))
    small, anew = folder / "small.onnx", folder / "dynamic.onnx"
    quantise(folder / "model.onnx", small, calibration_images(bench.model, (calibration,), 100, root))
    dynamic(folder / "model.onnx", anew)
    for name, path in ((f"int8, onnx, 100 of {calibration}", small), ("int8, onnx, dynamic", anew)):
        found.append(Form(name, path.stat().st_size, runner(path, bench.model.card)))
    if "openvino" in names:
        found.append(Form("int8, openvino, the same file", small.stat().st_size, in_openvino(bench.model, small)))
    return found


def in_openvino(model: Classifier, path: Path) -> Run:
    """An ONNX file, run by OpenVINO at the network's own size."""
    ov: Any = import_module("openvino")
    converted = ov.convert_model(path)
    converted.reshape([-1, model.card.in_chans, *model.card.input_size])
    compiled = ov.Core().compile_model(
        converted, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    )
    return lambda pixels: compiled(pixels.numpy())[0]


def dynamic(source: Path, target: Path) -> None:
    """8 bits without calibration: ranges of activations told anew for each batch."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    whole = onnx.load(source)
    del whole.graph.value_info[:]  # it turns the weights of the last layer round, and then finds old shapes here
    options = {"weight_type": QuantType.QUInt8, "per_channel": True}  # kernels of int8 there are for Gemm alone
    quantize_dynamic(whole, target, **options)


def rates(bench: Bench, every: list[Form], batch: int, repeats: int) -> list[str]:
    """Images a second of every form, in turns: median, smallest and largest."""
    times: list[list[float]] = [[] for _ in every]
    for repeat in range(repeats + 1):  # the first warms up
        for found, form in zip(times, every, strict=True):
            size = min(batch, form.batch)
            inputs = [bench.batches[0][:size].contiguous()] * max(1, 200 // size)
            start = time.perf_counter()
            for each in inputs:
                form.run(each)
            took = time.perf_counter() - start
            found.extend([sum(map(len, inputs)) / took] if repeat else [])
    return ["{:,.0f} ({:,.0f} – {:,.0f})".format(*spread(each)) for each in times]


def row(bench: Bench, form: Form, one: str, many: str) -> Row:
    """A line of the table."""
    logits = bench.ask(form.run, form.batch)
    was, now = (predict(each) == bench.labels for each in (bench.torch, logits))
    lost, won, n = int((was & ~now).sum()), int((now & ~was).sum()), len(now)
    low, high = (100 * each for each in wilson_interval(int(now.sum()), n))
    change, half = 100 * (won - lost) / n, 196 * (won + lost - (won - lost) ** 2 / n) ** 0.5 / n
    return {
        "": form.name,
        "kB": f"{form.size / 1000:.0f}",
        "top-1, %": f"{100 * now.mean():.2f} ({low:.2f} – {high:.2f})",
        "to fp32, points": f"{change:+.2f} ± {half:.2f}",
        "largest difference": f"{np.abs(logits - bench.torch).max():.1e}",
        "images/s, one by one": one,
        f"in batches of {BATCH}": many,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True, help="model spec with weights")
    parser.add_argument("--data", required=True, help="data spec")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--calibrate", default="photo:astronaut")
    parser.add_argument("--formats", nargs="*", default=["torch-export"], help="besides onnx")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--title", default="Formats and 8 bits")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    bench = Bench(options.model, options.data, options.data_root)
    with tempfile.TemporaryDirectory() as scratch:
        every = forms(bench, options.formats, options.calibrate, options.data_root, Path(scratch))
        speeds = zip(*(rates(bench, every, batch, options.repeats) for batch in (1, BATCH)), strict=True)
        rows = [row(bench, form, *speed) for form, speed in zip(every, speeds, strict=True)]
    words = f"--model … --data {options.data.partition(':')[0]} --formats {' '.join(options.formats)}"
    note = f"`taskset -c 0 python benchmarks/export.py {words}`, n = {len(bench.labels):,}, one core, in turns."
    record(options.title, rows, note)


if __name__ == "__main__":
    main()

"""What a network keeps in other formats and in 8 bits, and how many calibration images that takes.

    taskset -c 0 python benchmarks/export.py --model run:runs/digits --data digits [--counts 10 100 1000]

One row for each format, and one for 8 bits calibrated on a photograph, on noise, on training images and on nothing
(dynamic quantisation), each with so many images. Under ``taskset -c 0`` everything runs on one core. Top-1 is of the
whole test set; the difference to float32 has a paired 95 % interval, of the images that one of them alone gets right.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from common import record
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
        with torch.inference_mode():
            self.torch = np.concatenate([self.model(each).numpy() for each in self.batches])

    def answer(self, pixels: Tensor) -> Tensor:
        with torch.inference_mode():
            return self.model(pixels)

    def row(self, name: str, size: int, run: Run) -> Row:
        """One line of the table."""
        logits = np.concatenate([np.asarray(run(each)) for each in self.batches])
        was, now = (predict(each) == self.labels for each in (self.torch, logits))
        lost, won, n = int((was & ~now).sum()), int((now & ~was).sum()), len(now)
        low, high = (100 * each for each in wilson_interval(int(now.sum()), n))
        change, spread = 100 * (won - lost) / n, 196 * (won + lost - (won - lost) ** 2 / n) ** 0.5 / n
        found: Row = {
            "": name,
            "kB": f"{size / 1000:.0f}",
            "top-1, %": f"{100 * now.mean():.2f} ({low:.2f} – {high:.2f})",
            "to fp32, points": f"{change:+.2f} ± {spread:.2f}",
            "same answer, %": f"{100 * (predict(logits) == predict(self.torch)).mean():.2f}",
            "largest difference": f"{np.abs(logits - self.torch).max():.1e}",
            "images/s": f"{self.rate(run, 1):,.0f}",
            f"in batches of {BATCH}": f"{self.rate(run, BATCH):,.0f}",
        }
        print(*found.values(), sep="\t", flush=True)
        return found

    def rate(self, run: Run, batch: int) -> float:
        """Images a second: the fastest of five rounds."""
        one = [self.batches[0][:batch].contiguous()] * max(1, 100 // batch)
        times = []
        for _ in range(6):
            start = time.perf_counter()
            for each in one:
                run(each)
            times.append(time.perf_counter() - start)
        return sum(map(len, one)) / min(times[1:])

    def rows(self, names: list[str], sources: dict[str, str], counts: list[int], root: Path | None) -> Iterator[Row]:
        """All lines; ``names``: of formats, ``sources``: what to call them -> what to calibrate on."""
        weights = sum(each.numel() for each in self.model.state_dict().values()) * 4
        yield self.row("fp32, torch", weights, self.answer)
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            yield self.format("onnx", folder)
            for source, spec in sources.items():
                for count in counts:
                    images = calibration_images(self.model, (spec,), count, root)
                    quantise(folder / "model.onnx", target := folder / "int8.onnx", images)
                    name = f"int8, {sum(map(len, images)):,} of {source}"
                    yield self.row(name, target.stat().st_size, runner(target, self.model.card))
            yield self.dynamic(folder)
            yield from (self.format(name, folder) for name in names)

    def format(self, name: str, folder: Path) -> Row:
        """The line of a format in float32."""
        check_packages(name)
        written = formats.get(name)(self.model, folder)
        path = folder / written.file
        path = path.parent if path.parent != folder else path
        files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
        return self.row(f"fp32, {name}", sum(each.stat().st_size for each in files), written.run)

    def dynamic(self, folder: Path) -> Row:
        """8 bits without calibration: ranges of activations told anew for each batch."""
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic

        whole = onnx.load(folder / "model.onnx")
        del whole.graph.value_info[:]  # it turns the weights of the last layer round, and then finds old shapes here
        options = {"weight_type": QuantType.QUInt8, "per_channel": True}  # kernels of int8 there are for Gemm alone
        quantize_dynamic(whole, target := folder / "dynamic.onnx", **options)
        return self.row("int8, dynamic", target.stat().st_size, runner(target, self.model.card))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True, help="model spec with weights")
    parser.add_argument("--data", required=True, help="data spec, whose training images calibrate, too")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--counts", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--formats", nargs="*", default=["torch-export"], help="besides onnx")
    parser.add_argument("--title", default="Formats and 8 bits")
    options = parser.parse_args()
    torch.set_num_threads(1)
    bench = Bench(options.model, options.data, options.data_root)
    sources = {"the astronaut": "photo:astronaut", "noise": "noise:0", "training images": options.data}
    rows = list(bench.rows(options.formats, sources, options.counts, options.data_root))
    data = options.data.partition(":")[0]
    note = f"`taskset -c 0 python benchmarks/export.py --model … --data {data}`, n = {len(bench.labels):,}, one core."
    record(options.title, rows, note)


if __name__ == "__main__":
    main()

"""How many images calibrate 8 bits, and whether they have to be data: accuracy alone, so the machine may be busy.

    python benchmarks/calibration.py --model run:runs/digits --data digits [--counts 1 10 100 1000] [--draws 3]

A row for each source and number of images: patches of a photograph, patches of noise, images of other data, training
images; one row for none (dynamic quantisation). Each is repeated with so many disjoint draws of images. Top-1 is the
mean over the draws on the whole test set; the difference to float32 has a paired 95 % interval over the test images, of
what each loses and gains in the mean over the draws, and beside it the smallest and the largest of the draws.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from common import table
from export import Bench, Row, dynamic
from exuno.exporting.formats.onnx import runner, write_onnx
from exuno.exporting.int8 import CHUNK, calibration_images, quantise
from exuno.metrics import predict


def draws_of(bench: Bench, spec: str, count: int, draws: int, root: Path | None) -> list[list[NDArray[np.float32]]]:
    """So many disjoint sets of calibration images, each in chunks; of a source that has fewer, smaller ones."""
    whole = np.concatenate(calibration_images(bench.model, (spec,), count * draws, root))
    sets = [whole[draw::draws] for draw in range(draws)]
    return [[each[at : at + CHUNK] for at in range(0, len(each), CHUNK)] for each in sets]


def row(bench: Bench, name: str, answers: Sequence[NDArray[np.float32]]) -> Row:
    """A line of the table.

    Args:
        answers: logits [N, C] of the test set, of each draw.
    """
    was = predict(bench.torch) == bench.labels
    now = np.stack([predict(each) == bench.labels for each in answers]).astype(float)
    change, n = now.mean(0) - was, len(was)
    each = 100 * (now - was).mean(1)
    same = np.mean([predict(logits) == predict(bench.torch) for logits in answers])
    found: Row = {
        "calibrated on": name,
        "top-1, %": f"{100 * now.mean():.2f}",
        "to fp32, points": f"{100 * change.mean():+.2f} ± {196 * change.std() / n**0.5:.2f}",
        "draws": f"{each.min():+.2f} to {each.max():+.2f}",
        "same answer, %": f"{100 * same:.2f}",
    }
    print(*found.values(), sep="\t", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True, help="model spec with weights")
    parser.add_argument("--data", required=True, help="data spec")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--sources", nargs="+", help="default: the astronaut, noise and the training images of --data")
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 10, 100, 1000])
    parser.add_argument("--draws", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    bench = Bench(options.model, options.data, options.data_root)
    rows = [row(bench, "– (float32)", [bench.torch])]
    with tempfile.TemporaryDirectory() as scratch:
        whole, small = (Path(scratch) / name for name in ("model.onnx", "small.onnx"))
        write_onnx(bench.model, whole)
        dynamic(whole, small)
        rows.append(row(bench, "nothing (dynamic)", [bench.ask(runner(small, bench.model.card))]))
        for spec in options.sources or ["photo:astronaut", "noise:0", options.data]:
            for count in options.counts:
                answers = []
                for images in draws_of(bench, spec, count, options.draws, options.data_root):
                    quantise(whole, small, images)
                    answers.append(bench.ask(runner(small, bench.model.card)))
                rows.append(row(bench, f"{count:,} of {spec.rpartition('/')[2]}", answers))
    print(f"\nn = {len(bench.labels):,}; {options.draws} draws.\n\n{table(rows)}")


if __name__ == "__main__":
    main()

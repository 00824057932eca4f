"""SMKD's loss on patches, forward and backward: exuno against loops over classes and pairs.

64 images of 16 classes, two views of 196 patches, 1024 outputs, features of width 384, as the equations of the paper
say and as the published code computes it. The loops are those of the tests, which value and gradient have to equal.
Every measurement is a process of its own, so that peak memory is its own; one side after the other, in turns.

    make bench, or: .venv/bin/python benchmarks/smkd_loss.py [--device cuda] [--turns N]
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, cast, get_args

import torch
from torch import Tensor

from common import record, spread
from exuno.engine.devices import reuse_memory
from exuno.fewshot.losses import find_pairs, patch_level, sharpen
from exuno.fewshot.options import Mode
from poster import peak, resident, show

SIDES = ("loops", "exuno")
TURNS, STEPS = 5, 5
IMAGES, CLASSES, VIEWS, PATCHES, OUTPUTS, WIDTH = 64, 16, 2, 196, 1024, 384
TOLERANCE = 1e-5


class Found(NamedTuple):
    """What one process found."""

    seconds: float  # median of its steps
    bytes: int  # peak of a step above the inputs
    value: float
    slope: float  # of the loss, along a fixed direction
    size: float  # of the gradient


def problem(device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Student's logits, teacher's probabilities, features of both, labels; made in pieces, which leave no peak."""
    generator = torch.Generator().manual_seed(0)

    def draw(width: int, finish: Callable[[Tensor], Tensor]) -> Tensor:
        result = torch.empty(VIEWS, IMAGES, PATCHES, width, device=device)
        for image in result.flatten(0, 1):
            image.copy_(finish(torch.randn(PATCHES, width, generator=generator)))
        return result

    student, teacher = draw(OUTPUTS, lambda x: x), draw(OUTPUTS, lambda x: sharpen(x, torch.zeros(OUTPUTS), 0.2))
    features = draw(WIDTH, lambda x: x)
    return student, teacher, features, draw(WIDTH, lambda x: x), (torch.arange(IMAGES) % CLASSES).to(device)


def loss_of(side: str, mode: Mode, student: Tensor, rest: tuple[Tensor, Tensor, Tensor], labels: Tensor) -> Tensor:
    if side == "exuno":
        index = torch.arange(len(labels), device=labels.device)
        return patch_level(student, *rest, find_pairs(labels, index, labels, index), mode).mean()
    sys.path.append(str(Path(__file__).parents[1] / "tests/fewshot"))
    import smkd_loops  # pyright: ignore[reportMissingImports]

    loop = smkd_loops.patch_level if mode == "paper" else smkd_loops.patch_level_published
    return loop(student, *rest, labels)


def measure(side: str, mode: Mode, device: torch.device) -> Found:
    """Steps after a first one; the peak is that of all of them."""
    if side == "exuno":
        reuse_memory()  # as the command does
    student, *others, labels = problem(device)
    rest = (others[0], others[1], others[2])
    student.requires_grad_()
    before, times, value = resident(device), [], 0.0
    for _ in range(1 + STEPS):
        student.grad = None
        started = time.perf_counter()
        loss = loss_of(side, mode, student, rest, labels)
        loss.backward()
        value = loss.item()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    highest = peak(device) - before
    assert student.grad is not None
    gradient, probe = student.grad.flatten().double(), rest[0].flatten().double()
    slope, size = float(gradient @ probe), float(gradient.norm())
    return Found(statistics.median(times[1:]), highest, value, slope, size)


def child(side: str, mode: Mode, device: torch.device) -> Found:
    command = [sys.executable, "-W", "ignore", __file__, "--one", side, "--mode", mode, "--device", str(device)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return Found(**json.loads(done.stdout.splitlines()[-1]))


def check(loop: Found, fast: Found) -> None:
    """Both sides must have solved the same problem."""
    assert abs(loop.value - fast.value) <= TOLERANCE * abs(loop.value), (loop, fast)
    assert abs(loop.size - fast.size) <= TOLERANCE * loop.size, (loop, fast)
    assert abs(loop.slope - fast.slope) <= TOLERANCE * abs(loop.slope), (loop, fast)


def main(device: torch.device, turns: int) -> None:
    rows: list[dict[str, object]] = []
    for mode in get_args(Mode):
        found: dict[str, list[Found]] = {side: [] for side in SIDES}
        for _ in range(turns):
            for side in SIDES:
                found[side].append(child(side, mode, device))
            check(found["loops"][-1], found["exuno"][-1])
        base = found["loops"]
        for side in SIDES:
            ratio = [b.seconds / one.seconds for b, one in zip(base, found[side], strict=True)]
            size = spread([one.bytes for one in found[side]]).median
            rows.append(
                {
                    "mode": mode,
                    "side": side,
                    "time": show([1000 * one.seconds for one in found[side]], "{:.0f} ms"),
                    "speed against loops": show(ratio, "{:.2f}x"),
                    "peak memory": f"{size / 2**20:.0f} MiB",
                    "of the loops'": f"{size / spread([one.bytes for one in base]).median:.2f}",
                }
            )
    where = torch.cuda.get_device_name() if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads"
    note = (
        f"benchmarks/smkd_loss.py, {where}: {IMAGES} images of {CLASSES} classes, {VIEWS} views of {PATCHES} patches, "
        f"{OUTPUTS} outputs, features of width {WIDTH}; forward and backward; value and gradient agree to "
        f"{TOLERANCE:g}. Each side a process of its own, in turn, median of {STEPS} steps; "
        f"median (min – max) of {turns} processes. exuno's keep freed memory, as the command does. Memory: above the "
        "inputs, the gradient included."
    )
    record("Few-shot transformers: SMKD's patch loss against loops", rows, note)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--one", choices=SIDES, help="measure one side in this process")
    parser.add_argument("--mode", choices=get_args(Mode), default="paper")
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measure(asked.one, cast(Mode, asked.mode), asked.device)._asdict()))
    else:
        main(asked.device, asked.turns)

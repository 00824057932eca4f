"""Commands of exuno run in this process, and what their run directories say."""

import gc
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bare import CLASSES, DEVICE

from exuno.cli import main
from exuno.models.files import save_model
from exuno.models.load import load_model


def command(*words: object) -> float:
    """``exuno WORDS`` in this process, so that a GPU does not wait for imports; returns its seconds.

    Raises:
        SystemExit: it failed; it has said why.
    """
    clean()
    started = time.perf_counter()
    line = [str(word) for word in words]
    if code := main(line):
        raise SystemExit(f"exuno {' '.join(line)} ended with {code}")
    seconds = time.perf_counter() - started
    clean()
    return seconds


def clean() -> None:
    """Gives back the memory of what ran before, which a set on the device is measured against."""
    gc.collect()
    if DEVICE.type == "cuda":
        torch.cuda.empty_cache()


def logged(folder: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def result(folder: Path) -> dict[str, Any]:
    """What result.json says."""
    return json.loads((folder / "result.json").read_text())


def rate(folder: Path, batch: int) -> float:
    """Samples a second of a run from its middle to its end, by its log."""
    points = [(line["step"], line["time"]) for line in logged(folder) if "train/loss" in line]
    first, last = points[len(points) // 2], points[-1]
    return (last[0] - first[0]) * batch / max(last[1] - first[1], 1e-9)


def save_random(spec: str, side: int, folder: Path) -> str:
    """A model with random weights as a file that any command takes; returns its spec."""
    torch.manual_seed(0)
    model = load_model(spec, classes=CLASSES, in_chans=3, input_size=(side, side), pretrained=False)
    save_model(model, folder)
    return f"file:{folder / 'model.safetensors'}"


def random_images(path: Path, side: int, count: int) -> str:
    """An .npz of noise with labels; returns its data spec."""
    rng = np.random.default_rng(0)
    parts = {}
    for part, n in (("train", count), ("test", 4 * CLASSES)):
        parts[f"{part}_images"] = rng.integers(0, 256, (n, side, side, 3), np.uint8)
        parts[f"{part}_labels"] = np.arange(n) % CLASSES
    np.savez(path, **parts)
    return f"npz:{path}"


def curve(folder: Path, name: str) -> list[tuple[float, float]]:
    """(seconds of training, value) of what was measured on the way."""
    return [(line["time"], line[name]) for line in logged(folder) if name in line]


def hours_to(points: Sequence[tuple[float, float]], target: float) -> str:
    """In words, the hours of training at which a straight line through the logarithms of error and time would be at
    ``target``: least squares over the later half of (seconds, accuracy), at least two points."""
    some = [(math.log(x), math.log(1 - y)) for x, y in points[len(points) // 2 if len(points) > 3 else 0 :] if y < 1]
    if points and points[-1][1] >= target:
        return "reached"
    if len(some) < 2:
        return "unknown"
    x, y = (sum(part) / len(some) for part in zip(*some, strict=True))
    slope = sum((a - x) * (b - y) for a, b in some) / max(sum((a - x) ** 2 for a, _ in some), 1e-12)
    if slope >= -1e-3:
        return "never at this slope"
    exponent = x + (math.log(1 - target) - y) / slope - math.log(3600)
    return f"{math.exp(exponent):,.1f}" if exponent < math.log(1e4) else "more than 10,000"

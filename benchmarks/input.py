"""Images a second that reach the network: exuno's loaders against a torch DataLoader with torchvision's v2 transforms.

All sides read the same JPEG files, take a random resized crop to 224 pixels, flip and make floats in [0, 1]; once more
with a colour jitter of (0.4, 0.4, 0.4, 0.1). They draw their own crops, of the same distribution. torchvision's side
is what its manual shows: ImageFolder, v2 transforms on PIL images, a shuffled DataLoader. exuno interpolates
bicubically, torchvision bilinearly by default. The other sides have as many worker processes as DALI has threads, and
one thread in each process. Sides take turns, each in a process of its own; the first epoch does not count.

    make bench, or: .venv/bin/python benchmarks/input.py [FOLDER]

FOLDER holds CLASS/*.jpg; without it, 400 JPEG files of 256 to 500 pixels are made from photographs of scikit-image.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from common import record, spread

WORKERS, BATCH, TURNS, EPOCHS = 2, 64, 5, 2
MADE = 400
JITTER = (0.4, 0.4, 0.4, 0.1)
SIDES = ("torchvision", "exuno, torch", "exuno, dali")


def make_files(folder: Path) -> None:
    """JPEG files of two classes, quality 90."""
    from PIL import Image

    from exuno.data.images.photo import load_photo

    photos = [Image.fromarray(load_photo(f"photo:{name}")) for name in ("astronaut", "coffee", "cat", "rocket")]
    rng = np.random.default_rng(0)
    for number in range(MADE):
        photo = photos[number % len(photos)]
        left, top = (int(x) for x in rng.integers(0, 60, 2))
        width, height = (int(x) for x in rng.integers(256, 501, 2))
        path = folder / f"class{number % 2}" / f"{number:03}.jpg"
        path.parent.mkdir(exist_ok=True)
        photo.crop((left, top, photo.width, photo.height)).resize((width, height)).save(path, quality=90)


def by_torchvision(folder: Path, jitter: bool) -> Iterator[int]:
    import torch
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    steps: list[Any] = [v2.RandomResizedCrop(224), v2.RandomHorizontalFlip()]
    steps += [v2.ColorJitter(*JITTER)] if jitter else []
    steps += [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
    data = ImageFolder(folder, v2.Compose(steps))
    loader = DataLoader(data, BATCH, shuffle=True, num_workers=WORKERS, persistent_workers=True, drop_last=True)
    while True:
        yield sum(len(labels) for _, labels in loader)


def by_exuno(folder: Path, jitter: bool, dali: bool) -> Iterator[int]:
    from exuno.data.dali import DaliLoader
    from exuno.data.images.folder import open_folder
    from exuno.data.loader import Loader
    from exuno.engine.options import Augment

    data = open_folder(folder, "train")
    augment = Augment(resized_crop=(0.08, 1.0), flip=0.5, jitter=JITTER if jitter else (0.0, 0.0, 0.0, 0.0))
    if dali:
        loader = DaliLoader(data, BATCH, augment, size=(224, 224), threads=WORKERS)
    else:
        loader = Loader(data, BATCH, augment, size=(224, 224), workers=WORKERS)
    epoch = 0
    while True:
        yield sum(len(batch["labels"]) for batch in loader.epoch(epoch))
        epoch += 1


def measure(side: str, folder: Path, jitter: bool) -> float:
    """Images a second over the epochs after the first, in this process."""
    epochs = by_torchvision(folder, jitter) if side == "torchvision" else by_exuno(folder, jitter, "dali" in side)
    next(epochs)
    begun = time.perf_counter()
    count = sum(next(epochs) for _ in range(EPOCHS))
    return count / (time.perf_counter() - begun)


def in_a_process(side: str, folder: Path, jitter: bool) -> float:
    """:func:`measure` in a process of its own."""
    command = [sys.executable, __file__, side, str(folder), str(int(jitter))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return float(done.stdout.splitlines()[-1])


def main(folder: Path, what: str) -> None:
    rows: list[dict[str, object]] = []
    for jitter in (False, True):
        rates: dict[str, list[float]] = {side: [] for side in SIDES}
        for _ in range(TURNS):
            for side in SIDES:
                rates[side].append(in_a_process(side, folder, jitter))
        for side in SIDES:
            rate = spread(rates[side])
            ratio = spread([a / b for a, b in zip(rates[side], rates["torchvision"], strict=True)])
            rows.append(
                {
                    "transforms": "crop, flip, jitter" if jitter else "crop, flip",
                    "side": side,
                    "images/s, median (min – max)": f"{rate.median:,.0f} ({rate.min:,.0f} – {rate.max:,.0f})",
                    "of torchvision's": f"**{ratio.median:.2f}** ({ratio.min:.2f} – {ratio.max:.2f})",
                }
            )
    note = (
        f"benchmarks/input.py, {what}; {WORKERS} worker processes or DALI threads, batches of {BATCH} at 224 px, DALI "
        f"on the CPU; each side a process of its own, {TURNS} turns of {EPOCHS} epochs after one that does not count, "
        f"load average {os.getloadavg()[0]:.1f}. torchvision: ImageFolder and v2 on PIL images, bilinear; exuno is "
        "bicubic."
    )
    record("Input: images to the network", rows, note)


if __name__ == "__main__":
    if len(sys.argv) == 4:
        print(measure(sys.argv[1], Path(sys.argv[2]), sys.argv[3] == "1"))
    elif len(sys.argv) == 2:
        main(Path(sys.argv[1]), f"files of {Path(sys.argv[1]).name}")
    else:
        with tempfile.TemporaryDirectory() as made:
            make_files(Path(made))
            main(Path(made), f"{MADE} made JPEG files of 256 to 500 px")

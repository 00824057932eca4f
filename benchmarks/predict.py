"""Pictures a second of ``exuno predict`` on one core, after start-up, against what one would write instead.

The digits student (8x8, gray) and 20,000 PNG files of digits. exuno's side is the command as it is typed, once with all
files and once with the first 200: the difference of the two runs is what the others took. The other sides open a file
by Pillow, apply torchvision's transforms (gray, tensor, resize, normalise) and call the student's network, one picture
at a time, or in batches of 64 by a DataLoader without worker processes; they time themselves after the first 200. All
write a line of CSV with class and probability for each picture, and agree on the classes (asserted). Each side is a
process of its own on core 0 with one thread; sides take turns. On a machine with other work a second of the clock is
less than one of the core, so the time that the process computed stands beside it.

    .venv/bin/python benchmarks/predict.py [--pictures 20000] [--turns 3]
"""

import argparse
import csv
import io
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from common import record, spread

FIRST, BATCH = 200, 64
SIDES = ("exuno predict", "DataLoader, batches of 64", "one picture at a time")


class Rates(NamedTuple):
    """Pictures a second."""

    clock: float
    core: float
    """Of the time that the process computed."""
    labels: list[int]


def make_files(folder: Path, count: int) -> None:
    """Digits of the test set, again and again."""
    from PIL import Image

    from exuno.data.open import open_data

    data = open_data("digits", "test")
    images, _ = data.fetch(np.arange(len(data)))
    encoded = []
    for image in images:
        content = io.BytesIO()
        Image.fromarray(image[0].numpy()).save(content, "png")
        encoded.append(content.getvalue())
    for part, numbers in (("first", range(FIRST)), ("all", range(count))):
        (folder / part).mkdir()
        for number in numbers:
            (folder / part / f"{number:06}.png").write_bytes(encoded[number % len(encoded)])


def by_hand(run: Path, paths: list[Path], batch: int) -> Iterator[list[tuple[int, float]]]:
    """Classes and probabilities of a batch, as one would write it."""
    import torch
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset
    from torchvision import transforms

    from exuno.models.load import load_model

    model = load_model(f"run:{run}", pretrained=True).eval()
    net, card = model.net, model.card
    change: Any = transforms.Compose(
        [
            transforms.Grayscale(),
            transforms.ToTensor(),
            transforms.Resize(card.input_size),
            transforms.Normalize(card.mean, card.std),
        ]
    )

    class Files(Dataset[Any]):
        def __len__(self) -> int:
            return len(paths)

        def __getitem__(self, number: int) -> torch.Tensor:
            return change(Image.open(paths[number]))

    single = (change(Image.open(path))[None] for path in paths)
    with torch.inference_mode():
        for images in DataLoader(Files(), batch_size=batch) if batch > 1 else single:
            best = net(images).softmax(1).max(1)
            yield list(zip(best.indices.tolist(), best.values.tolist(), strict=True))


def measure(run: Path, folder: Path, batch: int) -> None:
    """Prints seconds on the clock and of the core after the first pictures; in this process."""
    paths, begun, before, done = sorted((folder / "all").iterdir()), (0.0, 0.0), 0, 0
    with (folder / f"hand{batch}.csv").open("w") as file:
        writer = csv.writer(file)
        for rows in by_hand(run, paths, batch):
            writer.writerows([str(paths[done + i]), *row] for i, row in enumerate(rows))
            done += len(rows)
            if not before and done >= FIRST:
                begun, before = (time.perf_counter(), time.process_time()), done
    clock, core = time.perf_counter() - begun[0], time.process_time() - begun[1]
    print((done - before) / clock, (done - before) / core)


def pinned(command: list[str]) -> tuple[float, float, str]:
    """Seconds on the clock and of the core that a command takes on core 0, and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    done = subprocess.run(
        ["taskset", "-c", "0", *command],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    core = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - begun, core, done.stdout


def turn(side: str, run: Path, folder: Path, count: int) -> Rates:
    """One measurement of a side."""
    if side == SIDES[0]:
        command = [sys.executable, "-m", "exuno", "predict", str(run)]
        rest = ["--devices", "cpu", "--topk", "1", "--format", "csv"]
        whole = pinned([*command, str(folder / "all"), *rest])
        few = pinned([*command, str(folder / "first"), *rest])
        labels = [int(row["label1"]) for row in csv.DictReader(io.StringIO(whole[2]))]
        clock, core = whole[0] - few[0], whole[1] - few[1]
        return Rates((count - FIRST) / clock, (count - FIRST) / core, labels)
    batch = BATCH if side == SIDES[1] else 1
    said = pinned([sys.executable, __file__, "--side", str(run), str(folder), str(batch)])[2]
    clock, core = map(float, said.split())
    with (folder / f"hand{batch}.csv").open() as file:
        return Rates(clock, core, [int(row[1]) for row in csv.reader(file)])


def main(count: int, turns: int) -> None:
    with tempfile.TemporaryDirectory() as made:
        folder, run = Path(made), Path(made) / "run"
        make_files(folder, count)
        # A sliver of the training: the network is that of the whole one.
        taught = [sys.executable, "-m", "exuno", "distill", "digits", "--smoke", "--devices", "cpu"]
        subprocess.run([*taught, "--run-dir", str(run)], check=True, capture_output=True)
        found: dict[str, list[Rates]] = {side: [] for side in SIDES}
        for _ in range(turns):
            for side in SIDES:
                found[side].append(turn(side, run, folder, count))
                same = np.mean(np.array(found[side][-1].labels) == np.array(found[SIDES[0]][-1].labels))
                assert same > 0.99, (side, same)  # luma and its rounding differ between libraries
    rows: list[dict[str, object]] = []
    for side in SIDES:
        clock, core = (spread([getattr(each, what) for each in found[side]]) for what in ("clock", "core"))
        times = spread([mine.core / each.core for mine, each in zip(found[SIDES[0]], found[side], strict=True)])
        told = [f"{each.median:,.0f} ({each.min:,.0f} – {each.max:,.0f})" for each in (clock, core)]
        rows.append(
            {
                "side": side,
                "pictures/s on the clock, median (min – max)": told[0],
                "pictures per second of the core": told[1],
                "exuno is faster by": f"**{times.median:.1f}** ({times.min:.1f} – {times.max:.1f})",
            }
        )
    note = (
        f"`benchmarks/predict.py`, {count:,} PNG files of 8x8 pixels, the digits student, one core (taskset) and one "
        f"thread, after start-up and the first {FIRST}; {turns} turns, load average {os.getloadavg()[0]:.1f} on "
        f"{os.cpu_count()} cores: with other work on the machine the clock says less than the core can. The ratio is "
        "that of the core's time. Required: 1,000 pictures a second."
    )
    record("Predict: pictures from the command line", rows, note)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--side"]:
        measure(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
    else:
        parser = argparse.ArgumentParser()
        parser.add_argument("--pictures", type=int, default=20_000)
        parser.add_argument("--turns", type=int, default=3)
        options = parser.parse_args()
        main(options.pictures, options.turns)

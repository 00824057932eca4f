"""Linear probes on AlexNet's five layers: one command for all against one command for each layer.

    python benchmarks/probe.py [--images 200] [--epochs 36]

Both sides are what a user types, ``exuno probe MODEL --protocol published`` on a folder of JPEG files, without and with
``--layers``, in processes of their own; each of the five stops its forward pass at its layer. The files have sizes of
ImageNet's, and are made of the photographs that come with scikit-image. The accuracies of every layer have to be equal.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from exuno.data.images.photo import load_photo
from exuno.models.files import save_model
from exuno.models.load import load_model
from exuno.probe.layers import layers_of

SIZES = ((500, 375), (375, 500), (500, 333), (640, 480), (400, 300))
"""Width and height of photographs of ImageNet, usual ones."""
PHOTOS = ("photo:astronaut", "photo:coffee", "photo:cat", "photo:rocket")
"""A class each: crops of it, with some noise."""


def write_images(folder: Path, part: str, count: int, seed: int) -> int:
    """Writes ``count`` JPEG files below FOLDER/PART/CLASS.

    Returns:
        Their bytes.
    """
    random, spent = np.random.default_rng(seed), 0
    for i in range(count):
        name, (width, height) = PHOTOS[i % len(PHOTOS)], SIZES[random.integers(len(SIZES))]
        pixels = np.asarray(load_photo(name))
        side = int(min(pixels.shape[:2]) * random.uniform(0.3, 1))
        top, left = (int(random.integers(0, extent - side + 1)) for extent in pixels.shape[:2])
        crop = Image.fromarray(pixels[top : top + side, left : left + side]).resize((width, height))
        noisy = np.asarray(crop, np.float32) + random.normal(0, 8, (height, width, 3))
        file = folder / part / name.partition(":")[2] / f"{i}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file, quality=90)
        spent += file.stat().st_size
    return spent


def probe(words: list[str], run: Path) -> tuple[float, dict[str, float]]:
    """Seconds of ``exuno probe WORDS --run-dir RUN``, start-up included, and the accuracy of each layer."""
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "exuno", "probe", *words, "--run-dir", str(run)],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "NO_COLOR": "1"},
    )  # fmt: skip
    spent = time.perf_counter() - start
    metrics = json.loads((run / "result.json").read_text())["metrics"]
    return spent, {key.split("/")[-2]: value for key, value in metrics.items() if key.endswith("/top1")}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=200, help="of the training; a quarter as many are tested")
    parser.add_argument("--epochs", type=int, default=36)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        spent = write_images(folder / "images", "train", options.images, 0)
        write_images(folder / "images", "val", max(4, options.images // 4), 1)
        torch.manual_seed(0)
        model = load_model("exuno:alexnet_bn", classes=4, input_size=(224, 224), pretrained=False).eval()
        save_model(model, folder / "model")
        names = [layer.name for layer in layers_of(model, (224, 224), 9600)]
        words = [f"run:{folder / 'model'}", "--data", f"folder:{folder / 'images'}", "--against", "--protocol"]
        words += ["published", "--size", "224", "--epochs", str(options.epochs), "--devices", "cpu"]
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-m", "exuno", "probe", *words, "--dry-run"], check=True, capture_output=True)
        startup = time.perf_counter() - begin
        together, all_layers = probe(words, folder / "together")
        alone = [probe([*words, "--layers", name], folder / name) for name in names]
    each_layer = {name: told[name] for name, (_, told) in zip(names, alone, strict=True)}
    assert all_layers == each_layer, f"the accuracies differ: {all_layers} and {each_layer}"
    total = sum(one for one, _ in alone)
    print(f"{options.images} JPEG files of {spent / options.images / 1000:.0f} kB, {options.epochs} epochs, ten crops")
    print(f"accuracies, equal on both sides: {', '.join(f'{name} {x:.3f}' for name, x in all_layers.items())}")
    print(f"one command {together:.1f} s; one for each layer {total:.1f} s ({', '.join(f'{x:.1f}' for x, _ in alone)})")
    print(f"ratio {total / together:.2f}; a dry run, which is about the start of each of them, takes {startup:.1f} s")


if __name__ == "__main__":
    main()

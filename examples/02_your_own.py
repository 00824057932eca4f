"""Your photograph, your teacher, your folder of images: a student for your own classes that never sees them.

    python examples/02_your_own.py my-photo.jpg my-images

The folder holds train/CLASS/*.png and test/CLASS/*.png. Without arguments both are made here, from the digits and a
cup of coffee. You see how often the student and its teacher are right, and what the student mistakes.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

import exuno
from exuno.data.images.photo import load_photo


def made(folder: Path) -> tuple[str, str]:
    """A photograph and a folder of images, as you may have them."""
    for split, most in (("train", 1000), ("test", 200)):
        digits = exuno.open_data("digits", split)
        images, labels = digits.fetch(np.arange(most))
        for number, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
            file = folder / f"images/{split}/{label}/{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[0].numpy()).save(file)
    Image.fromarray(load_photo("photo:coffee")).save(folder / "photo.jpg")
    return str(folder / "photo.jpg"), str(folder / "images")


def main(photo: str, folder: str, size: int = 8, epochs: int = 10, budget: float = 1.0) -> exuno.Trained:
    data, net = f"folder:{folder}", "exuno:convnet_2_32"  # or any network: timm:mobilenetv3_small_100
    teacher = exuno.teach(model=net, data=data, size=size, epochs=2 * epochs, budget=budget)
    student = exuno.distill(
        teacher=teacher, student=net, source=photo, data=data, size=size, epochs=epochs, patches=5000, fresh=True,
        loss={"temperature": 4}, mix=exuno.Mix(cutmix=1.0), budget=budget,
    )  # fmt: skip
    exuno.evaluate(student, teacher=f"run:{teacher.dir}")
    return student


if __name__ == "__main__":
    photo, folder = sys.argv[1:3] if len(sys.argv) > 2 else made(Path("runs/made"))
    main(photo, folder)

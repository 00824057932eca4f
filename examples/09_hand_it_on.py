"""A student leaves the house: a folder with weights, card and README, and as ONNX for programs without PyTorch.

You see the files, and that ONNX Runtime gives the same answers (it needs ``pip install 'exuno[onnx]'``).
"""

from pathlib import Path

import numpy as np
import torch

import exuno


def main(to: str = "handed-on") -> tuple[Path, float]:
    student = exuno.teach("digits", budget=0.25)
    folder = exuno.export(student, to, onnx=True)
    print(*sorted(file.name for file in folder.iterdir()))

    import onnxruntime

    digits = exuno.open_data("digits", "test")
    pixels = torch.stack([*digits.fetch(np.arange(20))[0]]) / 255
    (logits,) = onnxruntime.InferenceSession(folder / "model.onnx").run(["logits"], {"pixels": pixels.numpy()})
    apart = float(np.abs(np.asarray(logits) - student(pixels).numpy()).max())
    print("largest difference of a logit:", apart)
    return folder, apart


if __name__ == "__main__":
    main()

"""One photograph as an endless data set in a training loop of your own: plain PyTorch, no file, no run directory.

You see the student's agreement with its teacher on patches rise, and then how many digits it reads.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader

import exuno


def main(steps: int = 300) -> float:
    teacher = exuno.teach("digits", budget=0.25).model
    patches = exuno.PatchStream("photo:astronaut", length=steps * 128, options=exuno.ImageOptions(size=8))
    torch.manual_seed(0)
    student = exuno.load_model("exuno:convnet_2_32", classes=10, in_chans=1, input_size=(8, 8)).train()
    optimizer = torch.optim.Adam(student.parameters(), lr=3e-3)

    for step, (images, _) in enumerate(DataLoader(patches, batch_size=128)):
        pixels = images / 255
        with torch.no_grad():
            asked = teacher(pixels)
        told = student(pixels)
        loss = F.kl_div(F.log_softmax(told / 8, 1), F.softmax(asked / 8, 1), reduction="batchmean")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            print(f"step {step}: agreement {(told.argmax(1) == asked.argmax(1)).float().mean():.2f}")

    digits = exuno.open_data("digits", "test")
    images, labels = digits.fetch(np.arange(len(digits)))
    with torch.no_grad():
        right = (student.eval()(torch.stack([*images]) / 255).argmax(1) == labels).float().mean().item()
    print(f"reads {100 * right:.1f} % of {len(labels)} digits")
    return right


if __name__ == "__main__":
    main()

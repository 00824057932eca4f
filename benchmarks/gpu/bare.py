"""The loops that a user would write: uint8 patches on the device, crop, flip and CutMix there, bf16, channels_last."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from exuno.models.load import load_model

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
CLASSES = 10


@dataclass(frozen=True)
class Pair:
    """A teacher and a student."""

    teacher: str
    student: str
    side: int
    batch: int
    steps: int
    """Of the command; the bare loop takes half as many."""
    least: float
    """What is asked: a share of the bare loop, or images a second where it is above 1."""


PAIRS = (
    Pair("exuno:resnet56", "exuno:wrn_16_4", 32, 1024, 320, 0.9),
    Pair("exuno:wrn_40_4", "exuno:wrn_16_4", 32, 512, 320, 0.9),
    Pair("exuno:convnet_2_64", "exuno:convnet_2_64", 8, 4096, 600, 200_000),
    Pair("timm:resnet18", "timm:resnet50", 224, 256, 48, 0.9),
)
TINY = (Pair("exuno:convnet_2_16", "exuno:convnet_2_16", 8, 64, 24, 0.9),)


def synchronize() -> None:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def batches(bank: Tensor, batch: int) -> Iterator[Tensor]:
    """Random crops (pad 4) and flips of a bank on the device, float [0, 1], channels last."""
    side = bank.shape[-1]
    offsets = torch.arange(side, device=DEVICE)
    while True:
        images = bank[torch.randint(len(bank), (batch,), device=DEVICE)]
        padded = F.pad(images, (4, 4, 4, 4))
        corner = torch.randint(0, 9, (batch, 2), device=DEVICE)
        rows = (corner[:, :1] + offsets)[:, None, :, None].expand(-1, 3, -1, side + 8)
        columns = (corner[:, 1:] + offsets)[:, None, None, :].expand(-1, 3, side, -1)
        images = padded.gather(2, rows).gather(3, columns)
        flipped = torch.rand(batch, 1, 1, 1, device=DEVICE) < 0.5
        images = torch.where(flipped, images.flip(3), images)
        yield images.to(memory_format=torch.channels_last).float() / 255


def bare(pair: Pair, steps: int, deterministic: bool = False) -> float:
    """Images a second of a plain loop with CutMix by slices, AdamW, and nothing else."""
    torch.backends.cudnn.benchmark = not deterministic
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
    torch.manual_seed(0)
    size = (pair.side, pair.side)
    made = (
        load_model(spec, classes=CLASSES, input_size=size, pretrained=False) for spec in (pair.teacher, pair.student)
    )
    teacher, student = (model.to(DEVICE).to(memory_format=torch.channels_last) for model in made)
    teacher.eval()
    student.train()
    optimizer = torch.optim.AdamW(student.parameters(), 4e-3, weight_decay=0.01, fused=True)
    noise = torch.randint(0, 256, (max(4 * pair.batch, 1000), 3, *size), dtype=torch.uint8, device=DEVICE)
    source, cut = batches(noise, pair.batch), pair.side // 2
    started, half = 0.0, steps // 3
    for step in range(steps):
        if step == half:
            synchronize()
            started = time.perf_counter()
        images = next(source)
        images[..., :cut, :cut] = images.flip(0)[..., :cut, :cut]
        with torch.autocast(DEVICE.type, torch.bfloat16):
            with torch.no_grad():
                target = teacher(images)
            logits = student(images)
        loss = 64 * F.kl_div(
            (logits.float() / 8).log_softmax(1), (target.float() / 8).softmax(1), reduction="batchmean"
        )
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    synchronize()
    return (steps - half) * pair.batch / (time.perf_counter() - started)

"""Training throughput: ``fit`` against a bare loop of the same forward, backward and step, and against torchdistill.

All sides train the same student from the same teacher on the same batches in memory, T = 8, Adam, each in a process of
its own, in turn. The bare loop and ``fit`` use exuno's networks and frozen teacher; torchdistill gets the networks as
its users would give them. ``fit`` pays for its logs, its clock and a checkpoint at the end; the last row adds the live
patches and the loader. ``fit`` lets the process keep the memory that it frees; "tuned" is the bare loop with that.

    make bench, or: uv sync --group bench; .venv/bin/python benchmarks/distill.py
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import SequentialSampler, TensorDataset

from common import record, spread
from exuno.data.images.photo import load_photo
from exuno.data.loader import Loader
from exuno.distill.losses.soft_target import soft_target
from exuno.distill.method import Distillation
from exuno.distill.options import Loss, Mix
from exuno.distill.source import FreshPatches
from exuno.engine.devices import make_accelerator, reuse_memory
from exuno.engine.loop import fit
from exuno.engine.method import Batch
from exuno.engine.options import Augment, Optim, RunOptions
from exuno.engine.run import open_run
from exuno.models.classifier import Classifier, fuse_batchnorm
from exuno.models.load import load_model
from exuno.synth.options import ImageOptions
from exuno.synth.stream import PatchStream

TEMPERATURE = 8.0


@dataclass(frozen=True)
class Case:
    name: str
    teacher: str
    student: str
    side: int
    batch: int
    steps: int


CASES = (
    Case("digits: ConvNet 2x64, 8 px, batch 256", "exuno:convnet_2_64", "exuno:convnet_2_64", 8, 256, 200),
    Case("CIFAR: ResNet-56 to ResNet-20, 32 px, batch 128", "exuno:resnet56", "exuno:resnet20", 32, 128, 20),
)


class Ready:
    """The same few batches over and over, as the loop wants them."""

    def __init__(self, images: Tensor, steps: int) -> None:
        self.images, self.steps, self.batch_size = images, steps, images.shape[1]
        self.labels = torch.full((self.batch_size,), -1)
        self.index = torch.arange(self.batch_size)

    def __len__(self) -> int:
        return self.steps

    def epoch(self, epoch: int, start_batch: int = 0) -> Iterator[Batch]:
        for step in range(start_batch, self.steps):
            images = self.images[step % len(self.images)]
            yield {"images": images, "labels": self.labels, "index": self.index}


def models(case: Case) -> tuple[Classifier, Classifier]:
    torch.manual_seed(0)
    size = (case.side, case.side)
    teacher, student = (
        load_model(spec, classes=10, input_size=size, pretrained=False) for spec in (case.teacher, case.student)
    )
    return teacher.eval(), student


def bare(case: Case, images: Tensor) -> float:
    """Seconds of the loop that one writes by hand."""
    teacher, student = models(case)
    teacher = fuse_batchnorm(teacher)
    optimizer = torch.optim.Adam(student.parameters(), fused=True)
    student.train()
    started = time.perf_counter()
    for step in range(case.steps):
        batch = images[step % len(images)]
        with torch.no_grad():
            target = teacher(batch)
        soft_target(student(batch), target, TEMPERATURE).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return time.perf_counter() - started


def ours(case: Case, images: Tensor, live: bool = False) -> float:
    """Seconds of ``fit``, its checkpoint included; with ``live``, on patches drawn from a photograph as it goes."""
    teacher, student = models(case)
    method = Distillation(teacher, student, Loss(temperature=TEMPERATURE), Mix(), seed=0, size=(case.side, case.side))
    batches = Ready(images, case.steps)
    if live:
        synth = ImageOptions(size=case.side)
        stream = PatchStream(load_photo("photo:astronaut"), case.batch * case.steps, synth)
        augment = Augment(flip=0.5, pad=4 if case.side > 8 else 0)
        size = (case.side, case.side)
        batches = Loader(FreshPatches(stream, 3), case.batch, augment, size=size)
    options = RunOptions(devices="cpu")
    with tempfile.TemporaryDirectory() as folder:
        run = open_run("distill", None, {}, {}, RunOptions(run_dir=Path(folder) / "run"))
        started = time.perf_counter()
        fit(method, batches, optim=Optim(), steps=case.steps, run=run, accelerator=make_accelerator(options))
        seconds = time.perf_counter() - started
        run.close()
    return seconds


def torchdistill(case: Case, images: Tensor) -> float:
    """Seconds of torchdistill's distillation box on the same batches, through its own loader and step."""
    from torchdistill.core.distillation import DistillationBox  # pyright: ignore[reportMissingImports] (group bench)

    teacher, student = models(case)
    flat = images[torch.arange(case.steps) % len(images)].flatten(0, 1)
    dataset = TensorDataset(flat, torch.zeros(len(flat), dtype=torch.int64))
    loader = {
        "dataset_id": "all",
        "sampler": {"class_or_func": SequentialSampler},
        "kwargs": {"batch_size": case.batch},
    }
    logits = {"module_path": ".", "io": "output"}
    kd = {
        f"{who}_module_{key}": logits["module_path" if key == "path" else key]
        for who in ("student", "teacher")
        for key in ("path", "io")
    }
    config = {
        "num_epochs": 1,
        "train_data_loader": loader,
        "val_data_loader": dict(loader),
        "teacher": {"forward_proc": "forward_batch_only", "sequential": [], "requires_grad": False},
        "student": {"forward_proc": "forward_batch_only", "sequential": []},
        "optimizer": {"key": "Adam", "kwargs": {"lr": 1e-3}},
        "criterion": {
            "key": "WeightedSumLoss",
            "kwargs": {
                "sub_terms": {
                    "kd": {
                        "criterion": {"key": "KDLoss", "kwargs": {**kd, "temperature": TEMPERATURE, "alpha": 0}},
                        "weight": 1.0,
                    }
                }
            },
        },
    }
    box = DistillationBox(teacher, student, {"all": dataset}, config, torch.device("cpu"), None, False, 1)
    started = time.perf_counter()
    box.pre_epoch_process(epoch=0)
    assert box.train_data_loader is not None
    for batch, targets, supplement in box.train_data_loader:
        loss = box.forward_process(batch, targets, supplement)
        box.post_forward_process(loss=loss)
    return time.perf_counter() - started


def tuned(case: Case, images: Tensor) -> float:
    """Seconds of the bare loop in a process that keeps its memory."""
    reuse_memory()
    return bare(case, images)


def live(case: Case, images: Tensor) -> float:
    """Seconds of ``fit`` on patches made as it goes."""
    return ours(case, images, live=True)


SIDES: dict[str, Callable[[Case, Tensor], float]] = {
    "bare loop": bare,
    "bare loop, tuned": tuned,
    "fit": ours,
    "torchdistill": torchdistill,
    "fit, live patches": live,
}


def measure(number: str, side: str) -> None:
    """Prints the seconds of one side, after a run that imports and allocates."""
    case = CASES[int(number)]
    torch.manual_seed(0)
    images = torch.rand(8, case.batch, 3, case.side, case.side)
    SIDES[side](replace(case, steps=10), images)
    print(SIDES[side](case, images))


def main(rounds: int = 7) -> None:
    rows = []
    for number, case in enumerate(CASES):
        times = {name: [] for name in SIDES}
        for turn in range(rounds):
            for name in list(SIDES) if turn % 2 else list(SIDES)[::-1]:
                command = [sys.executable, __file__, str(number), name]
                said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
                times[name].append(float(said.split()[-1]))
        for name in SIDES:
            ratios = [b / t for b, t in zip(times["bare loop"], times[name], strict=True)]
            median, low, high = spread(ratios)
            rate = case.steps * case.batch / spread(times[name])[0]
            rows.append(
                {
                    "case": case.name,
                    "side": name,
                    "images/s": f"{rate:,.0f}",
                    "of the bare loop": f"{median:.3f} ({low:.3f} to {high:.3f})",
                }
            )
    record("distill", rows, f"Median (min to max) of {rounds} rounds in turn; ratio of the times of one round.")


if __name__ == "__main__":
    measure(*sys.argv[1:]) if len(sys.argv) > 1 else main()

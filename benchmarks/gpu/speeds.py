"""What exuno does a second, beside plain loops, ``higher`` and loops over pairs. Every table is written as it grows."""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from bare import CLASSES, DEVICE, PAIRS, TINY, Pair, bare, synchronize
from experiment import command, random_images, rate, save_random
from torch import Tensor

from common import record, spread
from exuno.engine.graph import CudaRecorder, Recordings
from exuno.models.load import load_model
from exuno.poster.algorithms.rat_bptt import rat_bptt
from exuno.poster.augment import Augmentation
from exuno.poster.context import InnerLoopContext
from exuno.poster.network import fresh_network
from exuno.poster.options import Inner, Unroll
from exuno.poster.recorded import RecordedSteps

Rows = list[dict[str, object]]


def name() -> str:
    return torch.cuda.get_device_name() if DEVICE.type == "cuda" else "cpu"


def told(section: str, rows: Rows, part: str, more: str = "") -> None:
    """Writes a table."""
    record(section, rows, f"benchmarks/gpu/measure.py {part}, {name()}{more}.")


def distilling(pair: Pair, teacher: str, data: str, *more: object, steps: int | None = None) -> list[object]:
    """The words of a distillation on a bank of patches, as the bare loop does it."""
    words: list[object] = ["distill", "--teacher", teacher, "--student", pair.student, "--data", data]
    words += ["--source", "photo:astronaut", "--patches", 4 * pair.batch, "--batch-size", pair.batch]
    words += ["--epochs", (steps or pair.steps) // 4, "--evaluations", 1, "--mix.cutmix", 1, "--augment.flip", 0.5]
    words += ["--augment.pad", 4, "--optim.name", "adamw", "--optim.lr", "4e-3", "--optim.weight-decay", 0.01]
    return [*words, "--loss.t2", "--no-images", *more]


def students(folder: Path, tiny: bool) -> None:
    """``exuno distill`` beside the bare loop, in turns."""
    rows: Rows = []
    for number, pair in enumerate(TINY if tiny else PAIRS):
        place = folder / str(number)
        place.mkdir()
        teacher = save_random(pair.teacher, pair.side, place / "teacher")
        data = random_images(place / "data.npz", pair.side, 200)
        ours, theirs = [], []
        for turn in range(1 if pair.side > 100 else 2):
            command(*distilling(pair, teacher, data, "--run-dir", place / f"run{turn}"))
            ours.append(rate(place / f"run{turn}", pair.batch))
            theirs.append(bare(pair, pair.steps // 2))
        ratio = spread([a / b for a, b in zip(ours, theirs, strict=True)])
        rows.append(
            {
                "teacher → student": f"{pair.teacher} → {pair.student}, {pair.side} px, batch {pair.batch}",
                "exuno, images/s": f"{spread(ours).median:,.0f}",
                "bare, bf16, images/s": f"{spread(theirs).median:,.0f}",
                "exuno of bare": f"{ratio.median:.2f} ({ratio.min:.2f} – {ratio.max:.2f})",
                "asked": f"{pair.least:,}",
            }
        )
        told("GPU: exuno distill beside a bare loop", rows, "students", "; two turns, of 224 px one")


def clips(folder: Path, tiny: bool) -> None:
    """``exuno distill moving-digits``: clips a second of teacher and student."""
    batch = 64 if tiny else 512
    words = ["--budget", "0.02", "--smoke"] if tiny else ["--budget", "0.5"]
    last = ("--batch-size", batch, "--evaluations", 1, "--no-images", "--run-dir", folder / "run")
    command("distill", "moving-digits", *words, *last)
    rows: Rows = [{"what": "student of made clips", "clips/s": f"{rate(folder / 'run', batch):,.0f}", "asked": 20_000}]
    told("GPU: moving digits", rows, "clips", f": batch {batch}")


def outer_step(window: int, patches: int, real: int, width: int) -> Callable[[int], list[Tensor]]:
    """``rat_bptt`` on the shapes of ``benchmarks/poster.py``, inner steps recorded on a GPU, reverse as ``higher``."""
    recorder = CudaRecorder() if DEVICE.type == "cuda" else None
    shelf = RecordedSteps(Recordings(recorder, print)) if recorder else None
    plain, unroll = Augmentation("none"), Unroll(window=window, total=window)

    def network(seed: int) -> torch.nn.Module:
        return fresh_network(f"exuno:convnet_3_{width}", CLASSES, 3, (32, 32), seed).to(DEVICE)

    context = InnerLoopContext(network, Inner(batch=patches), unroll, plain, plain, 0, shelf)
    torch.manual_seed(0)
    images, labels = (
        x.to(DEVICE).requires_grad_() for x in (torch.randn(patches, 3, 32, 32), torch.randn(patches, 10).softmax(1))
    )
    batch, classes = torch.randn(real, 3, 32, 32, device=DEVICE), torch.randint(0, 10, (real,), device=DEVICE)

    def once(number: int) -> list[Tensor]:
        loss = rat_bptt(context, images, labels, batch, classes, number)
        return list(torch.autograd.grad(loss, [images, labels]))

    return once


def timed(work: Callable[[int], object], warm: int, times: int) -> float:
    """Seconds of one of ``times``, after ``warm`` that do not count."""
    for number in range(warm):
        work(number)
    synchronize()
    started = time.perf_counter()
    for number in range(times):
        work(warm + number)
    synchronize()
    return (time.perf_counter() - started) / times


def posters(folder: Path, tiny: bool) -> None:
    """Unrolling beside ``higher`` at windows 20 and 60, and an outer step of the published CIFAR-10 recipe."""
    import poster

    rows: Rows = []

    def row(what: str, ours: str, theirs: str, ratio: str, asked: str) -> None:
        rows.append({"what": what, "exuno": ours, "higher": theirs, "ratio": ratio, "asked": asked})
        told("GPU: posters", rows, "posters")

    for window in (2,) if tiny else (20, 60):
        if tiny:
            poster.PATCHES, poster.REAL, poster.WIDTH = 8, 16, 8
        mine = timed(outer_step(window, poster.PATCHES, poster.REAL, poster.WIDTH), 5, 3)
        try:
            theirs = timed(lambda number, window=window: poster.by_higher(DEVICE, window), 1, 2)
            row(f"unrolling, window {window}", f"{mine:.3f} s", f"{theirs:.3f} s", f"{theirs / mine:.2f}", "5")
        except torch.OutOfMemoryError:
            row(f"unrolling, window {window}", f"{mine:.3f} s", "out of memory", "", "5")
    words: list[object] = ["--canvas", "24x18", "--inner.batch", 8, "--unroll.window", 2, "--unroll.total", 4]
    words += ["--batch-size", 40]
    data = random_images(folder / "data.npz", 32, 400 if tiny else 10_000)
    base = ["--data", data, *words] if tiny else ["cifar10", "--data", data]
    once = ["--eval.networks", 1, "--eval.baselines", 0, "--eval.trials", 1, "--eval.steps", 10]
    last = ["--evaluations", 1, "--no-images", "--run-dir", folder / "run"]
    command("poster", *base, *once, "--steps", 4 if tiny else 30, *last)
    row("outer step, preset cifar10", f"{1 / rate(folder / 'run', 1):.3f} s", "", "", "0.3 s")


def views(folder: Path, tiny: bool) -> None:
    """``exuno fewshot pretrain``: images a second of a ViT-S/16 with 2 x 224 + 10 x 96 views."""
    model, side, local, batch, count = "exuno:vit_small_16", 224, 96, 128, 1280
    if tiny:
        model, side, local, batch, count = "exuno:vit_64_2_2_8", 32, 16, 16, 64
    data = random_images(folder / "data.npz", side, count)
    words: list[object] = ["--validation.way", 2, "--data", data, "--model", model, "--size", side]
    words += ["--views.local", 10, "--views.local-size", local, "--batch-size", batch, "--epochs", 5]
    command("fewshot", "pretrain", *words, "--evaluations", 1, "--no-images", "--run-dir", folder / "run")
    what = f"{model}, 2 x {side} + 10 x {local}"
    told(
        "GPU: few-shot pretraining",
        [{"what": what, "images/s": f"{rate(folder / 'run', batch):,.0f}", "asked": "800"}],
        "views",
        f": batch {batch}",
    )


def patches(folder: Path, tiny: bool) -> None:
    """SMKD's loss on patches beside loops; the table is that of benchmarks/smkd_loss.py."""
    words = ["--turns", "1"] if tiny else ["--turns", "3"]
    script = Path(__file__).parents[1] / "smkd_loss.py"
    subprocess.run([sys.executable, str(script), "--device", DEVICE.type, *words], check=True)


def price(folder: Path, tiny: bool) -> None:
    """What determinism costs, and how far a teacher's answers move in bf16."""
    pair, rows = (TINY if tiny else PAIRS)[0], []

    def row(what: str, found: str) -> None:
        rows.append({"what": what, "found": found})
        told("GPU: the price of determinism and of bf16", rows, "price")

    found: dict[bool, list[float]] = {False: [], True: []}
    for turn in range(2):
        for fixed in (False, True) if turn % 2 else (True, False):
            found[fixed].append(bare(pair, pair.steps // 2, fixed))
    ratio = spread([d / f for d, f in zip(found[True], found[False], strict=True)])
    row("deterministic of autotuned, images/s", f"{ratio.median:.3f} ({ratio.min:.3f} – {ratio.max:.3f})")
    size = (pair.side, pair.side)
    teacher = load_model(pair.teacher, classes=CLASSES, input_size=size, pretrained=False).to(DEVICE).eval()
    images = torch.rand(4 * pair.batch, 3, *size, device=DEVICE)
    with torch.no_grad():
        full = teacher(images)
        with torch.autocast(DEVICE.type, torch.bfloat16):
            half = teacher(images).float()
    same = (full.argmax(1) == half.argmax(1)).float().mean()
    row("same answer in bf16, random weights", f"{same:.4f}")


def compiled(folder: Path, tiny: bool) -> None:
    """What torch.compile gives and costs where steps are not recorded, beside recording them."""
    pair, rows = (TINY if tiny else PAIRS)[0], []
    spec = save_random(pair.teacher, pair.side, folder / "teacher")
    data = random_images(folder / "data.npz", pair.side, 200)
    ways: Sequence[tuple[str, tuple[Any, ...]]] = (
        ("recorded", ()),
        ("started one by one", ("--no-graphs", "--compile", "off")),
        ("compiled, not recorded", ("--no-graphs", "--compile", "on")),
    )
    for number, (way, options) in enumerate(ways):
        place = folder / f"way{number}"
        took = command(*distilling(pair, spec, data, *options, "--run-dir", place, steps=min(pair.steps, 200)))
        rows.append({"way": way, "images/s": f"{rate(place, pair.batch):,.0f}", "seconds, all": f"{took:.0f}"})
        told("GPU: recorded and compiled steps", rows, "compiled")

"""What exuno does with one GPU, unattended and in at most ten minutes: the commands that a user types, beside plain
loops that hold their data on the device.

Each part runs in a process of its own with a time limit, and its table is in RESULTS.md (and in --out) before the next
part begins. The rate of a command is read from its metrics.jsonl, from the middle of the run to its end; that of the
command and of the bare loop are measured in turn.

    python benchmarks/gpu/measure.py [PART ...] [--out DIR] [--tiny]
    python benchmarks/gpu/measure.py accuracy --data SPEC --teacher SPEC [--out DIR]
    parts: students, clips, posters, views, patches, price, the speeds, which a call without a word measures; accuracy
    --tiny: the same path in a minute on any processor, for nothing but to see that it works
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import record, spread
from exuno.models.files import save_model
from exuno.models.load import load_model

LIMITS = {"students": 150, "clips": 45, "posters": 90, "views": 60, "patches": 40, "price": 60, "accuracy": 560}
"""Seconds that a part may take."""
SPEEDS = tuple(part for part in LIMITS if part != "accuracy")
"""The parts that a call without a word measures: less than eight minutes together."""
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


@dataclass(frozen=True)
class Pair:
    """A teacher and a student."""

    teacher: str
    student: str
    side: int
    batch: int
    steps: int
    """Of the command; the bare loop takes a half."""
    least: float
    """What is asked: a share of the bare loop, or images a second where it is above 1."""


PAIRS = (
    Pair("exuno:resnet56", "exuno:wrn_16_4", 32, 1024, 500, 0.9),
    Pair("exuno:wrn_40_4", "exuno:wrn_16_4", 32, 512, 500, 0.9),
    Pair("timm:resnet18", "timm:resnet50", 224, 256, 60, 0.9),
    Pair("exuno:convnet_2_64", "exuno:convnet_2_64", 8, 4096, 1000, 200_000),
)
TINY = (Pair("exuno:convnet_2_16", "exuno:convnet_2_16", 8, 64, 24, 0.9),)
CLASSES = 10


def command(*words: object, limit: float | None = None) -> str:
    """Runs ``exuno WORDS`` and returns what it printed."""
    line = [sys.executable, "-m", "exuno", *map(str, words)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=limit)
    if done.returncode:
        raise SystemExit(f"{' '.join(line)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout


def rate(folder: Path, batch: int) -> float:
    """Samples a second of a run from its middle to its end, by its log."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    logged = [(line["step"], line["time"]) for line in lines if "train/loss" in line]
    first, last = logged[len(logged) // 2], logged[-1]
    return (last[0] - first[0]) * batch / max(last[1] - first[1], 1e-9)


def save_random(spec: str, side: int, folder: Path, frames: int | None = None) -> str:
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


# The loops that a user would write.


def patches_on_device(count: int, side: int) -> Tensor:
    """uint8 [count, 3, side, side]; noise does for a speed."""
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, device=DEVICE)


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
    """Images a second of a plain loop in bf16 with CutMix by slices, AdamW, and nothing else."""
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
    source = batches(patches_on_device(max(4 * pair.batch, 1000), pair.side), pair.batch)
    cut = pair.side // 2
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


def synchronize() -> None:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


# The parts.


def students(folder: Path, tiny: bool) -> None:
    """``exuno distill`` beside the bare loop."""
    rows: list[dict[str, object]] = []
    for number, pair in enumerate(TINY if tiny else PAIRS):
        place = folder / str(number)
        place.mkdir()
        teacher = save_random(pair.teacher, pair.side, place / "teacher")
        data = random_images(place / "data.npz", pair.side, 200)
        found: dict[str, list[float]] = {"exuno": [], "bare": []}
        for turn in range(2):
            words = ["--teacher", teacher, "--student", pair.student, "--data", data, "--source", "photo:astronaut"]
            words += [
                "--patches",
                str(4 * pair.batch),
                "--batch-size",
                str(pair.batch),
                "--epochs",
                str(pair.steps // 4),
            ]
            words += ["--evaluations", "1", "--mix.cutmix", "1", "--augment.flip", "0.5", "--augment.pad", "4"]
            words += ["--optim.name", "adamw", "--optim.lr", "4e-3", "--optim.weight-decay", "0.01", "--loss.t2"]
            command("distill", *words, "--run-dir", place / f"run{turn}")
            found["exuno"].append(rate(place / f"run{turn}", pair.batch))
            found["bare"].append(bare(pair, pair.steps // 2))
        ratio = spread([ours / theirs for ours, theirs in zip(found["exuno"], found["bare"], strict=True)])
        rows.append(
            {
                "teacher → student": f"{pair.teacher} → {pair.student}, {pair.side} px, batch {pair.batch}",
                "exuno, images/s": f"{spread(found['exuno']).median:,.0f}",
                "bare, bf16, images/s": f"{spread(found['bare']).median:,.0f}",
                "exuno of bare": f"{ratio.median:.2f} ({ratio.min:.2f} – {ratio.max:.2f})",
                "asked": f"{pair.least:,}",
            }
        )
    record("GPU: exuno distill beside a bare loop", rows, f"benchmarks/gpu/measure.py students, {name()}; two turns.")


def clips(folder: Path, tiny: bool) -> None:
    """``exuno distill moving-digits``: clips a second of teacher and student."""
    batch = 64 if tiny else 512
    words = ["--budget", "0.02", "--smoke"] if tiny else ["--budget", "0.5"]
    command(
        "distill", "moving-digits", *words, "--batch-size", batch, "--evaluations", "1", "--run-dir", folder / "run"
    )
    rows: list[dict[str, object]] = [
        {"what": "student of made clips", "clips/s": f"{rate(folder / 'run', batch):,.0f}", "asked": "20,000"}
    ]
    record("GPU: moving digits", rows, f"benchmarks/gpu/measure.py clips, {name()}: batch {batch}.")


def posters(folder: Path, tiny: bool) -> None:
    """An outer step of the published CIFAR-10 recipe, and unrolling beside ``higher`` at windows 20 and 60."""
    words = ["--canvas", "24x18", "--inner.batch", "8", "--unroll.window", "2", "--unroll.total", "4"] if tiny else []
    words += ["--batch-size", "40", "--eval.networks", "1", "--eval.baselines", "0"] if tiny else []
    data = random_images(folder / "data.npz", 32, 2000 if tiny else 20_000)
    base = ["--data", data] if tiny else ["cifar10", "--data", data]
    steps = 4 if tiny else 30
    command("poster", *base, *words, "--steps", steps, "--evaluations", "1", "--run-dir", folder / "run")
    step = 1 / rate(folder / "run", 1)
    rows: list[dict[str, object]] = [
        {"what": "outer step, cifar10 preset", "exuno": f"{step:.3f} s", "higher": "", "ratio": "", "asked": "0.3 s"}
    ]
    import poster

    for window in (2,) if tiny else (20, 60):
        found = {side: poster.child(side, window) for side in poster.SIDES}
        theirs = found.pop("higher")
        best = min((one["seconds"] for one in found.values() if one), default=float("nan"))
        rows.append(
            {
                "what": f"unrolling, window {window}, 96 patches",
                "exuno": f"{best:.3f} s",
                "higher": f"{theirs['seconds']:.3f} s" if theirs else "out of memory or time",
                "ratio": f"{theirs['seconds'] / best:.2f}" if theirs else "",
                "asked": "5",
            }
        )
    record("GPU: posters", rows, f"benchmarks/gpu/measure.py posters, {name()}.")


def views(folder: Path, tiny: bool) -> None:
    """``exuno fewshot pretrain``: images a second of a ViT-S/16 with 2 x 224 + 10 x 96 views."""
    model, side, local, batch, count = "exuno:vit_small_16", 224, 96, 128, 1280
    if tiny:
        model, side, local, batch, count = "exuno:vit_64_2_2_8", 32, 16, 16, 64
    data = random_images(folder / "data.npz", side, count)
    words = [
        "--validation.way",
        "2",
        "--data",
        data,
        "--model",
        model,
        "--size",
        side,
        "--views.local",
        "10",
        "--views.local-size",
        local,
    ]
    words += ["--batch-size", batch, "--epochs", "4", "--evaluations", "1", "--run-dir", folder / "run"]
    command("fewshot", "pretrain", *words)
    rows: list[dict[str, object]] = [
        {
            "what": f"{model}, 2 x {side} + 10 x {local}",
            "images/s": f"{rate(folder / 'run', batch):,.0f}",
            "asked": "800",
        }
    ]
    record("GPU: few-shot pretraining", rows, f"benchmarks/gpu/measure.py views, {name()}: batch {batch}.")


def patches(folder: Path, tiny: bool) -> None:
    """SMKD's loss on patches beside loops; the table is that of benchmarks/smkd_loss.py."""
    words = ["--turns", "1"] if tiny else ["--turns", "3"]
    script = Path(__file__).parents[1] / "smkd_loss.py"
    subprocess.run([sys.executable, str(script), "--device", DEVICE.type, *words], check=True)


def price(folder: Path, tiny: bool) -> None:
    """What determinism costs, and how far a teacher's answers move in bf16."""
    pair = TINY[0] if tiny else PAIRS[0]
    rows: list[dict[str, object]] = []
    speeds: dict[bool, list[float]] = {False: [], True: []}
    for turn in range(2 if tiny else 3):
        for deterministic in (False, True) if turn % 2 else (True, False):
            speeds[deterministic].append(bare(pair, pair.steps // 2, deterministic))
    ratio = spread([d / f for d, f in zip(speeds[True], speeds[False], strict=True)])
    rows.append(
        {
            "what": "deterministic of autotuned, images/s",
            "found": f"{ratio.median:.3f} ({ratio.min:.3f} – {ratio.max:.3f})",
        }
    )
    size = (pair.side, pair.side)
    teacher = load_model(pair.teacher, classes=CLASSES, input_size=size, pretrained=False).to(DEVICE).eval()
    images = torch.rand(4 * pair.batch, 3, *size, device=DEVICE)
    with torch.no_grad():
        full = teacher(images)
        with torch.autocast(DEVICE.type, torch.bfloat16):
            half = teacher(images).float()
    rows.append(
        {
            "what": "same answer in bf16, random weights",
            "found": f"{(full.argmax(1) == half.argmax(1)).float().mean():.4f}",
        }
    )
    record("GPU: the price of determinism and of bf16", rows, f"benchmarks/gpu/measure.py price, {name()}.")


def accuracy(folder: Path, tiny: bool, data: str | None, teacher: str | None, out: Path) -> None:
    """``exuno distill cifar10-fast``, all included."""
    words = ["--budget", "0.0005", "--patches", "2000", "--batch-size", "64", "--smoke"] if tiny else []
    words += ["--data", data] if data else []
    words += ["--teacher", teacher] if teacher else []
    started = time.perf_counter()
    command("distill", "cifar10-fast", *words, "--run-dir", folder / "run")
    seconds = time.perf_counter() - started
    lines = [json.loads(line) for line in (folder / "run/metrics.jsonl").read_text().splitlines()]
    curve = [
        {"seconds": f"{x['time']:.0f}", "step": x["step"], "top-1": f"{100 * x['student/top1']:.2f} %"}
        for x in lines
        if "student/top1" in x
    ]
    result = json.loads((folder / "run/result.json").read_text())["metrics"]
    curve.append(
        {"seconds": f"{seconds:.0f}, all included", "step": "", "top-1": f"{100 * result['student/top1']:.2f} %"}
    )
    record(
        "GPU: cifar10-fast",
        curve,
        f"benchmarks/gpu/measure.py accuracy, {name()}; teacher {100 * result['teacher/top1']:.2f} %.",
    )
    for file in ("result.json", "metrics.jsonl"):
        (out / file).write_bytes((folder / "run" / file).read_bytes())


def name() -> str:
    return torch.cuda.get_device_name() if DEVICE.type == "cuda" else "cpu"


def parsed(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=" ".join(LIMITS))
    parser.add_argument(
        "--out", type=Path, default=Path(os.environ.get("OUT", ".")), help="gets results.txt and the curve"
    )
    parser.add_argument("--data")
    parser.add_argument("--teacher")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)  # the part runs in this process
    found = parser.parse_args(words)
    if unknown := set(found.parts) - set(LIMITS):
        parser.error(f"no part {', '.join(sorted(unknown))}; the parts are {' '.join(LIMITS)}")
    return found


def main(words: Sequence[str]) -> int:
    asked = parsed(words)
    if asked.here:
        steps: dict[str, Callable[[Path, bool], None]] = {
            "students": students, "clips": clips, "posters": posters, "views": views, "patches": patches, "price": price
        }  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            for part in asked.parts:
                if part == "accuracy":
                    accuracy(Path(folder), asked.tiny, asked.data, asked.teacher, asked.out)
                else:
                    steps[part](Path(folder), asked.tiny)
        return 0
    asked.out.mkdir(parents=True, exist_ok=True)
    failed = 0
    kept = {"EXUNO_RESULTS": str(asked.out / "RESULTS.md")} if asked.tiny else {}
    slow = 5 if asked.tiny else 1  # on any processor
    given = [("--data", asked.data), ("--teacher", asked.teacher), ("--out", str(asked.out))]
    more = [word for pair in given if pair[1] for word in pair] + ["--tiny"] * asked.tiny
    with (asked.out / "results.txt").open("a") as log:
        for part in asked.parts or SPEEDS:
            line = [sys.executable, __file__, part, "--here", *more]
            try:
                done = subprocess.run(
                    line, stdout=log, stderr=subprocess.STDOUT, timeout=slow * LIMITS[part], env=os.environ | kept
                )
                how = "done" if done.returncode == 0 else f"failed ({done.returncode})"
            except subprocess.TimeoutExpired:
                how = "out of time"
            failed += how != "done"
            print(f"{part}: {how}", file=log, flush=True)
            print(f"{part}: {how}", flush=True)
    return failed


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

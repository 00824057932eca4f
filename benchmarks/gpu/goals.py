"""How far some minutes of one GPU go towards published accuracies, with curves and what the rest would take.

Run directories lie in OUT, so that a curve is there even if its time has run out.
The length of a training is fitted to its time: a short one measures the rate. Extrapolations are straight lines through
the logarithms of error and time, and say so; they know no floor.
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from experiment import command, curve, hours_to, logged, rate, result, save_random
from speeds import Rows, told


@dataclass(frozen=True)
class Plan:
    """What a goal works with."""

    seconds: float
    """Of the part, all included."""
    root: str | None
    """Folder of the benchmark data sets."""
    teacher: str | None
    source: str
    tiny: bool


def workers() -> int:
    return max(0, (os.cpu_count() or 1) - 2)


def data_of(plan: Plan, spec: str, stand_in: str) -> list[object]:
    """The words that name the data; of a trial, small ones that need no files."""
    return ["--data", stand_in] if plan.tiny else ["--data", spec, "--data-root", plan.root or "data"]


def points(found: Sequence[tuple[float, float]], most: int = 12) -> list[tuple[float, float]]:
    """At most so many of a curve, its last among them."""
    step = max(1, -(-len(found) // most))
    return [*found[::-1][::step]][::-1]


def percent(x: float) -> str:
    return f"{100 * x:.2f} %"


RECIPE = ("--optim.name", "muon", "--optim.lr", "3e-3", "--batch-size", "512")
"""On top of the preset cifar10-fast: more steps and Muon, which count by docs/recipes.md; not yet tried on a GPU."""
PATCHES = 4_000_000


def photo(folder: Path, plan: Plan) -> None:
    """CIFAR-10 from one photograph: the preset cifar10-fast as it is and with ``RECIPE`` at a twelfth of the time
    each, then the better one, by its agreement with the teacher on patches, for most of the rest."""
    base = ["distill", "cifar10-fast", "--source", plan.source, "--no-images", *data_of(plan, "cifar10", "digits")]
    if plan.tiny:
        base += ["--student", "exuno:convnet_1_8", "--size", 8]
        base += ["--teacher", save_random("exuno:convnet_1_8", 8, folder / "teacher")]
    elif plan.teacher:
        base += ["--teacher", plan.teacher]
    recipes: dict[str, tuple[tuple[str, ...], int]] = {
        "cifar10-fast": ((), 1024),
        "Muon, batches of 512": (RECIPE, 512),
    }
    if plan.tiny:
        recipes = {key: ((*words, "--batch-size", "32"), 32) for key, (words, _) in recipes.items()}
    rows: Rows = []

    def run(place: str, recipe: str, images: float, evaluations: int = 1) -> Path:
        words, batch = recipes[recipe]
        patches = int(min(PATCHES, max(images, 8 * batch)))
        words = (*words, "--patches", str(patches), "--epochs", "1", "--budget", str(max(1.0, images / patches)))
        how = ("--evaluations", evaluations, "--workers", 0 if plan.tiny else workers())
        command(*base, *words, *how, "--run-dir", folder / place)
        shutil.rmtree(folder / place / "checkpoints", ignore_errors=True)
        return folder / place

    def row(what: str, seconds: float, images: float, top1: float, hours: str = "") -> None:
        values = {"seconds": f"{seconds:.0f}", "million images": f"{images / 1e6:.1f}", "top-1": percent(top1)}
        rows.append({"what": what, **values, "hours to 93 / 94.14 %": hours})
        teacher = percent(result(folder / "probe")["metrics"]["teacher/top1"])
        note = f"one seed; teacher {teacher}; published: 94.14 %, WRN-40-4 to WRN-16-4, 50 million images"
        told("GPU: CIFAR-10 from one photograph", rows, "photo", f"; {note}")

    probe = run("probe", "cifar10-fast", (16 if plan.tiny else 300) * recipes["cifar10-fast"][1])
    speed = rate(probe, recipes["cifar10-fast"][1])
    short: dict[str, tuple[float, float]] = {}
    agreed: dict[str, float] = {}
    for number, recipe in enumerate(recipes):
        place = run(f"short{number}", recipe, speed * plan.seconds / 12)
        done = result(place)
        short[recipe] = done["wall_seconds"], done["metrics"]["student/top1"]
        # On patches, at the end of the training: no test image chooses.
        agreed[recipe] = curve(place, "train/agreement")[-1][1]
        row(f"{recipe}, short", short[recipe][0], done["images"], short[recipe][1])
    best = max(agreed, key=lambda recipe: agreed[recipe])
    place = folder / f"short{[*recipes].index(best)}"
    long = run("long", best, rate(place, recipes[best][1]) * plan.seconds * 0.5, 10)
    done = result(long)
    for seconds, top1 in points(curve(long, "student/top1"))[:-1]:
        row(f"{best}, on the way", seconds, done["images"] * seconds / done["wall_seconds"], top1)
    seconds, top1 = done["wall_seconds"], done["metrics"]["student/top1"]
    ends = [short[best], (seconds, top1)]
    row(f"{best}, the end", seconds, done["images"], top1, " / ".join(hours_to(ends, x) for x in (0.93, 0.9414)))


def fewshot(folder: Path, plan: Plan) -> None:
    """CIFAR-FS for some minutes, by the preset ``cifar-fs-32``, whose recipe docs/reproductions.md tells."""
    words: list[object] = ["fewshot", "distill", "cifar-fs-32", *data_of(plan, "cifar-fs", "digits"), "--no-images"]
    epoch, model = 38_400, "exuno:vit_128_4_4_8_conv"
    if plan.tiny:
        epoch, model = 100, "exuno:vit_64_2_2_4_conv"
        words += ["--model", model, "--size", 8, "--validation.resize", 8, "--validation.episodes", 20]
    command(*words, "--epochs", 1, "--budget", 0.3, "--run-dir", folder / "probe")
    speed = rate(folder / "probe", 32)
    epochs, run = max(1, round(0.7 * plan.seconds * speed / epoch)), folder / "run"
    command(*words, "--epochs", epochs, "--evaluations", 6, "--run-dir", run)
    shutil.rmtree(run / "checkpoints", ignore_errors=True)
    done, way = result(run), curve(run, next(iter(validated(run)), ""))
    end = [f"{percent(v)}" for k, v in sorted(done["metrics"].items()) if k.startswith("test/") and "shot" in k]
    row: dict[str, object] = {
        "recipe": f"cifar-fs-32, {epochs} epochs",
        "seconds": f"{done['wall_seconds']:.0f}",
        "images/s": f"{speed:,.0f}",
        "validation on the way": ", ".join(f"{100 * y:.1f}" for _, y in points(way)),
        "new classes, 1 / 5-shot": " / ".join(end),
        "published": "80.08 / 90.63",
        "hours to the published 1-shot": hours_to(way, 0.8008),
    }
    note = f"{model}, 32 px, one seed; hours by the validation curve; published: ViT-S/16, 224 px"
    told("GPU: CIFAR-FS", [row], "fewshot", f"; {note}")


def validated(run: Path) -> list[str]:
    """What was measured on validation classes on the way."""
    return sorted({key for line in logged(run) for key in line if key.startswith("val/")})


def poster(folder: Path, plan: Plan) -> None:
    """CIFAR-10 at 0.3 images per class by the published recipe, for some minutes."""
    words: list[object] = ["poster", "cifar10", "--ipc", 0.3, *data_of(plan, "cifar10", "digits"), "--no-images"]
    words += ["--eval.networks", 4, "--eval.baselines", 0, "--eval.steps", 300, "--eval.trials", 1]
    if plan.tiny:
        words = ["poster", "digits", "--no-images", "--eval.networks", 1, "--eval.baselines", 0, "--eval.steps", 5]
    probe, steps = folder / "probe", 4 if plan.tiny else 12
    command(*words, "--steps", steps, "--evaluations", 1, "--run-dir", probe)
    speed = rate(probe, 1)
    steps = max(8, round(0.6 * plan.seconds * speed))
    run = folder / "run"
    command(*words, "--steps", steps, "--evaluations", 10, "--run-dir", run)
    done, way = result(run), curve(run, "held/top1")
    rows: Rows = [
        {
            "steps": f"{steps:,}",
            "seconds a step": f"{1 / rate(run, 1):.3f}",
            "held-out accuracy on the way": ", ".join(f"{100 * y:.1f}" for _, y in points(way)),
            "test": percent(done["metrics"]["poster/top1"]),
            "published": "42.3 %",
            "hours of the published 100,000 steps": f"{100_000 / rate(run, 1) / 3600:,.1f}",
            "hours to 42.3 %": hours_to(way, 0.423),
        }
    ]
    note = "one seed; hours by the curve on held-out images"
    told("GPU: a poster of CIFAR-10 at 0.3 images per class", rows, "poster", f"; {note}")

"""How often ``exuno doctor`` errs, on the teachers and students of doctor_teachers.py and doctor_sources.py.

    python benchmarks/doctor_judge.py smoothing TEACHERS
    python benchmarks/doctor_judge.py normalisation TEACHERS
    python benchmarks/doctor_judge.py sources STUDENTS

It prints; nothing is asserted.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from common import table
from exuno.data.open import open_data
from exuno.distill.options import DistillConfig
from exuno.distill.source import open_source
from exuno.doctor import measures
from exuno.doctor.examination import candidates, under
from exuno.doctor.measures import LEAST_ALPHA, MOST_SPREAD, Smoothing, smoothing
from exuno.doctor.sources import assess, diversity, ranks, scores
from exuno.engine.devices import make_accelerator
from exuno.engine.options import RunOptions
from exuno.engine.session import Subset
from exuno.evaluate.measure import logits, ordered_batches
from exuno.metrics import wilson_interval
from exuno.models.load import load_model


@dataclass(frozen=True)
class Teacher:
    """One trained teacher, what is known of it, and what the doctor measures."""

    folder: Path
    config: dict[str, Any]
    top1: float
    found: Smoothing

    @property
    def smoothed(self) -> bool:
        return self.config["label_smoothing"] > 0


def teachers(folder: Path) -> list[Teacher]:
    """All finished teachers of a folder, in the order of their names."""
    found = []
    for run in sorted(folder.iterdir()):
        if (run / "result.json").is_file():
            config = yaml.safe_load((run / "config.yaml").read_text())["config"]
            stored = np.load(run / "evaluation/model.npz")
            numbers = smoothing(stored["logits"], stored["labels"])
            assert numbers is not None
            right = stored["logits"].argmax(1) == stored["labels"]
            found.append(Teacher(run, config, float(right.mean()), numbers))
    return found


def halves(every: Sequence[Teacher]) -> tuple[list[Teacher], list[Teacher]]:
    """Two teachers to the first half, two to the second, and so on: each has plain and smoothed ones."""
    return [t for i, t in enumerate(every) if i // 2 % 2 == 0], [t for i, t in enumerate(every) if i // 2 % 2]


def errors(every: Sequence[Teacher], alpha: float, spread: float) -> tuple[int, int]:
    """Plain teachers that are called smoothed, and smoothed ones that are called plain, under two thresholds."""
    called = [t.found.alpha >= alpha and t.found.spread <= spread for t in every]
    pairs = list(zip(every, called, strict=True))
    return sum(c and not t.smoothed for t, c in pairs), sum(t.smoothed and not c for t, c in pairs)


def choose(every: Sequence[Teacher]) -> tuple[float, float]:
    """The thresholds with the fewest errors on a grid; of equal ones the middle."""
    grid = list(product(np.arange(0.0025, 0.1, 0.0025), np.arange(0.15, 0.45, 0.005)))
    wrong = [sum(errors(every, float(a), float(s))) for a, s in grid]
    best = [pair for pair, count in zip(grid, wrong, strict=True) if count == min(wrong)]
    return float(np.median([a for a, _ in best])), float(np.median([s for _, s in best]))


def tell_smoothing(folder: Path) -> None:
    """Thresholds from one half of the teachers of digits, errors on the other half and on CIFAR-10."""
    every = teachers(folder)
    digits = [t for t in every if t.config["data"] == "digits"]
    first, second = halves(digits)
    alpha, spread = choose(first)
    print(f"chosen on the first half: alpha {alpha:.4f}, spread {spread:.4f}; exuno has {LEAST_ALPHA}, {MOST_SPREAD}")
    groups = {
        "chosen on": first,
        "other half": second,
        "other half, 15 epochs or more": [t for t in second if t.config["epochs"] >= 15],
        "other half, 4 or 8 epochs": [t for t in second if t.config["epochs"] < 15],
        "CIFAR-10": [t for t in every if t not in digits],
    }
    rows = []
    for name, group in groups.items():
        false, missed = errors(group, LEAST_ALPHA, MOST_SPREAD)
        plain = sum(not t.smoothed for t in group)
        smoothed = len(group) - plain
        rows.append({"teachers": name, "plain": plain, "called smoothed": rate(false, plain), "smoothed": smoothed,
                     "called plain": rate(missed, smoothed)})  # fmt: skip
    print(table(rows))
    rows = []
    for true in (0.05, 0.1, 0.2):
        every = [t for t in second if t.config["label_smoothing"] == true]
        hits = [t.found.alpha for t in every if t.found.smoothed]
        rows.append({"alpha": true, "teachers": len(every),
                     "missed": rate(len(every) - len(hits), len(every)), "median estimate": f"{np.median(hits):.3f}",
                     "range": f"{min(hits):.3f} – {max(hits):.3f}"})  # fmt: skip
    print(table(rows))
    for t in second:
        if t.found.smoothed != t.smoothed:
            print(t.folder.name, t.config["model"], t.config["epochs"], t.config["label_smoothing"], t.top1, t.found)


HARM = 0.01
"""Accuracy lost to a wrong card from which on it counts as harmful."""


def tell_normalisation(folder: Path) -> None:
    """Each teacher of digits under its right card and under every wrong one: what is said, and whether it is true."""
    said: dict[str, list[str]] = {"right": [], f"wrong, costs more than {HARM}": [], "wrong, costs less": []}
    for t in (each for each in teachers(folder) if each.config["data"] == "digits"):
        model = load_model(f"run:{t.folder}", pretrained=True)
        data: Any = open_data(t.config["data"], "test")
        device = make_accelerator(RunOptions(devices="cpu")).device
        listed = candidates(model.card, data.mean, data.std)
        asked = [logits(under(model, each), ordered_batches(data, data.image_size), device) for each in listed]
        labels, answers, names = asked[0][1], [z for z, _ in asked], [each.name for each in listed]
        for card in range(len(listed)):
            order = [card, *(i for i in range(len(listed)) if i != card)]
            rows = measures.compare([names[i] for i in order], [answers[i] for i in order], labels)
            best = measures.better(rows)
            lost = next(row for row in rows if row.name == names[0]).top1 - rows[0].top1
            right, harmful, harmless = said
            kind = right if card == 0 else harmful if lost > HARM else harmless
            said[kind].append("right" if best is None else "the true one" if best.name == names[0] else "another one")
    right, harmful, harmless = said
    said["wrong, all"] = said[harmful] + said[harmless]
    print(table([
        {"the card is": kind, "cases": len(all_said)}
        | {column: rate(all_said.count(answer), len(all_said)) for column, answer in
           (("called right", "right"), ("the true one is named", "the true one"),
            ("another one is named", "another one"))}
        for kind, all_said in said.items()
    ]))  # fmt: skip


def rate(count: int, n: int) -> str:
    """``3 (6.6 – 43.0 %)``: a number of cases, and Wilson's 95 % interval of its share; without cases only ``0``."""
    if not n:
        return "0"
    low, high = wilson_interval(count, n)
    return f"{count} ({100 * low:.1f} – {100 * high:.1f} %)"


def spearman(one: Sequence[float], other: Sequence[float]) -> float:
    """Correlation of the ranks, ties sharing theirs; NaN where all values are equal."""
    a, b = np.array(ranks(one)), np.array(ranks(other))
    return float(np.corrcoef(a, b)[0, 1]) if a.std() and b.std() else float("nan")


def bootstrap(one: Sequence[float], other: Sequence[float], draws: int = 5000) -> tuple[float, float]:
    """95 % percentile interval of Spearman's correlation over resampled sources."""
    random = np.random.default_rng(0)
    picks = random.integers(0, len(one), (draws, len(one)))
    found = [spearman([one[i] for i in pick], [other[i] for i in pick]) for pick in picks]
    low, high = np.nanquantile(found, [0.025, 0.975])
    return float(low), float(high)


def tell_sources(folder: Path, patches: int) -> None:
    """The ranking of the sources of students, and how it agrees with what the students learned."""
    students: dict[str, list[float]] = {}
    apart: dict[str, list[float]] = {}
    config: dict[str, Any] = {}
    for run in sorted(folder.iterdir()):
        if run.name != "teacher" and (run / "result.json").is_file():
            config = yaml.safe_load((run / "config.yaml").read_text())["config"]
            metrics = json.loads((run / "result.json").read_text())["metrics"]
            students.setdefault(config["source"][0], []).append(metrics["student/top1"])
            apart.setdefault(config["source"][0], []).append(metrics["agreement/kl"])
    model = load_model(config["teacher"], pretrained=True)
    data: Any = open_data(config["data"], "test")
    device, size = make_accelerator(RunOptions(devices="cpu")).device, data.image_size
    unit = diversity(logits(model, ordered_batches(Subset(data, 2000), size), device)[0])
    found = []
    for spec in students:
        plan = DistillConfig(config["teacher"], "none", config["data"], source=(spec,), patches=patches)
        seen = open_source(plan, data, size, max(model.card.in_chans, data.channels))
        found.append(assess(spec, logits(model, ordered_batches(seen, size), device)[0], unit))
    means = [float(np.mean(students[each.spec])) for each in found]
    near = [-float(np.mean(apart[each.spec])) for each in found]
    columns = {"score": scores(found)}
    columns |= {name: [getattr(each, name) for each in found] for name in ("balance", "diversity", "doubt", "entropy")}
    order = sorted(range(len(found)), key=lambda i: -means[i])
    rows = []
    for i in order:
        spec = found[i].spec
        told = {"source": Path(spec).name, "students": ", ".join(f"{100 * x:.2f}" for x in students[spec])}
        told |= {"mean": f"{100 * means[i]:.2f}", "KL": f"{-near[i]:.3f}"}
        rows.append(told | {name: f"{values[i]:.3f}" for name, values in columns.items()})
    print(table(rows))
    print(table([
        {"ranked by": name, "Spearman with accuracy (95 %)": correlation(values, means),
         "with nearness to the teacher, -KL (95 %)": correlation(values, near)}
        for name, values in columns.items()
    ]))  # fmt: skip


def correlation(one: Sequence[float], other: Sequence[float]) -> str:
    """Spearman's correlation with its interval."""
    low, high = bootstrap(one, other)
    return f"{spearman(one, other):.2f} ({low:.2f} – {high:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("smoothing", "normalisation", "sources"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--patches", type=int, default=2000, help="of each source")
    options = parser.parse_args()
    match options.what:
        case "smoothing":
            tell_smoothing(options.folder)
        case "normalisation":
            tell_normalisation(options.folder)
        case "sources":
            tell_sources(options.folder, options.patches)


if __name__ == "__main__":
    main()

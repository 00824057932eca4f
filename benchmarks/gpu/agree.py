"""Does what is recorded agree with what is not: new code that no GPU has run. The first thing to look at."""

from pathlib import Path

import torch
from bare import TINY
from experiment import command, logged, random_images, rate, result, save_random
from safetensors.torch import load_file
from speeds import Rows, distilling, told


def agree(folder: Path, tiny: bool) -> None:
    """Each training recorded and step by step: its rates, and how far the weights end from each other, as a share of
    how large they are. A twentieth is much; a learning rate that was lost would give 1."""
    rows: Rows = []
    teacher, data = save_random(TINY[0].teacher, 8, folder / "teacher"), random_images(folder / "data.npz", 8, 600)
    steps = 24 if tiny else 80
    student = distilling(TINY[0], teacher, data, steps=steps)
    base: list[object] = [
        "selfsup",
        "--source",
        "photo:astronaut",
        "--data",
        data,
        "--model",
        "exuno:convnet_2_16-batch",
    ]
    base += ["--patches", 256, "--batch-size", 64, "--epochs", steps // 4, "--evaluations", 1, "--no-images"]
    fewshot = ["--model", "exuno:vit_64_2_2_4", "--size", 8, "--data", data, "--validation.way", 2, "--views.local", 2]
    fewshot += ["--views.local-size", 4, "--head.outputs", 64, "--head.hidden", 64, "--batch-size", 64, "--no-images"]
    fewshot += ["--epochs", max(2, steps // 4), "--evaluations", 1, "--precision", "no", "--validation.episodes", 20]
    poster = ["--data", data, "--canvas", "12x10", "--patch", 4, "--inner.batch", 8, "--unroll.window", 2]
    poster += ["--unroll.total", 4, "--steps", 8, "--batch-size", 100, "--eval.networks", 1, "--eval.baselines", 0]
    poster += ["--eval.steps", 5, "--eval.trials", 1, "--evaluations", 1, "--no-images"]
    cases: dict[str, list[object]] = {
        "distill, AdamW, CutMix": [*student, "--precision", "no"],
        "distill, Muon": [*student, "--precision", "no", "--optim.name", "muon"],
        "distill, Muon, bf16": [*student, "--precision", "bf16", "--optim.name", "muon", "--optim.clip", 1],
        "selfsup simclr": [*base, "--method", "simclr", "--settings", "hidden=32", "--precision", "no"],
        "selfsup dino": [*base, "--method", "dino", "--settings", "hidden=32", "--precision", "no"],
        "fewshot pretrain, masked tokens alone": ["fewshot", "pretrain", *fewshot],
        "poster, gradient matching": ["poster", *poster, "--algorithm", "gm"],
    }
    for number, (what, words) in enumerate(cases.items()):
        ways = [folder / f"{number}-{way}" for way in ("recorded", "plain")]
        try:
            command(*words, "--deterministic", "--run-dir", ways[0])
            command(*words, "--deterministic", "--no-graphs", "--run-dir", ways[1])
        except SystemExit as error:  # the others are still to be seen
            rows.append({"what": what, "recorded": f"failed: {error}"[:90]})
        else:
            loss, other = (logged(way)[-1].get("train/loss", lost(way)) for way in ways)
            rows.append(
                {
                    "what": what,
                    "recorded": result(ways[0])["recorded"],
                    "samples/s, recorded and not": " / ".join(f"{rate(way, 64):,.0f}" for way in ways),
                    "last loss": f"{loss:.4g} / {other:.4g}",
                    "weights apart": f"{apart(*ways):.1e}",
                }
            )
        columns = {key: "" for row in rows for key in row}
        told("GPU: recorded and not", [columns | row for row in rows], "agree")


def lost(folder: Path) -> float:
    """The last loss of a run that was measured after it."""
    return [line["train/loss"] for line in logged(folder) if "train/loss" in line][-1]


def apart(one: Path, other: Path) -> float:
    """Distance of two runs' weights, as a share of their length."""
    found = []
    for folder in (one, other):
        file = next(iter(sorted(folder.glob("*.safetensors"))), None)
        parts = load_file(file) if file else {}
        found.append(
            torch.cat([x.float().flatten() for x in parts.values() if x.is_floating_point()] or [torch.ones(1)])
        )
    return float((found[0] - found[1]).norm() / found[1].norm())

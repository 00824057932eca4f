"""A run directory as the commands write it, with random logits."""

import json
from pathlib import Path

import numpy as np
import yaml

from exuno.metrics import summarise
from exuno.report.images import save_png


def make_run(run_dir: Path, names: list[str], n: int = 60, finished: bool = True, evil: str = "") -> Path:
    """Write everything that a report can show. ``evil`` is put into every text."""
    random = np.random.default_rng(0)
    (run_dir / "evaluation").mkdir(parents=True)
    classes = len(names)
    labels = np.arange(n) % classes
    images = random.integers(0, 256, (24, 8, 8), np.uint8)
    result: dict = {"metrics": {}, "intervals": {}, "n": {}}
    for model, skill in (("teacher", 4.0), ("student", 2.0)):
        logits = (skill * np.eye(classes)[labels] + random.normal(size=(n, classes))).astype(np.float32)
        path = run_dir / "evaluation" / f"{model}.npz"
        np.savez(path, logits=logits, labels=labels, class_names=np.array(names), images=images)
        summary = summarise(logits, labels, names)
        result["metrics"][f"{model}/top1"] = summary["top1"]
        result["metrics"][f"{model}/ece"] = summary["ece"]
        result["intervals"][f"{model}/top1"] = summary["interval"]
        result["n"][f"{model}/top1"] = n
    about = {"summary": f"Reads digits{evil}", "paper": f"Someone, arXiv 2112.00725{evil}", "cost": f"a minute{evil}"}
    config = {"verb": "distill", "preset": f"digits{evil}", "about": about, "config": {"epochs": 3}}
    (run_dir / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    (run_dir / "command.txt").write_text(f"exuno distill digits{evil}\n# first typed as: exuno{evil}\n")
    (run_dir / "environment.json").write_text(json.dumps({"device": f"cpu{evil}", "started": "2025-01-02T03:04:05"}))
    rows = [{"step": s, "epoch": s / 10, "time": s * 0.1, "train/loss": 3 / s, "lr": 0.1} for s in range(1, 31)]
    rows += [{"step": 30, "time": 3.1, "eval/student/top1": 0.5, f"eval/odd{evil}": 2.0}]
    (run_dir / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    save_png(random.integers(0, 256, (20, 30, 3), np.uint8), run_dir / "figures" / "source.png")
    figure = {"file": "source.png", "title": f"The source{evil}", "caption": f"A photograph{evil}"}
    (run_dir / "figures" / "figures.json").write_text(json.dumps([figure]))
    result["metrics"] |= {"agreement/top1": 0.75, "agreement/kl": 0.5}
    result |= {"exuno": "0", "command": ["exuno", "distill"], "preset": f"digits{evil}"}
    result |= {"baselines": {"chance/top1": 0.1, f"odd{evil}": 0.2}, "published": {"student/top1": 0.9}}
    result |= {"lineage": {f"source{evil}": [{"sha256": f"abc123{evil}"}]}, "versions": {"torch": f"2{evil}"}}
    result |= {"wall_seconds": 12.5, "peak_memory_bytes": 2**30, "device": f"cpu{evil}"}
    if finished:
        (run_dir / "result.json").write_text(json.dumps(result))
    return run_dir

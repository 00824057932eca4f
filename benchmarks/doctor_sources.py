"""Trains students on one source each, to see what the ranking of ``exuno doctor --sources`` foretells.

    python benchmarks/doctor_sources.py OUT digits|cifar10 [--pictures FILE …] [--cifar10 CIFAR10.npz --teacher SPEC]

digits: a tenth of ``exuno distill digits`` from one teacher, two seeds a source (about 7 minutes on one core). cifar10:
48,000 images from 3,000 patches of each source, a small ConvNet, one seed (about 10 minutes).
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from exuno.commandline.presets import resolve
from exuno.distill.options import DistillConfig
from exuno.distill.train import distill
from exuno.engine.options import Optim, RunOptions
from exuno.presets import read
from exuno.report.images import save_png
from exuno.teach.options import TeachConfig
from exuno.teach.train import teach

PHOTOS = ("astronaut", "coffee", "cat", "brick", "page", "hubble", "moon", "retina")
LEFT_OUT = {"digits": (), "cifar10": ("photo:cat", "photo:moon", "ramp.png")}
SEEDS = {"digits": (0, 1), "cifar10": (0,)}


def sources(out: Path, pictures: list[str]) -> list[str]:
    """Specs of the sources: photographs of scikit-image, noise, a smooth ramp, and the files that are given."""
    down, across = np.mgrid[0:512, 0:512] / 2
    ramp = np.stack([down, across, 255 - down], 2).astype(np.uint8)
    return [*(f"photo:{name}" for name in PHOTOS), "noise:0", str(save_png(ramp, out / "ramp.png")), *pictures]


def digits(out: Path) -> DistillConfig:
    """A tenth of the preset, which leaves room between the sources."""
    teacher = resolve(TeachConfig, read("teach", "digits"))
    made = teach(replace(teacher, run=RunOptions(run_dir=out / "teacher", devices="cpu")))
    base = resolve(DistillConfig, read("distill", "digits"))
    return replace(base, teacher=f"run:{made.dir}", budget=0.1, evaluations=1)


def cifar10(data: Path, teacher: str) -> DistillConfig:
    """A short training on cached answers of the teacher."""
    return DistillConfig(
        teacher=teacher,
        student="exuno:convnet_3_16-batch",
        data=f"npz:{data}",
        patches=3000,
        epochs=16,
        batch_size=32,
        cache_logits=True,
        evaluations=1,
        optim=Optim(lr=3e-3, warmup=0.05),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("what", choices=("digits", "cifar10"))
    parser.add_argument("--pictures", nargs="*", default=[])
    parser.add_argument("--cifar10", type=Path)
    parser.add_argument("--teacher")
    options = parser.parse_args()
    folder = options.out / options.what
    base = digits(folder) if options.what == "digits" else cifar10(options.cifar10, options.teacher)
    listed = [each for each in sources(folder, options.pictures) if not each.endswith(LEFT_OUT[options.what])]
    for source in listed:
        for seed in SEEDS[options.what]:
            name = f"{Path(source.removeprefix('photo:').replace(':', '')).stem}-{seed}"
            where = RunOptions(run_dir=folder / name, seed=seed, devices="cpu")
            run = distill(replace(base, source=(source,), run=where))
            assert run.result is not None
            print(f"{source} {seed} {run.result['metrics']['student/top1']:.4f}", flush=True)


if __name__ == "__main__":
    main()

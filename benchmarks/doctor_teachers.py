"""Trains the teachers that ``exuno doctor`` is measured on: small ones, plain and label-smoothed, some barely trained.

    python benchmarks/doctor_teachers.py OUT [--cifar10 CIFAR10.npz]

Each becomes a run directory OUT/NAME; those that are done are left alone. 66 on the digits (about 5 minutes on one
core), and with ``--cifar10`` four more on CIFAR-10 (about 5 minutes).
"""

import argparse
import random
from dataclasses import replace
from itertools import cycle
from pathlib import Path

from exuno.commandline.presets import resolve
from exuno.engine.options import Augment, Optim, RunOptions
from exuno.presets import read
from exuno.teach.options import TeachConfig
from exuno.teach.train import teach

NETWORKS = (
    "convnet_2_16",
    "convnet_2_32-batch",
    "convnet_2_32-none",
    "convnet_1_32",
    "convnet_2_64",
    "convnet_2_24-layer",
    "resnet8",
    "convnet_2_48-group",
    "convnet_1_64-batch",
    "convnet_1_32-none",
    "convnet_2_16-doubling",
)
SMOOTHINGS = (0.0, 0.05, 0.0, 0.1, 0.0, 0.2)
EPOCHS = (4, 8, 15, 25, 40, 60)


def digits() -> dict[str, TeachConfig]:
    """66 teachers of the digits: every network with every smoothing, half of them plain; the rest is drawn."""
    base = resolve(TeachConfig, read("teach", "digits"))
    draw, smoothings, plans = random.Random(0), cycle(SMOOTHINGS), {}
    for number, network in zip(range(66), cycle(NETWORKS)):
        smoothing, epochs, augmented = next(smoothings), draw.choice(EPOCHS), draw.random() < 0.6
        plans[f"digits-{number:02}"] = replace(
            base,
            model=f"exuno:{network}",
            epochs=epochs,
            label_smoothing=smoothing,
            evaluations=1,
            augment=base.augment if augmented else Augment(),
            run=RunOptions(seed=number, devices="cpu"),
        )
    return plans


def cifar10(path: Path) -> dict[str, TeachConfig]:
    """Four teachers of CIFAR-10, trained for minutes: two plain, two smoothed by 0.1."""
    plans = {}
    for network, epochs in (("convnet_3_32-batch", 2), ("resnet8", 1)):
        for smoothing in (0.0, 0.1):
            plans[f"cifar10-{network}-{smoothing}"] = TeachConfig(
                model=f"exuno:{network}",
                data=f"npz:{path}",
                epochs=epochs,
                label_smoothing=smoothing,
                evaluations=1,
                augment=Augment(flip=0.5, pad=4),
                optim=Optim(name="adamw", lr=3e-3, weight_decay=0.01, warmup=0.05),
                run=RunOptions(devices="cpu"),
            )
    return plans


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--cifar10", type=Path)
    options = parser.parse_args()
    plans = digits() | (cifar10(options.cifar10) if options.cifar10 else {})
    for name, plan in plans.items():
        run = teach(replace(plan, run=replace(plan.run, run_dir=options.out / name)))
        assert run.result is not None
        print(f"{name}: {plan.model}, a = {plan.label_smoothing}, top-1 {run.result['metrics']['model/top1']:.4f}")


if __name__ == "__main__":
    main()

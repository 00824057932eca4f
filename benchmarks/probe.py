"""Linear probes on AlexNet's five layers: all at once against one layer after another.

    python benchmarks/probe.py [--images 32] [--classes 100]

A step of the published protocol: trunk to the deepest probed layer and probes, images at hand. One after another means
five trainings, each of which stops at its own layer. And the probes of the fast protocol on cached features.
"""

import argparse
import time
from collections.abc import Callable

import torch

from exuno.engine.method import Numbers
from exuno.models.load import load_model
from exuno.probe.layers import layers_of
from exuno.probe.linear import Probes, solve


def seconds(work: Callable[[], object], times: int = 3) -> float:
    """The fastest of several rounds."""
    work()
    found = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return min(found)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--classes", type=int, default=100)
    options = parser.parse_args()
    torch.manual_seed(0)
    model = load_model("exuno:alexnet_bn", classes=4, input_size=(224, 224), pretrained=False)
    layers = layers_of(model, (224, 224), 9600)
    x, labels = torch.rand(options.images, 3, 224, 224), torch.arange(options.images) % options.classes

    def step(chosen: list[int]) -> Callable[[], None]:
        method = Probes([(model, [layers[i] for i in chosen])], options.classes).train()

        def run() -> None:
            method.zero_grad()
            method({"images": x, "labels": labels}, Numbers({})).loss.backward()

        return run

    together = seconds(step([0, 1, 2, 3, 4]))
    alone = [seconds(step([i])) for i in range(5)]
    total = sum(alone)
    each = ", ".join(f"{one:.3f}" for one in alone)
    print(f"published, a step of {options.images} images: together {together:.3f} s, one after another {total:.3f} s")
    print(f"  ({each}), ratio {total / together:.2f}")

    count = 1000
    features = [torch.randn(count, 2048) for _ in layers]
    truth = torch.arange(count) % 10

    def all_layers() -> None:
        solve(features, truth, features, 10, epochs=2)

    def each_layer() -> None:
        for each in features:
            solve([each], truth, [each], 10, epochs=2)

    whole, parts = seconds(all_layers, 1), seconds(each_layer, 1)
    print(f"fast, probes on cached features: together {whole:.2f} s, alone {parts:.2f} s, ratio {parts / whole:.2f}")


if __name__ == "__main__":
    main()

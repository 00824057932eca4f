"""Speed of ``exuno explain neurons``: all units in one batch against one unit after another, the same pictures.

Both sides take turns, so that whatever else the machine does hits both.

    .venv/bin/python benchmarks/explain.py
"""

import os
import time

import torch

from common import record, spread
from exuno.explain.ascent import Recipe, maximise
from exuno.explain.units import layer_of
from exuno.models.load import load_model

UNITS, REPEATS = 10, 3
# Network, channels, side of a picture, steps.
CASES = (("exuno:convnet_2_64", 1, 8, 8), ("exuno:resnet20", 3, 32, 2))


def case(spec: str, channels: int, size: int, steps: int) -> dict[str, object]:
    torch.manual_seed(0)
    model = load_model(spec, classes=UNITS, in_chans=channels, input_size=(size, size), pretrained=False)
    model.eval().requires_grad_(False)
    layer, recipe = layer_of(model, None, size), Recipe(size, steps)
    sides: tuple[list[float], list[float]] = ([], [])
    for repeat in range(REPEATS + 1):
        for times, groups in zip(sides, ([range(UNITS)], [[unit] for unit in range(UNITS)]), strict=True):
            started = time.perf_counter()
            for group in groups:
                maximise(model, layer, group, recipe)
            if repeat:  # the first one warms up
                times.append(time.perf_counter() - started)
    together, alone = map(spread, sides)
    ratio = spread([b / a for a, b in zip(*sides, strict=True)])
    work = UNITS * steps
    return {
        "what": f"{spec}, {size}x{size} pixels, {steps} steps",
        "one batch, median (min – max)": f"{work / together.median:,.0f}/s "
        f"({work / together.max:,.0f} – {work / together.min:,.0f})",
        "one after another": f"{work / alone.median:,.0f}/s ({work / alone.max:,.0f} – {work / alone.min:,.0f})",
        "ratio": f"**{ratio.median:.1f}** ({ratio.min:.1f} – {ratio.max:.1f})",
    }


def main() -> None:
    torch.set_num_threads(1)
    rows = [case(*each) for each in CASES]
    note = (
        f"`benchmarks/explain.py`, steps of {UNITS} pictures by activation maximisation per second on one thread, "
        f"random weights, {REPEATS} repeats in turns, load average {os.getloadavg()[0]:.1f}. Tests hold the "
        "pictures of both to be the same."
    )
    record("explain", rows, note)


if __name__ == "__main__":
    main()

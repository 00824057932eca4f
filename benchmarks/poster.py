"""One outer step of RaT-BPTT: exuno's two back-ends against the same step written with the PyPI library ``higher``.

CIFAR-10 shapes: a ConvNet 3x128, 96 patches of 32x32 in each inner step, Adam inside, the loss on 500 real images, and
its gradient by patches and labels. Every measurement is a process of its own, so that peak memory is its own; one side
after the other, in turns. exuno runs as ``exuno poster`` does, which keeps freed memory in the process.

    make context, or: .venv/bin/python benchmarks/poster.py [WINDOW ...]
"""

import json
import os
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common import record, spread
from exuno.engine.devices import reuse_memory
from exuno.models.zoo.convnet import ConvNet
from exuno.poster.inner import Adam
from exuno.poster.network import as_function
from exuno.poster.unroll import Training, unroll

Backend = Literal["reverse", "checkpointed"]
SIDES = ("higher", "reverse", "checkpointed")
WINDOWS = (10, 20, 40, 80)
TURNS, REPEATED = 3, 20  # the others are for the trend, and take minutes each
PATCHES, REAL, SIDE, WIDTH, DEPTH = 96, 500, 32, 128, 3
LIMIT = 240  # seconds of one process


def problem(device: torch.device) -> tuple[nn.Module, Tensor, Tensor, Tensor, Tensor]:
    """Network, patches, soft labels, real images and their classes."""
    torch.manual_seed(0)
    net = ConvNet(DEPTH, WIDTH, 10, 3, (SIDE, SIDE)).to(device)
    patches, labels = torch.randn(PATCHES, 3, SIDE, SIDE), torch.randn(PATCHES, 10).softmax(1)
    real, classes = torch.randn(REAL, 3, SIDE, SIDE), torch.randint(0, 10, (REAL,))
    leaves = [x.to(device).requires_grad_() for x in (patches, labels)]
    return net, leaves[0], leaves[1], real.to(device), classes.to(device)


def by_higher(device: torch.device, window: int) -> list[Tensor]:
    """The gradient as its users write it."""
    warnings.simplefilter("ignore")
    import higher  # pyright: ignore[reportMissingImports]

    net, patches, labels, real, classes = problem(device)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    with higher.innerloop_ctx(net, optimizer) as (network, inner):
        for _ in range(window):
            inner.step(F.cross_entropy(network(patches), labels))
        loss = F.cross_entropy(network(real), classes)
        return list(torch.autograd.grad(loss, [patches, labels]))


def by_exuno(device: torch.device, window: int, backend: Backend) -> list[Tensor]:
    """The gradient as ``exuno poster`` takes it."""
    net, patches, labels, real, classes = problem(device)
    parameters, network = as_function(net)

    def outer(trained: Sequence[Tensor]) -> Tensor:
        total = torch.zeros((), device=device)
        for x, y in zip(real.split(250), classes.split(250), strict=True):
            loss = F.cross_entropy(network(trained, x), y, reduction="sum") / REAL
            loss.backward(inputs=list(trained))
            total += loss.detach()
        return total

    training = Training(network, [p.shape for p in parameters], Adam(1e-3), lambda step: (patches, labels))
    return unroll(training, parameters, 0, window, outer, [patches, labels], backend)[1]


def measure(side: str, window: int) -> dict[str, float]:
    """Seconds of an outer step after a short first one, and the peak memory of both above that of the bare imports."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def step(window: int) -> list[Tensor]:
        return by_higher(device, window) if side == "higher" else by_exuno(device, window, cast(Backend, side))

    before = resident(device)
    if side != "higher":
        reuse_memory()
    step(1)  # pays for what a first step imports; its peak is below that of a longer one
    started = time.perf_counter()
    found = step(window)
    if device.type == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - started
    assert all(grad.isfinite().all() for grad in found)
    return {"seconds": seconds, "bytes": peak(device) - before}


def resident(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.memory_allocated()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def peak(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def child(side: str, window: int) -> dict[str, float] | None:
    """``measure`` in a process of its own; None where memory or time did not do."""
    command = [sys.executable, "-W", "ignore", __file__, "--one", side, str(window)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, preexec_fn=fence)
    except subprocess.TimeoutExpired:
        return None
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


def fence() -> None:
    """A process that wants more than most of the machine's memory gets an error, not the kernel's attention."""
    size = int(0.85 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    resource.setrlimit(resource.RLIMIT_DATA, (size, size))


def main(windows: list[int]) -> None:
    rows: list[dict[str, object]] = []
    for window in windows:
        found: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
        failed: set[str] = set()
        for _ in range(TURNS if window == REPEATED else 1):
            for side in SIDES:
                one = None if side in failed else child(side, window)
                if one is None:
                    failed.add(side)
                else:
                    found[side].append(one)
        base = [] if "higher" in failed else found["higher"]
        for side in SIDES:
            if side in failed:
                rows.append(row(window, side, "out of memory or time", "", "", ""))
                continue
            seconds = [one["seconds"] for one in found[side]]
            size = spread([one["bytes"] for one in found[side]]).median
            ratio = [b["seconds"] / one["seconds"] for b, one in zip(base, found[side], strict=False)]
            share = size / spread([one["bytes"] for one in base]).median if base else None
            rows.append(
                row(
                    window,
                    side,
                    show(seconds, "{:.1f} s"),
                    show(ratio, "{:.2f}x") if base else "",
                    f"{size / 2**30:.2f} GiB",
                    f"{share:.2f}" if share else "",
                )
            )
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    note = (
        f"benchmarks/poster.py, {device}: ConvNet {DEPTH}x{WIDTH}, {PATCHES} patches of {SIDE} px, {REAL} real images; "
        "each side a process of its own, in turn; median (min – max) of 3 at window 20, one of the others."
    )
    record("Posters: one outer step against `higher`", rows, note)


def row(window: int, side: str, seconds: str, ratio: str, memory: str, share: str) -> dict[str, object]:
    return {
        "window": window,
        "side": side,
        "time": seconds,
        "speed against higher": ratio,
        "peak memory": memory,
        "of higher's": share,
    }


def show(values: list[float], form: str) -> str:
    middle = spread(values)
    text = form.format(middle.median)
    return text if len(values) == 1 else f"{text} ({form.format(middle.min)} – {form.format(middle.max)})"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measure(sys.argv[2], int(sys.argv[3]))))
    else:
        main([int(word) for word in sys.argv[1:]] or list(WINDOWS))

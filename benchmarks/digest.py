"""What the digest of a checkpoint costs: writing and reading one of 100 MB, with it and without.

Both sides go through exuno's own file layer (random name, sync, rename, sync of the folder) and take turns; the side
without has a digest that is nothing in the place of SHA-256.

    .venv/bin/python benchmarks/digest.py
"""

import os
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import torch

from common import record, spread
from exuno.engine import checkpoint
from exuno.engine.digests import SEAL

MEGABYTES = 100
TURNS = 11


def seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def main() -> None:
    state = {"step": 1, "method": {str(i): torch.randn(250_000) for i in range(MEGABYTES)}}
    sides = [f"{what}, {side}" for what in ("write", "read") for side in ("plain", "sealed")]
    taken: dict[str, list[float]] = {side: [] for side in sides}
    with tempfile.TemporaryDirectory(dir=os.environ.get("EXUNO_BENCH_DIR")) as name:
        folder = Path(name)
        for turn in range(TURNS + 1):
            for side in ("plain", "sealed") if turn % 2 else ("sealed", "plain"):
                with ExitStack() as stack:
                    if side == "plain":
                        stack.enter_context(patch.object(checkpoint, "seal", lambda content: bytes(SEAL)))
                        stack.enter_context(patch.object(checkpoint, "unseal", lambda content: content[:-SEAL]))
                    write = seconds(lambda: checkpoint.save(folder, 1, state))
                    read = seconds(lambda: checkpoint.load(folder / "step-000000001.pt"))
                if turn:  # the first fills the caches
                    taken[f"write, {side}"].append(write)
                    taken[f"read, {side}"].append(read)
    rows: list[dict[str, object]] = []
    for what in ("write", "read"):
        plain, sealed = (spread(taken[f"{what}, {side}"]) for side in ("plain", "sealed"))
        extra = spread([b - a for a, b in zip(taken[f"{what}, plain"], taken[f"{what}, sealed"], strict=True)])
        rows.append(
            {
                "what": what,
                "without (s)": f"{plain.median:.3f} ({plain.min:.3f} – {plain.max:.3f})",
                "with the digest (s)": f"{sealed.median:.3f} ({sealed.min:.3f} – {sealed.max:.3f})",
                "the digest costs (s)": f"**{extra.median:.3f}** ({extra.min:.3f} – {extra.max:.3f})",
            }
        )
    note = (
        f"`benchmarks/digest.py`: a checkpoint of {MEGABYTES} MB (float32) through exuno's file layer, which syncs "
        f"file and folder; median (min – max) of {TURNS} turns, side by side, load average {os.getloadavg()[0]:.1f}."
    )
    record("Digest of a checkpoint", rows, note)


if __name__ == "__main__":
    main()

"""Speed, fidelity and memory of ``exuno synth`` against the plain PIL and torchvision chain.

Both sides make the same patches (equal parameters), use the same two processes, and take turns, so that whatever else
the machine does hits both.

    .venv/bin/python benchmarks/synth.py
"""

import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from common import record, shared, spread
from exuno.data.images.photo import load_photo
from exuno.synth.image import Sampler
from exuno.synth.job import Job
from exuno.synth.mixture import Mixture
from exuno.synth.options import ImageOptions
from exuno.synth.writer import PatchFiles, write_unit

# The plain chain is the one that tests compare with, and a script sees its own folder only. It is imported where it is
# used: it brings torchvision, and Linux counts the memory of who starts a process as a peak of that process.
sys.path.insert(0, str(Path(__file__).parents[1]))

PROCESSES = 2
REPEATS = 7
# Patches of one measurement for (exuno, PIL): about a second of work for each.
COUNTS = {32: (30000, 600), 256: (1200, 160)}

_state: dict[str, Any] = {}


def _start(photo: np.ndarray, size: int) -> None:
    """What each side does once, before the clock runs."""
    import torch

    torch.set_num_threads(1)
    _state.update(sampler=Sampler(photo, ImageOptions(size=size)), pil=Image.fromarray(photo), size=size)
    _state["sampler"]([0])
    _plain(range(1))


def _fast(indices: range) -> None:
    for start in range(indices.start, indices.stop, 256):
        _state["sampler"](range(start, min(start + 256, indices.stop)))


def _plain(indices: range) -> None:
    from tests.synth import pil_chain

    drawn = _state["sampler"].draw(indices)
    for row in range(len(indices)):
        np.asarray(pil_chain.pil_patch(_state["pil"], drawn, row, _state["size"]))


def _fast_files(indices: range) -> None:
    with tempfile.TemporaryDirectory() as out:
        sampler = _state["sampler"]
        job = Job("patches", ("",), sampler.options, 0, indices.stop, "jpeg", 75, "wds", len(indices))
        mixture = Mixture.__new__(Mixture)  # with the sampler that is warm already
        mixture.samplers, mixture.options = [sampler], sampler.options
        for _ in write_unit(job, PatchFiles(mixture, "jpeg", 75), Path(out), indices.start // len(indices)):
            pass


def _plain_files(indices: range) -> None:
    from tests.synth import pil_chain

    drawn = _state["sampler"].draw(indices)
    with tempfile.TemporaryDirectory() as out:
        for row, index in enumerate(indices):
            patch = pil_chain.pil_patch(_state["pil"], drawn, row, _state["size"])
            patch.save(Path(out) / f"patch_{index}.jpg")


def race(photo: np.ndarray, size: int, fast: Callable, plain: Callable) -> tuple[list[float], list[float]]:
    """Images per second of both sides in each repeat."""
    rates: tuple[list[float], list[float]] = ([], [])
    with get_context("spawn").Pool(PROCESSES, _start, (photo, size)) as pool:
        pool.map(len, [range(1)] * 64, chunksize=1)
        for _ in range(REPEATS):
            for side, work, count in zip(rates, (fast, plain), COUNTS[size], strict=True):
                share = count // PROCESSES
                started = time.perf_counter()
                pool.map(work, [range(k * share, (k + 1) * share) for k in range(PROCESSES)], chunksize=1)
                side.append(count / (time.perf_counter() - started))
    return rates


def row(what: str, required: float, rates: tuple[list[float], list[float]]) -> dict[str, object]:
    fast, plain = (spread(side) for side in rates)
    ratio = spread([a / b for a, b in zip(*rates, strict=True)])
    return {
        "what": what,
        "exuno, median (min – max)": f"{fast.median:,.0f}/s ({fast.min:,.0f} – {fast.max:,.0f})",
        "PIL chain": f"{plain.median:,.0f}/s ({plain.min:,.0f} – {plain.max:,.0f})",
        "ratio": f"**{ratio.median:.1f}** ({ratio.min:.1f} – {ratio.max:.1f})",
        "required": f"{required:g}",
    }


def fidelity(photo: np.ndarray, size: int, count: int = 500) -> str:
    """PSNR in dB against the PIL chain, without and with jitter."""
    from tests.synth import pil_chain

    sampler = Sampler(photo, ImageOptions(size=size))
    drawn = sampler.draw(np.arange(count))
    parts = []
    for name, jitter in (("without jitter", np.zeros(count, bool)), ("with", drawn.jitter)):
        drawn = dataclasses.replace(drawn, jitter=jitter)
        patches, picture = sampler.render(drawn), Image.fromarray(photo)
        values = np.sort(
            [pil_chain.psnr(patches[i], np.asarray(pil_chain.pil_patch(picture, drawn, i, size))) for i in range(count)]
        )
        parts.append(f"{name} {values.mean():.1f} dB (worst 5 %: {values[: count // 20].mean():.1f})")
    return f"{size} px: " + ", ".join(parts)


def peak_memory(photo: Path | str, count: int) -> float:
    """Peak resident memory in MB of the largest process of ``exuno synth`` writing so many patches of 32 px."""
    out = tempfile.mkdtemp()
    code = (
        "import resource, sys; from exuno.cli import main; assert main(sys.argv[1:]) == 0;"
        "print(max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))"
    )
    command = [sys.executable, "-c", code, "synth", str(photo), "--out", out, "--count", str(count)]
    try:
        done = subprocess.run([*command, "--workers", str(PROCESSES)], capture_output=True, text=True, check=True)
    finally:
        shutil.rmtree(out)
    return int(done.stdout.splitlines()[-1]) / 1024


def main() -> None:
    street = shared() / "data" / "source_images" / "ameyoko.jpg"
    spec = street if street.exists() else "photo:retina"
    photo = load_photo(spec)
    rows = [
        row("patches of 32 px", 30, race(photo, 32, _fast, _plain)),
        row("patches of 256 px", 5, race(photo, 256, _fast, _plain)),
        row("256 px to JPEG (exuno: tar shard, PIL: files)", 4, race(photo, 256, _fast_files, _plain_files)),
    ]
    memory = {count: peak_memory(spec, count) for count in (2000, 20000)}
    note = (
        f"`benchmarks/synth.py`, {Path(spec).name}, {photo.shape[1]} x {photo.shape[0]} pixels. Images per "
        f"second of {PROCESSES} processes, options at their defaults (jitter on), {REPEATS} repeats in turns, load "
        f"average {os.getloadavg()[0]:.1f}. PIL chain: crop, resize bicubic, affine bilinear, centre crop, jitter, "
        "with the same parameters, from the decoded photograph in memory.\n\n"
        f"PSNR over 500 patches against that chain: {fidelity(photo, 32)}; {fidelity(photo, 256)}.\n\n"
        "Peak memory of a process: "
        + ", ".join(f"{size:.0f} MB writing {count:,} patches" for count, size in memory.items())
        + "."
    )
    record("synth", rows, note)


if __name__ == "__main__":
    main()

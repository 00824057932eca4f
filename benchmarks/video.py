"""Speed and fidelity of clips: made by ``exuno synth video``'s sampler against a plain PIL and torchvision chain.

Both sides make the same clips (equal parameters) in one process, and take turns, so that whatever else the machine does
hits both.

    .venv/bin/python benchmarks/video.py
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from common import record, shared, spread
from exuno.data.photo import load_photo
from exuno.synth.options import VideoOptions
from exuno.synth.video import ClipSampler

# The plain chain is the one that tests compare with, and a script sees its own folder only.
sys.path.insert(0, str(Path(__file__).parents[1]))

REPEATS = 7
FRAMES, SIZE = 16, 112


def race(fast: Callable[[], int], plain: Callable[[], int]) -> tuple[list[float], list[float]]:
    """Clips per second of both sides in each repeat; each side returns the number of clips that it handled."""
    rates: tuple[list[float], list[float]] = ([], [])
    fast()
    plain()
    for _ in range(REPEATS):
        for side, work in zip(rates, (fast, plain), strict=True):
            started = time.perf_counter()
            side.append(work() / (time.perf_counter() - started))
    return rates


def row(what: str, other: str, required: float, rates: tuple[list[float], list[float]]) -> dict[str, object]:
    fast, plain = (spread(side) for side in rates)
    ratio = spread([a / b for a, b in zip(*rates, strict=True)])
    return {
        "what": what,
        "exuno, median (min – max)": f"{fast.median:,.0f}/s ({fast.min:,.0f} – {fast.max:,.0f})",
        "against": f"{other}: {plain.median:,.1f}/s ({plain.min:,.1f} – {plain.max:,.1f})",
        "ratio": f"**{ratio.median:.1f}** ({ratio.min:.1f} – {ratio.max:.1f})",
        "required": f"{required:g}",
    }


def making(photo: np.ndarray) -> dict[str, object]:
    """One process making clips, and the plain chain with the same boxes and colours."""
    from tests.synth.pil_clip import pil_clip

    sampler, picture = ClipSampler(photo, VideoOptions(size=SIZE, frames=FRAMES)), Image.fromarray(photo)
    many, few = range(160), sampler.draw(np.arange(16))

    def fast() -> int:
        for start in range(0, len(many), 16):
            sampler(many[start : start + 16])
        return len(many)

    def plain() -> int:
        for number in range(len(few)):
            pil_clip(picture, few, number, SIZE, FRAMES, whole=True)
        return len(few)

    return row(f"making clips of {FRAMES} frames of {SIZE} px", "PIL chain", 6, race(fast, plain))


def fidelity(photo: np.ndarray, count: int = 40) -> str:
    """Mean PSNR in dB of clips against the PIL chain, with its boxes as drawn and rounded to whole pixels."""
    from tests.synth.pil_chain import psnr
    from tests.synth.pil_clip import pil_clip

    sampler, picture = ClipSampler(photo, VideoOptions(size=SIZE, frames=FRAMES)), Image.fromarray(photo)
    drawn = sampler.draw(np.arange(count))
    clips = sampler.render(drawn)
    values = [
        np.mean([psnr(clips[i], pil_clip(picture, drawn, i, SIZE, FRAMES, whole)) for i in range(count)])
        for whole in (False, True)
    ]
    return f"{values[0]:.1f} dB with the same boxes, {values[1]:.1f} dB with boxes rounded to whole pixels as published"


def main() -> None:
    import torch

    torch.set_num_threads(1)
    street = shared() / "data" / "source_images" / "ameyoko.jpg"
    spec = street if street.exists() else "photo:retina"
    photo = load_photo(spec)
    rows = [making(photo)]
    note = (
        f"`benchmarks/video.py`, {Path(spec).name}, {photo.shape[1]} x {photo.shape[0]} pixels. Clips per second of "
        f"one process, {REPEATS} repeats in turns, load average {os.getloadavg()[0]:.1f}. PIL chain: crop, jitter of "
        "the crop, and for each frame crop and resize bicubic, with the same parameters, from the decoded photograph "
        f"in memory.\n\nPSNR over 40 clips against that chain: {fidelity(photo)}."
    )
    record("video", rows, note)


if __name__ == "__main__":
    main()

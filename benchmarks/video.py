"""Speed and fidelity of clips: made by ``exuno synth video``'s sampler against a plain PIL and torchvision chain; and
read from videos by the loader against plain PyAV and torchvision.

Both sides make the same clips (equal parameters) in one process, and take turns, so that whatever else the machine does
hits both.

    .venv/bin/python benchmarks/video.py
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from common import record, shared, spread
from exuno.data.images.photo import load_photo
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


VIDEOS, LENGTH, RATE = 8, 180, 25
SECONDS = 1.92


def film(photo: np.ndarray, folder: Path) -> Path:
    """A folder of videos as large and long as those of UCF101: a window of 320 x 240 that moves over the photograph."""
    import av

    for number in range(VIDEOS):
        path = folder / f"a/{number}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=RATE)
            stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
            for time in range(LENGTH):
                top, left = 2 * time // 3 + number, time + 3 * number
                window = np.ascontiguousarray(photo[top : top + 240, left : left + 320])
                container.mux(stream.encode(av.VideoFrame.from_ndarray(window, format="rgb24")))
            container.mux(stream.encode())
    return folder


def plain_clip(path: Path, start: float, augmix: bool) -> torch.Tensor:
    """As scripts do it: seek, decode and convert all frames of the clip, take 16, transform them by torchvision."""
    import av
    from torchvision.transforms import v2

    frames = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        container.seek(int(start / (stream.time_base or 1)), stream=stream)
        for frame in container.decode(stream):
            if frame.time >= start + SECONDS:
                break
            if frame.time >= start:
                frames.append(frame.to_ndarray(format="rgb24"))
    clip = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)
    clip = clip[torch.linspace(0, len(clip) - 1, FRAMES).long()]
    steps = [v2.AugMix(severity=3)] if augmix else []
    side = int(torch.randint(183, 230, ()))
    steps += [
        v2.Resize(side, antialias=True),
        v2.RandomCrop(160),
        v2.RandomHorizontalFlip(),
        v2.ToDtype(torch.float32, True),
    ]
    return v2.Compose(steps)(clip).transpose(0, 1)


def reading(folder: Path) -> list[dict[str, object]]:
    """Training batches of 8 clips, one process."""
    from exuno.data.loader import Loader
    from exuno.data.open import open_data
    from exuno.data.video.clips import VideoData
    from exuno.engine.options import Augment

    kept = open_data(f"videos:{folder}@{FRAMES}/{SECONDS}s")
    lazy = VideoData("lazy", kept.videos, kept.classes, kept.cut, limit=0)  # type: ignore[attr-defined]
    files = sorted(folder.glob("a/*.mp4"))
    random = np.random.default_rng(0)
    rows = []
    for data, what in ((lazy, "decoded at need"), (kept, "kept in memory")):
        for severity in (0, 3):
            loader = Loader(data, VIDEOS, Augment(augmix=severity, short_side=(183, 229), flip=0.5), 0, (160, 160))
            epochs = iter(range(10**6))

            def fast(loader: Loader = loader, epochs: Iterator[int] = epochs) -> int:
                return sum(len(batch["images"]) for batch in loader.epoch(next(epochs)))

            def plain(severity: int = severity) -> int:
                for path in files[:4]:
                    plain_clip(path, random.random() * (LENGTH / RATE - SECONDS), bool(severity))
                return 4

            name = f"{FRAMES} frames of 320 x 240, {what}, {'AugMix, ' if severity else ''}crop 160 and flip"
            rows.append(row(name, "PyAV and torchvision", 1, race(fast, plain)))
    return rows


def main() -> None:
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
    with tempfile.TemporaryDirectory() as folder:
        rows = reading(film(photo, Path(folder)))
    note = (
        f"`benchmarks/video.py`, {VIDEOS} H.264 videos of {LENGTH} frames, {RATE} a second. Training clips a second of "
        f"one process (times {FRAMES} for frames), {REPEATS} repeats in turns, load average {os.getloadavg()[0]:.1f}. "
        "The plain side decodes from the key frame before a random second on, converts all frames of "
        f"{SECONDS} s, and takes {FRAMES}; both decode with one thread."
    )
    record("video data", rows, note)


if __name__ == "__main__":
    main()

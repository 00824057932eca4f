"""``exuno synth PHOTO … --out DIR``: one photograph -> a data set of patches on disk. Imports no torch."""

import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import tyro

from exuno.data.photo import load_photo, photo_sha256
from exuno.engine.errors import ExunoError
from exuno.engine.progress import ProgressBar, clock
from exuno.synth.job import Container, Format, Job, claim
from exuno.synth.mixture import Mixture
from exuno.synth.options import ImageOptions
from exuno.synth.writer import encoded

SMOKE = 64


@dataclass(frozen=True)
class Synth:
    """Make a data set of patches from one photograph (or several: patch i comes from photograph i mod n)."""

    photos: tyro.conf.Positional[tuple[str, ...]]
    """Pictures: a path, photo:NAME (photo:coffee, photo:astronaut, …) or noise:SEED."""
    out: Path | None = None
    """Folder to write to. The same command continues a run that was stopped."""
    count: int = 50000
    """Number of patches."""
    seed: int = 0
    """Seed of every draw. A patch depends on photograph, options, seed and its own number only."""
    format: Format = "jpeg"
    """File format of a patch."""
    quality: int = 75
    """Quality of jpeg and webp, 1 to 100."""
    container: Container = "folder"
    """folder: OUT/patches/000000/000000123.jpg, an image folder of one class; wds: WebDataset shards OUT/000000.tar."""
    group: int = 1000
    """Patches in a subfolder or tar file, the unit of sharding and of continuing."""
    shard: str = "0/1"
    """i/n: write the i-th of n disjoint parts (i from 0), for n machines."""
    workers: int = 0
    """Processes; 0: one for each core."""
    contact_sheet: int = 0
    """Also write OUT/contact-sheet.png, a grid of so many patches from the first on."""
    image: tyro.conf.OmitArgPrefixes[ImageOptions] = field(default_factory=ImageOptions)
    smoke: bool = False
    """Only 64 patches."""
    dry_run: bool = False
    """Print the resolved options and what the work would cost, write nothing."""
    debug: bool = False
    """Show tracebacks."""


def main(args: Sequence[str]) -> None:
    """Parse the command line, then explain or do the work."""
    synth(parse(args))


def parse(args: Sequence[str]) -> Synth:
    """The options of a command line; tyro prints its own message and exits for what it cannot parse."""
    return tyro.cli(Synth, args=args, prog="exuno synth")


def synth(options: Synth) -> None:
    """Write the patches (or, for a dry run, tell what would be written)."""
    job = resolve(options)
    photos = [load_photo(spec) for spec in options.photos]
    mixture = Mixture(photos, job.options, job.seed)
    share, shares = parse_shard(options.shard)
    workers = options.workers or available_cores()
    units = range(share, job.units, shares)
    if options.dry_run:
        explain(options, job, mixture, units, workers)
        return
    if options.out is None:
        raise ExunoError("no folder to write to was given", "Give --out DIR.")
    with claim(job, options.out, share, shares):
        _write(options, options.out, job, mixture, units, workers)


def _write(options: Synth, out: Path, job: Job, mixture: Mixture, units: Sequence[int], workers: int) -> None:
    from exuno.synth.pool import writing

    todo = [unit for unit in units if not job.place(out, unit).exists()]
    total, left = _patches(job, units), _patches(job, todo)
    # The processes start before the bar, which has a thread of its own on a terminal.
    with (
        writing(job, mixture, out, todo, workers) as amounts,
        ProgressBar("synth", total, "patches", done=total - left, quiet=not todo) as bar,
    ):
        for amount in amounts:
            bar.advance(amount)
    if options.contact_sheet:
        _write_contact_sheet(mixture, out / "contact-sheet.png", min(options.contact_sheet, job.count))
    print(f"{total:,} patches of {job.options.size} px in {out}" + ("" if todo else " (they were there already)"))


def resolve(options: Synth) -> Job:
    """Check the options and settle what is written.

    Raises:
        ExunoError: a value that makes no sense.
    """
    if not options.photos:
        raise ExunoError("no photograph was given", "For example: exuno synth photo:coffee --out patches")
    for name, low, high in (("count", 1, 10**9), ("quality", 1, 100), ("group", 1, 10**6)):
        value = getattr(options, name)
        if not low <= value <= high:
            raise ExunoError(f"--{name} is {value}", f"It has to be from {low:,} to {high:,}.")
    for name in ("workers", "contact_sheet"):
        if getattr(options, name) < 0:
            raise ExunoError(f"--{name.replace('_', '-')} is {getattr(options, name)}", "It cannot be negative.")
    return Job(
        photos=tuple(photo_sha256(spec) for spec in options.photos),
        options=options.image,
        seed=options.seed,
        count=min(options.count, SMOKE) if options.smoke else options.count,
        format=options.format,
        quality=options.quality,
        container=options.container,
        group=options.group,
    )


def parse_shard(text: str) -> tuple[int, int]:
    """``"2/8"`` -> (2, 8)."""
    share, slash, shares = text.partition("/")
    if not (slash and share.isdigit() and shares.isdigit() and int(share) < int(shares)):
        raise ExunoError(f"--shard is '{text}'", "It has to be i/n with i from 0 to n - 1, for example 0/4 … 3/4.")
    return int(share), int(shares)


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def explain(options: Synth, job: Job, mixture: Mixture, units: Sequence[int], workers: int) -> None:
    """Print the resolved options as YAML and the cost, measured on a few patches."""
    import yaml

    resolved: dict[str, Any] = asdict(options)
    resolved.update(photos=list(options.photos), out=options.out and str(options.out), count=job.count, workers=workers)
    resolved.update(
        {name: list(value) if isinstance(value, tuple) else value for name, value in resolved.pop("image").items()}
    )
    print(yaml.safe_dump(resolved, sort_keys=False, default_flow_style=None).rstrip())
    for _ in encoded(job, mixture, [0]):
        pass  # the first patch also pays for the pyramid and the imports
    trial = range(min(job.count, 16))
    started = time.monotonic()
    size = sum(len(data) for _, data in encoded(job, mixture, trial)) / len(trial)
    seconds = (time.monotonic() - started) / len(trial)
    count = _patches(job, units)
    print(
        f"# {count:,} patches in {len(units):,} {'tar files' if job.container == 'wds' else 'subfolders'}: "
        f"about {count * size / 1e6:,.1f} MB and {clock(count * seconds / workers)} with {workers} processes"
    )


def _patches(job: Job, units: Sequence[int]) -> int:
    return sum(len(job.indices(unit)) for unit in units)


def _write_contact_sheet(mixture: Mixture, path: Path, count: int) -> None:
    import numpy as np

    from exuno.engine.files import atomic
    from exuno.synth.contact import contact_sheet
    from exuno.synth.writer import encode

    sheet = contact_sheet(mixture(np.arange(count)))
    with atomic(path) as temporary:
        temporary.write_bytes(encode(sheet[..., ::-1].copy(), ".png", []))

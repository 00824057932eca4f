"""What ``exuno synth`` does for every kind of sample, shared among processes."""

import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import connection, get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated, Any

import tyro

from exuno.data.images.photo import photo_sha256
from exuno.engine.errors import ExunoError, as_mistake
from exuno.engine.progress import ProgressBar, clock
from exuno.engine.ranges import SEED
from exuno.engine.remote import is_remote, outgoing
from exuno.engine.system import available_cores
from exuno.synth.job import MANIFEST, Container, Job, What, claim, is_there
from exuno.synth.writer import Maker, write_unit

SMOKE = 64
TRIAL, TRIAL_SECONDS = 16, 0.3
"""Samples from which a dry run estimates the cost, or as many as are made in that time."""


@dataclass(frozen=True)
class Work:
    """The options of writing, whatever the samples are."""

    out: Path | None = None
    """Folder to write to, or SCHEME://BUCKET/FOLDER (s3, gs, hf, …), to which it is copied at the end. The same command
    continues a run that was stopped."""
    count: int = 50000
    """Number of samples."""
    seed: Annotated[int, SEED] = 0
    """Seed of every draw. A sample depends on its source, options, seed and its own number only."""
    container: Container = "folder"
    """folder: subfolders of one folder in OUT, which readers take for one class; wds: shards shards OUT/000000.tar."""
    group: int = 1000
    """Samples in a subfolder or tar file, the unit of sharding and of continuing."""
    shard: str = "0/1"
    """i/n: write the i-th of n disjoint parts (i from 0), for n machines."""
    workers: int = 0
    """Processes; 0: one for each core."""
    smoke: bool = False
    """Only 64 samples."""
    dry_run: bool = False
    """Print the resolved options and what the work would cost, write nothing."""
    debug: bool = False
    """Show tracebacks."""


@dataclass(frozen=True, kw_only=True)
class PhotoWork(Work):
    """The same for samples of photographs."""

    photos: tyro.conf.Positional[tuple[str, ...]]
    """Pictures: a path (PATH@12bit: a file of 16 bits that holds 12), photo:NAME (photo:coffee, photo:astronaut, …) or
    noise:SEED; of several, sample i comes from number i mod n."""
    contact_sheet: int = 0
    """Also write OUT/contact-sheet.png, a picture of so many samples from the first on."""


def settle(work: Work, what: What, inputs: Sequence[str], options: object, format: str, quality: int) -> Job:
    """Check the options of writing and settle what is written.

    Args:
        work: the options of the command.
        what: what is made.
        inputs: SHA-256 of each source.
        options: how a sample is made, a frozen dataclass.
        format: format of a file.
        quality: of a file, in the unit of its format.

    Raises:
        ExunoError: a value that makes no sense.
    """
    within("count", work.count, 1, 10**9)
    within("group", work.group, 1, 10**6)
    within("workers", work.workers, 0, 10**4)
    count = min(work.count, SMOKE) if work.smoke else work.count
    return Job(what, tuple(inputs), options, work.seed, count, format, quality, work.container, work.group)


def settle_photos(work: PhotoWork, what: What, options: object, format: str, quality: int) -> Job:
    """``settle`` for samples of photographs."""
    if not work.photos:
        raise ExunoError("no photograph was given", "For example: photo:coffee, or the path of a picture.")
    within("contact-sheet", work.contact_sheet, 0, 10**6)
    return settle(work, what, [photo_sha256(spec) for spec in work.photos], options, format, quality)


def within(name: str, value: int, low: int, high: int) -> None:
    """Raise an ExunoError if the value of an option is not from ``low`` to ``high``."""
    if not low <= value <= high:
        raise ExunoError(f"--{name} is {value}", f"It has to be from {low:,} to {high:,}.")


@contextmanager
def running(work: Work, job: Job, make: Maker) -> Iterator[Path | None]:
    """Write the samples, and yield their folder; for a dry run tell what would be written, and yield None. What lies in
    a folder for a remote ``--out`` when the block ends is copied there.

    Raises:
        ExunoError: the folder is missing, occupied or not of this job, or the disk is full.
    """
    share, shares = parse_shard(work.shard)
    workers = work.workers or available_cores()
    units = range(share, job.units, shares)
    if work.dry_run:
        if work.out is not None and not is_remote(work.out):
            is_there(job, work.out)
        _explain(work, job, make, units, max(1, min(workers, len(units))))
        yield None
        return
    if work.out is None:
        raise ExunoError("no folder to write to was given", "Give --out DIR.")
    with outgoing(work.out, MANIFEST) as out:
        with claim(job, out, share, shares):
            _write(out, job, make, units, workers)
        yield out


def _write(out: Path, job: Job, make: Maker, units: Sequence[int], workers: int) -> None:

    todo = [unit for unit in units if not job.place(out, unit).exists()]
    total, left = _samples(job, units), _samples(job, todo)
    # The processes start before the bar, which has a thread of its own on a terminal.
    with (
        writing(job, make, out, todo, workers) as amounts,
        ProgressBar("synth", total, job.what, done=total - left, quiet=not todo) as bar,
    ):
        for amount in amounts:
            bar.advance(amount)
    print(f"{total:,} {job.what} in {out}" + ("" if todo else " (they were there already)"))


def parse_shard(text: str) -> tuple[int, int]:
    """``"2/8"`` -> (2, 8)."""
    share, slash, shares = text.partition("/")
    if not (slash and share.isdigit() and shares.isdigit() and int(share) < int(shares)):
        raise ExunoError(f"--shard is '{text}'", "It has to be i/n with i from 0 to n - 1, for example 0/4 … 3/4.")
    return int(share), int(shares)


def _explain(work: Work, job: Job, make: Maker, units: Sequence[int], workers: int) -> None:
    """Print the resolved options as YAML and the cost, measured on a few samples."""
    import yaml

    from exuno.presets import to_dict

    resolved = to_dict(replace(work, count=job.count, workers=workers))
    groups = [resolved.pop(name) for name in list(resolved) if isinstance(resolved[name], dict)]  # typed without a name
    for group in groups:
        resolved |= group
    print(yaml.safe_dump(resolved, sort_keys=False, default_flow_style=None).rstrip())
    for _ in make([0]):
        pass  # the first sample also pays for what is prepared and the imports
    started, sizes = time.monotonic(), []
    for _, data in make(range(min(job.count, TRIAL))):
        sizes.append(len(data))
        if time.monotonic() - started > TRIAL_SECONDS:
            break
    size, seconds = sum(sizes) / len(sizes), (time.monotonic() - started) / len(sizes)
    count = _samples(job, units)
    print(
        f"# {count:,} {job.what} in {len(units):,} {'tar files' if job.container == 'wds' else 'subfolders'}: "
        f"about {count * size / 1e6:,.1f} MB and {clock(count * seconds / workers)} with {workers} "
        f"process{'es' if workers > 1 else ''}"
    )


def _samples(job: Job, units: Sequence[int]) -> int:
    return sum(len(job.indices(unit)) for unit in units)


_REPORT_EVERY = 0.1
"""Seconds between two messages of a process; a process also looks then whether it still has a parent."""


@contextmanager
def writing(job: Job, make: Maker, out: Path, units: Sequence[int], workers: int) -> Iterator[Iterator[int]]:
    """Write these units, which the caller has claimed, with ``workers`` processes, which have started when the block
    begins.

    Yields:
        An iterator of the numbers of samples newly written, to be followed to its end. It raises ExunoError for the
        first mistake of any process, or when one was killed.
    """
    workers = min(workers, len(units))
    if workers <= 1:
        yield (1 for unit in units for _ in write_unit(job, make, out, unit))
        return
    make.prepare()
    # A fork shares what is prepared and costs nothing; but it is not safe beside torch's threads.
    forks = sys.platform == "linux" and "torch" not in sys.modules
    context: Any = get_context("fork" if forks else "spawn")
    position = context.Value("q", 0)
    processes, readers = [], []
    try:
        for _ in range(workers):
            reader, writer = context.Pipe(duplex=False)
            arguments = (job, make, out, units, position, writer, os.getpid())
            process = context.Process(target=_work, args=arguments, daemon=True)
            process.start()
            writer.close()  # so that a dead process shows as the end of its pipe
            processes.append(process)
            readers.append(reader)
        yield _amounts(readers)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()


def _amounts(readers: list[Connection]) -> Iterator[int]:
    open_readers = list(readers)
    while open_readers:
        for reader in connection.wait(open_readers):
            assert isinstance(reader, Connection)
            try:
                message = reader.recv()
            except EOFError:
                raise ExunoError(
                    "a process that made samples was killed, perhaps for lack of memory",
                    "Give the same command again: it continues where it stopped. Fewer --workers need less memory.",
                ) from None
            if message is None:
                open_readers.remove(reader)
            elif isinstance(message, int):
                yield message
            else:
                raise message


def _work(
    job: Job, make: Maker, out: Path, units: Sequence[int], position: Any, writer: Connection, parent: int
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears of it, and ends its children
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # an exit, so that half-written units are removed
    waiting, told = 0, time.monotonic()
    try:
        while (turn := _next(position)) < len(units):
            for _ in write_unit(job, make, out, units[turn]):
                waiting += 1
                if (now := time.monotonic()) - told >= _REPORT_EVERY:
                    if os.getppid() != parent:
                        sys.exit(1)
                    writer.send(waiting)
                    waiting, told = 0, now
        writer.send(waiting)
        writer.send(None)
    except Exception as error:
        mistake = as_mistake(error)
        if mistake is None:
            raise
        writer.send(mistake)


def _next(position: Any) -> int:
    with position.get_lock():
        position.value += 1
        return position.value - 1

"""Shares the units of a job among processes. Which process writes a unit has no influence on its bytes."""

import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import connection, get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from exuno.engine.errors import ExunoError, as_mistake
from exuno.synth.job import Job
from exuno.synth.writer import Maker, write_unit

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

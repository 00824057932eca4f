"""``--devices N``: the same command in N processes on this machine, as torchrun would start them."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO

from exuno.engine.errors import ExunoError
from exuno.engine.options import RunOptions
from exuno.engine.stop import DEFAULTS, INTERRUPTED, LAUNCHED, REQUEUE, Stopped, deferred, listening, told
from exuno.engine.system import refuse_on_windows

GRACE = 3.0  # seconds in which the first process may tell a mistake that all of them have found


def wanted(options: RunOptions) -> int:
    """Processes that ``--devices`` asks for; 1 inside a distributed run, whose launcher has decided.

    Raises:
        ExunoError: neither auto, nor cpu, nor mps, nor a number, nor cpu:NUMBER.
    """
    if options.devices in ("auto", "cpu", "mps"):
        return 1
    count = options.devices.removeprefix("cpu:")
    if not count.isdigit() or int(count) < 1:
        raise ExunoError(
            f"--devices {options.devices} is not understood",
            "Give auto, cpu, mps, a number of processes, or cpu:NUMBER.",
        )
    return 1 if "RANK" in os.environ else int(count)


def launch(verb: str, args: Sequence[str], count: int) -> None:
    """Runs ``exuno VERB ARGS`` in ``count`` processes and waits. If one fails, the others are ended.

    Only the first process speaks; what another one said is shown if it failed and the first had nothing to say. A
    signal that tells this process to stop goes to all of them, and each ends after the same step. That they were told
    to stop is not theirs to say: each may hear it twice, directly and through this process, or not live to hear it.

    Raises:
        ExunoError: on Windows.
        KeyboardInterrupt: they were interrupted by Ctrl-C.
        Stopped: they were told to stop otherwise.
        SystemExit: with the code of the process that failed.
    """
    refuse_on_windows(f"a training in {count} processes (--devices)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
    shared |= {"LOCAL_WORLD_SIZE": str(count), LAUNCHED: "1"}
    threads = os.environ.get("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))
    command = [sys.executable, "-m", "exuno", *verb.split(), *args]
    processes: list[subprocess.Popen[bytes]] = []
    said: list[IO[bytes] | None] = []

    def pass_on(number: int) -> None:
        for process in processes:
            process.send_signal(number)  # which does nothing to one that has ended

    with listening(), deferred(pass_on):
        try:
            for rank in range(count):
                own = {"RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": threads}
                said.append(tempfile.TemporaryFile() if rank else None)  # noqa: SIM115 (goes with the process)
                out = subprocess.DEVNULL if rank else None
                environment = {**os.environ, **shared, **own}
                with blocked():
                    processes.append(subprocess.Popen(command, env=environment, stdout=out, stderr=said[rank]))
            wait(processes)
        finally:
            ended = [process.poll() for process in processes]  # None: ended by us, below
            for process in processes:
                process.kill()  # one that still waits for another in the middle of a step would hear nothing else
            for process in processes:
                process.wait()
        if INTERRUPTED in ended and not told():  # they alone have heard it
            raise KeyboardInterrupt
        if REQUEUE in ended and not told():
            raise Stopped
    failed = [rank for rank, code in enumerate(ended) if code != 0]
    if failed:
        first = next((rank for rank in failed if ended[rank] is not None), failed[0])
        if 0 not in [rank for rank in failed if ended[rank] is not None] and (file := said[first]):
            file.seek(0)
            print(f"process {first} of {count}:\n{file.read().decode(errors='replace')[-4000:]}", file=sys.stderr)
        raise SystemExit(ended[first] or 1)


@contextmanager
def blocked() -> Iterator[None]:
    """Within, signals that tell to stop wait, and those of a process that is started until it listens: Python would end
    it with a traceback before."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, DEFAULTS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def wait(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Until all have ended, or one has failed and the first had its time to tell why."""
    deadline = float("inf")
    while any(process.poll() is None for process in processes) and time.monotonic() < deadline:
        if any(process.poll() for process in processes):
            deadline = min(deadline, time.monotonic() + GRACE)
            if processes[0].poll() is not None:
                break
        time.sleep(0.05)

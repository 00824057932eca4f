"""``--devices N``: the same command in N processes on this machine, as torchrun would start them."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

from exuno.engine.errors import ExunoError
from exuno.engine.options import RunOptions


def wanted(options: RunOptions) -> int:
    """Processes that ``--devices`` asks for; 1 inside a distributed run, whose launcher has decided.

    Raises:
        ExunoError: neither auto, nor cpu, nor a number.
    """
    if options.devices in ("auto", "cpu"):
        return 1
    if not options.devices.isdigit() or int(options.devices) < 1:
        raise ExunoError(f"--devices {options.devices} is not understood", "Give auto, cpu, or a number of processes.")
    return 1 if "RANK" in os.environ else int(options.devices)


def launch(verb: str, args: Sequence[str], count: int) -> None:
    """Runs ``exuno VERB ARGS`` in ``count`` processes and waits. If one fails, the others are ended.

    Raises:
        SystemExit: with the code of the process that failed.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
    threads = str(max(1, (os.cpu_count() or 1) // count))
    command = [sys.executable, "-m", "exuno", verb, *args]
    processes = []
    for rank in range(count):
        own = {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads),
        }
        quiet = subprocess.DEVNULL if rank else None  # every process says the same; one is enough
        processes.append(subprocess.Popen(command, env={**os.environ, **shared, **own}, stdout=quiet, stderr=quiet))
    try:
        while any(process.poll() is None for process in processes):
            if any(process.poll() for process in processes):
                break
            time.sleep(0.1)
    finally:
        for process in processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        codes = [process.wait() for process in processes]
    failed = [code for code in codes if code and code != -signal.SIGTERM]
    if failed:
        raise SystemExit(failed[0])

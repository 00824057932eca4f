"""What differs between systems: POSIX (Linux, macOS), for which exuno was written and where it is tested, and Windows.

Whoever needs a call that Windows has not asks here; what cannot be had there is refused in a sentence.
"""

import os
import sys
import time
from pathlib import Path
from typing import IO, Any

from exuno.engine.errors import ExunoError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

FAR = 0x7FFFFFF0
"""The byte that stands for a whole file where bytes are locked one by one: behind all that lock files hold."""
BINARY = getattr(os, "O_BINARY", 0)
NO_LINKS = getattr(os, "O_NOFOLLOW", 0)
WSL = "Take WSL 2, where exuno is that of Linux."


def on_windows() -> bool:
    """Whether this is Windows itself."""
    return sys.platform == "win32"


def refuse_on_windows(what: str) -> None:
    """Raises ExunoError on Windows.

    Args:
        what: does not work there.
    """
    if on_windows():
        raise ExunoError(f"{what} does not work on Windows", WSL)


def lock(file: int, wait: bool = False, shared: bool = False) -> None:
    """Locks a file, for as long as it is open.

    Args:
        file: its handle.
        wait: until others have let go of it.
        shared: with others who say so, too; on Windows nobody shares.

    Raises:
        BlockingIOError: somebody else has locked it.
        OSError: the file system has no locks.
    """
    if fcntl:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
        return None
    import msvcrt

    windows: Any = msvcrt
    while True:
        os.lseek(file, FAR, os.SEEK_SET)
        try:
            return windows.locking(file, windows.LK_NBLCK, 1)
        except OSError as error:
            if not wait:
                raise BlockingIOError(*error.args) from error
        finally:
            os.lseek(file, 0, os.SEEK_SET)
        time.sleep(0.05)


def drop_lock_file(path: Path, file: IO[str]) -> None:
    """Removes a locked file and lets go of it; while it is held, so that who opened it before sees that it is gone. An
    open file cannot be removed on Windows: there whoever locks it next removes it."""
    if on_windows():
        file.close()
    try:
        path.unlink(missing_ok=True)
    except PermissionError:
        if not on_windows():
            raise
    file.close()


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


RUNNABLE = Path("/proc/loadavg")


def crowded() -> bool:
    """Whether other programs are at work on processors that the threads of this one would take; where that is not told
    (only Linux does), False."""
    asked, cores = os.environ.get("OMP_NUM_THREADS", ""), available_cores()
    threads = int(asked) if asked.isdecimal() else cores
    try:
        for _ in range(3):  # what runs for a moment only does not count
            others = int(RUNNABLE.read_text().split()[3].split("/")[0]) - 1  # without this one
            if others + threads <= cores:
                return False
            time.sleep(0.002)
    except (OSError, ValueError, IndexError):
        return False
    return True


def memory() -> int:
    """Bytes of this machine's memory."""
    import psutil

    return psutil.virtual_memory().total


def peak_memory() -> int:
    """Largest resident memory of this process so far, in bytes."""
    if on_windows():
        import psutil

        found: Any = psutil.Process().memory_info()
        return found.peak_wset
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def library_call(name: str) -> Any:
    """A function of the C library that this process runs with; None where it has none of that name."""
    import ctypes

    if on_windows():
        return None
    return getattr(ctypes.CDLL(None, use_errno=True), name, None)

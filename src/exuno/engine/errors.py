"""What a user is told: mistakes, in one short paragraph each, and what is no mistake but should be known."""

import errno
import sys


class ExunoError(Exception):
    """Something the user can put right. The command line prints it and exits with code 2; no traceback.

    Args:
        what: what is wrong, with the value and the path.
        todo: what to do about it, as a full sentence.
    """

    def __init__(self, what: str, todo: str = "") -> None:
        self.what = what.rstrip(".") + "."
        self.todo = todo.strip()
        super().__init__(f"{self.what} {self.todo}".strip())

    def __reduce__(self) -> tuple[type, tuple[str, str]]:  # as pickle would, what and todo became one text
        return type(self), (self.what, self.todo)


def first_line(error: Exception) -> str:
    """Of what an error of a library says, without what only programmers need; its kind where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


AGAIN = "then give the same command again: it continues where it stopped."
SYSTEM = {
    errno.ENOSPC: f"The disk is full: free some room, {AGAIN}",
    errno.EDQUOT: f"Your share of the disk is used up: free some room, {AGAIN}",
    errno.EIO: f"The disk or the network reports a fault: check it, {AGAIN}",
    errno.ESTALE: f"The network drive was taken away: mount it, {AGAIN}",
    errno.EFBIG: "Files there have a limit (ulimit -f, or the file system's): raise it, or choose another folder.",
    errno.EMFILE: f"Too many files are open at once: raise ulimit -n or use fewer --workers, {AGAIN}",
    errno.ENFILE: f"Too many files are open on this machine: close some programs, {AGAIN}",
    errno.ENAMETOOLONG: "No file can have such a long name: check what was typed.",
    errno.ENOENT: "It is not there, or was removed meanwhile: check the path, and the folder that you stand in.",
    errno.ENOMEM: f"There is not enough memory: use fewer --workers or a smaller --batch-size, {AGAIN}",
    errno.EACCES: "Check its permissions, or choose another folder.",
    errno.EPERM: "Check its permissions, or choose another folder.",
    errno.EROFS: "That disk can only be read: choose another folder.",
    errno.ENOTDIR: "A part of the path is a file: check it.",
    errno.EISDIR: "It is a folder, and a file belongs there: check the path.",
    errno.EEXIST: "Something of that name is in the way: choose another name.",
    errno.ELOOP: "Its links lead in a circle: check the path.",
}
"""What to do about an error of the system."""

DECODERS = (
    "zlib",
    "zipfile",
    "tarfile",
    "lzma",
    "gzip",
    "yaml",
    "json",
    "safetensors",
    "PIL",
    "soundfile",
    "av",
    "csv",
)
"""Modules whose own errors say that a file is damaged."""

SMALLER = "Use a smaller --batch-size, smaller images or fewer --workers."
SHARED_FULL = "Give /dev/shm more room (docker run --shm-size 8g), or use --workers 0, which needs none."


def _of_torch(text: str) -> ExunoError | None:
    """The sentence for what torch reports of memory and of its worker processes."""
    if "DataLoader worker" in text and ("killed by signal: Bus" in text or "shared memory" in text):
        return ExunoError("shared memory is full: a worker process could not pass on its batch", SHARED_FULL)
    if "DataLoader worker" in text and ("exited unexpectedly" in text or "killed by signal" in text):
        return ExunoError(
            "a worker process that prepared batches was killed, perhaps for lack of memory",
            f"Use fewer --workers or a smaller --batch-size, {AGAIN}",
        )
    if "shm" in text and ("No space left" in text or "unable to" in text):
        return ExunoError("shared memory is full: a worker process could not pass on its batch", SHARED_FULL)
    if "DefaultCPUAllocator" in text:
        asked = text.partition("tried to allocate ")[2].partition(" bytes")[0]
        amount = f" for {int(asked):,} bytes" if asked.isdigit() else ""
        return ExunoError(f"there is not enough memory{amount}", SMALLER)
    if "operator torchvision::" in text and "does not exist" in text:
        return ExunoError(
            "torchvision was not built for the torch that is installed",
            "Install both in one command, from one index: pip install --force-reinstall torch torchvision.",
        )
    if "ancdata" in text:
        return ExunoError("too many files are open at once", SYSTEM[errno.EMFILE])
    return None


def as_mistake(error: BaseException) -> ExunoError | None:
    """The sentence for an error that nobody on the way has told better: of the system, of memory, of a decoder.

    Returns:
        None for anything else, which is a bug in exuno.
    """
    if isinstance(error, ExunoError):
        return error
    kind = type(error)
    if isinstance(error, MemoryError) or kind.__name__ == "OutOfMemoryError":
        return ExunoError(
            f"there is not enough memory{f' ({error})' if str(error) else ''}"[:300],
            SMALLER,
        )
    if isinstance(error, OSError) and error.errno is not None:
        about = " and ".join(str(name) for name in (error.filename, error.filename2) if name)
        return ExunoError(
            f"{f'{about[:300]}: ' if about else ''}{error.strerror or error}",
            SYSTEM.get(error.errno, "Check the path and the disk."),
        )
    if isinstance(error, RuntimeError) and (told := _of_torch(str(error))):
        return told
    if isinstance(error, UnicodeError):
        return ExunoError(f"a text could not be read or written ({error})"[:300], "Save it as UTF-8.")
    if kind.__module__.split(".")[0] in DECODERS or isinstance(error, EOFError | OSError):
        return ExunoError(f"a file is damaged ({kind.__name__}: {error})"[:300], "Copy or write it again.")
    return None


_told: set[str] = set()


def tell_anew() -> None:
    """What is told from now on has not been told before: another command would know of nothing either."""
    _told.clear()


def tell(text: str, about: str | None = None) -> None:
    """Prints a line on standard error, unless something was told about the same thing before.

    Args:
        text: the line.
        about: what must not be spoken of twice, such as a data set of which both splits are opened; by default the
            line itself.
    """
    about = about or text
    if about not in _told:
        _told.add(about)
        print(text, file=sys.stderr)

"""Writing files so that a power cut leaves the old one or the new one, never half of one; and finding those to read."""

import errno
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from exuno.engine.errors import SYSTEM, ExunoError
from exuno.engine.system import BINARY, NO_LINKS, library_call, lock, on_windows

TEMPORARY = re.compile(r"\..+\.(\d+|[0-9a-f]{16})\.tmp")
"""Names of what is being written; earlier versions put the number of the process in the place of the random part."""


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turns a full or read-only disk into the sentence a user needs."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ExunoError(
                f"the disk is full: {path} could not be written",
                "Free some room and give the same command again: it continues where it stopped.",
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            raise ExunoError(
                f"{path} cannot be written: {error.strerror}", "Choose a folder that you may write to."
            ) from error
        if error.errno in SYSTEM:
            raise ExunoError(f"{path} could not be written: {error.strerror}", SYSTEM[error.errno]) from error
        raise


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yields the name of a new file beside ``path``; what is written there becomes ``path`` when the block ends well.

    The file is made exclusively, under a random name, so nobody can put a link in its place. It is locked while it is
    written: whoever finds one that is not locked knows that its writer was killed (:func:`sweep`). On Windows, where an
    open file cannot be renamed, it is not held.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent)
        temporary, held = _temporary(path, _new_file)
        try:
            watch("create", temporary)
            yield temporary
            watch("write", temporary)
            sync(temporary)
            watch("sync", temporary)
            temporary.replace(path)
            watch("rename", path)
            sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
            _let_go(held)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yields a new folder beside ``path``; when the block ends well it becomes ``path``, in the place of an older one.
    See :func:`atomic`."""
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent)
        temporary, held = _temporary(path, _new_folder)
        try:
            watch("create", temporary)
            yield temporary
            watch("write", temporary)
            sync_tree(temporary)
            watch("sync", temporary)
            if path.exists():
                exchange(temporary, path)
            else:
                temporary.rename(path)
            watch("rename", path)
            sync(path.parent)
        finally:
            remove(temporary)
            _let_go(held)


def watch(event: str, path: Path) -> None:
    """Called after each step of a write (``create``, ``write``, ``sync``, ``rename``, ``append``): the place where
    tests kill the process or fill the disk. Does nothing."""


_swept: set[Path] = set()
ORPHANED = 24 * 3600.0
"""Seconds after which nobody writes it any more, where nothing else tells (Windows)."""


def sweep(folder: Path, again: bool = False) -> None:
    """Removes what killed processes left half-written in a folder; once for each folder and process, or ``again``."""
    if folder in _swept and not again:
        return
    _swept.add(folder)
    with suppress(OSError):
        for path in folder.iterdir():
            if TEMPORARY.fullmatch(path.name):
                _remove_orphan(path)


def _remove_orphan(path: Path) -> None:
    with suppress(OSError):  # gone meanwhile, locked by its writer, or not ours
        if on_windows():
            if time.time() - path.stat().st_mtime > ORPHANED:
                remove(path)
            return
        handle = os.open(path, os.O_RDONLY | NO_LINKS)
        try:
            lock(handle)
            remove(path)
        finally:
            os.close(handle)


def _temporary(path: Path, make: Callable[[Path], int | None]) -> tuple[Path, int | None]:
    """A new file or folder beside ``path``, and a handle that holds its lock; none on Windows."""
    while True:
        # Names of files end at 255 bytes.
        temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}.tmp")
        handle = make(temporary)
        if handle is None:
            return temporary, None
        with suppress(OSError):  # file systems without locks
            lock(handle, wait=True)
        if os.fstat(handle).st_nlink:
            return temporary, handle
        os.close(handle)  # swept between the two calls


def _let_go(handle: int | None) -> None:
    if handle is not None:
        os.close(handle)


def _new_file(path: Path) -> int | None:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | NO_LINKS | BINARY, 0o666)
    if on_windows():
        os.close(handle)
        return None
    return handle


def _new_folder(path: Path) -> int | None:
    path.mkdir()
    return None if on_windows() else os.open(path, os.O_RDONLY | NO_LINKS)


def append_line(path: Path, text: str) -> None:
    """Adds a line to a file, in one call of the system."""
    with disk_errors(path), path.open("ab", buffering=0) as file:
        watch("append", path)
        file.write(text.encode() + b"\n")


def sync(path: Path) -> None:
    """Has the disk hold what a file or folder holds; on Windows, which opens no folders, a file."""
    if on_windows() and path.is_dir():
        return
    handle = os.open(path, os.O_RDWR if on_windows() else os.O_RDONLY)  # Windows wants to be allowed to write
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """Has the disk hold all that is in a folder, in one call where the system can (Linux)."""
    if all_of_disk := library_call("syncfs"):
        handle = os.open(folder, os.O_RDONLY)
        try:
            if all_of_disk(handle) == 0:
                return
        finally:
            os.close(handle)
    for each in (*folder.rglob("*"), folder):
        sync(each)


def remove(path: Path) -> None:
    """Removes a file or a whole folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def exchange(one: Path, other: Path) -> None:
    """Gives two folders each other's names: in one step where the system can (Linux), else in three."""
    rename = library_call("renameat2")
    here, swap = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    if rename and rename(here, os.fsencode(one), here, os.fsencode(other), swap) == 0:
        return
    aside = one.with_name(f"{one.name}.aside")
    other.rename(aside)
    one.rename(other)
    aside.rename(one)


def write_text(path: Path, text: str) -> None:
    """Writes ``text`` to ``path`` as UTF-8, in one step."""
    with atomic(path) as temporary:
        temporary.write_bytes(text.encode(errors="backslashreplace"))  # parts of paths that are no UTF-8


def write_json(path: Path, value: Any) -> None:
    """Writes ``value`` as indented JSON in one step."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def existing(path: Path, noun: str, forms: str) -> Path:
    """``path`` of a file that is there.

    Args:
        path: what the user named.
        noun: what it has to be, such as ``picture``.
        forms: how one may be named, for the message.

    Raises:
        ExunoError: a folder, or nothing, with the names that are near.
    """
    if path.is_dir():
        raise ExunoError(f"'{path}' is a folder, not a {noun}", f"Give the {forms}.")
    if not path.exists():
        raise ExunoError(f"there is no {noun} '{path}'", near_paths(path).strip() or f"Give the {forms}.")
    return path


def near_paths(path: Path) -> str:
    """A question that names what lies beside a path that is not there, if its name is alike; else nothing."""
    siblings = [file.name for file in path.parent.iterdir()] if path.parent.is_dir() else []
    near = [str(path.parent / name) for name in get_close_matches(path.name, siblings, n=3)]
    return f"Did you mean {' or '.join(near)}? " if near else ""

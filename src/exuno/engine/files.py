"""Writing files so that a power cut leaves the old one or the new one, never half of one; and finding those to read."""

import ctypes
import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from exuno.engine.errors import ExunoError


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
        raise


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yields a temporary name beside ``path``; what is written there becomes ``path`` when the block ends well."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yields a temporary folder beside ``path``; when the block ends well it becomes ``path``, in the place of an older
    one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove(temporary)
        try:
            temporary.mkdir()
            yield temporary
            for each in (*temporary.rglob("*"), temporary):
                sync(each)
            if path.exists():
                exchange(temporary, path)
            else:
                temporary.rename(path)
            sync(path.parent)
        finally:
            remove(temporary)


def sync(path: Path) -> None:
    """Has the disk hold what a file or folder holds."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove(path: Path) -> None:
    """Removes a file or a whole folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def exchange(one: Path, other: Path) -> None:
    """Gives two folders each other's names: in one step where the system can (Linux), else in three."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    here, swap = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    if rename and rename(here, os.fsencode(one), here, os.fsencode(other), swap) == 0:
        return
    aside = one.with_name(f"{one.name}.aside")
    other.rename(aside)
    one.rename(other)
    aside.rename(one)


def write_text(path: Path, text: str) -> None:
    """Writes ``text`` to ``path`` in one step."""
    with atomic(path) as temporary:
        temporary.write_text(text)


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

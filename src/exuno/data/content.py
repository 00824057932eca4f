"""What fingerprints leave out: the names of classes, and a little of the content of files, so that an edited picture is
noticed, and a data set of a million need not be read. No torch."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

FILES = 512
"""Files that are looked at, spread over the data set: of fewer, all."""
BLOCKS, BLOCK = 16, 4096
"""Of a file, at most so many blocks of so many bytes, spread over it; the first and the last are among them."""


class Fingerprinted(Protocol):
    """A data set, or a part of one."""

    def fingerprint(self) -> str: ...

    def content(self) -> str: ...


def digests_of(name: str, data: Fingerprinted) -> dict[str, str]:
    """What a run records of a data set: its fingerprint under ``name`` and, under names of their own, since records of
    earlier versions have the first alone, that of some of the content of files and that of the names of its classes,
    by which a model that learns from it calls them."""
    found = {name: data.fingerprint()}
    if looked := data.content():
        found[f"{name} (content)"] = looked
    if classes := getattr(data, "classes", None):
        found[f"{name} (class names)"] = hashlib.sha256("\n".join(map(str, classes)).encode()).hexdigest()
    return found


def looked_at(count: int, read: Callable[[int], bytes], most: int = FILES) -> str:
    """sha256 of some bytes of some of ``count`` files, which ``read`` gives by their positions: ``most`` of them, and
    of each what :func:`some` takes."""
    digest = hashlib.sha256()
    for position in spread(count, most):
        digest.update(hashlib.sha256(some(read(position))).digest())
    return digest.hexdigest()


def spread(count: int, most: int = FILES) -> list[int]:
    """Positions of ``most`` of ``count`` items, evenly spread; of fewer, all."""
    few = min(count, most)
    return [number * count // few for number in range(few)]


def some(content: bytes) -> bytes:
    """At most :data:`BLOCKS` blocks of a file: all of a small one."""
    return b"".join(content[place : place + BLOCK] for place in _places(len(content)))


def some_of(path: Path, start: int = 0, size: int | None = None) -> bytes:
    """Likewise of a file, or of ``size`` bytes in it from ``start`` on, reading no more than that.

    Raises:
        OSError: it cannot be read.
    """
    found = []
    with path.open("rb") as file:
        for place in _places(path.stat().st_size if size is None else size):
            file.seek(start + place)
            found.append(file.read(BLOCK if size is None else min(BLOCK, size - place)))
    return b"".join(found)


def _places(size: int) -> list[int]:
    """Where blocks begin in a file of ``size`` bytes."""
    if size <= BLOCKS * BLOCK:
        return list(range(0, size, BLOCK))
    return [number * (size - BLOCK) // (BLOCKS - 1) for number in range(BLOCKS)]

"""Arrays of numbers in MAT files of version 5. SciPy's reader ends the whole process over some damaged ones.

The format is that of "MAT-File Format" (MathWorks, R2019b), chapter 1: after a header of 128 bytes, elements of a type,
a size and bytes, one for each variable; a compressed one holds another.
"""

import zlib
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exuno.engine.documents import read_bytes
from exuno.engine.errors import ExunoError
from exuno.engine.untrusted import SMALL

HEADER = 128
TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""Number of a type of elements -> NumPy's name."""
MATRIX, COMPRESSED = 14, 15
NUMERIC = range(6, 16)
"""Classes of arrays of numbers; others are text, cells, structures and sparse matrices."""
COMPLEX = 0x0800


def read_mat(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of real numbers in a MAT file, by their names; other variables are left out.

    Raises:
        ExunoError: it is not there, damaged, or of another version.
    """
    content = read_bytes(path, SMALL)
    order = {b"IM": "<", b"MI": ">"}.get(content[126:HEADER])
    try:
        if order is None or content[124:126] not in (b"\0\x01", b"\x01\0"):
            raise ValueError("it does not begin as one of version 5")
        variables = [_variable(kind, data, order) for kind, data in _elements(content[HEADER:], order)]
    except (ValueError, TypeError, LookupError, OverflowError, zlib.error) as error:
        raise ExunoError(f"{path} is no whole MAT file: {error}", "Fetch it again.") from error
    return dict(each for each in variables if each is not None)


def _elements(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Types and contents of the elements that follow each other."""
    at = 0
    while at < len(data):
        kind, size = (int(each) for each in np.frombuffer(data[at : at + 8], f"{order}u4", 2))
        if small := kind >> 16:  # type, size and up to four bytes in eight
            kind, size, start, end = kind & 0xFFFF, small, at + 4, at + 8
        else:
            start = at + 8
            end = start + size + (0 if kind == COMPRESSED else -size % 8)
        if start + size > min(end, len(data)):
            raise ValueError(f"an element of {size:,} bytes where {len(data) - start:,} are left")
        yield kind, data[start : start + size]
        at = end


def _variable(kind: int, data: bytes, order: str) -> tuple[str, NDArray[Any]] | None:
    """Name and array of a variable; None if it holds something else."""
    if kind == COMPRESSED:
        inside = zlib.decompressobj()
        data = inside.decompress(data, SMALL.value + 1)
        SMALL.check(len(data), "a variable of a MAT file")
        if not inside.eof:
            raise ValueError("a compressed variable is cut off")
        [(kind, data)] = _elements(data, order)
    if kind != MATRIX:
        raise ValueError(f"an element of type {kind} in the place of a variable")
    (_, flags), (_, sides), (_, name), *parts = _elements(data, order)
    told = int(np.frombuffer(flags, f"{order}u4")[0])
    if told & 0xFF not in NUMERIC or told & COMPLEX:
        return None
    [(held, numbers)] = parts
    if held not in TYPES:
        raise ValueError(f"numbers of type {held}")
    shape = [int(side) for side in np.frombuffer(sides, f"{order}i4")]
    array = np.frombuffer(numbers, f"{order}{TYPES[held]}")
    if min(shape, default=-1) < 0 or prod(shape) != len(array):
        raise ValueError(f"{len(array):,} numbers of an array {shape}")
    return name.decode("latin-1"), array.reshape(shape, order="F")

"""Files of strangers: what one may ask for, and archives looked at before any memory is taken. No torch."""

import io
import os
import stat
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from exuno.engine.errors import ExunoError


@dataclass(frozen=True)
class Limit:
    """An upper bound on what a file may declare or unpack to."""

    variable: str
    """Environment variable that overrides it."""
    default: int
    unit: str

    @property
    def value(self) -> int:
        """The bound in force.

        Raises:
            ExunoError: the variable holds no number.
        """
        text = os.environ.get(self.variable, "")
        try:
            return int(float(text)) if text.strip() else self.default
        except (ValueError, OverflowError):
            raise ExunoError(f"{self.variable} is '{text}', not a number", "For example 2e9.") from None

    def check(self, amount: int | float, what: str) -> None:
        """Raises ExunoError if ``what`` asks for more than the bound."""
        if not amount <= self.value:
            raise ExunoError(
                f"{what} asks for {amount:,} {self.unit}; at most {self.value:,} are taken",
                f"If you trust it, set {self.variable} to a larger number and give the command again.",
            )


UNPACKED = Limit("EXUNO_MAX_BYTES", 16 * 2**30, "bytes")
"""Of one array, one archive or one compressed shard in memory."""
PIXELS = Limit("EXUNO_MAX_PIXELS", 250_000_000, "pixels")
"""Of one picture or frame."""
CLASSES = Limit("EXUNO_MAX_CLASSES", 100_000, "classes")
PARAMETERS = Limit("EXUNO_MAX_PARAMETERS", 10_000_000_000, "parameters")
"""Of one network."""
FILES = Limit("EXUNO_MAX_FILES", 1_000_000, "files")
"""That one pattern of shards expands to."""
SMALL = Limit("EXUNO_MAX_TEXT", 64 * 2**20, "bytes")
"""Of a file that describes others: a card, a result, a configuration, a label."""


class Readable(Protocol):
    """What bytes can be read from."""

    def read(self, size: int, /) -> bytes: ...


def read_at_most(file: Readable, limit: Limit, what: str) -> bytes:
    """All that a stream gives, which may be the output of a decompressor.

    Raises:
        ExunoError: it is more than the limit.
    """
    parts, total = [], 0
    while part := file.read(1 << 22):
        total += len(part)
        limit.check(total, what)
        parts.append(part)
    return b"".join(parts)


def refuse_stream(path: Path) -> None:
    """Raises ExunoError for a pipe or device, which may give nothing for ever, or bytes without end. What is not there
    passes: its reader tells."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # ValueError: a name with a zero byte
        return
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise ExunoError(f"{path} is a pipe or device, not a file", "Copy what it gives into a file.")


class TarMember(tarfile.TarInfo):
    """A member of a tar file, for ``tarfile.open(..., tarinfo=TarMember)``: one that claims less than no bytes, behind
    which Python's reader would find it again and again (CVE-2025-8194, mended in 3.11.14 and 3.12.12), is damaged."""

    def _block(self, count: int) -> int:
        if count < 0:
            raise tarfile.HeaderError(f"a member of {count:,} bytes")
        return super()._block(count)  # pyright: ignore[reportAttributeAccessIssue]


REWRITE = "Write it again with numpy.savez."
READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


class Arrays:
    """The arrays of an .npz file by their names; each is read when it is asked for.

    Args:
        path: the file.

    Raises:
        ExunoError: there is no such file, or it is no archive of arrays.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        refuse_stream(path)
        with self._told(), path.open("rb") as file:
            if file.read(6) == npy.MAGIC_PREFIX:
                raise ExunoError(f"{path} holds one array, not several", REWRITE)
            with zipfile.ZipFile(file) as archive:
                names = archive.namelist()
                for name in names:  # a name stands in two places: where they differ, an array would seem to be missing
                    archive.open(name).close()
        self.names = tuple(name.removesuffix(".npy") for name in names)
        if again := [name for name, count in Counter(self.names).items() if count > 1]:
            raise ExunoError(f"{path} holds two arrays {again[0]}", REWRITE)

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def __getitem__(self, name: str) -> NDArray[Any]:
        """The array of this name.

        Raises:
            ExunoError: there is none, it is damaged, it holds objects, or its header claims more than the file holds or
                ``EXUNO_MAX_BYTES`` allows.
        """
        with self._told(name), zipfile.ZipFile(self.path) as archive:
            info = archive.getinfo(f"{name}.npy")
            with archive.open(info) as file:
                shape, column_first, dtype = _header(file)
                size = prod(shape) * dtype.itemsize
                UNPACKED.check(size, f"{name} of {self.path}")
                if dtype.hasobject:
                    raise ExunoError(
                        f"{name} of {self.path} holds Python objects, which exuno does not read: that could run code",
                        "Save it as numbers or text, such as labels.astype(str) or images of one size as uint8.",
                    )
                if size > info.file_size:
                    raise ValueError(f"it claims {size:,} bytes and holds {info.file_size:,} at most")
                content = file.read(size)
                if len(content) < size or file.read(1):
                    raise ValueError(f"its header says {list(shape)} {dtype}, and it holds another number of bytes")
                return _array(bytearray(content), shape, dtype, column_first)

    @contextmanager
    def _told(self, name: str = "") -> Iterator[None]:
        what = f"{name} of {self.path}" if name else str(self.path)
        try:
            yield
        except (ExunoError, MemoryError):
            raise
        except FileNotFoundError:
            raise ExunoError(f"there is no file {self.path}", "Check the path.") from None
        except IsADirectoryError:
            raise ExunoError(f"{self.path} is a folder, not a file", "Check the path.") from None
        except KeyError:
            raise ExunoError(
                f"{self.path} has no array {name}; it has {', '.join(self.names)[:300]}", REWRITE
            ) from None
        except Exception as error:  # a damaged archive can make zipfile, zlib and NumPy stumble anywhere
            why = " ".join(str(error).split())[:200] or type(error).__name__
            raise ExunoError(f"{what} cannot be read: {why}", REWRITE) from error


def read_npy(content: bytes) -> NDArray[Any]:
    """The array in the bytes of an .npy file.

    Raises:
        ValueError: it is none, or holds objects or another number of bytes than its header says.
    """
    file = io.BytesIO(content)
    shape, column_first, dtype = _header(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    rest = file.read()
    if prod(shape) * dtype.itemsize != len(rest):
        raise ValueError(f"its header says {list(shape)} {dtype}, and it holds {len(rest)} bytes")
    return _array(rest, shape, dtype, column_first)


LARGEST_LETTER = 0x10FFFF


def _array(
    content: bytes | bytearray, shape: tuple[int, ...], dtype: np.dtype[Any], column_first: bool
) -> NDArray[Any]:
    """The array in the bytes behind a header. Raises ValueError for text with codes beyond Unicode's, which NumPy hands
    to Python, and Python has no letters for."""
    if dtype.kind == "U":
        letters = np.frombuffer(content, np.dtype(np.uint32).newbyteorder(dtype.byteorder))
        if letters.max(initial=0) > LARGEST_LETTER:
            raise ValueError("its text holds codes that are no characters of Unicode")
    return np.ndarray(shape, dtype, content, order="F" if column_first else "C")


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = npy.read_magic(file)
    if version not in READERS:
        raise ValueError(f"format {version[0]}.{version[1]} of NumPy is not read")
    shape, column_first, dtype = READERS[version](file)
    if not all(isinstance(side, int) and side >= 0 for side in shape) or not isinstance(column_first, bool):
        raise ValueError(f"its header says {shape}")
    return shape, column_first, dtype


SLACK = 1 << 16
"""Bytes by which the sum of the members may be more than the file: none is needed."""


class Swollen(ValueError):
    """An archive that claims to hold more than its own bytes."""


def refuse_swollen(file: Path | IO[bytes]) -> None:
    """Raises Swollen if the members of a zip archive are larger together than the archive: compressed, or several on
    the same bytes. torch stores them as they are. What is no zip archive, or a damaged one, passes: its reader tells.
    """
    size = file.stat().st_size if isinstance(file, Path) else file.seek(0, os.SEEK_END)
    try:
        with zipfile.ZipFile(file) as archive:
            claimed = sum(info.file_size for info in archive.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError, EOFError):
        claimed = 0
    if not isinstance(file, Path):
        file.seek(0)
    if claimed > size + SLACK:
        raise Swollen(f"its members unpack to {claimed:,} bytes, and it has {size:,}")

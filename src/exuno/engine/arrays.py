"""NumPy's .npz files of strangers: each array's header is looked at before any memory is taken for it. No torch."""

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from exuno.engine.errors import ExunoError
from exuno.engine.limits import UNPACKED

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
        with self._told(), path.open("rb") as file:
            if file.read(6) == npy.MAGIC_PREFIX:
                raise ExunoError(f"{path} holds one array, not several", REWRITE)
            with zipfile.ZipFile(file) as archive:
                self.names = tuple(name.removesuffix(".npy") for name in archive.namelist())

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
                if size == 0:
                    return np.empty(shape, dtype)
                return np.frombuffer(bytearray(content), dtype).reshape(shape, order="F" if column_first else "C")

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
    return np.ndarray(shape, dtype, rest, order="F" if column_first else "C")


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = npy.read_magic(file)
    if version not in READERS:
        raise ValueError(f"format {version[0]}.{version[1]} of NumPy is not read")
    shape, column_first, dtype = READERS[version](file)
    if not all(isinstance(side, int) and side >= 0 for side in shape) or not isinstance(column_first, bool):
        raise ValueError(f"its header says {shape}")
    return shape, column_first, dtype

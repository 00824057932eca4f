"""Checkpoints of TensorFlow (``NAME.index`` and ``NAME.data-00000-of-00001``), read without TensorFlow.

The index is a LevelDB table (https://github.com/google/leveldb/blob/main/doc/table_format.md) whose values are the
messages of tensorflow/core/protobuf/tensor_bundle.proto; the data file holds the bytes of the tensors. The checksums of
the index are compared; those of the tensors are not, which would take Python minutes.
"""

import struct
from collections.abc import Iterator
from functools import cache
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from exuno.engine.errors import ExunoError
from exuno.engine.untrusted import SMALL, UNPACKED, read_at_most, refuse_stream

MAGIC = 0xDB4775248B80FB57
FOOTER = 48
MOST_SHARDS = 99_999
"""As many as their names have digits for."""
TYPES = {1: np.float32, 2: np.float64, 3: np.int32, 9: np.int64, 19: np.float16}
"""Numbers of tensorflow/core/framework/types.proto; variables of other types, such as strings, are left out."""


class Entry(NamedTuple):
    """Where a variable is."""

    type: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    """In bytes, as the next."""
    size: int


def read_bundle(index: Path) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Numeric variables of a checkpoint by their names, and the names of all others.

    Raises:
        ExunoError: for a damaged index, or data files that are missing or too short.
    """
    refuse_stream(index)
    try:
        with index.open("rb") as file:
            entries = dict(_table(read_at_most(file, SMALL, str(index))))
        (shards,) = _wholes(dict(_message(entries.pop(b""))).get(1, 1))
        if not 1 <= shards <= MOST_SHARDS:
            raise ValueError(f"{shards} data files")
        parsed = {key.decode(): _entry(value) for key, value in entries.items()}
    except (IndexError, KeyError, ValueError, TypeError, OverflowError, struct.error) as error:
        raise ExunoError(
            f"{index} is no whole index of a TensorFlow checkpoint ({index.stat().st_size} bytes): {error!r}",
            "It may be cut off: fetch it again.",
        ) from error
    data = [index.with_name(f"{index.stem}.data-{shard:05}-of-{shards:05}") for shard in range(shards)]
    for path in data:
        if not path.is_file():
            raise ExunoError(f"there is no {path}, which holds the values of {index.name}", "Put it beside the index.")
    UNPACKED.check(sum(entry.size for entry in parsed.values()), f"{index}: all its variables")
    state, others = {}, []
    for key, entry in parsed.items():
        if entry.type in TYPES and entry.shard < shards:
            state[key] = _tensor(data[entry.shard], key, entry)
        else:
            others.append(key)
    return state, tuple(others)


def _tensor(path: Path, key: str, entry: Entry) -> Tensor:
    kind, count = np.dtype(TYPES[entry.type]), prod(entry.shape)
    if entry.offset + entry.size > path.stat().st_size or entry.size != count * kind.itemsize:
        raise ExunoError(
            f"{path} ({path.stat().st_size} bytes) does not hold {key} of shape {entry.shape} at byte {entry.offset}",
            "It may be cut off: fetch it again.",
        )
    return torch.from_numpy(np.fromfile(path, kind, count, offset=entry.offset).reshape(entry.shape))


def _table(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a LevelDB table."""
    if len(data) < FOOTER or struct.unpack("<Q", data[-8:])[0] != MAGIC:
        raise ValueError("the end of the table is missing")
    position = len(data) - FOOTER
    handles = []
    for _ in range(4):  # offset and size of the meta index, then of the index
        number, position = _varint(data, position)
        handles.append(number)
    for _, handle in _block(data, handles[2], handles[3]):
        start, position = _varint(handle, 0)
        yield from _block(data, start, _varint(handle, position)[0])


def _block(data: bytes, start: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block; a key is stored as its difference from the one before it."""
    if data[start + size] != 0:
        raise ValueError("the table is compressed")  # TensorFlow writes none
    (told,) = struct.unpack_from("<I", data, start + size + 1)
    if told not in (0, _masked(_crc32c(data[start : start + size + 1]))):  # 0: a writer that computes none
        raise ValueError("at least one bit has changed since it was written")
    block = data[start : start + size]
    end = len(block) - 4 - 4 * struct.unpack("<I", block[-4:])[0]
    position, key = 0, b""
    while position < end:
        shared, position = _varint(block, position)
        new, position = _varint(block, position)
        length, position = _varint(block, position)
        key = key[:shared] + block[position : position + new]
        position += new
        yield key, block[position : position + length]
        position += length


@cache
def _remainders() -> list[int]:
    """Of each byte, divided by the polynomial of CRC-32C (RFC 3720, 12.1), its bits reversed."""
    found = list(range(256))
    for _ in range(8):
        found = [each >> 1 ^ (0x82F63B78 if each & 1 else 0) for each in found]
    return found


def _crc32c(data: bytes) -> int:
    table, value = _remainders(), 0xFFFFFFFF
    for byte in data:
        value = value >> 8 ^ table[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF


def _masked(crc: int) -> int:
    """A checksum as LevelDB stores it (util/crc32c.h), lest that of bytes that hold their own be a constant."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _message(data: bytes) -> list[tuple[int, Any]]:
    """Fields of a protocol buffer: numbers, or bytes for all that has a length."""
    position, found = 0, []
    while position < len(data):
        tag, position = _varint(data, position)
        kind = tag & 7
        if kind == 0:
            value, position = _varint(data, position)
        else:
            size = {1: 8, 5: 4}.get(kind)
            if size is None:
                size, position = _varint(data, position)
            value = data[position : position + size]
            position += size
        found.append((tag >> 3, value))
    return found


def _entry(data: bytes) -> Entry:
    """A BundleEntryProto."""
    found = dict(_message(data))
    sizes = [dict(_message(value)).get(1, 0) for number, value in _message(found.get(2, b"")) if number == 2]
    return Entry(found.get(1, 0), tuple(_wholes(*sizes)), *_wholes(found.get(3, 0), found.get(4, 0), found.get(5, 0)))


def _wholes(*values: object) -> list[int]:
    """Numbers of a message; TypeError for a field of another kind in their place."""
    if stray := [value for value in values if not isinstance(value, int)]:
        raise TypeError(f"a {type(stray[0]).__name__} in the place of a number")
    return list(values)  # pyright: ignore[reportReturnType]


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """A number of 7 bits a byte, the lowest first, and where it ends."""
    number = shift = 0
    while True:
        byte = data[position]
        number |= (byte & 127) << shift
        position, shift = position + 1, shift + 7
        if byte < 128:
            return number, position
        if shift > 63:
            raise ValueError("a number is too long")

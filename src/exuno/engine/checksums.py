"""Checksums of the members of a shard, in a last member that other readers of WebDataset pass over.

Each line is the CRC-32 of a member, eight hexadecimal digits, and its name; the last line is that of the lines before
it. A tar file itself has checksums of its headers alone. No torch.
"""

import io
import tarfile
import zlib
from collections.abc import Mapping
from typing import IO

from exuno.engine.limits import UNPACKED

CHECKSUMS = "__crc32__"
"""Name of the member; webdataset passes over names between two underscores."""
BLOCK = 512


def add_checksums(tar: tarfile.TarFile, checksums: Mapping[str, int]) -> None:
    """Writes the checksums of the members, by their names, as the last member."""
    text = "".join(f"{value:08x} {name}\n" for name, value in checksums.items()).encode()
    text += f"{zlib.crc32(text):08x}\n".encode()
    member = tarfile.TarInfo(CHECKSUMS)
    member.size = len(text)
    tar.addfile(member, io.BytesIO(text))


def read_checksums(file: IO[bytes], member: tarfile.TarInfo) -> dict[str, int]:
    """The checksums in a member of an open tar file.

    Raises:
        tarfile.TarError: they are damaged.
    """
    UNPACKED.check(member.size, member.name)
    file.seek(member.offset_data)
    text = file.read(member.size)
    lines, last = text[:-9], text[-9:]
    try:
        if f"{zlib.crc32(lines):08x}\n".encode() != last:
            raise ValueError
        rows = (line.split(" ", 1) for line in lines.decode().splitlines())
        return {name: int(value, 16) for value, name in rows}
    except ValueError:
        raise tarfile.TarError("its checksums are damaged") from None


def at_end(file: IO[bytes], offset: int) -> bool:
    """Whether an open tar file ends at a byte; tarfile takes a damaged header for an end, too."""
    file.seek(offset)
    return not file.read(BLOCK).strip(b"\0")

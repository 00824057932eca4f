"""Digests within files: a flipped bit in a shard, a checkpoint or weights is noticed when the file is read.

Each line is the CRC-32 of a member, eight hexadecimal digits, and its name; the last line is that of the lines before
it. A tar file itself has checksums of its headers alone. No torch.

A zip archive, such as torch writes, has a CRC-32 of each member. Checkpoints end in a mark and the SHA-256 of all
before it. Weights (safetensors) hold the SHA-256 of the whole file in their metadata, computed with zeros in its own
place. Files of others, and of exuno before it wrote digests, have none and are read as they are.
"""

import hashlib
import io
import json
import re
import tarfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from exuno.engine.errors import ExunoError
from exuno.engine.untrusted import UNPACKED
from exuno.version import __version__

CHECKSUMS = "__crc32__"
"""Name of the member; webdataset passes over names between two underscores."""


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
    """Whether an open tar file ends at a byte, and only zeros follow; tarfile takes a damaged header, and one of zeros,
    for an end, too."""
    file.seek(offset)
    return all(chunk.count(0) == len(chunk) for chunk in iter(lambda: file.read(CHUNK), b""))


MARK = b"exuno\0sha256\0\0\0\n"
SEAL = len(MARK) + hashlib.sha256().digest_size
ZIP_END, ZIP_END_SIZE = b"PK\x05\x06", 22
"""The record at the end of a zip archive without a comment, which is what torch.save writes."""

UNSET = "0" * 64
DIGEST = re.compile(rb'"sha256":"([0-9a-f]{64})"')
CHUNK = 1 << 22
HEADER_LIMIT = 100_000_000
"""Bytes of a header of safetensors at most, as in the library."""


class Damaged(Exception):
    """The content is not what was written."""


def seal(content: bytes | memoryview) -> bytes:
    """What to write behind ``content``."""
    return MARK + hashlib.sha256(content).digest()


def unseal(content: bytes) -> bytes:
    """The content of a sealed file, or of a zip archive without a seal.

    Raises:
        Damaged: it is neither, or not what was sealed.
    """
    end = len(content) - SEAL
    if content[end : end + len(MARK)] == MARK:
        if hashlib.sha256(memoryview(content)[:end]).digest() != content[end + len(MARK) :]:
            raise Damaged("its digest is another: at least one bit has changed since it was written")
        return content[:end]
    if content[-ZIP_END_SIZE:].startswith(ZIP_END):
        check_members(io.BytesIO(content))
        return content
    raise Damaged("it is cut off, or its end has changed")


def check_members(file: Path | IO[bytes]) -> None:
    """Compares the members of a zip archive, such as torch writes, with their checksums, at which torch does not look.
    Where it was told to write none they are 0. What is no archive passes: its reader tells.

    Raises:
        Damaged: a member is another.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            for info in archive.infolist():
                if info.CRC:
                    with archive.open(info) as member:
                        while member.read(CHUNK):
                            pass
    except zipfile.BadZipFile as error:
        if zipfile.is_zipfile(file):
            raise Damaged(f"at least one bit has changed since it was written: {error}") from None
    except (ValueError, NotImplementedError, RuntimeError, OSError, EOFError, zlib.error):
        return


def seal_tensors(packed: bytes, metadata: Mapping[str, str] | None = None) -> bytes:
    """A file of safetensors with metadata and its digest.

    Args:
        packed: what ``safetensors.torch.save(state)`` gave, without metadata.
        metadata: what else is to stand in the file. The library writes several entries in a random order; here equal
            input gives equal bytes.
    """
    size = int.from_bytes(packed[:8], "little")
    header = json.loads(packed[8 : 8 + size])
    every = {**(metadata or {}), "exuno": __version__, "sha256": UNSET}
    text = json.dumps({"__metadata__": every, **header}, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    head, data = len(text).to_bytes(8, "little") + text, memoryview(packed)[8 + size :]
    digest = hashlib.sha256(head)
    digest.update(data)
    return b"".join((_with_digest(head, digest.hexdigest()), data))


def check_tensors(path: Path) -> None:
    """Compares a file of safetensors with the digest in it, if it has one.

    Raises:
        ExunoError: the file is not what was written.
    """
    with path.open("rb") as file:
        size = file.read(8)
        head = size + file.read(min(HEADER_LIMIT, int.from_bytes(size, "little")))
        metadata = _metadata(head[8:])
        if metadata is not None and not {"exuno", "sha256"} & metadata.keys():
            return
        found = DIGEST.search(head)
        digest = hashlib.sha256(_with_digest(head, UNSET))
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    if metadata is None or "exuno" not in metadata or found is None or digest.hexdigest() != found[1].decode():
        raise ExunoError(
            f"{path} is damaged: its digest is another, so at least one bit has changed since it was written",
            "Copy it again, or repeat the command that made it in another --run-dir.",
        )


def _metadata(header: bytes) -> dict[str, Any] | None:
    """The metadata in a header; None if it is damaged."""
    try:
        found = json.loads(header).get("__metadata__", {})
    except (ValueError, RecursionError, AttributeError):
        return None
    return found if isinstance(found, dict) else None


def _with_digest(head: bytes, digest: str) -> bytes:
    return DIGEST.sub(b'"sha256":"%b"' % digest.encode(), head, count=1)

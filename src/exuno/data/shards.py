"""``wds:PATTERN``: WebDataset shards with random access. The tar headers are read once; images are read where they lie.

WebDataset itself streams shards and shuffles in a buffer; then an order cannot be resumed or repeated on another number
of workers.
"""

import hashlib
import io
import re
import tarfile
from collections.abc import Collection
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from exuno.data.base import Data, Positions
from exuno.data.constants import IMAGENET, PICTURES
from exuno.data.files import PHOTO_RESIZE, PHOTO_SIZE
from exuno.engine.errors import ExunoError

TAR = (".tar", ".tar.gz", ".tgz")


@dataclass(frozen=True)
class Member:
    """One file: where its bytes are."""

    shard: int
    key: str
    offset: int
    size: int


def expand(pattern: str, split: str) -> list[Path]:
    """Paths of a pattern: ``{split}`` is replaced, ``{000..012}`` and ``{a,b}`` are expanded, then ``*`` and ``?`` are
    matched.

    Raises:
        ExunoError: if a shard is missing, or nothing matches.
    """
    pattern = pattern.replace("{split}", split)
    parts = re.split(r"\{([^{}]*)\}", pattern)
    choices = [_alternatives(part) if i % 2 else [part] for i, part in enumerate(parts)]
    paths: list[Path] = []
    for words in product(*choices):
        path = Path("".join(words))
        if any(mark in path.name for mark in "*?"):
            paths += sorted(path.parent.glob(path.name))
        elif path.is_file():
            paths.append(path)
        else:
            raise ExunoError(f"there is no shard {path}", f"Check the pattern '{pattern}'.")
    if not paths:
        raise ExunoError(f"no file matches '{pattern}'", "Check the pattern.")
    return paths


def _alternatives(text: str) -> list[str]:
    if match := re.fullmatch(r"(\d+)\.\.(\d+)", text):
        first, last = match.groups()
        return [str(i).zfill(len(first)) for i in range(int(first), int(last) + 1)]
    return text.split(",")


class Shards:
    """The files of one kind in tar files, in their order: KEY.SUFFIX and, if labelled, KEY.cls (the label as a decimal
    number).

    A compressed shard (.tar.gz) has no random access; it is unpacked into memory. Names of the classes are read from
    ``classes.txt`` beside the shards, one a line; without them there are as many classes as the largest label tells.

    Args:
        paths: the shards.
        suffixes: of the files that are wanted, in lower case.
        what: what they are, for messages.

    Raises:
        ExunoError: for broken shards, labels that are no numbers, or some files with and some without a label.
    """

    def __init__(self, paths: list[Path], suffixes: Collection[str], what: str) -> None:
        self.paths, self.suffixes = paths, suffixes
        self.content: dict[int, bytes] = {}
        self.members: list[Member] = []
        self.labels: list[int] = []
        for shard, path in enumerate(paths):
            found, numbers = self._index(shard, path)
            self.members += found.values()
            self.labels += [numbers.get(key, -1) for key in found]
        labels = self.labels
        if not self.members:
            raise ExunoError(f"there are no {what} in {paths[0]}", f"Known suffixes: {' '.join(suffixes)}.")
        if min(labels) < 0 <= max(labels):
            bare = self.members[labels.index(min(labels))]
            raise ExunoError(f"{paths[bare.shard]}: {bare.key} has no label, others have", "Add its .cls file.")
        listed = paths[0].parent / "classes.txt"
        classes = tuple(listed.read_text().rstrip().splitlines()) if listed.exists() else ()
        self.classes = classes if len(classes) > max(labels) >= 0 else None
        self.num_classes = len(self.classes or ()) or max(labels) + 1

    def read(self, member: Member) -> bytes:
        """The bytes of a file."""
        if member.shard in self.content:
            return self.content[member.shard][member.offset : member.offset + member.size]
        with self.paths[member.shard].open("rb") as file:
            file.seek(member.offset)
            return file.read(member.size)

    def _index(self, shard: int, path: Path) -> tuple[dict[str, Member], dict[str, int]]:
        found: dict[str, Member] = {}
        labels: dict[str, int] = {}
        try:
            if path.suffix in (".gz", ".tgz"):
                import gzip

                self.content[shard] = gzip.decompress(path.read_bytes())
            source = io.BytesIO(self.content[shard]) if shard in self.content else path.open("rb")
            with source, tarfile.open(fileobj=source, mode="r:") as tar:
                for entry in tar:
                    folder, _, base = entry.name.rpartition("/")
                    stem, _, suffix = base.partition(".")
                    key = f"{folder}/{stem}"
                    if not entry.isfile():
                        continue
                    if f".{suffix.lower()}" in self.suffixes:
                        found[key] = Member(shard, entry.name, entry.offset_data, entry.size)
                    elif suffix == "cls":
                        file = tar.extractfile(entry)
                        labels[key] = _label(file.read() if file else b"")
        except ValueError as error:
            raise ExunoError(
                f"{path} has a label that is no number from 0: {error}", "A .cls file holds one number."
            ) from error
        except (tarfile.TarError, OSError, EOFError) as error:
            raise ExunoError(f"{path} is not a whole tar file: {error}", "Fetch or write it again.") from error
        return found, labels


def _label(content: bytes) -> int:
    """The number in a .cls file; ValueError if it is none."""
    if not content.strip().isdigit():
        raise ValueError(content.decode(errors="replace")[:40].strip() or "nothing")
    return int(content)


class ShardData(Data):
    """The pictures of tar files: RGB of any size, taken for photographs (224 pixels, and 256 before the centre crop).

    Args:
        name: what to call it.
        paths: the shards.

    Raises:
        ExunoError: as :class:`Shards`.
    """

    channels = 3
    image_size = PHOTO_SIZE
    resize = PHOTO_RESIZE
    mean, std = IMAGENET

    def __init__(self, name: str, paths: list[Path]) -> None:
        self.name, self.paths = name, paths
        self.shards = Shards(paths, PICTURES, "images")
        self.members, self.labels = self.shards.members, torch.tensor(self.shards.labels)
        self.classes, self.num_classes = self.shards.classes, self.shards.num_classes

    def __len__(self) -> int:
        return len(self.members)

    def fetch(self, positions: Positions) -> tuple[list[Tensor], Tensor]:
        images = [self._decode(self.members[position]) for position in np.asarray(positions).tolist()]
        return images, self.labels[torch.from_numpy(np.asarray(positions, np.int64))]

    def _decode(self, member: Member) -> Tensor:
        from PIL import Image, ImageOps

        try:
            with Image.open(io.BytesIO(self.shards.read(member))) as image:
                pixels = np.array(ImageOps.exif_transpose(image).convert("RGB"))
        except Exception as error:  # decoders of broken files raise whatever they trip over
            raise ExunoError(
                f"{member.key} in {self.paths[member.shard]} is no whole picture ({error})", "Write the shard again."
            ) from error
        return torch.from_numpy(pixels).permute(2, 0, 1)

    def fingerprint(self) -> str:
        """sha256 of the names, sizes and labels of the images; the images themselves are not read."""
        digest = hashlib.sha256()
        for member, label in zip(self.members, self.labels.tolist(), strict=True):
            digest.update(f"{member.key}\0{member.size}\0{label}\n".encode())
        return digest.hexdigest()

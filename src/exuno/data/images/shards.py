"""``wds:PATTERN``: the pictures of WebDataset shards."""

import hashlib
import re
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from exuno.data.base import Data, Positions
from exuno.data.constants import IMAGENET, PICTURES
from exuno.data.content import looked_at
from exuno.data.images.deep import split_bits, tell_depth
from exuno.data.images.folder import size_among
from exuno.data.images.picture import decode
from exuno.data.names import formats
from exuno.data.shards import IMAGES, Member, Shards, expand
from exuno.engine.errors import ExunoError


class ShardData(Data):
    """The pictures of tar files: RGB; their size is that of :func:`exuno.data.images.folder.size_among`.

    Args:
        name: what to call it.
        paths: the shards.
        only: extension of the pictures, as :class:`Shards` has it.
        bits: that the numbers of pictures of more than 8 bits fill, as :func:`exuno.data.images.picture.decode` has it.

    Raises:
        ExunoError: as :class:`Shards`.
    """

    channels = 3
    mean, std = IMAGENET

    def __init__(self, name: str, paths: list[Path], only: str | None = None, bits: int | None = None) -> None:
        self.name, self.paths, self.bits = name, paths, bits
        self.shards = Shards(paths, PICTURES, IMAGES, only)
        self.members, self.labels = self.shards.members, torch.tensor(self.shards.labels)
        self.classes, self.num_classes = self.shards.classes, self.shards.num_classes
        self.image_size, self.resize = size_among(
            len(self.members), lambda position: BytesIO(self.shards.read(self.members[position]))
        )

    def __len__(self) -> int:
        return len(self.members)

    def fetch(self, positions: Positions) -> tuple[list[Tensor], Tensor]:
        images = [self._decode(self.members[position]) for position in np.asarray(positions).tolist()]
        return images, self.labels[torch.from_numpy(np.asarray(positions, np.int64))]

    def _decode(self, member: Member) -> Tensor:
        name, content = f"{member.key} in {self.paths[member.shard]}", self.shards.read(member)
        if len(content) < member.size:
            raise ExunoError(f"{name} is cut off", "Fetch or write the shard again.")
        return torch.from_numpy(decode(content, name, self.bits)).permute(2, 0, 1)

    def fingerprint(self) -> str:
        """sha256 of the names, sizes and labels of the images, and the bits; the images themselves are not read."""
        digest = hashlib.sha256(f"@{self.bits}bit".encode() if self.bits else b"")
        for member, label in zip(self.members, self.labels.tolist(), strict=True):
            digest.update(f"{member.key}\0{member.size}\0{label}\n".encode())
        return digest.hexdigest()

    def content(self) -> str:
        """See :mod:`exuno.data.content`."""
        return looked_at(len(self), lambda position: self.shards.some(self.members[position]))


def open_shards(spec: str, split: str) -> ShardData:
    """``PATTERN[@EXTENSION][@BITSbit]``: pictures of shards; the extension says which picture of each key.

    Raises:
        ExunoError: as :func:`expand` and :class:`Shards`.
    """
    bare, bits = split_bits(spec)
    match = re.fullmatch(r"(.+)@((?:[\w-]+\.)*\w+)", bare)
    if match is None or f".{match[2].rpartition('.')[2].lower()}" not in PICTURES:
        pattern, only = bare, None
    else:
        pattern, only = match[1], match[2].lower()
    data = ShardData(f"wds:{spec}", expand(pattern, split), only, bits)
    tell_depth(f"wds:{bare}", bits, [m.key for m in data.members], lambda i: data.shards.read(data.members[i]))
    return data


@formats.register("wds", form="wds:PATTERN[@EXTENSION][@BITSbit]", files=True)
def _open(rest: str, split: str, root: Path | None) -> Data:
    return open_shards(rest, split)

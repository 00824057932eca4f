"""Test images that training sees, too: the same bytes under another name."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exuno.data.base import ArrayData, Data
from exuno.data.content import some_of, spread
from exuno.data.images.folder import FileData
from exuno.data.images.shards import ShardData
from exuno.data.subset import SubsetData

MOST = 1 << 12
"""Training images, of the sizes of those looked at, that are read at most: of more, some of all."""
LARGEST = 1 << 18
"""Files whose sizes are asked for; larger data sets are left alone."""


@dataclass(frozen=True)
class _Items:
    """The images of a data set: what is known of each without reading it, and a digest."""

    sizes: Sequence[int]
    digest: Callable[[int], bytes]


def count(train: Data, test: Data) -> tuple[int, int]:
    """How many of how many test images are in the training set. Of files some are looked at, spread over the test set,
    and compared by size and by some of their bytes, with at most :data:`MOST` training images: there may be more.
    (0, 0) for data of other kinds, and more than :data:`LARGEST` files."""
    mine, theirs = _array(train), _array(test)
    if mine is not None and theirs is not None:
        if mine.shape[1:] != theirs.shape[1:]:
            return 0, len(test)
        known = set(_rows(mine))
        return sum(row in known for row in _rows(theirs)), len(test)
    if max(len(train), len(test)) > LARGEST:
        return 0, 0
    mine, theirs = _items(train), _items(test)
    if mine is None or theirs is None or not len(test):
        return 0, 0
    looked = spread(len(test))
    wanted = {theirs.sizes[position] for position in looked}
    found: dict[int, set[bytes]] = defaultdict(set)
    alike = [position for position, size in enumerate(mine.sizes) if size in wanted]
    for position in alike[:: max(1, -(-len(alike) // MOST))]:
        found[mine.sizes[position]].add(mine.digest(position))
    shared = [each for each in looked if theirs.sizes[each] in found]
    return sum(theirs.digest(each) in found[theirs.sizes[each]] for each in shared), len(looked)


def sentence(train: Data, test: Data) -> str:
    """What to say of them; empty where there are none."""
    shared, looked = count(train, test)
    if not shared:
        return ""
    few = "" if looked == len(test) else " looked at"
    most = "" if isinstance(_whole(train), ArrayData) or len(train) <= MOST else "at least "
    return f"{most}{shared:,} of {looked:,} test images{few} of {test.name} are in its training set, too"


def _whole(data: Data) -> Data:
    """The data set that a part is one of; any other as it is."""
    return _whole(data.parents[0]) if isinstance(data, SubsetData) and len(data.parents) == 1 else data


def _array(data: Data) -> NDArray[Any] | None:
    """Images in memory, [N, …]: of a data set, or of a part of one."""
    if isinstance(data, SubsetData) and len(data.parents) == 1:
        whole = _array(data.parents[0])
        return None if whole is None else whole[data.positions]
    return data.images.numpy() if isinstance(data, ArrayData) else None


def _rows(images: NDArray[Any]) -> list[bytes]:
    return [_short(np.ascontiguousarray(row).data) for row in images]  # one by one: a copy of all may not fit


def _items(data: Data) -> _Items | None:
    if isinstance(data, SubsetData) and len(data.parents) == 1:
        whole, places = _items(data.parents[0]), data.positions.tolist()
        if whole is None:
            return None
        return _Items([whole.sizes[place] for place in places], lambda position: whole.digest(places[position]))
    if isinstance(data, FileData):
        paths = [data.root / file for file in data.files]
        return _Items([path.stat().st_size for path in paths], lambda position: _short(some_of(paths[position])))
    if isinstance(data, ShardData):
        members = data.members
        return _Items([member.size for member in members], lambda position: _short(data.shards.some(members[position])))
    return None


def _short(content: bytes | memoryview) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()

"""Which pictures a command or a call names, and reading them in batches, those that are broken named."""

import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from exuno.data.audio.recording import SUFFIXES as OF_SOUND
from exuno.data.audio.recording import check_recording
from exuno.data.images.deep import split_bits, tell_depth
from exuno.data.images.folder import SUFFIXES as OF_PICTURES
from exuno.data.images.photo import source_path
from exuno.data.layout import files_below
from exuno.data.subset import abbreviated
from exuno.engine.documents import read_bytes
from exuno.engine.errors import ExunoError, as_mistake, tell
from exuno.predict.pictures import Opener, Picture

Item = tuple[str | int, Picture]
"""What a picture is called (its path, or its number), and the picture."""
LOOKED_AT = 32
"""Typed pictures that are looked at for the bits that they fill, before the work begins."""


@dataclass(frozen=True)
class Kind:
    """What a model answers for."""

    noun: str
    axes: int
    """Of a batch."""
    suffixes: Collection[str]
    check: Callable[[str], object]
    """Raises ExunoError unless a word names one that is there; reads nothing."""


def _check_picture(word: str) -> None:
    if not word.startswith("noise:"):
        source_path(word)


PICTURES = Kind("pictures", 4, OF_PICTURES, _check_picture)
RECORDINGS = Kind("recordings", 3, OF_SOUND, check_recording)
CLIPS = Kind("clips", 5, (), _check_picture)
"""Tensors only: a video does not say which clips of it a model is to see."""


@dataclass(frozen=True)
class Read:
    """A batch: what could be read, by its shape, and what is wrong with the rest."""

    sources: list[str | int]
    groups: list[tuple[list[int], NDArray[Any]]] = field(default_factory=list)
    """Places in the batch, and pictures [b, C, H, W] of one shape."""
    faults: dict[int, str] = field(default_factory=dict)
    """Place in the batch -> a sentence."""


def listed(words: Sequence[str], kind: Kind = PICTURES) -> list[str] | Iterator[str]:
    """The pictures that a command names, in its order: a list, but where ``-`` is among the words.

    Args:
        words: pictures, folders (all pictures below them, sorted), ``-`` (lines of standard input, as they come).
        kind: what the model takes.

    Raises:
        ExunoError: a word that names nothing, or a folder without pictures.
    """
    parts: list[Iterable[str]] = []
    typed: list[str] = []
    for word in words:
        if not word:
            raise ExunoError("a picture has an empty name", "Name a file or a folder; . is the one that you stand in.")
        below = [] if word == "-" else in_folder(word, kind)
        if word != "-" and not below:
            kind.check(word)
            typed.append(word)
        parts.append(_lines() if word == "-" else below or [word])
    for word in typed[:: max(1, len(typed) // LOOKED_AT)] if kind is PICTURES else ():
        bare, bits = split_bits(word)
        if Path(bare).is_file():
            tell_depth(bare, bits, [bare], lambda _, bare=bare: read_bytes(Path(bare)))
    whole = chain.from_iterable(parts)
    return whole if "-" in words else list(whole)


def _lines() -> Iterator[str]:
    return (line.rstrip("\r\n") for line in sys.stdin if line.strip())


def in_folder(word: str, kind: Kind = PICTURES) -> list[str]:
    """The pictures in a folder, ``PATH`` or ``PATH@12bit``, and below it; [] for what is no folder.

    Raises:
        ExunoError: there are none.
    """
    bare, bits = split_bits(word)
    folder = Path(bare)
    if not folder.is_dir():
        return []
    left = Counter[str]()
    found = files_below(folder, kind.suffixes, left)
    counted = abbreviated([f"{count:,} {suffix}" for suffix, count in left.most_common()])
    if not found:
        raise ExunoError(
            f"there are no {kind.noun} in {folder}" + (f", but {counted}" if left else ""),
            f"Known suffixes: {' '.join(sorted(kind.suffixes))}.",
        )
    if left:
        tell(f"{folder}: {left.total():,} file{'s' * (left.total() > 1)} left out: {counted}")
    if kind is PICTURES:
        tell_depth(bare, bits, found, lambda place: read_bytes(folder / found[place]))
    return [f"{folder / file}@{bits}bit" if bits else str(folder / file) for file in found]


def items_of(images: Any, kind: Kind = PICTURES) -> Iterator[Item]:
    """What a call in Python gives: one picture, a folder, or several of these; a batch of tensors is its pictures, and
    so is one of arrays [B, H, W, 3] or, as torch has them, [B, C, H, W]. Paths are called by themselves, all else by
    its number.

    Raises:
        ExunoError: none of these.
    """
    one = not isinstance(images, Iterable) or isinstance(images, str | np.ndarray | Tensor)
    for number, (path, picture) in enumerate(_flat([images] if one else images, kind)):
        yield number if path is None else path, picture


def _flat(images: Iterable[Any], kind: Kind) -> Iterator[tuple[str | None, Picture]]:
    for image in images:
        if isinstance(image, str | Path):
            yield from ((path, path) for path in in_folder(str(image), kind) or [str(image)])
        elif isinstance(image, np.ndarray) and image.ndim == kind.axes:
            last = kind is PICTURES and image.shape[-1] in (1, 3)
            yield from ((None, each if last else torch.from_numpy(each)) for each in image)
        elif isinstance(image, Tensor) and image.ndim == kind.axes:
            yield from ((None, each) for each in image)
        elif isinstance(image, Tensor | np.ndarray) or hasattr(image, "getexif"):  # PIL's, not imported for that
            yield None, image
        else:
            raise ExunoError(
                f"a {type(image).__name__} is no picture", "Give paths, PIL images, uint8 arrays or tensors."
            )


def batches(items: Iterable[Item], size: int, opener: Opener, workers: int = 0) -> Iterator[Read]:
    """What the items show, in their order, ``size`` of them at a time.

    Args:
        items: read as far as they are needed.
        size: of a batch.
        opener: opens each.
        workers: processes that do; 0 does it in this one.
    """
    reader, keys = Reader(opener), _chunks(iter(items), size)
    if not workers:
        return map(reader.__getitem__, keys)
    return iter(DataLoader(reader, batch_size=None, sampler=keys, num_workers=workers, generator=torch.Generator()))


def _chunks(items: Iterator[Item], size: int) -> Iterator[list[Item]]:
    while chunk := list(islice(items, size)):
        yield chunk


class Reader(Dataset[Read]):
    """Items -> a batch; what a worker process holds."""

    def __init__(self, opener: Opener) -> None:
        self.opener = opener

    def __getitem__(self, items: list[Item]) -> Read:
        found = Read([source for source, _ in items])
        shapes: dict[Any, tuple[list[int], list[Tensor]]] = {}
        for place, (_, picture) in enumerate(items):
            try:
                pixels = self.opener(picture)
            except Exception as error:  # of whatever a file may hold; the others are still read
                mistake = as_mistake(error)
                if mistake is None:
                    raise
                in_memory = not isinstance(picture, str | Path)  # then what to do is about the code at hand
                found.faults[place] = str(mistake) if in_memory else mistake.what
                continue
            places, same = shapes.setdefault((pixels.shape, pixels.dtype), ([], []))
            places.append(place)
            same.append(pixels)
        # Arrays, not tensors: of these a worker would send each by a file descriptor of its own.
        found.groups.extend((places, torch.stack(same).numpy()) for places, same in shapes.values())
        return found

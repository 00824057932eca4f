"""Data specs: a name, or ``PREFIX:PATH`` -> Data."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exuno.data.base import ArrayData, Data, channel_stats
from exuno.data.constants import Stats
from exuno.data.duplicates import sentence
from exuno.data.images.folder import FileData
from exuno.data.images.shards import ShardData
from exuno.data.names import HOLD_OUT, KEPT, formats, forms, no_data, unknown_prefix
from exuno.engine.errors import ExunoError, tell
from exuno.engine.remote import fetched, is_remote
from exuno.registry import is_own


def open_data(spec: str, split: str = "train", *, root: Path | None = None) -> Data:
    """Open the data set that ``spec`` names.

    Args:
        spec: ``digits``, the name of a benchmark, ``folder:PATH``, ``npz:PATH``, ``wds:PATTERN``,
            ``recordings:PATH``, ``videos:PATH``, ``poster:PATH``, ``torchvision:NAME`` or ``module:Name``.
        split: ``train``, ``test`` or another one that the data set has; the splits ``train``, ``val`` and ``test`` of a
            few-shot benchmark have different classes. A ``folder:`` without split folders and a
            ``wds:`` pattern without ``{split}`` are one set, which is returned for every split.
        root: folder in which the files of a named data set lie.

    Raises:
        ExunoError: for an unknown spec or split, and for missing or broken files.
    """
    if (kept := KEPT.get()) is None or not isinstance(spec, str):
        return _open(spec, split, root)
    if (found := kept.get((spec, split, root))) is None:
        found = kept[spec, split, root] = _open(spec, split, root)
    return found


def _open(spec: str, split: str, root: Path | None) -> Data:
    if not isinstance(spec, str):
        hint = f"Did you mean 'folder:{spec}'? " if isinstance(spec, Path) else ""
        raise ExunoError(f"a data spec is text, and this is a {type(spec).__name__}", hint + forms())
    prefix, colon, rest = spec.partition(":")
    if not colon:
        return _named(spec, split, root)
    if not rest:
        raise ExunoError(f"'{spec}' names nothing after the colon", forms())
    if entry := formats.entries.get(prefix):
        place = str(fetched(rest)) if entry.facts["files"] and is_remote(rest) else rest
        return entry.load()(place, split, root)
    if is_own(spec):
        return open_own(spec, split)
    raise unknown_prefix(spec)


def open_own(spec: str, split: str) -> Data:
    """Data ``module:Name``: a class or function that is called with ``split`` and gives a :class:`Data`, or a data set
    of torch: a length, and pairs (image, label) by number. Images are pictures of Pillow, arrays or tensors of one
    size, in any of the forms that ``npz:`` takes; ``classes``, if there, are their names.

    Mean and std are those of the training split, which is made for that where it was not before, once they are asked
    for.

    Raises:
        ExunoError: it gives something else.
    """
    make = formats.get(spec)
    try:
        found: Any = make(split=split)
    except ExunoError:
        raise
    except Exception as error:  # of whatever a user wrote
        raise ExunoError(
            f"{spec} cannot be made ({type(error).__name__}: {error})", f"It is called with split='{split}' alone."
        ) from error
    if isinstance(found, Data):
        return found
    from exuno.data.images.npz import as_images
    from exuno.data.labels import count_classes, numbered, plain, tell_unused

    what = f"{spec}, split {split}"
    try:
        pairs = [found[number] for number in range(len(found))]
        images, labels = (list(each) for each in zip(*pairs, strict=True))
        pixels = np.stack([_pixels(image, what) for image in images])
    except ExunoError:
        raise
    except Exception as error:
        raise ExunoError(
            f"{what} gives no pairs (image, label) of images of one size: {error}",
            "Let it have a length and give (image, label) for each number below it, or be an exuno.data.base.Data.",
        ) from error
    names = tuple(map(str, getattr(found, "classes", ()))) or None
    numbers = numbered(plain(np.asarray(labels), what), names, what)
    images, classes = as_images(pixels, what)[0], count_classes(numbers, names, what)
    if split == "train":
        tell_unused(numbers, classes, names, f"the labels of {what}")
        stats = _known[spec, id(make)] = channel_stats(images)
    else:
        stats = partial(_stats_of, split)
    return ArrayData(spec, images, numbers, names, classes, stats)


_known: dict[tuple[str, int], Stats] = {}
"""Mean and std of the training split, as it was when it was last opened, of a spec and what made it."""


def _stats_of(split: str, data: ArrayData) -> Stats:
    """Of the training split of data of which ``split`` is open."""
    spec = data.name
    key = spec, id(formats.get(spec))
    if key not in _known:
        try:
            training = open_own(spec, "train")
        except ExunoError as error:
            tell(f"mean and std of {spec} are those of its split '{split}', since {error.what}")
            return channel_stats(data.images.numpy())
        return training.mean, training.std
    return _known[key]


GRAY, DEEP = ("1", "L"), ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
"""Pillow's modes of one channel without a palette, of 8 bits or fewer and of more."""


def _pixels(image: Any, what: str) -> NDArray[Any]:
    """A picture as an array: Pillow's as a file of it would be read, its palette or transparency being no channels;
    gray ones stay gray."""
    if hasattr(image, "getexif") and image.mode not in DEEP:  # PIL's, which is not imported for that
        from exuno.data.images.picture import from_pillow

        pixels = from_pillow(image, f"a picture of {what}")
        return pixels[..., 0] if image.mode in GRAY else pixels
    return np.asarray(image)


def check_apart(spec: str, train: Data, test: Data) -> None:
    """Raises ExunoError if both splits of a data set are the same images; that some are is told."""
    if same_samples(train, test):
        raise ExunoError(
            f"{spec} has no test images of its own: its train and test splits are the same",
            f"Give it both, for a folder as PATH/train/CLASS/ and PATH/test/CLASS/.{HOLD_OUT}",
        )
    if said := sentence(train, test):
        tell(said)


def same_samples(one: Data, other: Data) -> bool:
    """Whether two splits hold the same samples."""
    # Fingerprints read all images or ask for the sizes of all files: only where the lengths leave a doubt.
    if isinstance(one, FileData) and isinstance(other, FileData) and one.root.resolve() != other.root.resolve():
        return False  # of files, fingerprints know names and sizes only
    if isinstance(one, ShardData) and isinstance(other, ShardData) and _places(one) != _places(other):
        return False  # likewise
    if len(one) != len(other) and one.groups is None and other.groups is None:  # not clips of the same videos
        return False
    return one is other or one.fingerprint() == other.fingerprint()


def num_shared(one: Data, other: Data) -> int:
    """How many samples of ``other`` are samples of ``one``, too: of files in folders and shards those that are the same
    file, of other data all or none."""
    if isinstance(one, FileData) and isinstance(other, FileData):
        mine, theirs = one.root.resolve(), other.root.resolve()
        if mine != theirs and mine not in theirs.parents and theirs not in mine.parents:
            return 0
        known = {mine / file for file in one.files}
        return sum(theirs / file in known for file in other.files)
    if isinstance(one, ShardData) and isinstance(other, ShardData):
        if not set(_places(one)) & set(_places(other)):
            return 0
        known = set(_members(one))
        return sum(member in known for member in _members(other))
    return len(other) if same_samples(one, other) else 0


def _members(data: ShardData) -> list[tuple[Path, str]]:
    places = _places(data)
    return [(places[member.shard], member.key) for member in data.members]


def _places(data: ShardData) -> list[Path]:
    return [path.resolve() for path in data.paths]


def lacks_split(error: ExunoError, split: str) -> bool:
    """Whether data could not be opened because they have no such split."""
    signs = (f"no split '{split}'", f"no {split}_images", "there is no shard", "no file matches")
    return any(sign in error.what for sign in signs)


def _named(name: str, split: str, root: Path | None) -> Data:
    if name == "digits":
        from exuno.data.images.digits import open_digits

        return open_digits(split)
    if name.partition("@")[0] == "moving-digits":
        from exuno.data.images.digits import open_moving

        return open_moving(split, name.partition("@")[2] or "direction")
    from exuno.data.named.benchmarks import BENCHMARKS, open_benchmark

    if name in BENCHMARKS:
        return open_benchmark(name, split, root)
    raise no_data(name)

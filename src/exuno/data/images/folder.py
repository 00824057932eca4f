"""Images in files of their own, of any size, and ``folder:PATH``."""

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exuno.data.base import Data, Positions
from exuno.data.classes import in_order, label_folders
from exuno.data.constants import IMAGENET, PICTURES, Stats
from exuno.data.content import looked_at, some_of
from exuno.data.images.deep import split_bits, tell_depth
from exuno.data.images.picture import ORIENTATION, decode
from exuno.data.labels import count_classes
from exuno.data.layout import LINKS, Layout, files_below, holds, layout_of, subfolders
from exuno.data.matching import plain
from exuno.data.names import HOLD_OUT, formats, split_word
from exuno.data.subset import abbreviated
from exuno.engine.documents import read_bytes
from exuno.engine.errors import ExunoError, tell

SUFFIXES = frozenset(PICTURES)
PHOTO_SIZE, PHOTO_RESIZE = (224, 224), 256
SMALL = 96
PROBED = 16
LYING = 5
"""From here on EXIF orientations exchange height and width."""


def size_among(count: int, source: Callable[[int], Path | BytesIO]) -> tuple[tuple[int, int], int | None]:
    """``image_size`` and ``resize`` of a data set of ``count`` pictures.

    Pictures that all have one size of at most 96 pixels (16 of them are looked at) keep it; others are taken for
    photographs: 224 pixels, and 256 before the centre crop of a test image.

    Args:
        count: of pictures.
        source: position -> the file, or its bytes.
    """
    from PIL import Image

    sizes = set()
    for position in range(0, count, max(1, count // PROBED)):
        try:
            with Image.open(source(position)) as image:
                if max(image.size) > SMALL:
                    return PHOTO_SIZE, PHOTO_RESIZE
                # Only where it matters: for the tags of a PNG file, all of it is decoded.
                lies = image.width != image.height and image.getexif().get(ORIENTATION, 1) >= LYING
                sizes.add((image.width, image.height) if lies else (image.height, image.width))
        except Exception:  # a broken picture gets its message when it is fetched
            return PHOTO_SIZE, PHOTO_RESIZE
    size = sizes.pop() if len(sizes) == 1 else None
    return (size, None) if size else (PHOTO_SIZE, PHOTO_RESIZE)


class FileData(Data):
    """Image files, decoded when they are fetched: RGB, turned as their EXIF tag says.

    Their size is that of :func:`size_among`. Mean and std are ImageNet's unless given.

    Args:
        name: what to call it.
        root: the folder that ``files`` are relative to.
        files: POSIX paths.
        labels: int64 [N], -1 where there is none.
        classes: names of the classes; None for unlabelled files.
        stats: mean and std of each channel.
        bits: that the numbers of files of more than 8 bits a channel fill, as
            :func:`exuno.data.images.picture.decode` has it.

    Raises:
        ExunoError: labels that are no numbers of the classes.
    """

    channels = 3

    def __init__(
        self,
        name: str,
        root: Path,
        files: Sequence[str],
        labels: NDArray[np.int64],
        classes: tuple[str, ...] | None,
        stats: Stats = IMAGENET,
        bits: int | None = None,
    ) -> None:
        count_classes(np.asarray(labels, np.int64), classes, name)
        self.name, self.root, self.files = name, root, list(files)
        self.labels = torch.from_numpy(np.asarray(labels, np.int64))
        self.classes = classes
        self.num_classes = len(classes or ())
        (self.mean, self.std), self.bits = stats, bits
        self.image_size, self.resize = size_among(len(self.files), lambda position: self.root / self.files[position])

    def __len__(self) -> int:
        return len(self.files)

    def read(self, position: int) -> bytes:
        """The bytes of a file."""
        return read_bytes(self.root / self.files[position])

    def decode(self, position: int, content: bytes) -> NDArray[np.uint8]:
        """What the bytes of that file show, uint8 [H, W, 3]."""
        return decode(content, f"'{self.root / self.files[position]}'", self.bits)

    def fetch(self, positions: Positions) -> tuple[list[Tensor], Tensor]:
        images = [
            torch.from_numpy(self.decode(position, self.read(position))).permute(2, 0, 1)
            for position in np.asarray(positions).tolist()
        ]
        return images, self.labels[torch.from_numpy(np.asarray(positions, np.int64))]

    def fingerprint(self) -> str:
        """sha256 of the names, sizes and labels, and the bits; the images themselves are not read."""
        digest = hashlib.sha256(f"@{self.bits}bit".encode() if self.bits else b"")
        for file, label in zip(self.files, self.labels.tolist(), strict=True):
            digest.update(f"{file}\0{(self.root / file).stat().st_size}\0{label}\n".encode())
        return digest.hexdigest()

    def content(self) -> str:
        """See :mod:`exuno.data.content`."""
        return looked_at(len(self), lambda position: some_of(self.root / self.files[position]))


NOTES = (".txt", ".md", ".csv", ".json", ".yaml", ".yml", ".xml", ".html", ".tar", "without a suffix")
"""Suffixes of what usually lies beside the data and is not missed."""


@dataclass(frozen=True)
class Found:
    """The files of one split of a folder: paths relative to ``folder``, and their labels, int64 [N], -1 where there is
    none."""

    folder: Path
    files: list[str]
    labels: NDArray[np.int64]
    classes: tuple[str, ...] | None


def open_folder(
    path: Path, split: str, name: str | None = None, stats: Stats = IMAGENET, *, own_classes: bool = False
) -> FileData:
    """Images in folders, as :func:`find_files` finds them; with bits behind the path, as :func:`split_bits` reads
    them."""
    bare, bits = split_bits(str(path))
    found = find_files(Path(bare), split, SUFFIXES, "images", own_classes=own_classes)
    name = name or f"folder:{path}"
    if found.folder != Path(bare):
        name = f"{name}/{found.folder.relative_to(bare).as_posix()}"
    data = FileData(name, found.folder, found.files, found.labels, found.classes, stats, bits)
    tell_depth(f"folder:{bare}", bits, data.files, data.read)
    return data


def find_files(path: Path, split: str, suffixes: Collection[str], what: str, *, own_classes: bool = False) -> Found:
    """The files of a split that end in one of ``suffixes``; ``what`` they are, for messages.

    ``PATH/train/CLASS/…`` and ``PATH/test/CLASS/…`` (or ``val``, and the other names of :mod:`exuno.data.names`)
    are splits; a folder ``PATH/CLASS/…`` or ``PATH/*.jpg`` without them is one set, returned for every split. Classes
    are the names of the folders that hold files, those of ``train`` where there is one, unless each split has
    ``own_classes``, in the order that :func:`~exuno.data.classes.label_folders` tells; files directly in the folder
    have no label. What is left out is told once.

    Raises:
        ExunoError: for a missing or empty folder, a missing split, or a class of the test split that training has not.
    """
    layout = layout_of(path, suffixes, what)
    chosen, train = layout.root, None
    if layout.splits:
        found = layout.folder(split)
        if found is None:
            names = ", ".join(sorted(each.relative_to(path).as_posix() for each in layout.splits.values()))
            raise ExunoError(
                f"{path} has no split '{split}'", f"Its splits are in {names}." + HOLD_OUT * (split == "test")
            )
        chosen = found
        train = None if own_classes else layout.splits.get("train")
    own = class_folders(chosen, suffixes)
    folders = own if train in (None, chosen) else class_folders(train, suffixes) or own
    if stray := [name for name in own if name not in folders]:
        spelt = {plain(name): name for name in folders}
        if all(plain(name) in spelt for name in stray):
            raise ExunoError(
                f"{chosen} and {train} spell their class folders differently: {stray[0]} and {spelt[plain(stray[0])]}",
                "Give the class folders of both splits the same names.",
            )
        raise ExunoError(
            f"{chosen} has classes that {train} has not: {abbreviated(stray)}",
            "Use the same class folders in both splits (new classes for testing are for exuno fewshot).",
        )
    folders, classes = label_folders(folders, places_of_list(layout, chosen), own_classes)
    left, beside = Counter[str](), Counter[str]()
    loose = files_below(chosen, suffixes, beside, deep=False)
    files, labels = list_classes(chosen, folders, suffixes, left) if own else (loose, [-1] * len(loose))
    left.update({kind: count for kind, count in beside.items() if kind not in NOTES})
    if not files:
        files_below(chosen, suffixes, left := Counter[str]())
        raise ExunoError(
            f"there are no {what} in {chosen}" + (f", but {_counted(left)}" if left else ""),
            f"Known suffixes: {' '.join(sorted(suffixes))}.",
        )
    _tell(chosen, what, left, len(loose) if own else 0, own, [name for name in folders if name not in own])
    inner = {Path(file).parent for file in files}
    if own:
        _check_classes(chosen, own, inner)
    if own and len(inner) > len(own) and all(len(folder.parts) > 1 for folder in inner):
        one = min(inner)
        tell(f"{chosen}: {what} lie in folders below the class folders, such as {one}, which is class {one.parts[0]}")
    return Found(chosen, files, np.array(labels, np.int64), classes or None)


BESIDE = frozenset(
    ("image", "images", "img", "imgs", "mask", "masks", "label", "labels", "annotation", "annotations", "gt", "depth")
)
"""Folders that hold pictures and what belongs to each of them, for other tasks than classification."""


def _check_classes(folder: Path, classes: tuple[str, ...], inner: Collection[Path]) -> None:
    """Raises ExunoError for folders that are no classes: pictures and their masks, or splits inside class folders."""
    if len(classes) > 1 and all(name.lower() in BESIDE for name in classes):
        raise ExunoError(
            f"the folders of {folder} are {abbreviated(classes)}, which are no classes",
            "Give PATH/CLASS/IMAGE; pictures without a class lie in one folder: folder:PATH/images.",
        )
    words = [split_word(parent.parts[1]) if len(parent.parts) > 1 else None for parent in inner]
    found = {word[0] for word in words if word and not word[1]}
    if len(found) > 1 and all(word and not word[1] for word in words):
        raise ExunoError(
            f"the class folders of {folder} hold splits, such as {min(inner)}",
            "Put the classes into the splits, PATH/train/CLASS and PATH/test/CLASS: else all images are one set.",
        )


def split_folders(path: Path) -> dict[str, Path]:
    """The folder of each split of images that ``path`` has, a val folder that stands in for test being test alone; {}
    for a folder without splits, or none."""
    layout = layout_of(path, SUFFIXES, "images") if path.is_dir() else Layout(path)
    parts = ("train", "test", "val") if "test" in layout.splits else ("train", "test")
    return {part: folder for part in parts if layout.splits and (folder := layout.folder(part)) is not None}


def class_folders(folder: Path, suffixes: Collection[str] | None = None) -> tuple[str, ...]:
    """Names of the subfolders, sorted; as numbers, if all are. With ``suffixes``, of those that hold such a file."""
    return in_order([name for name in subfolders(folder) if suffixes is None or holds(folder / name, suffixes)])


def places_of_list(layout: Layout, chosen: Path) -> list[Path]:
    """Where a list of the classes may lie: in a folder, in its training split, in the split at hand; for a folder that
    is itself a split, in the one around it."""
    training = [layout.splits["train"]] if "train" in layout.splits else []
    return [layout.root, *training, chosen, *([layout.root.parent] if split_word(layout.root.name) else [])]


def list_classes(
    folder: Path, classes: tuple[str, ...], suffixes: Collection[str] = SUFFIXES, left: Counter[str] | None = None
) -> tuple[list[str], list[int]]:
    """Files of the class folders, relative to ``folder``, and their labels; sorted by class, then by path. ``left``
    counts other files by their suffix; without it, what cannot be opened is told."""
    files, labels, found = [], [], Counter[str]() if left is None else left
    for label, name in enumerate(classes):
        if (folder / name).is_dir():
            inside = [f"{name}/{file}" for file in files_below(folder / name, suffixes, found)]
            files += inside
            labels += [label] * len(inside)
    if left is None and found[LINKS]:
        tell(f"{folder}: left out: {found[LINKS]:,} {LINKS}")
    return files, labels


def _tell(folder: Path, what: str, left: Counter[str], loose: int, own: tuple[str, ...], lacking: list[str]) -> None:
    """One line about all that is left out of a folder, and the classes that it lacks."""
    words = []
    if left:
        words.append(f"{left.total():,} file{'s' * (left.total() > 1)} left out: {_counted(left)}")
    if loose:
        words.append(f"{what} beside the class folders left out: {loose:,}")
    if own and (empty := [name for name in subfolders(folder) if name not in own and name not in lacking]):
        words.append(f"folders without {what} left out: {abbreviated(empty)}")
    if lacking:
        words.append(f"classes of training without {what} here: {abbreviated(lacking)}")
    if words:
        tell(f"{folder}: {'; '.join(words)}")


def _counted(left: Counter[str]) -> str:
    return abbreviated([f"{count:,} {kind}" for kind, count in left.most_common()])


@formats.register("folder", form="folder:PATH[@BITSbit]", files=True)
def _open(rest: str, split: str, root: Path | None) -> Data:
    return open_folder(Path(rest), split)

"""Readers of published archives, as they are after unpacking: each returns one split.

``ROOT`` may be the folder that holds the archive's folder, or that folder itself; see :mod:`exuno.data.named.packed`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exuno.data.base import ArrayData, Data
from exuno.data.classes import read_classes
from exuno.data.constants import IMAGENET
from exuno.data.images.folder import FileData
from exuno.data.labels import count_classes
from exuno.data.layout import files_below, subfolders
from exuno.data.named.packed import absent, command, inside, still_packed
from exuno.engine.documents import read_bytes, read_text
from exuno.engine.errors import ExunoError

UNPACK = "Unpack the archive again."
LOOKED = 20_000
"""Files of a split, at most, of which it is checked that they exist."""


def split_of(name: str, split: str, known: tuple[str, ...]) -> str:
    if split not in known:
        raise ExunoError(f"{name} has no split '{split}'", f"Its splits are {', '.join(known)}.")
    return split


def flowers102(root: Path, split: str) -> Data:
    """Oxford Flowers 102 (Nilsback and Zisserman, 2008): 1,020 training, 1,020 validation, 6,149 test images."""
    split_of("flowers102", split, ("train", "val", "test"))
    base = inside(root, "flowers-102", "imagelabels.mat", "flowers102", "102flowers", "flowers102")
    labels = _wholes(base / "imagelabels.mat", "labels") - 1
    numbers = _wholes(base / "setid.mat", {"train": "trnid", "val": "valid", "test": "tstid"}[split])
    if len(numbers) and not 1 <= numbers.min() <= numbers.max() <= len(labels):
        raise ExunoError(f"the lists in {base} do not belong together", UNPACK)
    files = [f"jpg/image_{number:05}.jpg" for number in numbers]
    names = tuple(f"flower {i + 1}" for i in range(102))
    _check_files("flowers102", root, base, files, "102flowers")
    return FileData(f"flowers102/{split}", base, files, labels[numbers - 1], names)


def pets37(root: Path, split: str) -> Data:
    """Oxford-IIIT Pet (Parkhi et al., 2012): 3,680 training, 3,669 test images of 37 breeds."""
    split_of("pets37", split, ("train", "test"))
    base = inside(root, "oxford-iiit-pet", "annotations", "pets37", "annotations.tar", "oxford-iiit-pet")
    path = base / "annotations" / {"train": "trainval.txt", "test": "test.txt"}[split]
    with _belonging(path.parent):
        pairs = [(row[0], int(row[1]) - 1) for row in _rows(path)]
    files, labels = [f"images/{name}.jpg" for name, _ in pairs], np.array([label for _, label in pairs], np.int64)
    breeds = {(label, name.rpartition("_")[0]) for name, label in pairs}
    names = dict(breeds)
    if not len(breeds) == len(names) == len(set(names.values())):
        raise ExunoError(f"{path} gives a breed two numbers, or a number two breeds", UNPACK)
    classes = tuple(names.get(i, f"breed {i + 1}") for i in range(37))
    _check_files("pets37", root, base, files, "images.tar")
    return FileData(f"pets37/{split}", base, files, labels, classes)


def cub200(root: Path, split: str) -> Data:
    """Caltech-UCSD Birds 200 (Wah et al., 2011): 5,994 training, 5,794 test images. Bounding boxes are not used, as in
    the published fine-grained experiments."""
    split_of("cub200", split, ("train", "test"))
    base = inside(root, "CUB_200_2011", "images.txt", "cub200")
    wanted = "1" if split == "train" else "0"
    with _belonging(base):
        path, label, flag, named = (
            _pairs(base / f"{name}.txt") for name in ("images", "image_class_labels", "train_test_split", "classes")
        )
        if not path.keys() == label.keys() == flag.keys() or set(flag.values()) - {"0", "1"}:
            raise ValueError("they are not of the same images")
        if list(named) != [str(number) for number in range(1, len(named) + 1)]:
            raise ValueError("the classes are not counted from 1")
        chosen = [number for number in flag if flag[number] == wanted]
        files, labels = [f"images/{path[n]}" for n in chosen], np.array([int(label[n]) - 1 for n in chosen], np.int64)
        classes = tuple(text.partition(".")[2] for text in named.values())
    _check_files("cub200", root, base, files)
    return FileData(f"cub200/{split}", base, files, labels, classes)


def stl10(root: Path, split: str) -> Data:
    """STL-10 (Coates et al., 2011), binary files: 5,000 training, 8,000 test, 100,000 unlabelled images of 96
    pixels."""
    split_of("stl10", split, ("train", "test", "unlabeled"))
    base = inside(root, "stl10_binary", "test_X.bin", "stl10")
    path = base / f"{split}_X.bin"
    pixels = np.frombuffer(read_bytes(_there(path)), np.uint8)
    if pixels.size % (3 * 96 * 96):
        raise ExunoError(f"{path} is cut off: it has {pixels.size:,} bytes, no multiple of {3 * 96 * 96:,}", UNPACK)
    images = pixels.reshape(-1, 3, 96, 96).swapaxes(2, 3)  # stored column by column
    if split == "unlabeled":
        labels, classes = np.full(len(images), -1, np.int64), None
    else:
        labels = np.frombuffer(read_bytes(_there(base / f"{split}_y.bin")), np.uint8).astype(np.int64) - 1
        if len(labels) != len(images) or not len(images):
            raise ExunoError(f"{base} has {len(images):,} images and {len(labels):,} labels of {split}", UNPACK)
        classes = read_classes(_there(base / "class_names.txt"))
        count_classes(labels, classes, f"the labels of stl10 in {base}")
    return ArrayData(f"stl10/{split}", images, labels, classes, stats=IMAGENET)


def tiny_imagenet(root: Path, split: str) -> Data:
    """Tiny ImageNet (Stanford CS231n): 100,000 training, 10,000 validation images of 64 pixels; ``test`` is the
    validation set, in ``val/images`` as published, or moved into ``val/WNID``."""
    from exuno.data.images.folder import list_classes

    split_of("tiny-imagenet", split, ("train", "test", "val"))
    base = inside(root, "tiny-imagenet-200", "wnids.txt", "tiny-imagenet")
    wnids = tuple(sorted(read_text(_there(base / "wnids.txt")).split()))
    folder = base / ("train" if split == "train" else "val")
    if stray := sorted({*subfolders(folder)} - {*wnids, "images"}):
        raise ExunoError(f"{base / 'wnids.txt'} does not list {stray[0]}, which is a class folder of {folder}", UNPACK)
    files, _ = list_classes(folder, tuple(wnid for wnid in wnids if (folder / wnid).is_dir()))
    label = {wnid: i for i, wnid in enumerate(wnids)}
    if len(label) < len(wnids):
        raise ExunoError(f"{base / 'wnids.txt'} names a class twice", UNPACK)
    labels = [label[file.partition("/")[0]] for file in files]
    if split != "train" and ((folder / "images").is_dir() or not files):
        moved = {Path(file).name for file in files}
        listed = folder / "val_annotations.txt"
        with _belonging(folder):
            rows = [(row[0], label[row[1]]) for row in _rows(listed)]
        images = folder / "images"
        there = files_below(images, (".jpeg",)) if images.is_dir() else []
        if bare := sorted({*there} - {name for name, _ in rows}):
            raise ExunoError(f"{listed} has no class for {bare[0]}", UNPACK)
        rows = [(name, number) for name, number in rows if name not in moved]
        files += [f"images/{name}" for name, _ in rows]
        labels += [number for _, number in rows]
    files = [f"{folder.name}/{file}" for file in files]
    if not files:
        raise ExunoError(f"there are no images in {folder}", "Unpack the archive completely.")
    _check_files("tiny-imagenet", root, base, files)
    words = dict(line.split("\t")[:2] for line in read_text(_there(base / "words.txt")).splitlines() if "\t" in line)
    classes = tuple(words.get(wnid, wnid).partition(",")[0] for wnid in wnids)
    return FileData(f"tiny-imagenet/{split}", base, files, np.array(labels, np.int64), classes)


def places365(root: Path, split: str) -> Data:
    """Places365-Standard (Zhou et al., 2017): 1,803,460 training and 36,500 validation images; ``test`` is the
    validation set.

    Either layout: the folders of ``places365standard_easyformat.tar``, or the lists with ``data_256`` and ``val_256``.
    """
    split_of("places365", split, ("train", "test", "val"))
    if (root / "categories_places365.txt").exists():
        named = root / "categories_places365.txt"
        classes = tuple(row[0].removeprefix("/")[2:] for row in _rows(named))
        if not classes or [row[1:] for row in _rows(named)] != [[str(number)] for number in range(len(classes))]:
            raise ExunoError(f"{named} does not count its classes from 0", UNPACK)
        listed, folder = (
            ("places365_train_standard.txt", "data_256") if split == "train" else ("places365_val.txt", "val_256")
        )
        with _belonging(root):
            rows = [(row[0], int(row[1])) for row in _rows(root / listed)]
        files = [f"{folder}/{name.removeprefix('/')}" for name, _ in rows]
        _check_files("places365", root, root, files, folder.replace("data", "train"))
        return FileData(f"places365/{split}", root, files, np.array([label for _, label in rows], np.int64), classes)
    from exuno.data.images.folder import open_folder

    base = inside(root, "places365_standard", "train", "places365", "places365", "filelist_places365")
    return open_folder(base, split, "places365")


def imagenet(root: Path, split: str, name: str = "imagenet", count: int = 1000) -> Data:
    """ImageNet (ILSVRC 2012) or a part of it: ``train/WNID`` and ``val/WNID``; labels are those of the sorted wnids.

    ``in100`` is a folder of 100 wnids, or the whole of ImageNet with the list ``imagenet100.txt`` (one wnid a line)
    beside it.
    """
    from exuno.data.images.folder import class_folders, list_classes

    split_of(name, split, ("train", "test", "val"))
    places = (root, root / name, root / "ILSVRC/Data/CLS-LOC")
    base = next((place for place in places if (place / "train").is_dir() or (place / "val").is_dir()), None)
    if base is None:
        if packed := still_packed((root,), "ILSVRC2012_img"):
            raise ExunoError(
                f"{packed} is still packed",
                "Its images belong into folders of their class: the script imagenet/extract_ILSVRC.sh of "
                "github.com/pytorch/examples makes them.",
            )
        raise absent(name, root, "train/WNID/*.JPEG and val/WNID/*.JPEG", name, "imagenet")
    folder = base / ("train" if split == "train" else "val")
    wnids = class_folders(folder) if folder.is_dir() else ()
    chosen = root / "imagenet100.txt"
    if name == "in100" and len(wnids) > count and chosen.exists():
        wnids = tuple(sorted(read_text(chosen).split()))
    if len(wnids) != count:
        more = (
            " The 50,000 validation images must be sorted into folders of their class." if folder.name == "val" else ""
        )
        raise ExunoError(f"{folder} has {len(wnids)} class folders, {name} has {count}", "Unpack it completely." + more)
    files, labels = list_classes(folder, wnids)
    return FileData(f"{name}/{split}", folder, files, np.array(labels, np.int64), wnids)


def _check_files(name: str, root: Path, base: Path, files: list[str], *archives: str) -> None:
    """Raises ExunoError if files of a split, relative to ``base``, are not there; ``archives`` may hold them."""
    if not files:
        raise ExunoError(f"the lists of {name} in {base} name no image of this split", UNPACK)
    looked = files[:: 1 + len(files) // LOOKED]
    missing = [file for file in looked if not (base / file).exists()]
    if missing:
        packed = still_packed((base, root), *archives) if archives else None
        raise ExunoError(
            f"{len(missing)} of {len(looked)} images of {name} are not in {base}, such as {missing[0]}",
            f"Unpack {packed} there: {command(packed)}" if packed else "Unpack the archive completely.",
        )


@contextmanager
def _belonging(folder: Path) -> Iterator[None]:
    """While lists of images and classes are put together.

    Raises:
        ExunoError: a line of one does not fit.
    """
    try:
        yield
    except (ValueError, LookupError, OverflowError) as error:
        raise ExunoError(f"the lists in {folder} do not belong together: {error}", UNPACK) from error


def _pairs(path: Path) -> dict[str, str]:
    """The lines ``NUMBER VALUE`` of a list; ValueError if one is another, or a number is there twice."""
    rows = _rows(path)
    found: dict[str, str] = dict(rows)  # pyright: ignore[reportArgumentType]
    if len(found) < len(rows):
        raise ValueError(f"{path.name} has a number twice")
    return found


def _wholes(path: Path, name: str) -> NDArray[np.int64]:
    """An array of whole numbers of a MAT file, in a row."""
    from scipy.io import loadmat

    try:
        found = loadmat(_there(path), variable_names=[name]).get(name)
    except Exception as error:  # SciPy knows a dozen kinds of damage
        raise ExunoError(f"{path} is no whole MAT file: {error}", UNPACK) from error
    if (
        found is None
        or found.dtype.kind not in "iuf"
        or not (np.abs(found) < 10**6).all()
        or (found != np.floor(found)).any()
    ):
        raise ExunoError(f"{path} has no whole numbers called {name}", UNPACK)
    return found.reshape(-1).astype(np.int64)


def _rows(path: Path) -> list[list[str]]:
    return [line.split() for line in read_text(_there(path)).splitlines() if line.strip() and not line.startswith("#")]


def _there(path: Path) -> Path:
    if not path.exists():
        raise ExunoError(f"there is no file {path}", "Unpack the archive completely.")
    return path

"""Omniglot, and its quarter turns as further classes.

Omniglot (Lake, Salakhutdinov and Tenenbaum, Science 2015): handwritten characters, 20 images of each.

Quarter turns (Santoro et al., ICML 2016, for Omniglot) and mirror images of a class as further classes.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exuno.data.base import ArrayData, Data, Images, Positions, channel_stats
from exuno.data.images.folder import FileData
from exuno.data.images.picture import decode, gray
from exuno.data.named.packed import absent
from exuno.data.subset import labels_of, names_of
from exuno.engine.documents import read_bytes, read_text
from exuno.engine.errors import ExunoError

SIDE = 105
PROBED = 256
FOLDERS = {"train": ("images_background", "background_small"), "test": ("images_evaluation",)}
NEEDS = "omniglot/images_background/ALPHABET/characterNN/*.png, and images_evaluation likewise for the test"
RUNS = "omniglot-runs"
COUNT = 20
"""Runs, and ways of each."""
RUNS_NEEDS = "omniglot/run01/class_labels.txt, run01/training, run01/test, …, run20, or a folder of them there"
_NAMES = (
    "Alphabet_of_the_Magi Anglo-Saxon_Futhorc Arcadian Armenian Asomtavruli_(Georgian) Balinese Bengali "
    "Blackfoot_(Canadian_Aboriginal_Syllabics) Braille Burmese_(Myanmar) Cyrillic Early_Aramaic Futurama Grantha Greek "
    "Gujarati Hebrew Inuktitut_(Canadian_Aboriginal_Syllabics) Japanese_(hiragana) Japanese_(katakana) Korean Latin "
    "Malay_(Jawi_-_Arabic) Mkhedruli_(Georgian) N_Ko Ojibwe_(Canadian_Aboriginal_Syllabics) Sanskrit "
    "Syriac_(Estrangelo) Tagalog Tifinagh"
)
BACKGROUND = frozenset(_NAMES.split())
"""The alphabets of the background set; the runs show others."""


class OmniglotData(FileData):
    """Gray images of 105 x 105 pixels as they are published: ink 0, paper 255; decoded when they are fetched."""

    channels = 1

    def __init__(
        self, name: str, root: Path, files: list[str], labels: NDArray[np.int64], classes: tuple[str, ...]
    ) -> None:
        super().__init__(name, root, files, labels, classes)
        self.image_size, self.resize = (SIDE, SIDE), None

    def fetch(self, positions: Positions) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        chosen = np.asarray(positions, np.int64)
        images = np.zeros((len(chosen), 1, SIDE, SIDE), np.uint8)
        for row, position in enumerate(chosen.tolist()):
            images[row, 0] = _gray(self.root / self.files[position])
        return torch.from_numpy(images), self.labels[torch.from_numpy(chosen)]


def open_omniglot(root: Path, split: str) -> OmniglotData:
    """The background set (``train``: 964 characters of 30 alphabets) or the evaluation set (``test``: 659 of 20).

    Classes are named ALPHABET/characterNN. Mean and standard deviation are those of 256 images of the background set,
    evenly spaced.

    Args:
        root: folder with ``omniglot/images_background/ALPHABET/characterNN/*.png`` and ``images_evaluation``, or that
            folder ``omniglot`` itself. For ``train``, ``background_small`` (a part of the alphabets) or the alphabets
            without a folder around them do as well.
        split: ``train`` or ``test``.

    Raises:
        ExunoError: for another split, and missing files.
    """
    if split not in FOLDERS:
        raise ExunoError(f"omniglot has no split '{split}'", "Its splits are train and test.")
    data = _read(_there(root, split), split)
    # The statistics are those of the training set; without one, of what there is.
    background = data if split == "train" or _find(root, "train") is None else _read(_there(root, "train"), "train")
    sample = np.arange(0, len(background), max(1, len(background) // PROBED), dtype=np.int64)
    data.mean, data.std = channel_stats(background.fetch(sample)[0].numpy())
    return data


def has_evaluation(root: Path) -> bool:
    """Whether ``root`` holds the evaluation set."""
    return _find(root, "test") is not None


class Run(NamedTuple):
    """One run of the one-shot benchmark: 20 ways, one image of each class by one drawer, one to classify by another."""

    support: Tensor
    """uint8 [20, 1, 105, 105]: image i is that of class i."""
    query: Tensor
    """uint8 [20, 1, 105, 105]: the images to classify."""
    answers: Tensor
    """int64 [20]: the class of each query."""


def open_runs(folder: Path) -> list[Run]:
    """The 20 runs of the official one-shot benchmark.

    Args:
        folder: what holds ``run01/class_labels.txt``, ``run01/training`` and ``run01/test``, … (``all_runs``, as it is
            published), or the folder around it.

    Raises:
        ExunoError: if there are no runs, or one is incomplete.
    """
    base = folder / "all_runs" if (folder / "all_runs").is_dir() else folder
    lists = sorted(base.glob("run*/class_labels.txt"))
    if not lists:
        raise ExunoError(f"there are no runs in {folder}", "It must hold run01/class_labels.txt and so on.")
    return [_run(path, base) for path in lists]


def open_run_data(root: Path, split: str = "test") -> ArrayData:
    """The images of the runs as data that bring their episodes: 800 images of 400 classes, which are named
    runNN/classNN. Mean and standard deviation are those of these images.

    Args:
        root: folder with ``omniglot/run01`` and so on, or with these in a folder there, such as ``omniglot/all_runs``;
            or that folder ``omniglot`` itself.
        split: any; the runs are one set.

    Raises:
        ExunoError: if there are not 20 runs of 20 ways.
    """
    bases = (root / "omniglot", root / "omniglot-py", root)
    listed = (
        path for base in bases for deep in ("", "*/", "*/*/") for path in base.glob(f"{deep}run01/class_labels.txt")
    )
    found = next(listed, None)
    if found is None:
        raise ExunoError(f"the runs of omniglot are not in {root}", f"--data-root must hold {RUNS_NEEDS}.")
    runs = open_runs(found.parents[1])
    if len(runs) != COUNT or any(len(run.answers) != COUNT for run in runs):
        raise ExunoError(f"{found.parents[1]} does not hold 20 runs of 20 characters", "Unpack the archive completely.")
    images = torch.stack(
        [torch.stack([run.support, run.query]) for run in runs]
    )  # [run, support or query, 20, 1, h, w]
    classes = np.arange(COUNT**2).reshape(COUNT, COUNT)
    answers = np.stack([run.answers.numpy() for run in runs])
    labels = np.stack([classes, np.take_along_axis(classes, answers, 1)], 1)
    names = tuple(f"run{run:02}/class{way:02}" for run in range(1, COUNT + 1) for way in range(1, COUNT + 1))
    data = ArrayData(RUNS, images.flatten(0, 2).numpy(), labels.ravel(), names)
    first = 2 * COUNT * np.arange(COUNT)[:, None]  # of each run
    support, query = first + np.arange(COUNT), first + COUNT + np.argsort(answers, 1)
    data.episodes = support[..., None], query[..., None]
    return data


def _run(path: Path, base: Path) -> Run:
    pairs = [line.split() for line in read_text(path).splitlines() if line.strip()]
    if any(len(pair) != 2 for pair in pairs):
        raise ExunoError(f"{path} has a line that is not two file names", "Unpack it again.")
    classes = sorted({shown for _, shown in pairs})
    if len(classes) != len(pairs):
        raise ExunoError(f"{path} has {len(pairs)} queries of {len(classes)} classes", "Unpack it again.")
    support = torch.from_numpy(np.stack([_gray(base / file) for file in classes])[:, None])
    query = torch.from_numpy(np.stack([_gray(base / asked) for asked, _ in pairs])[:, None])
    return Run(support, query, torch.tensor([classes.index(shown) for _, shown in pairs]))


def _gray(path: Path) -> NDArray[np.uint8]:
    pixels = gray(decode(read_bytes(path), f"'{path}'"))
    if pixels.shape != (SIDE, SIDE):
        raise ExunoError(f"{path} has {pixels.shape[1]}x{pixels.shape[0]} pixels, not {SIDE}x{SIDE}", "Unpack again.")
    return pixels


def _find(root: Path, split: str) -> Path | None:
    bases = (root / "omniglot", root / "omniglot-py", root)
    places = [base / name for base in bases for name in FOLDERS[split]]
    if split == "train":
        places += bases[:2]
    return next((place for place in places if next(place.glob("*/character01"), None)), None)


def _there(root: Path, split: str) -> Path:
    found = _find(root, split)
    if found is None:
        raise absent(f"the {split} split of omniglot", root, NEEDS, *FOLDERS[split])
    return found


def _read(folder: Path, split: str) -> OmniglotData:
    from exuno.data.images.folder import class_folders, list_classes

    # The runs of the one-shot benchmark may lie beside the alphabets; their images are for measuring only.
    alphabets = [name for name in class_folders(folder) if not (folder / name / "class_labels.txt").exists()]
    classes = tuple(f"{alphabet}/{name}" for alphabet in alphabets for name in class_folders(folder / alphabet))
    files, labels = list_classes(folder, classes)
    if not files:
        raise ExunoError(f"there are no images in {folder}", "Unpack the archive completely.")
    return OmniglotData(f"omniglot/{split}", folder, files, np.array(labels, np.int64), classes)


TURNS = 4


class TurnedData(Data):
    """Each of N images of C classes in several ways: image ``k N + i`` is image i in way k, and its class is ``k C`` +
    that of image i; turned when fetched.

    Args:
        data: labelled images.
        turns: the quarter turns, counter-clockwise, that are the ways; 0 leaves an image as it is.
        mirrored: whether the same again of the image mirrored left to right follows.

    Raises:
        ExunoError: for unlabelled images, and images that are not square.
    """

    def __init__(self, data: Data, turns: Sequence[int] = range(TURNS), mirrored: bool = False) -> None:
        labels = torch.from_numpy(labels_of(data))
        self.ways = [(mirror, k) for mirror in range(1 + mirrored) for k in turns]
        some = "" if len(turns) == TURNS else " by " + ", ".join(str(90 * k) for k in turns)
        done = f" turned{some}" if any(turns) else ""
        self.data, self.name = data, data.name + done + " mirrored" * mirrored
        own = names_of(data)
        self.classes = tuple(
            name + " mirrored" * mirror + (f" turned {90 * k}" if k else "") for mirror, k in self.ways for name in own
        )
        self.num_classes = len(self.classes)
        self.labels = torch.cat([labels + k * len(own) for k in range(len(self.ways))])
        self.image_size, self.resize, self.channels = data.image_size, data.resize, data.channels
        self.mean, self.std = data.mean, data.std
        if any(k % 2 for k in turns) and self.image_size[0] != self.image_size[1]:
            raise ExunoError(f"the images of {data.name} are not square", "Leave out --turns.")
        if data.whitening is not None:
            raise ExunoError(f"{data.name} is whitened, which a turn would undo", "Turn the images before.")

    def __len__(self) -> int:
        return len(self.labels)

    def fetch(self, positions: Positions) -> tuple[Images, Tensor]:
        chosen = np.asarray(positions, np.int64)
        ways, inside = np.divmod(chosen, len(self.data))
        images, _ = self.data.fetch(inside)
        turned = [_seen(image, *self.ways[way]) for image, way in zip(images, ways.tolist(), strict=True)]
        together = isinstance(images, Tensor) and len(turned)
        return torch.stack(turned) if together else turned, self.labels[torch.from_numpy(chosen)]

    def fingerprint(self) -> str:
        """sha256 of that of the images as they were, and of what was done to them."""
        done = self.name.removeprefix(self.data.name)
        return hashlib.sha256(f"{self.data.fingerprint()}{done}".encode()).hexdigest()

    def content(self) -> str:
        return self.data.content()


def _seen(image: Tensor, mirror: int, turns: int) -> Tensor:
    return torch.rot90(image.flip(-1) if mirror else image, turns, (-2, -1))

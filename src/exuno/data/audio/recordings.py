"""Data sets of recordings: ``recordings:PATH``, and benchmarks in the layouts of their owners."""

import hashlib
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exuno.data.audio.recording import RATES, SUFFIXES, read_recording, soundfile
from exuno.data.base import SILENT, Data, Positions
from exuno.data.batches import LIMIT
from exuno.data.named.packed import absent
from exuno.data.names import formats
from exuno.data.shards import TAR, Shards, expand
from exuno.engine.documents import read_bytes, read_text
from exuno.engine.errors import ExunoError, tell


@dataclass(frozen=True)
class Files:
    """MelSpec files with their labels, wherever they are.

    Attributes:
        names: to call them in messages.
        read: position -> the bytes of a file.
        labels: int64 [N], -1 where there is none.
        classes: names of the classes, if known.
        num_classes: their number, 0 if unlabelled.
    """

    names: list[str]
    read: Callable[[int], bytes]
    labels: NDArray[np.int64]
    classes: tuple[str, ...] | None
    num_classes: int


class RecordingData(Data):
    """Recordings of their own lengths, float32 [1, s] in [-1, 1], mono.

    All are decoded once, at opening, and kept in memory if they take at most ``limit`` bytes; else they are decoded
    again when they are fetched. Files that cannot be read are left out, and one line tells how many.

    Args:
        name: what to call it.
        files: the files.
        rate: samples a second to which all are resampled; by default that of the first that can be read.
        limit: bytes.

    Raises:
        ExunoError: not one file can be read, or there is no library to read it.
    """

    channels = 1
    mean, std = SILENT

    def __init__(self, name: str, files: Files, rate: int | None = None, limit: int = LIMIT) -> None:
        self.name = name
        self.classes, self.num_classes = files.classes, files.num_classes
        soundfile()  # without it no file can be read, and none is to blame
        self.held: list[Tensor] | None = []
        digest, kept, lost, first, size = hashlib.sha256(), [], 0, "", 0
        for position, label in enumerate(files.labels.tolist()):
            try:
                content = files.read(position)
                rate = rate or rate_of(content)
                samples = read_recording(content, rate)
            except ExunoError as error:
                lost, first = lost + 1, first or f"{files.names[position]}, {error.what}"
                continue
            digest.update(hashlib.sha256(content).digest() + label.to_bytes(8, "big", signed=True))
            kept.append(position)
            size += samples.nbytes
            if self.held is not None and size <= limit:
                self.held.append(torch.from_numpy(samples)[None])
            else:
                self.held = None
        if rate is None or not kept:
            raise ExunoError(f"none of the {lost:,} recordings of {name} can be read: {first}", "Check the files.")
        if lost:
            every = lost + len(kept)
            tell(f"{lost:,} of {every:,} recordings of {name} are left out; the first: {first}")
        digest.update(str(rate).encode())
        self.rate, self.image_size, self.digest = rate, (1, rate), digest.hexdigest()
        self.kept = np.array(kept, np.int64)
        self.read = files.read if self.held is None else None  # what is not needed need not stay in memory
        self.labels = torch.from_numpy(files.labels[self.kept])

    def __len__(self) -> int:
        return len(self.kept)

    def fetch(self, positions: Positions) -> tuple[list[Tensor], Tensor]:
        """Recordings, float32 [1, s], and labels at B positions, int64 [B]."""
        chosen = np.asarray(positions, np.int64)
        return [self._samples(position) for position in chosen.tolist()], self.labels[torch.from_numpy(chosen)]

    def _samples(self, position: int) -> Tensor:
        if self.held is not None:
            return self.held[position]
        assert self.read is not None
        assert self.rate is not None
        return torch.from_numpy(read_recording(self.read(int(self.kept[position])), self.rate))[None]

    def fingerprint(self) -> str:
        """sha256 of the files that could be read, their labels, and the rate."""
        return self.digest


def open_recordings(spec: str, split: str) -> RecordingData:
    """Recordings of a folder (PATH/train/CLASS/*.wav, as :func:`exuno.data.images.folder.find_files` finds them) or
    of tar
    shards (KEY.wav and KEY.cls; a pattern as of ``wds:``), at the rate of the first one of the training split, or the
    one that ``@RATE`` behind the path asks for.

    Args:
        spec: PATH[@RATE].
        split: ``train``, ``test`` or another.

    Raises:
        ExunoError: for missing files, and if none can be read.
    """
    match = None if Path(spec).is_dir() else re.fullmatch(r"(.+)@(\d+)", spec)
    path, rate = (match[1], int(match[2])) if match else (spec, None)
    if rate is not None and not RATES[0] <= rate <= RATES[1]:
        raise ExunoError(f"a rate of {rate:,} samples a second", f"Give {RATES[0]:,} to {RATES[1]:,} behind the @.")
    files = _files(path, split)
    if rate is None and split != "train":
        try:
            rate = first_rate(_files(path, "train"))
        except ExunoError:
            rate = None  # there is no training split, and this one's own rate is as good as any
    return RecordingData(f"recordings:{spec}/{split}", files, rate)


def _files(path: str, split: str) -> Files:
    if not path.endswith(TAR):
        from exuno.data.images.folder import find_files

        found = find_files(Path(path), split, SUFFIXES, "recordings")
        return in_folder(found.folder, found.files, found.labels, found.classes)
    shards = Shards(expand(path, split), SUFFIXES, "recordings")
    names, labels = [member.key for member in shards.members], np.array(shards.labels, np.int64)
    return Files(names, partial(_member, shards), labels, shards.classes, shards.num_classes)


def in_folder(folder: Path, files: list[str], labels: NDArray[np.int64], classes: tuple[str, ...] | None) -> Files:
    """Files of a folder, relative to it, with their labels."""
    return Files(files, partial(_bytes, folder, files), labels, classes, len(classes or ()))


# Functions, not lambdas: worker processes may have to unpickle them.
def _member(shards: Shards, position: int) -> bytes:
    return shards.read(shards.members[position])


def _bytes(folder: Path, files: list[str], position: int) -> bytes:
    return read_bytes(folder / files[position])


def rate_of(content: bytes) -> int:
    """Samples a second of the bytes of a file.

    Raises:
        ExunoError: they are no recording.
    """
    read_recording(content, 8000)  # tells all that may be wrong with it
    return soundfile().info(io.BytesIO(content)).samplerate


def first_rate(files: Files) -> int | None:
    """The rate of the first file that can be read."""
    for position in range(len(files.labels)):
        try:
            return rate_of(files.read(position))
        except ExunoError:
            continue
    return None


FSDD = "recordings/DIGIT_SPEAKER_INDEX.wav"
FSDD_URL = "https://github.com/Jakobovski/free-spoken-digit-dataset"
COMMANDS = "speech_commands_v0.02/WORD/*.wav, validation_list.txt and testing_list.txt"
COMMANDS_URL = "http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz"
TESTED = 5  # FSDD: the recordings 0 to 4 of each digit and speaker


def open_fsdd(root: Path, split: str) -> RecordingData:
    """The Free Spoken Digit Dataset: ten digits at 8,000 Hz; ``test`` is the official one, the first five recordings of
    each digit by each speaker.

    Raises:
        ExunoError: another split, or a root that does not hold it.
    """
    _known("fsdd", split, ("train", "test"))
    places = (root / "recordings", *(root / name / "recordings" for name in ("fsdd", "free-spoken-digit-dataset")))
    folder = next((place for place in places if place.is_dir()), None)
    named = [re.fullmatch(r"(\d)_.+_(\d+)\.wav", path.name) for path in sorted(folder.iterdir())] if folder else []
    chosen = [match for match in named if match and (int(match[2]) < TESTED) == (split == "test")]
    if folder is None or not chosen:
        raise absent("fsdd", root, f"{FSDD} ({FSDD_URL})", "fsdd", "free-spoken-digit-dataset")
    labels = np.array([int(match[1]) for match in chosen], np.int64)
    files = in_folder(folder, [match[0] for match in chosen], labels, tuple("0123456789"))
    return RecordingData(f"fsdd/{split}", files, 8000)


def open_commands(root: Path, split: str) -> RecordingData:
    """Speech Commands (Warden, 2018), version 2 with its 35 words, or 1 with 30, at 16,000 Hz; ``val`` and ``test`` are
    the official lists, ``train`` is the rest.

    Raises:
        ExunoError: another split, or a root that does not hold it.
    """
    _known("speechcommands", split, ("train", "val", "test"))
    version = "speech_commands_v0.02"
    places = (root, root / "speechcommands", root / version, root / "SpeechCommands" / version)
    folder = next((place for place in places if (place / "testing_list.txt").is_file()), None)
    if folder is None:
        raise absent("speechcommands", root, f"{COMMANDS} ({COMMANDS_URL})", "speech_commands", "SpeechCommands")
    val, test = (read_text(folder / f"{name}_list.txt").split() for name in ("validation", "testing"))
    from exuno.data.images.folder import class_folders, list_classes

    words = tuple(name for name in class_folders(folder) if not name.startswith("_"))  # _background_noise_
    files, labels = list_classes(folder, words, (".wav",))
    if lost := sorted({*val, *test} - set(files)):
        raise ExunoError(f"a list in {folder} names {lost[0]}, which is not there", "Unpack it again.")
    held = {"val": set(val), "test": set(test), "train": set(files) - set(val) - set(test)}[split]
    chosen = [(file, label) for file, label in zip(files, labels, strict=True) if file in held]
    if not chosen:
        raise ExunoError(f"{folder} has no recordings of its split '{split}'", "Unpack it again.")
    numbers = np.array([label for _, label in chosen], np.int64)
    return RecordingData(f"speechcommands/{split}", in_folder(folder, [f for f, _ in chosen], numbers, words), 16000)


def _known(name: str, split: str, splits: tuple[str, ...]) -> None:
    if split not in splits:
        raise ExunoError(f"{name} has no split '{split}'", f"Its splits are {', '.join(splits)}.")


@formats.register("recordings", form="recordings:PATH[@RATE]", files=True)
def _open(rest: str, split: str, root: Path | None) -> Data:
    return open_recordings(rest, split)

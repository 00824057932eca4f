"""Benchmarks of recordings in the layouts of their owners: FSDD and Speech Commands."""

import re
from pathlib import Path

import numpy as np

from exuno.data.packed import absent
from exuno.data.recordings import RecordingData, in_folder
from exuno.engine.documents import read_text
from exuno.engine.errors import ExunoError

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
    from exuno.data.folder import class_folders, list_classes

    words = tuple(name for name in class_folders(folder) if not name.startswith("_"))  # _background_noise_
    files, labels = list_classes(folder, words, (".wav",))
    held = {"val": set(val), "test": set(test), "train": set(files) - set(val) - set(test)}[split]
    chosen = [(file, label) for file, label in zip(files, labels, strict=True) if file in held]
    if not chosen:
        raise ExunoError(f"{folder} has no recordings of its split '{split}'", "Unpack it again.")
    numbers = np.array([label for _, label in chosen], np.int64)
    return RecordingData(f"speechcommands/{split}", in_folder(folder, [f for f, _ in chosen], numbers, words), 16000)


def _known(name: str, split: str, splits: tuple[str, ...]) -> None:
    if split not in splits:
        raise ExunoError(f"{name} has no split '{split}'", f"Its splits are {', '.join(splits)}.")

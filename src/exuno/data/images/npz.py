"""``npz:PATH``: images and labels in one NumPy file, and arrays of images as people store them.

``npz:PATH``: images and labels in one NumPy file, in the layout of MedMNIST (Yang et al., Scientific Data 2023), or
by the names that Keras and others use.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exuno.data.base import ArrayData, Data, channel_stats
from exuno.data.constants import Stats
from exuno.data.labels import count_classes, names_in, numbered, plain, tell_unused
from exuno.data.names import HOLD_OUT, STANDS_IN, formats, split_word, tokens
from exuno.data.subset import abbreviated
from exuno.engine.errors import ExunoError, tell
from exuno.engine.untrusted import Arrays

FORMS = "Images are uint8 [N, H, W] (gray) or [N, H, W, 3] (RGB)."
DARK = 32
"""Where the brightest of all pixels is below that, numbers are likely to have another scale."""
GRID = 0.01
"""How far, in steps of 8 bits, numbers may lie from whole ones and still be called exact."""


def as_images(found: NDArray[Any], what: str, scale: float | None = None) -> tuple[NDArray[np.uint8], float | None]:
    """Images as uint8 [N, C, H, W], C = 1 or 3, and what floats were multiplied by.

    uint8 [N, H, W] and [N, H, W, 1 or 3] are taken as they are. [N, 1 or 3, H, W], other integers in 0..255, booleans,
    and floats in [0, 1] (times 255) or [0, 255], rounded to 8 bits, are recognised and told.

    Args:
        found: the array.
        what: it is, for messages.
        scale: what floats are multiplied by, if another part of the data has told: a dark part would mislead.

    Raises:
        ExunoError: another form, such as rows of pixels without a height, or numbers that are no pixels.
    """
    shape = list(found.shape)
    if found.dtype.kind not in "buif":
        raise ExunoError(f"{what} is {found.dtype} {shape}", FORMS)
    if found.ndim == 2:
        raise ExunoError(f"{what} is {found.dtype} {shape}: rows of pixels without height and width", _unflatten(shape))
    first = found.ndim == 4 and shape[3] not in (1, 3) and shape[1] in (1, 3)
    if found.ndim == 4 and not first and shape[3] not in (1, 3):
        todo = "Leave out the fourth channel (images[..., :3]), if it is transparency." if 4 in shape[1::2] else FORMS
        raise ExunoError(f"{what} is {found.dtype} {shape}, of neither 1 nor 3 channels", todo)
    if found.ndim not in (3, 4) or 0 in shape[1:]:
        raise ExunoError(f"{what} is {found.dtype} {shape}", FORMS)
    images = found[:, None] if found.ndim == 3 else found if first else found.transpose(0, 3, 1, 2)
    pixels, scale, words = _eight_bits(images, what, scale)
    if 0 < (high := int(pixels.max(initial=0))) < DARK:
        words.append(f"values up to {high}, nearly black: if {high} is white, scale them to 0 to 255")
    if first:
        words = [f"{shape} as [N, channels, height, width]", *words]
    if words:
        tell(f"{what}: read {', '.join(words)}")
    return pixels, scale if found.dtype.kind == "f" else None


def _eight_bits(images: NDArray[Any], what: str, scale: float | None) -> tuple[NDArray[np.uint8], float, list[str]]:
    if images.dtype == np.uint8:
        return images, 1.0, []
    if not images.size:
        return images.astype(np.uint8), scale or 1.0, []
    low, high = float(images.min()), float(images.max())
    span = f"{what} is {images.dtype} from {low:g} to {high:g}"
    if not np.isfinite([low, high]).all():
        raise ExunoError(f"{what} has values that are not a number, or infinite", "Replace them first.")
    if scale is None:
        scale = 255.0 if images.dtype.kind == "b" or (images.dtype.kind == "f" and high <= 1) else 1.0
    if low * scale < -0.5:
        raise ExunoError(span, "Undo its normalisation: pixels are from 0 to 255, or floats from 0 to 1.")
    if high * scale > 255.5:
        raise ExunoError(span, "Scale it to 0 to 255 (16 bits: images // 257), or floats from 0 to 1.")
    values = images.astype(np.float32) * np.float32(scale)
    pixels = np.rint(values).clip(0, 255).astype(np.uint8)
    if images.dtype.kind != "f":
        return pixels, scale, [f"{images.dtype} as 8 bits"]
    exact = float(np.abs(values - pixels).max()) <= GRID
    return pixels, scale, [f"{images.dtype} up to {255 / scale:g}" + (" as 8 bits" if exact else ", rounded to 8 bits")]


def _unflatten(shape: list[int]) -> str:
    for channels in (1, 3):
        side = round((shape[1] / channels) ** 0.5)
        if side > 1 and side * side * channels == shape[1]:
            last = ", 3" if channels == 3 else ""
            return f"Give them their shape, perhaps images.reshape(-1, {side}, {side}{last})."
    return "Give them their shape: images.reshape(-1, height, width)."


ROLES = {
    "images": frozenset(("images", "image", "imgs", "img", "x", "data", "inputs", "input", "pixels")),
    "labels": frozenset(("labels", "label", "y", "targets", "target", "classes", "cls")),
}
"""Words for the two kinds of arrays."""
NAMES = "class_names"
LAYOUT = "Name them train_images, train_labels, test_images, test_labels."

Key = tuple[str, str]
"""Split, '' for a file that is one set, and role of an array."""


@dataclass(frozen=True)
class _File:
    """An open file: which of its arrays is what."""

    path: Path
    arrays: Arrays
    keys: dict[Key, str]

    def read(self, key: Key) -> NDArray[Any]:
        """An array."""
        return self.arrays[self.keys[key]]

    def what(self, key: Key) -> str:
        """The name of an array, for messages."""
        return f"{self.keys[key]} of {self.path}"


def open_npz(path: Path, split: str, name: str | None = None, stats: Stats | None = None) -> ArrayData:
    """One split of an .npz file.

    Its arrays are ``SPLIT_images``, uint8 [N, H, W] or [N, H, W, 3], and ``SPLIT_labels`` [N] or [N, 1] (none:
    unlabelled), for the splits ``train``, ``val``, ``test``; and, if known, ``class_names``. Other names that say the
    same are taken for them and told: ``x_train`` and ``y_train``, ``X_test``, ``valid_data``; and ``images`` and
    ``labels`` alone are one set, which is returned for every split. So are other forms of images (:func:`as_images`)
    and labels (:func:`~exuno.data.labels.plain`).

    Args:
        path: the file.
        split: ``train``, ``val`` or ``test``; without test images, those for validation stand in.
        name: what to call it.
        stats: mean and std of each channel; by default those of the training images.

    Raises:
        ExunoError: for a missing or broken file, missing arrays, or arrays that are no images and labels.
    """
    arrays = Arrays(path)
    return _read(_File(path, arrays, _keys(path, list(arrays.names))), split, name or f"npz:{path}", stats)


def _keys(path: Path, files: list[str]) -> dict[Key, str]:
    """Which array is what.

    Raises:
        ExunoError: two arrays that say the same.
    """
    found: dict[Key, list[str]] = {}
    for name in files:
        words = set(tokens(name))
        roles = [role for role, known in ROLES.items() if words & known]
        split = split_word(name)
        if len(roles) == 1 and name != NAMES and (split is not None or len(words) == 1):
            found.setdefault((split[0] if split else "", roles[0]), []).append(name)
    keys = {}
    for (split, role), names in found.items():
        exact = f"{split}_{role}" if split else role
        if len(names) > 1 and exact not in names:
            raise ExunoError(f"{path} has several arrays of {exact}: {abbreviated(names)}", LAYOUT)
        keys[split, role] = exact if exact in names else names[0]
    if "images" not in {role for split, role in keys if split}:
        return {key: name for key, name in keys.items() if not key[0]}
    keys = {key: name for key, name in keys.items() if key[0]}
    told = [f"{name} as {'_'.join(key)}" for key, name in keys.items() if name != "_".join(key)]
    if told:
        tell(f"{path}: read {abbreviated(told, 6)}")
    return keys


def _read(file: _File, split: str, name: str, stats: Stats | None) -> ArrayData:
    path, keys = file.path, file.keys
    part = next((each for each in (*STANDS_IN.get(split, (split,)), "") if (each, "images") in keys), None)
    if part is None:
        raise ExunoError(
            f"{path} has no {split}_images; its arrays are {', '.join(file.arrays.names)}",
            LAYOUT + (HOLD_OUT if split == "test" and ("train", "images") in keys else ""),
        )
    key, first = (part, "images"), ("train", "images")
    raw, trained, scale = file.read(key), None, None
    if part != "train" and first in keys and (stats is None or raw.dtype.kind == "f"):
        trained, scale = as_images(file.read(first), file.what(first))
    images, _ = as_images(raw, file.what(key), scale)
    labels, classes, count = np.full(len(images), -1, np.int64), None, 0
    if (part, "labels") in keys:
        labels, classes, count = _labels(file, part)
    if len(labels) != len(images):
        raise ExunoError(
            f"{path} has {len(images)} {keys[key]} and {len(labels)} {keys[part, 'labels']}", "Write it again."
        )
    stats = stats or channel_stats(images if trained is None else trained)
    return ArrayData(f"{name}/{part}" if part else name, images, labels, classes, count, stats)


def _labels(file: _File, part: str) -> tuple[NDArray[np.int64], tuple[str, ...] | None, int]:
    """Labels, names and number of the classes of a part. A part may lack the last class, or others: the file as a whole
    tells how many there are."""
    raw = {key: file.read(key) for key in file.keys if key[1] == "labels"}
    read = {key: plain(each, file.what(key)) for key, each in raw.items()}
    given = tuple(map(str, file.arrays[NAMES].reshape(-1).tolist())) if NAMES in file.arrays else None
    names = given or names_in(list(read.values()))
    bare = [key for key, each in read.items() if each.dtype.kind != "U" and (each >= 0).any()]
    if names and not given and bare:
        raise ExunoError(
            f"{file.what(bare[0])} are numbers, and other labels of the file are names, such as {names[0]}",
            "Give all as names, or all as numbers and their names as class_names.",
        )
    labels = {key: numbered(each, names, file.what(key)) for key, each in read.items()}
    counts = [count_classes(each, names, file.what(key)) for key, each in labels.items()]
    columns = [each.shape[1] for each in raw.values() if each.ndim == 2 and each.shape[1] > 1]
    mine = labels[part, "labels"]
    if not (mine >= 0).any():
        return mine, None, 0
    count = max(counts + ([] if names else columns))
    if part in ("train", ""):
        tell_unused(mine, count, names, file.what((part, "labels")))
    return mine, names, count


@formats.register("npz", form="npz:PATH", files=True)
def _open(rest: str, split: str, root: Path | None) -> Data:
    return open_npz(Path(rest), split)

"""``npz:PATH``: images and labels in one NumPy file, in the layout of MedMNIST (Yang et al., Scientific Data 2023)."""

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exuno.data.base import ArrayData, channel_stats
from exuno.data.constants import Stats
from exuno.engine.errors import ExunoError


def open_npz(path: Path, split: str, name: str | None = None, stats: Stats | None = None) -> ArrayData:
    """One split of an .npz file.

    Its arrays are ``SPLIT_images``, uint8 [N, H, W] or [N, H, W, 3], and ``SPLIT_labels``, integers [N] or [N, 1]
    (none: unlabelled), for the splits ``train``, ``val``, ``test``; and, if known, ``class_names``.

    Args:
        path: the file.
        split: ``train``, ``val`` or ``test``.
        name: what to call it.
        stats: mean and std of each channel; by default those of the training images.

    Raises:
        ExunoError: for a missing or broken file, missing arrays, or arrays of another kind.
    """
    if not path.is_file():
        raise ExunoError(f"there is no file {path}", "Check the path.")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if not isinstance(arrays, np.lib.npyio.NpzFile):
                raise ExunoError(f"{path} holds one array, not several", "Write it with numpy.savez.")
            return _read(arrays, path, split, name or f"npz:{path}", stats)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ExunoError(f"{path} cannot be read: {error}", "Write it again with numpy.savez.") from error


def _read(arrays: np.lib.npyio.NpzFile, path: Path, split: str, name: str, stats: Stats | None) -> ArrayData:
    if f"{split}_images" not in arrays:
        raise ExunoError(
            f"{path} has no {split}_images; its arrays are {', '.join(arrays.files)}",
            "Name them train_images, train_labels, test_images, test_labels.",
        )
    images = _images(arrays, split, path)
    labels, num_classes = np.full(len(images), -1, np.int64), 0
    if f"{split}_labels" in arrays:
        labels = _labels(arrays, split, path)
        # A split may lack the last class: the file as a whole tells how many there are.
        every = [key[: -len("_labels")] for key in arrays.files if key.endswith("_labels")]
        num_classes = 1 + max(int(_labels(arrays, s, path).max(initial=-1)) for s in every)
    if len(labels) != len(images):
        raise ExunoError(f"{path} has {len(images)} {split}_images and {len(labels)} {split}_labels", "Write it again.")
    classes = tuple(map(str, arrays["class_names"].tolist())) if "class_names" in arrays else None
    if classes and num_classes > len(classes):
        raise ExunoError(
            f"{path} names {len(classes)} classes, its labels go up to {num_classes - 1}", "Name them all."
        )
    count = len(classes) if classes and num_classes else num_classes
    if stats is None:
        train = split if split == "train" or "train_images" not in arrays else "train"
        stats = channel_stats(images if train == split else _images(arrays, train, path))
    return ArrayData(f"{name}/{split}", images, labels, classes if num_classes else None, count, stats)


def _images(arrays: np.lib.npyio.NpzFile, split: str, path: Path) -> NDArray[np.uint8]:
    images = arrays[f"{split}_images"]
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (1, 3)):
        raise ExunoError(
            f"{split}_images of {path} is {images.dtype} {list(images.shape)}",
            "Images are uint8 [N, H, W] (gray) or [N, H, W, 3] (RGB).",
        )
    return images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)


def _labels(arrays: np.lib.npyio.NpzFile, split: str, path: Path) -> NDArray[np.int64]:
    labels = arrays[f"{split}_labels"]
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ExunoError(
            f"{split}_labels of {path} is {labels.dtype} {list(labels.shape)}",
            "Labels are integers [N] or [N, 1]; several labels for one image are not supported.",
        )
    return labels.astype(np.int64)

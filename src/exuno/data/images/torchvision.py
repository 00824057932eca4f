"""``torchvision:NAME``: a classification data set of torchvision, from files that are already there."""

import hashlib
import inspect
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exuno.data.base import ArrayData, Data, Positions, channel_stats
from exuno.data.constants import IMAGENET
from exuno.data.content import looked_at
from exuno.data.images.folder import PHOTO_RESIZE, PHOTO_SIZE
from exuno.data.images.picture import from_pillow
from exuno.data.labels import count_classes, numbered, plain
from exuno.data.names import formats
from exuno.engine.errors import ExunoError, tell

DECODED = 64
"""Images that are decoded to notice others of the same names."""


def open_torchvision(name: str, split: str, root: Path | None) -> Data:
    """A split of ``torchvision.datasets.NAME`` (upper and lower case alike); nothing is downloaded.

    Images that torchvision holds as one array become an ArrayData, others are decoded when they are fetched.

    Raises:
        ExunoError: for an unknown name or split, no root, or files that are missing.
    """
    import torchvision

    classes = {key.lower(): key for key in torchvision.datasets.__all__}
    key = classes.get(name.lower())
    if key is None:
        near = get_close_matches(name.lower(), classes, 1)
        raise ExunoError(
            f"torchvision has no data set '{name}'",
            f"Did you mean torchvision:{near[0]}?" if near else "See torchvision.datasets.",
        )
    if root is None:
        raise ExunoError(f"torchvision:{name} needs the folder of its files", "Give --data-root PATH.")
    kind = getattr(torchvision.datasets, key)
    parameters = inspect.signature(kind).parameters
    chosen: dict[str, Any] = {}
    if "train" in parameters:
        if split not in ("train", "test"):
            raise ExunoError(f"torchvision:{name} has no split '{split}'", "Its splits are train and test.")
        chosen["train"] = split == "train"
    elif "split" in parameters:
        chosen["split"] = split
    else:
        raise ExunoError(f"torchvision:{name} has no splits that exuno knows", "Use folder:PATH for its images.")
    try:
        inspect.signature(kind).bind(root, **chosen)
    except TypeError as error:
        raise ExunoError(
            f"torchvision:{name} takes more than a folder and a split: {error}", "Use folder:PATH for its images."
        ) from None
    try:
        found = kind(root, **chosen)
    except ImportError as error:
        raise ExunoError(
            f"torchvision:{name} needs a package that is not installed ({error})", f"pip install {error.name or ''}"
        ) from error
    except (RuntimeError, OSError) as error:
        arguments = ", ".join([f"'{root}'", *(f"{k}={v!r}" for k, v in chosen.items()), "download=True"])
        fetch = f'python -c "import torchvision; torchvision.datasets.{key}({arguments})"'
        raise ExunoError(
            f"the files of torchvision:{name} are not in {root}: {error}",
            f"Fetch them: {fetch}" if "download" in parameters else "torchvision's page of it tells where to get them.",
        ) from error
    except Exception as error:  # of a reader that meets damaged files
        if isinstance(error, ValueError) and "argument split" in str(error):
            raise ExunoError(
                f"torchvision:{name} has no split '{split}': {error}", "Give one of its splits."
            ) from error
        raise ExunoError(
            f"the files of torchvision:{name} in {root} are damaged ({type(error).__name__} {error})"[:400],
            "Fetch them again.",
        ) from error
    data = _array(name, split, found)
    if data is None:
        return _Decoded(f"torchvision:{name}/{split}", found)
    training = {"train": True} if "train" in parameters else {"split": "train"}
    if chosen != training:
        try:
            data.mean, data.std = channel_stats(_pixels(np.asarray(kind(root, **training).data)))
        except Exception:  # absent, or damaged
            tell(f"torchvision:{name} has no training images there: mean and std are those of its split '{split}'")
    return data


def _names(found: Any) -> tuple[str, ...] | None:
    names = getattr(found, "classes", None) or getattr(found, "categories", None)
    return tuple(map(str, names)) if names else None


def _labels(name: str, found: Any) -> NDArray[np.int64] | None:
    # torchvision has no common attribute: these are the ones in use.
    for attribute in ("targets", "labels", "_labels"):
        labels = getattr(found, attribute, None)
        if labels is not None:
            what = f"the labels of {name}"
            numbers = numbered(plain(labels, what), _names(found), what)
            count_classes(numbers, _names(found), what)
            return numbers
    return None


def _array(name: str, split: str, found: Any) -> ArrayData | None:
    data, labels = getattr(found, "data", None), _labels(f"torchvision:{name}/{split}", found)
    if data is None or labels is None:
        return None
    images = np.asarray(data)
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
        return None
    return ArrayData(f"torchvision:{name}/{split}", _pixels(images), labels, _names(found))


def _pixels(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images that torchvision holds as one array, as [N, C, H, W]."""
    if images.ndim == 3:
        return images[:, None]
    return images.transpose(0, 3, 1, 2) if images.shape[3] in (1, 3) else images


class _Decoded(Data):
    channels = 3
    image_size = PHOTO_SIZE
    resize = PHOTO_RESIZE
    mean, std = IMAGENET

    def __init__(self, name: str, found: Any) -> None:
        self.name, self.found = name, found
        self.classes = _names(found)
        labels = _labels(name, found)
        if labels is None:
            raise ExunoError(f"{name} is not a classification data set", "Use folder:PATH for its images.")
        self.labels = torch.from_numpy(labels)
        self.num_classes = count_classes(labels, self.classes, f"the labels of {name}")

    def __len__(self) -> int:
        return len(self.labels)

    def fetch(self, positions: Positions) -> tuple[list[Tensor], Tensor]:
        chosen = np.asarray(positions).tolist()
        images = [from_pillow(self.found[position][0], f"image {position} of {self.name}") for position in chosen]
        return [torch.from_numpy(image).permute(2, 0, 1) for image in images], self.labels[chosen]

    def fingerprint(self) -> str:
        """sha256 of the name, the length and the labels; the images are not read."""
        digest = hashlib.sha256(f"{self.name}\0{len(self)}".encode())
        digest.update(self.labels.numpy().tobytes())
        return digest.hexdigest()

    def content(self) -> str:
        """See :mod:`exuno.data.content`; images have to be decoded for it, so it is of fewer."""
        return looked_at(len(self), lambda position: np.asarray(self.found[position][0]).tobytes(), DECODED)


@formats.register("torchvision", form="torchvision:NAME (with --data-root)", files=False)
def _open(rest: str, split: str, root: Path | None) -> Data:
    return open_torchvision(rest, split, root)

"""Images of chosen classes, from one data set or from several: relabelled, their pixels not copied."""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exuno.data.base import Data, Images, Positions
from exuno.data.constants import Stats
from exuno.engine.errors import ExunoError


class SubsetData(Data):
    """Rows of several data sets of the same kind, in an order and with labels of their own.

    What is not given (channels, statistics, size) is that of the first parent, of sizes the largest.

    Args:
        name: what to call it.
        parents: where the images are.
        source: number of the parent of each row, int64 [N].
        positions: position in that parent, int64 [N].
        labels: int64 [N], in 0..len(classes)-1.
        classes: names of the classes.
        stats: mean and std of each channel.

    Raises:
        ExunoError: if some parents are gray and others RGB.
    """

    def __init__(
        self,
        name: str,
        parents: Sequence[Data],
        source: NDArray[np.int64],
        positions: NDArray[np.int64],
        labels: NDArray[np.int64],
        classes: tuple[str, ...],
        stats: Stats | None = None,
    ) -> None:
        self.name, self.parents, self.source, self.positions = name, tuple(parents), source, positions
        self.labels = torch.from_numpy(np.asarray(labels, np.int64))
        self.classes, self.num_classes = classes, len(classes)
        first = parents[0]
        if len({parent.channels for parent in parents}) > 1:
            raise ExunoError(f"{name} has gray and colour images", "Convert them to one kind.")
        largest = max(parents, key=lambda parent: parent.image_size)
        self.image_size, self.resize = largest.image_size, largest.resize
        self.channels, self.whitening = first.channels, first.whitening
        self.at_hand = all(parent.at_hand for parent in parents)
        self.mean, self.std = stats or (first.mean, first.std)

    def __len__(self) -> int:
        return len(self.labels)

    def fetch(self, positions: Positions) -> tuple[Images, Tensor]:
        chosen = np.asarray(positions, np.int64)
        labels = self.labels[torch.from_numpy(chosen)]
        source, inside = self.source[chosen], self.positions[chosen]
        if len(self.parents) == 1:
            return self.parents[0].fetch(inside)[0], labels
        found: list[Tensor] = [torch.empty(0)] * len(chosen)
        stacked = True
        for number in np.unique(source).tolist():
            (rows,) = np.nonzero(source == number)
            images, _ = self.parents[number].fetch(inside[rows])
            stacked = stacked and isinstance(images, Tensor)
            for row, image in zip(rows.tolist(), images, strict=True):
                found[row] = image
        equal = stacked and len({image.shape for image in found}) == 1
        return torch.stack(found) if equal else found, labels

    def fingerprint(self) -> str:
        """sha256 of the parents' fingerprints and of the choice."""
        digest = hashlib.sha256(" ".join(parent.fingerprint() for parent in self.parents).encode())
        for part in (self.source, self.positions, self.labels.numpy()):
            digest.update(np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()

    def content(self) -> str:
        """Those of the parents."""
        return " ".join(filter(None, (parent.content() for parent in self.parents)))


def labels_of(data: Data) -> NDArray[np.int64]:
    """The labels of all images, int64 [N].

    Raises:
        ExunoError: for unlabelled images, or soft labels.
    """
    labels = getattr(data, "labels", None)
    if isinstance(labels, Tensor) and labels.ndim == 2:
        distilled = getattr(getattr(data, "poster", None), "data", "")
        raise ExunoError(
            f"{data.name} has soft labels: its images are patches that show several classes",
            f"Give images of one class each{f', such as {distilled}, of which it was made' if distilled else ''}.",
        )
    if not isinstance(labels, Tensor) or labels.ndim != 1 or not data.num_classes or (len(labels) and labels.min() < 0):
        raise ExunoError(f"{data.name} has no class for each image", "Give labelled data, such as PATH/CLASS/IMAGE.")
    return labels.numpy()


def names_of(data: Data) -> tuple[str, ...]:
    """Names of the classes; their numbers where they have none."""
    return data.classes or tuple(str(number) for number in range(data.num_classes))


def present(parents: Sequence[Data]) -> tuple[str, ...]:
    """Names of the classes that have images, in the order of the labels of the first data set that has each."""
    found: dict[str, None] = {}
    for data in parents:
        names = names_of(data)
        found |= dict.fromkeys(names[label] for label in np.unique(labels_of(data)).tolist())
    order = {name: i for i, name in reversed(list(enumerate(n for data in parents for n in names_of(data))))}
    return tuple(sorted(found, key=order.__getitem__))


def choose(name: str, parents: Sequence[Data], classes: Sequence[str], stats: Stats | None = None) -> SubsetData:
    """All images of ``classes`` (told by their names) from all ``parents``, one parent after the other; labels follow
    the order of ``classes``.

    Raises:
        ExunoError: for a class without images, and unlabelled data.
    """
    number = {each: label for label, each in enumerate(classes)}
    sources, positions, labels = [], [], []
    for i, data in enumerate(parents):
        table = np.array([number.get(each, -1) for each in names_of(data)], np.int64)
        new = table[labels_of(data)]
        (rows,) = np.nonzero(new >= 0)
        sources.append(np.full(len(rows), i, np.int64))
        positions.append(rows.astype(np.int64))
        labels.append(new[rows])
    joint = np.concatenate(labels)
    if lacking := set(range(len(number))) - set(np.unique(joint).tolist()):
        names = [classes[label] for label in sorted(lacking)]
        raise ExunoError(
            f"{name} has no images of {abbreviated(names)}", "Check the names of the classes and the files."
        )
    return SubsetData(name, parents, np.concatenate(sources), np.concatenate(positions), joint, tuple(classes), stats)


def abbreviated(names: Sequence[str], shown: int = 5) -> str:
    """The first names, and how many more there are."""
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")

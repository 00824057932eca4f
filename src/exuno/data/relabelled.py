"""Data labelled in a model's numbers."""

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from exuno.data.base import Data, Images, Positions
from exuno.data.matching import Side, match
from exuno.engine.errors import tell
from exuno.engine.options import ClassOrder


class Relabelled(Data):
    """The samples of a data set with other labels; all else is as it was.

    Args:
        data: the samples.
        table: the new label of each old one.
        classes: names of the new classes, if known.
        num_classes: their number.
    """

    def __init__(self, data: Data, table: Sequence[int], classes: tuple[str, ...] | None, num_classes: int) -> None:
        self.data, self.table = data, torch.tensor(list(table), dtype=torch.int64)
        self.classes, self.num_classes, self.name = classes, num_classes, data.name
        self.image_size, self.resize, self.channels = data.image_size, data.resize, data.channels
        self.whitening, self.at_hand = data.whitening, data.at_hand
        self.frames, self.rate, self.groups, self.episodes = data.frames, data.rate, data.groups, data.episodes
        labels = getattr(data, "labels", None)
        if isinstance(labels, Tensor):
            self.labels = self.new(labels)

    def __getattr__(self, name: str) -> tuple[float, ...]:
        """Mean and std, which data may find only when they are asked for."""
        if name not in ("mean", "std") or "data" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__} has no {name}")
        return getattr(self.data, name)

    def __len__(self) -> int:
        return len(self.data)

    def new(self, labels: Tensor) -> Tensor:
        """New labels of old ones, int64 [B], -1 staying -1, or of soft ones, float [B, K]."""
        if labels.ndim == 2:
            soft = labels.new_zeros(len(labels), self.num_classes)
            soft[:, self.table] = labels
            return soft
        return torch.where(labels < 0, labels, self.table[labels.clamp(min=0)])

    def fetch(self, positions: Positions) -> tuple[Images, Tensor]:
        images, labels = self.data.fetch(positions)
        return images, self.new(labels)

    def fingerprint(self) -> str:
        """sha256 of that of the samples and of the new labels."""
        return hashlib.sha256(f"{self.data.fingerprint()} {self.table.tolist()}".encode()).hexdigest()

    def content(self) -> str:
        return self.data.content()


class RelabelledRuns(Relabelled):
    """Likewise, of videos, of which training takes random parts."""

    data: Any

    def fetch_runs(self, positions: Positions, draws: Positions, seed: int) -> tuple[Images, Tensor]:
        """Clips at random places of the videos at B positions, and their new labels."""
        images, labels = self.data.fetch_runs(positions, draws, seed)
        return images, self.new(labels)


def relabelled(data: Any, model: Side, order: ClassOrder = "auto") -> Any:
    """``data`` with labels that are the numbers of the classes of ``model``: itself where they are already. What is
    done is told once.

    Raises:
        ExunoError: the data have other classes.
    """
    found = match(model, side_of(data), order)
    if found.told:
        tell(found.told)
    if found.table == tuple(range(model.count)):
        return data
    kind = RelabelledRuns if hasattr(data, "fetch_runs") else Relabelled
    return kind(data, found.table, model.names, model.count)


def of_splits(training: Data, test: Data, order: ClassOrder = "auto") -> ClassOrder:
    """How two splits of one data set are matched. Without names their labels are numbers alike, though the test may
    lack the last classes."""
    return "by-number" if order == "auto" and training.classes is None and test.classes is None else order


def side_of(data: Any) -> Side:
    """The classes of a data set."""
    return Side(data.name, data.num_classes, data.classes)

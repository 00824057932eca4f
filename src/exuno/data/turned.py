"""Quarter turns (Santoro et al., ICML 2016, for Omniglot) and mirror images of a class as further classes."""

import hashlib

import numpy as np
import torch
from torch import Tensor

from exuno.data.base import Data, Images, Positions
from exuno.data.subset import labels_of, names_of
from exuno.engine.errors import ExunoError

TURNS = 4


class TurnedData(Data):
    """Each of N images of C classes in several ways: image ``k N + i`` is image i in way k, and its class is ``k C`` +
    that of image i; turned when fetched.

    Args:
        data: labelled images.
        turns: whether the ways are 0 to 3 quarter turns, counter-clockwise.
        mirrored: whether the same again of the image mirrored left to right follows.

    Raises:
        ExunoError: for unlabelled images, and images that are not square.
    """

    def __init__(self, data: Data, turns: bool = True, mirrored: bool = False) -> None:
        labels = torch.from_numpy(labels_of(data))
        self.ways = [(mirror, k) for mirror in range(1 + mirrored) for k in range(TURNS if turns else 1)]
        self.data, self.name = data, data.name + " turned" * turns + " mirrored" * mirrored
        own = names_of(data)
        self.classes = tuple(
            name + " mirrored" * mirror + (f" turned {90 * k}" if k else "") for mirror, k in self.ways for name in own
        )
        self.num_classes = len(self.classes)
        self.labels = torch.cat([labels + k * len(own) for k in range(len(self.ways))])
        self.image_size, self.resize, self.channels = data.image_size, data.resize, data.channels
        self.mean, self.std = data.mean, data.std
        if turns and self.image_size[0] != self.image_size[1]:
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


def _seen(image: Tensor, mirror: int, turns: int) -> Tensor:
    return torch.rot90(image.flip(-1) if mirror else image, turns, (-2, -1))

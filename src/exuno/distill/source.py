"""What a student sees: patches of photographs, or any data set."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from exuno.data.memory import in_memory
from exuno.data.open import open_data
from exuno.data.photo import load_photo, photo_sha256
from exuno.distill.kinds import is_photo
from exuno.distill.options import DistillConfig
from exuno.engine.errors import ExunoError
from exuno.models.classifier import match_channels
from exuno.synth.image import Sampler


class Patches:
    """A fixed set of patches of one or several photographs; patch i comes from photograph i mod n.

    Args:
        photos: uint8 RGB arrays [H, W, 3].
        config: patch options, number of patches, seed.
        channels: 3, or 1 for gray patches.
    """

    name = "the patches"

    def __init__(self, photos: list[np.ndarray], config: DistillConfig, channels: int) -> None:
        self.samplers = [Sampler(photo, config.synth, config.run.seed) for photo in photos]
        self.length, self.channels = config.patches, channels
        self.image_size = (config.synth.size, config.synth.size)

    def __len__(self) -> int:
        return self.length

    def fetch(self, positions: np.ndarray) -> tuple[Tensor, Tensor]:
        """Patches uint8 [B, C, H, W] of the given numbers, which may go beyond ``len``; labels -1."""
        which = positions % len(self.samplers)
        patches = np.empty((len(positions), *self.image_size, 3), np.uint8)
        for i, sampler in enumerate(self.samplers):
            if (chosen := which == i).any():
                patches[chosen] = sampler(positions[chosen])
        images = torch.from_numpy(patches).permute(0, 3, 1, 2)
        if self.channels == 1:
            images = match_channels(images.float(), 1).round().to(torch.uint8)
        return images.contiguous(), torch.full((len(positions),), -1)


class FreshPatches(Patches):
    """An endless set: every epoch gets patches of its own."""

    def fetch_draws(self, draws: np.ndarray) -> tuple[Tensor, Tensor]:
        """Patches of the given draw numbers."""
        return self.fetch(draws)


def open_source(config: DistillConfig, channels: int) -> Any:
    """The training set of ``config.source``.

    Raises:
        ExunoError: photographs mixed with other sources, or a source that is neither.
    """
    specs = config.source
    if not specs:
        raise ExunoError("no source was given", "Give --source a photograph, a folder or a data spec.")
    photos = [spec for spec in specs if is_photo(spec)]
    if len(photos) == len(specs):
        kind = FreshPatches if config.fresh else Patches
        patches = kind([load_photo(spec) for spec in specs], config, channels)
        return patches if config.fresh else in_memory(patches)
    if len(specs) != 1 or photos:
        raise ExunoError(
            f"--source {' '.join(specs)} mixes photographs with other data or names several data sets",
            "Give photographs only, or one folder or data spec.",
        )
    [spec] = specs
    return open_data(f"folder:{spec}" if Path(spec).is_dir() else spec, "train", root=config.data_root)


def lineage(config: DistillConfig, source: Any) -> list[dict[str, str]]:
    """What the student saw: each spec with its sha256."""
    return [
        {"spec": spec, "sha256": photo_sha256(spec) if is_photo(spec) else source.fingerprint()}
        for spec in config.source
    ]

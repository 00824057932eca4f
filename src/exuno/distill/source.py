"""What a student sees: patches of photographs, or any data set."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exuno.data.memory import in_memory
from exuno.data.open import open_data
from exuno.data.photo import load_photo, photo_sha256
from exuno.distill.kinds import is_photo
from exuno.distill.options import DistillConfig
from exuno.engine.errors import ExunoError
from exuno.models.classifier import match_channels
from exuno.synth.stream import PatchStream


class Patches:
    """A fixed set of patches, in the channels that the models want; the same in every epoch.

    Args:
        stream: makes the patches, uint8 RGB.
        channels: 3, or 1 for gray patches.
    """

    name = "the patches"

    def __init__(self, stream: PatchStream, channels: int) -> None:
        self.stream, self.channels, self.image_size = stream, channels, stream.image_size

    def __len__(self) -> int:
        return len(self.stream)

    def fetch(self, positions: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Patches uint8 [B, C, H, W] of the given numbers; labels -1."""
        images, labels = self.stream.fetch(positions)
        if self.channels == 1:
            images = match_channels(images.float(), 1).round().to(torch.uint8)
        return images, labels

    def fingerprint(self) -> str:
        """A hexadecimal digest of the photographs and of all that shapes the patches."""
        digest = hashlib.sha256(f"{asdict(self.stream.mixture.options)} {len(self)} {self.channels}".encode())
        for sampler in self.stream.mixture.samplers:
            digest.update(f" {sampler.seed} {sampler.photo.shape} ".encode() + sampler.photo.tobytes())
        return digest.hexdigest()


class FreshPatches(Patches):
    """An endless set: every epoch gets patches of its own."""

    def fetch_draws(self, draws: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Patches of the given draw numbers."""
        return self.fetch(draws)


def open_source(config: DistillConfig, size: tuple[int, int], channels: int) -> Any:
    """The training set of ``config.source``, for training at ``size`` (H, W) and in ``channels``.

    Raises:
        ExunoError: photographs mixed with other sources, or a source that is neither.
    """
    specs = config.source
    if not specs:
        raise ExunoError("no source was given", "Give --source a photograph, a folder or a data spec.")
    photos = [spec for spec in specs if is_photo(spec)]
    if len(photos) == len(specs):
        kind = FreshPatches if config.fresh else Patches
        # A random crop comes out sharper if it is taken from a larger patch: 256 pixels for 224, as usual.
        side = max(size) * 8 // 7 if config.augment.resized_crop else max(size)
        synth = replace(config.synth, size=config.synth.size or side)
        stream = PatchStream([load_photo(spec) for spec in specs], config.patches, synth, config.run.seed)
        patches = kind(stream, channels)
        return patches if config.fresh else in_memory(patches)
    if len(specs) != 1 or photos:
        raise ExunoError(
            f"--source {' '.join(specs)} mixes photographs with other data or names several data sets",
            "Give photographs only, or one folder or data spec.",
        )
    [spec] = specs
    return open_data(f"folder:{spec}" if Path(spec).is_dir() else spec, "train", root=config.data_root)


def photo_digests(specs: Sequence[str]) -> dict[str, str]:
    """The sha256 of each photograph among the source specs."""
    return {spec: photo_sha256(spec) for spec in specs if is_photo(spec)}


def lineage(config: DistillConfig, source: Any, digests: Mapping[str, str]) -> list[dict[str, str]]:
    """What the student saw: each spec with its sha256; ``digests`` are those of the photographs."""
    return [{"spec": spec, "sha256": digests.get(spec) or source.fingerprint()} for spec in config.source]

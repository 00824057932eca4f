"""What a student sees: patches or clips of photographs, excerpts of recordings, or any data set."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exuno.data.base import Data, Modality, modality
from exuno.data.deep import split_bits
from exuno.data.drawn import Maker
from exuno.data.holdout import without_held
from exuno.data.memory import in_memory
from exuno.data.open import open_data
from exuno.data.photo import photo_sha256
from exuno.data.recording import recording_sha256
from exuno.distill.check import check_source
from exuno.distill.kinds import is_photo, is_single
from exuno.distill.options import DistillConfig
from exuno.engine.errors import ExunoError
from exuno.models.classifier import match_channels
from exuno.synth.audio_options import AudioOptions
from exuno.synth.batched_torch import TorchMixture
from exuno.synth.image import Sampler
from exuno.synth.options import ClipFileOptions, ImageOptions, VideoOptions
from exuno.synth.stream import ClipStream, PatchStream, SoundStream, Stream


class Patches:
    """A fixed set of patches (clips, excerpts), in the channels that the models want; the same in every epoch.

    Args:
        stream: makes them.
        channels: 3, or 1 for gray patches; recordings have 1.
        origin: whatever says what they are made of and how, in words.
    """

    name = "the patches"

    def __init__(self, stream: Stream, channels: int, origin: str = "") -> None:
        self.stream, self.channels, self.origin = stream, channels, origin
        self.image_size = stream.image_size
        self.frames: int | None = getattr(stream, "frames", None)
        self.rate: int | None = getattr(stream, "rate", None)

    def __len__(self) -> int:
        return len(self.stream)

    def fetch(self, positions: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Patches uint8 [B, C, H, W] of the given numbers, clips [B, C, T, H, W], or excerpts float32 [B, 1, S]; labels
        -1."""
        images, labels = self.stream.fetch(positions)
        return self.in_channels(images), labels

    def in_channels(self, images: Tensor) -> Tensor:
        """Patches in the channels that the models want."""
        if self.channels < images.shape[1]:
            return match_channels(images.float(), 1).round().to(torch.uint8)
        return images

    def fingerprint(self) -> str:
        """A hexadecimal digest of the photographs or recordings and of all that shapes the patches."""
        return hashlib.sha256(f"{self.origin} {len(self)} {self.channels}".encode()).hexdigest()


class FreshPatches(Patches):
    """An endless set: every epoch gets patches of its own."""

    def fetch_draws(self, draws: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Patches of the given draw numbers."""
        return self.fetch(draws)

    def drawn_on(self, device: torch.device) -> Maker | None:
        """What draws them on a device; None for clips and excerpts, which the CPU makes."""
        samplers = [each for each in self.stream.mixture.samplers if isinstance(each, Sampler)]
        if len(samplers) < len(self.stream.mixture.samplers):
            return None
        mixture = TorchMixture(samplers, device)
        return lambda draws: self.in_channels(mixture(draws))


def open_source(config: DistillConfig, test: Data, size: tuple[int, int], channels: int, frames: int = 0) -> Any:
    """The training set of ``config.source``.

    Args:
        config: what the student sees, and how patches are made.
        test: what it is to learn: images, clips or recordings.
        size: (H, W) of the images in training.
        channels: of the images in training.
        frames: the most that a model takes of a clip.

    Raises:
        ExunoError: photographs mixed with other sources, or a source that does not fit ``test``.
    """
    check_source(config, test)
    specs, kind = config.source, modality(test)
    if is_single(specs[0]):
        stream, options = stream_of(config, test, size, frames)
        origin = f"{asdict(options)} {config.run.seed} {' '.join(digests(specs).values())}"
        patches = (FreshPatches if config.fresh else Patches)(stream, channels, origin)
        return patches if config.fresh else in_memory(patches)
    [spec] = specs
    folder, run = split_bits(spec)[0], config.augment.frames
    named = spec_of(Path(folder), kind, run) + spec.removeprefix(folder) if Path(folder).is_dir() else spec
    source = open_data(named, "train", root=config.data_root)
    source = without_held(source, config.data, config.data_root, config.held)
    if modality(source) != kind:
        raise ExunoError(f"--source {spec} has {modality(source)}s, and {test.name} has {kind}s", "Give data alike.")
    return source


def spec_of(folder: Path, kind: Modality, run: int | None = None) -> str:
    """The data spec of a folder of files, or of tar shards (both of which ``exuno synth`` writes).

    Of clips in files training sees ``run`` frames, 12 a second, as the published loader does; None: all.
    """
    shards = any(folder.glob("*.tar"))
    prefix = {"image": "wds:" if shards else "folder:", "clip": "videos:", "recording": "recordings:"}[kind]
    cut = f"@{run}/{run / ClipFileOptions.fps:.6f}s" if kind == "clip" and run else ""
    return f"{prefix}{folder}{'/*.tar' if shards else ''}{cut}"


Made = tuple[Stream, ImageOptions | VideoOptions | AudioOptions]


def stream_of(config: DistillConfig, test: Data, size: tuple[int, int], frames: int) -> Made:
    """What makes patches, clips or excerpts of photographs or recordings, with its options; where these leave it open,
    the size is that of training, and clips have at least the frames that training and models take."""
    count, seed, augment = config.patches, config.run.seed, config.augment
    if modality(test) == "recording":
        assert test.rate is not None
        audio = replace(config.audio, rate=test.rate, seconds=config.audio.seconds or size[1] / test.rate)
        return SoundStream(config.source, count, audio, seed), audio
    # A random crop comes out sharper if it is taken from a larger patch: 256 pixels for 224, as usual.
    side = max(size) * 8 // 7 if augment.resized_crop else max(size)
    if modality(test) == "clip":
        least = max(VideoOptions.frames, config.augment.frames or 0, frames)
        video = replace(config.video, size=config.video.size or side, frames=config.video.frames or least)
        return ClipStream(config.source, count, video, seed), video
    synth = replace(config.synth, size=config.synth.size or side)
    return PatchStream(config.source, count, synth, seed), synth


def digests(specs: Sequence[str]) -> dict[str, str]:
    """The sha256 of each photograph and recording among the source specs."""
    known = {spec: photo_sha256 if is_photo(spec) else recording_sha256 for spec in specs if is_single(spec)}
    return {spec: digest(spec) for spec, digest in known.items()}


def lineage(config: DistillConfig, source: Any, digests: Mapping[str, str]) -> list[dict[str, str]]:
    """What the student saw: each spec with its sha256; ``digests`` are those of the photographs."""
    return [{"spec": spec, "sha256": digests.get(spec) or source.fingerprint()} for spec in config.source]

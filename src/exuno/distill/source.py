"""What a student sees, and the pictures of it."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exuno.data import duplicates
from exuno.data.audio.recording import is_recording, load_recording, recording_sha256
from exuno.data.base import Data, Modality, modality, pictures
from exuno.data.batches import Maker, in_memory
from exuno.data.holdout import without_held
from exuno.data.images.deep import split_bits
from exuno.data.images.folder import FileData
from exuno.data.images.photo import is_photo, is_program, is_single, load_photo, photo_sha256
from exuno.data.open import num_shared, open_data
from exuno.data.preview import shown, spectrograms
from exuno.distill.check import check_source
from exuno.distill.options import DistillConfig
from exuno.engine.errors import ExunoError
from exuno.engine.files import atomic, write_json
from exuno.engine.remote import fetched
from exuno.models.classifier import match_channels
from exuno.report.images import image_grid, loop, save_png
from exuno.synth.batched_torch import TorchMixture
from exuno.synth.image import Sampler
from exuno.synth.options import AudioOptions, ClipFileOptions, ImageOptions, VideoOptions
from exuno.synth.program import program_sha256
from exuno.synth.stream import ClipStream, PatchStream, SoundStream, Stream


class Patches:
    """A fixed set of patches (clips, excerpts), in the channels that the models want; the same in every epoch.

    Args:
        stream: makes them.
        channels: 3, or 1 for gray patches; recordings have 1.
        origin: whatever says what they are made of and how, in words.
    """

    name = "the patches"
    at_hand = True

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

    def content(self) -> str:
        """Of photographs and recordings the fingerprint knows all."""
        return ""


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

    Returns:
        A data set; with ``--select``, the :class:`Patches` among which the teacher is to choose.

    Raises:
        ExunoError: photographs mixed with other sources, or a source that does not fit ``test``.
    """
    check_source(config, test)
    specs = config.source
    if is_single(specs[0]):
        stream, options = stream_of(config, test, size, frames)
        origin = f"{asdict(options)} {config.run.seed} {' '.join(digests(specs).values())}"
        patches = (FreshPatches if config.fresh else Patches)(stream, channels, origin)
        return patches if config.fresh or config.select else in_memory(patches)
    return open_set(config, test)


def open_set(config: DistillConfig, test: Data) -> Data:
    """The data set that is the source, to learn what ``test`` is.

    Raises:
        ExunoError: it has samples of another kind, or cannot be opened.
    """
    [spec], kind = config.source, modality(test)
    folder, run = split_bits(spec)[0], config.augment.frames
    path = fetched(folder)
    named = spec_of(path, kind, run) + spec.removeprefix(folder) if path.is_dir() else spec
    source = open_data(named, "train", root=config.data_root)
    if config.data is not None:
        source = without_held(source, config.data, config.data_root, config.held)
    if modality(source) != kind:
        raise ExunoError(f"--source {spec} has {modality(source)}s, and {test.name} has {kind}s", "Give data alike.")
    return source


def overlap(config: DistillConfig, source: Any, test: Data) -> str:
    """A sentence, where test images are among what the student sees; else ''."""
    count = len(test)
    if is_single(config.source[0]):
        if not isinstance(test, FileData):
            return ""
        seen = {Path(split_bits(spec)[0]).resolve() for spec in config.source if is_photo(spec) and ":" not in spec}
        root = test.root.resolve()
        shared = sum(root / file in seen for file in test.files) if seen else 0
    else:
        shared = num_shared(source, test)
        if not shared:  # the same files; there may be copies
            shared, count = duplicates.count(source, test)
    if not shared:
        return ""
    few = "the " if count == len(test) else ""
    samples = f"{shared:,} of {few}{count:,} test {modality(test)}s of {config.data}"
    return (
        f"{samples} are in --source {' '.join(config.source)}: how well the student does on new ones, they cannot tell"
    )


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
    """The sha256 of each photograph, recording and program among the source specs."""
    known = {spec: photo_sha256 if is_photo(spec) else recording_sha256 for spec in specs if is_single(spec)}
    known |= {spec: program_sha256 for spec in specs if is_program(spec)}
    return {spec: digest(spec) for spec, digest in known.items()}


def lineage(config: DistillConfig, source: Any, digests: Mapping[str, str]) -> list[dict[str, str]]:
    """What the student saw: each spec with its sha256; ``digests`` are those of the photographs."""
    return [{"spec": spec, "sha256": digests.get(spec) or source.fingerprint()} for spec in config.source]


SHOWN, FEW = 64, 24
RATE, SECONDS = 16000, 12  # of the spectrogram of a source
WIDEST = 900  # pixels; the page carries its pictures inside


def write_figures(folder: Path, config: DistillConfig, loader: Any) -> None:
    """Writes pictures of the source and of the samples, and ``figures.json`` for the report."""
    figures = [figure for i, spec in enumerate(config.source[:4]) if (figure := source(folder, i, spec))]
    write_json(folder / "figures.json", [*figures, samples(folder, loader)])


def source(folder: Path, number: int, spec: str) -> dict[str, str] | None:
    """A photograph, shrunk where it is large, or a stretch of a recording as a spectrogram; nothing of a data set."""
    path = folder / f"source{number}.png"
    if is_photo(spec):
        import cv2

        photo = load_photo(spec)
        scale = min(1.0, WIDEST / max(photo.shape[:2]))
        width, height = (max(1, round(side * scale)) for side in (photo.shape[1], photo.shape[0]))
        save_png(np.asarray(cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA), np.uint8), path)
        what = f"{spec}, {photo.shape[1]} x {photo.shape[0]} pixels"
    elif is_recording(spec):
        sound = load_recording(spec, RATE)
        shown = torch.from_numpy(sound[: RATE * SECONDS]).reshape(1, 1, -1)
        save_png(spectrograms(shown, RATE)[0, :, :, 0], path)
        what = f"{spec}, {len(sound) / RATE:.0f} seconds, of which these are the first {shown.shape[-1] / RATE:.0f}"
    else:
        return None
    caption = f"{what}: all that the student has seen or heard comes from here."
    return {"file": path.name, "title": "The source", "caption": caption}


def samples(folder: Path, loader: Any) -> dict[str, str]:
    """What the student learned from, as it entered training: images, clips that move, or spectrograms."""
    kind = modality(loader.data)
    batch = loader.first()["images"][: SHOWN if kind == "image" else FEW].cpu()
    if kind == "clip":
        pixels = pictures(loader.data, batch)
        with atomic(folder / "samples.gif") as temporary:
            temporary.write_bytes(loop(pixels, scale=max(1, 64 // pixels.shape[2])))
    else:
        pixels, columns = shown(loader.data, batch), 16 if kind == "image" else 8
        save_png(image_grid(pixels, columns, max(1, 48 // pixels.shape[1])), folder / "samples.png")
    caption = f"{len(batch)} of the {kind}s that the student learned from, as they entered training (before mixing)."
    name = "samples.gif" if kind == "clip" else "samples.png"
    title = "What the student heard" if kind == "recording" else "What the student saw"
    return {"file": name, "title": title, "caption": caption}

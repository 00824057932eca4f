"""A set of videos as clips: a run at a random place of each for training, evenly spread ones for a test."""

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exuno.data import rng
from exuno.data.base import Data, Positions
from exuno.data.batches import LIMIT
from exuno.data.constants import VIDEO
from exuno.data.content import looked_at, some_of
from exuno.data.shards import Member, Shards
from exuno.data.video.file import TOLERANCE, Facts, Pixels, Source, Unreadable, all_frames, frames_at, look
from exuno.engine.errors import ExunoError, tell

CLIPS = 10
"""Clips of a test video, the first at its beginning and the last at its end."""
SIDE, RESIZE = (160, 160), 183
SMALL = 96
TOLD = 3

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Cut:
    """What a clip is: so many frames, evenly spread over so many seconds; of a shorter video, over all of it."""

    frames: int = 16
    seconds: float = 2.0

    def __post_init__(self) -> None:
        if self.frames < 1 or not 0 < self.seconds < 3600:
            raise ExunoError(
                f"clips of {self.frames} frames in {self.seconds} s", "Give @FRAMES/SECONDSs, such as @16/2s."
            )


@dataclass(frozen=True)
class VideoFile:
    """A video: a file, or a member of a shard."""

    name: str
    label: int
    where: Path | Member


class VideoData(Data):
    """Clips of videos, RGB.

    For training, ``fetch_runs`` cuts a clip at a random place of each video; ``fetch`` gives the middle one. A test set
    has ten clips of each video, evenly spread (one of a video that is no longer than a clip), and ``groups``.

    Every video is looked at when the set is opened, and those without a frame are left out, with one line on standard
    error. Sets whose frames all fit into ``limit`` are decoded at once and kept; of others, only what a batch needs is
    decoded, from the key frame before it.

    Args:
        name: what to call it.
        videos: the files.
        classes: names of the classes; None for unlabelled videos.
        cut: what a clip is.
        spread: whether it is a test set.
        shards: where members lie.
        limit: bytes of decoded frames that are kept in memory.

    Raises:
        ExunoError: no video can be read.
    """

    channels = 3
    mean, std = VIDEO

    def __init__(
        self,
        name: str,
        videos: Sequence[VideoFile],
        classes: tuple[str, ...] | None,
        cut: Cut | None = None,
        *,
        spread: bool = False,
        shards: Shards | None = None,
        limit: int = LIMIT,
    ) -> None:
        self.name, self.shards, self.classes, self.cut = name, shards, classes, cut or Cut()
        self.frames = self.cut.frames
        if not videos:
            raise ExunoError(f"{name} has no videos", "Check its lists.")
        facts = _tried(videos, lambda video: look(self._source(video)))
        self.kept: list[tuple[NDArray[np.float64], Pixels]] | None = None
        if sum(each.bytes for each in facts if isinstance(each, Facts)) <= limit:
            pairs = [(v, f) for v, f in zip(videos, facts, strict=True) if isinstance(f, Facts)]
            kept = iter(_tried(pairs, lambda pair: all_frames(self._source(pair[0]), pair[1])))
            both = [(f, next(kept)) if isinstance(f, Facts) else (f, f) for f in facts]
            facts = [kept if isinstance(kept, str) else fact for fact, kept in both]
            self.kept = [kept for _, kept in both if not isinstance(kept, str)]
        self.videos = [video for video, fact in zip(videos, facts, strict=True) if isinstance(fact, Facts)]
        self.facts = [fact for fact in facts if isinstance(fact, Facts)]
        self._tell([(video.name, fact) for video, fact in zip(videos, facts, strict=True) if isinstance(fact, str)])
        self.labels = torch.tensor([video.label for video in self.videos])
        self.num_classes = len(classes or ()) or int(self.labels.max()) + 1
        sizes = {fact.size for fact in self.facts}
        small = len(sizes) == 1 and max(self.facts[0].size) <= SMALL
        self.image_size, self.resize = (self.facts[0].size, None) if small else (SIDE, RESIZE)
        counts = [CLIPS if spread and fact.duration > self.cut.seconds else 1 for fact in self.facts]
        self.owner = np.repeat(np.arange(len(counts)), counts)
        self.place = np.concatenate([np.linspace(0, 1, count) if count > 1 else np.array([0.5]) for count in counts])
        self.groups = self.owner if spread else None

    def _tell(self, failed: list[tuple[str, str]]) -> None:
        if not failed:
            return
        words = "; ".join(f"{name}: {why}" for name, why in failed[:TOLD]) + ("; …" if len(failed) > TOLD else "")
        total = len(failed) + len(self.videos)
        if not self.videos:
            raise ExunoError(f"none of the {total} videos of {self.name} could be read ({words})", "Check the files.")
        tell(f"{len(failed)} of {total} videos of {self.name} could not be read: {words}")

    def _source(self, video: VideoFile) -> Source:
        if isinstance(video.where, Path):
            return video.where
        assert self.shards is not None
        return self.shards.read(video.where)

    def __len__(self) -> int:
        return len(self.owner)

    def fetch(self, positions: Positions) -> tuple[list[Tensor], Tensor]:
        positions = np.asarray(positions, np.int64)
        return self._clips(self.owner[positions], self.place[positions])

    def fetch_runs(self, positions: Positions, draws: Positions, seed: int) -> tuple[list[Tensor], Tensor]:
        """Clips at random places of the videos at B positions, a function of (seed, draw) each; int64 [B] twice."""
        return self._clips(self.owner[positions], rng.uniforms(seed, "video", draws, 1)[:, 0])

    def _clips(self, videos: NDArray[np.int64], places: NDArray[np.float64]) -> tuple[list[Tensor], Tensor]:
        """Clips of videos that begin at ``places``, 0 being the earliest and 1 the latest possible; [B] both."""
        wanted = [self._times(self.facts[video], place) for video, place in zip(videos, places, strict=True)]
        clips: list[Pixels] = [np.empty(0, np.uint8)] * len(videos)
        for video in np.unique(videos):
            mine = np.flatnonzero(videos == video)
            times, back = np.unique(np.concatenate([wanted[k] for k in mine]), return_inverse=True)
            frames = self._frames(int(video), times)
            for number, k in enumerate(mine):
                clips[k] = frames[back[number * self.cut.frames : (number + 1) * self.cut.frames]]
        return [torch.from_numpy(clip).permute(3, 0, 1, 2) for clip in clips], self.labels[torch.from_numpy(videos)]

    def _times(self, facts: Facts, place: float) -> NDArray[np.float64]:
        span = min(self.cut.seconds, facts.duration)
        return place * (facts.duration - span) + np.arange(self.cut.frames, dtype=np.float64) * span / self.cut.frames

    def _frames(self, video: int, times: NDArray[np.float64]) -> Pixels:
        if self.kept is not None:
            known, frames = self.kept[video]
            return frames[np.clip(np.searchsorted(known, times + TOLERANCE, "right") - 1, 0, None)]
        try:
            return frames_at(self._source(self.videos[video]), self.facts[video], times.tolist())
        except (Unreadable, OSError) as error:
            raise ExunoError(
                f"{self.videos[video].name} could be read when {self.name} was opened, and now cannot: {error}",
                "Check the file, then run the same command again.",
            ) from None

    def fingerprint(self) -> str:
        """sha256 of what a clip is, and of the names, lengths and labels of the videos; the frames are not read."""
        digest = hashlib.sha256(str(self.cut).encode())
        for video, facts in zip(self.videos, self.facts, strict=True):
            size = video.where.stat().st_size if isinstance(video.where, Path) else video.where.size
            digest.update(f"{video.name}\0{size}\0{facts.duration:.3f}\0{video.label}\n".encode())
        return digest.hexdigest()

    def content(self) -> str:
        """See :mod:`exuno.data.content`."""
        return looked_at(len(self.videos), self._some)

    def _some(self, number: int) -> bytes:
        where = self.videos[number].where
        if isinstance(where, Path):
            return some_of(where)
        assert self.shards is not None
        return self.shards.some(where)


def _tried(items: Sequence[T], action: Callable[[T], R]) -> list[R | str]:
    """What ``action`` makes of each item, or why it makes nothing; several at once."""

    def attempt(item: T) -> R | str:
        try:
            return action(item)
        except (Unreadable, OSError) as error:
            return str(error)

    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        return list(pool.map(attempt, items))

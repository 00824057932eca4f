"""``videos:PATH``: videos in folders of classes, in a list, or in shards; and the layouts of UCF101 and Kinetics."""

import csv
import io
import os
import re
from collections.abc import Sequence
from pathlib import Path

from exuno.data.base import Data
from exuno.data.classes import in_order, tell_order
from exuno.data.images.folder import find_files
from exuno.data.layout import entries, files_below, layout_of
from exuno.data.named.archives import split_of
from exuno.data.named.packed import absent, inside
from exuno.data.names import HOLD_OUT, STANDS_IN, formats, split_word
from exuno.data.shards import TAR, Shards, expand
from exuno.data.subset import abbreviated
from exuno.data.video.clips import Cut, VideoData, VideoFile
from exuno.data.video.file import SUFFIXES
from exuno.engine.documents import read_text
from exuno.engine.errors import ExunoError, tell

TESTS = ("test", "val")


def open_videos(spec: str, split: str) -> Data:
    """``PATH[@FRAMES/SECONDSs]``: a folder, a list ``PATH.csv`` or shards ``PATTERN.tar``, cut into clips.

    A folder has ``train/CLASS/…`` and ``test/CLASS/…`` (or ``val``) as in ``folder:``; or lists ``train.csv`` and
    ``test.csv`` (or ``val.csv``, …) beside its files, or in ``annotations``.

    Raises:
        ExunoError: nothing there, or a list that names no video.
    """
    rest, cut = _cut_of(spec)
    name = f"videos:{spec}"
    if rest.endswith(TAR):
        shards = Shards(expand(rest, split), SUFFIXES, "videos")
        videos = [
            VideoFile(member.key, label, member) for member, label in zip(shards.members, shards.labels, strict=True)
        ]
        classes = shards.classes or tuple(map(str, range(shards.num_classes))) or None
        return VideoData(name, videos, classes, cut, spread=split in TESTS, shards=shards)
    path = Path(rest)
    if path.suffix == ".csv":
        return _listed(name, [path], path.parent, split, cut)
    return open_video_folder(path, split, name, cut)


def open_video_folder(path: Path, split: str, name: str, cut: Cut) -> Data:
    """A folder of videos; see :func:`open_videos`."""
    for part in STANDS_IN.get(split, (split,)):
        for place in (path, path / "annotations"):
            if (own := _list_of(place, part)) is not None:
                lists = [own, *filter(None, [_list_of(place, "train")])]
                folder = next((path / each for each in (own.stem, part) if (path / each).is_dir()), path)
                return _listed(f"{name}/{own.stem}", lists, folder, split, cut)
    train = next(filter(None, (_list_of(place, "train") for place in (path, path / "annotations"))), None)
    if train is not None and layout_of(path, SUFFIXES, "videos").folder(split) is None:
        raise ExunoError(f"{path} has no split '{split}'", f"Its list is {train.name}." + HOLD_OUT * (split == "test"))
    found = find_files(path, split, SUFFIXES, "videos")
    videos = [
        VideoFile(file, label, found.folder / file)
        for file, label in zip(found.files, found.labels.tolist(), strict=True)
    ]
    name = name if found.folder == path else f"{name}/{found.folder.relative_to(path).as_posix()}"
    return VideoData(name, videos, found.classes, cut, spread=split in TESTS)


def _list_of(place: Path, split: str) -> Path | None:
    """The list of a split in a folder: ``train.csv``, ``Validation.csv``, ``test_list.csv``.

    Raises:
        ExunoError: there are several.
    """
    plain = place / f"{split}.csv"
    if os.path.lexists(plain) and not plain.is_dir():
        return plain  # also a link that leads nowhere, which is told when it is read
    there = entries(place) if place.is_dir() else []
    lists = [entry.name for entry in there if entry.name.lower().endswith(".csv") and entry.is_file()]
    mine = [name for name in lists if split_word(Path(name).stem) == (split, ())]
    if len(mine) > 1:
        raise ExunoError(
            f"{place} has several lists of its split '{split}': {abbreviated(mine)}", "Keep one of them there."
        )
    return place / mine[0] if mine else None


def ucf101(root: Path, split: str) -> Data:
    """UCF101 (Soomro, Zamir and Shah, 2012), the first of its three official splits: 9,537 training, 3,783 test
    videos."""
    split_of("ucf101", split, ("train", "test"))
    lists = inside(root, "ucfTrainTestlist", "classInd.txt", "ucf101", "UCF101TrainTest")
    folder = inside(root, "UCF-101", "ApplyEyeMakeup", "ucf101", "UCF101.rar", "UCF101.zip", "UCF-101")
    index, listed = lists / "classInd.txt", lists / f"{split}list01.txt"
    rows = [line.split() for line in _lines(index)]
    if stray := next((row for place, row in enumerate(rows, 1) if len(row) != 2 or row[0] != str(place)), None):
        raise ExunoError(f"{index} does not count its classes from 1: it has '{' '.join(stray)}'", "Unpack it again.")
    number = {name: int(told) - 1 for told, name in rows}
    videos = []
    for file, *told in (line.split() for line in _lines(listed)):
        label = number.get(file.partition("/")[0])
        if label is None or told not in ([], [str(label + 1)]):
            raise ExunoError(
                f"{listed} has {' '.join([file, *told])}, which is no class of {index}", "Unpack it again."
            )
        videos.append(VideoFile(file, label, folder / file))
    classes = tuple(number)
    if len(classes) < len(rows):
        raise ExunoError(f"{index} names a class twice", "Unpack it again.")
    return VideoData(f"ucf101/{split}", videos, classes, Cut(16, 1.92), spread=split == "test")


def k400(root: Path, split: str) -> Data:
    """Kinetics-400 (Kay et al., arXiv 1705.06950), folders of classes or the official lists; ``test`` is the validation
    set, on which papers report."""
    split_of("k400", split, ("train", "test", "val"))
    base = next((path for path in (root / "k400", root / "kinetics400", root) if (path / "train").is_dir()), None)
    if base is None:
        raise absent("k400", root, "k400/train and k400/val", "k400", "kinetics400")
    held = split if split == "train" or not (base / "val").is_dir() else "val"
    return open_video_folder(base, held, "k400", Cut(16, 1.6))


def _cut_of(spec: str) -> tuple[str, Cut]:
    """Path and clips of ``PATH[@FRAMES/SECONDSs]``."""
    match = re.fullmatch(r"(.+)@(\d+)/(\d+(?:\.\d+)?|\.\d+)s", spec)
    if match:
        return match[1], Cut(int(match[2]), float(match[3]))
    return spec, Cut()


def _listed(name: str, lists: Sequence[Path], folder: Path, split: str, cut: Cut) -> VideoData:
    """The videos of ``lists[0]``; classes are those of the last list that exists, training's.

    A row has a ``label`` and either a ``file`` (or ``path``) relative to the folder or the list, or Kinetics'
    ``youtube_id``, ``time_start`` and ``time_end``, of which the name of the file is made.
    """
    rows = _rows(lists[0])
    bare = [row["label"] for row in rows].count("")
    if 0 < bare < len(rows):
        raise ExunoError(
            f"{lists[0]} has no label for {bare} of its {len(rows)} videos", "Give each one its label, or none."
        )
    own = [path for path in lists if path.is_file()][-1]
    classes = in_order({row["label"] for row in (rows if own == lists[0] else _rows(own))} - {""}) or None
    tell_order(classes or (), own, "labels such as 00, 01, … have one order only")
    number = {word: label for label, word in enumerate(classes or ())}
    there = {Path(file).stem: folder / file for file in files_below(folder, SUFFIXES)}
    videos = []
    for row in rows:
        if row["label"] and row["label"] not in number:
            raise ExunoError(f"{lists[0]} has a class that {own} has not: {row['label']}", "Use the same classes.")
        file = row.get("file") or row.get("path")
        if file:
            path = next((p for p in (folder / file, lists[0].parent / file) if p.is_file()), folder / file)
        elif "youtube_id" not in row:
            raise ExunoError(f"{lists[0]} has a row that names no file", "Name one in each row.")
        else:
            stem = _stem(lists[0], row)
            path = there.get(stem) or there.get(row["youtube_id"]) or folder / f"{stem}.mp4"
        videos.append(VideoFile(path.name, number.get(row["label"], -1), path))
    return VideoData(name, videos, classes, cut, spread=split in TESTS)


def _stem(path: Path, row: dict[str, str]) -> str:
    """The name of Kinetics for a video, without its suffix."""
    try:
        return f"{row['youtube_id']}_{int(float(row['time_start'])):06}_{int(float(row['time_end'])):06}"
    except ValueError:
        raise ExunoError(f"{path} has times of {row['youtube_id']} that are no numbers", "Give seconds.") from None


def _rows(path: Path) -> list[dict[str, str]]:
    """The rows of a list.

    Raises:
        ExunoError: it is not there or no such list, or a row has more columns than the first line.
    """
    if not path.is_file():
        raise ExunoError(f"there is no list {path}", "Check the path.")
    try:
        lines = csv.reader(io.StringIO(read_text(path), newline=""))
        head, *found = [[word.strip() for word in row] for row in lines if row] or [[]]
    except csv.Error as error:
        raise ExunoError(f"{path} is no list ({error})", "Save it as CSV in UTF-8.") from None
    head = [word.lower() for word in head]
    if long := next((row for row in found if len(row) > len(head)), None):
        raise ExunoError(
            f"{path} has a row of {len(long)} columns where its first line has {len(head)}: {','.join(long)}",
            'Put "quotes" about a name that holds a comma.',
        )
    rows = [dict(zip(head, row + [""] * len(head), strict=False)) for row in found]
    have = set(rows[0]) if rows else set()
    if not rows or not (have & {"file", "path"} or {"youtube_id", "time_start", "time_end"} <= have):
        raise ExunoError(
            f"{path} lists no videos", "Its first line must be file,label or label,youtube_id,time_start,time_end."
        )
    others = sorted(have - {"file", "path", "split", "youtube_id", "time_start", "time_end"})
    if "label" not in have and others:
        tell(f"{path} is read without labels: it has no column label, but {abbreviated(others)}")
    return [{"label": "", **row} for row in rows]


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise ExunoError(f"there is no {path}", "Unpack the lists of UCF101 there.")
    return [line for line in read_text(path).splitlines() if line.strip()]


@formats.register("videos", form="videos:PATH[@FRAMES/SECONDSs]", files=True)
def _open(rest: str, split: str, root: Path | None) -> Data:
    return open_videos(rest, split)

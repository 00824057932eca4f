"""WebDataset shards with random access, and the labels in them.

WebDataset itself streams shards and shuffles in a buffer; then an order cannot be resumed or repeated on another number
of workers.
"""

import io
import os
import re
import tarfile
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby, product
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from exuno.data.classes import FILE, read_classes
from exuno.data.content import some, some_of
from exuno.data.labels import count_classes, tell_unused
from exuno.engine.digests import CHECKSUMS, at_end, read_checksums
from exuno.engine.documents import parse_json
from exuno.engine.errors import ExunoError, tell
from exuno.engine.untrusted import FILES, UNPACKED, TarMember, read_at_most, read_npy

CALLED = ("cls", "label", "class", "target")
"""What a member that holds the label is called: ``KEY.cls``, ``KEY.cls.npy``, ``KEY.label.txt``, …"""
MAYBE = ("json", "txt", "npy")
"""Kinds of members that hold the label or something else, a caption for instance; the first that does is taken."""
FIELDS = (
    "label",
    "cls",
    "class",
    "target",
    "class_id",
    "class_index",
    "class_idx",
    "label_id",
    "category_id",
    "category",
    "y",
)
"""Of a JSON object, where a label is looked for, in this order; numbers before names."""
PICKLES = ("pyd", "pickle", "pkl", "pth", "pt")
FORMS = "A label is a whole number from 0, or a name in the classes.txt beside the shards"
MOST = 2**16
"""Bytes of a member beyond which it holds something else."""


def is_label(extension: str) -> bool:
    """Whether a member with this extension (in lower case, without the first dot) must hold the label."""
    called, _, kind = extension.partition(".")
    return called in CALLED and kind in ("", *MAYBE, *PICKLES)


def choose(extensions: Collection[str]) -> list[str]:
    """The extensions of members that may hold the labels of all samples, the surest first."""
    sure = sorted(filter(is_label, extensions), key=lambda each: (CALLED.index(each.split(".")[0]), each))
    return sure or [each for each in MAYBE if each in extensions]


class NoLabel(Exception):
    """What a member holds is no label, though it may have been ``meant`` for one."""

    meant = False


def parse(content: bytes | None, extension: str, names: Mapping[str, int]) -> int:
    """The label in a member.

    Args:
        content: of the member; None for one of more than ``MOST`` bytes.
        extension: of its name.
        names: of the classes, with their numbers.

    Raises:
        NoLabel: it holds something else, which the exception tells.
    """
    kind = extension.rpartition(".")[2]
    if content is None:
        raise NoLabel(f"longer than {MOST:,} bytes")
    if kind in PICKLES:
        raise NoLabel("a pickle, which could run code and is not read")
    if kind == "npy":
        return _number(_array(content), names)
    try:
        text = content.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise NoLabel("bytes that are no text") from None
    if kind != "json":
        return _number(text, names)
    try:
        value = parse_json(text)
    except (ValueError, RecursionError):
        raise NoLabel("no JSON") from None
    if not isinstance(value, dict):
        return _number(value, names)
    known = {name.lower(): each for name, each in value.items()}
    found = [known[name] for name in FIELDS if known.get(name) is not None]
    if not found:
        raise NoLabel(f"an object without a field {', '.join(FIELDS[:4])}, …")
    try:
        return _number(next((each for each in found if _whole(each) is not None), found[0]), names)
    except NoLabel as error:
        error.meant = any(known.get(name) is not None for name in CALLED)
        raise


def _array(content: bytes) -> Any:
    try:
        array = read_npy(content)
    except Exception:  # NumPy raises ValueError, EOFError, SyntaxError, … for a damaged header
        raise NoLabel("no array of NumPy") from None
    if array.size != 1 or array.dtype.kind not in "iufU":
        raise NoLabel(f"an array {array.dtype} {list(array.shape)}")
    return array.item()


def _number(value: Any, names: Mapping[str, int]) -> int:
    number = _whole(value)
    if number is None and isinstance(value, str):
        number = names.get(value)
    if number is None:
        raise NoLabel("empty" if value in ("", None) else f"'{str(value)[:40]}'")
    if number < 0:
        raise NoLabel(f"{number}")
    return number


def _whole(value: Any) -> int | None:
    """A whole number, also one that is written as 3.0 or "3"."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return int(value) if isinstance(value, int) else int(number) if (number := float(value)).is_integer() else None
    except (ValueError, OverflowError):
        return None


TAR = (".tar", ".tar.gz", ".tgz")
IMAGES = "images"
TOLD = 4
"""Kinds of members that are named where they are left out."""


@dataclass(frozen=True)
class Member:
    """One file: where its bytes are."""

    shard: int
    key: str
    offset: int
    size: int


def expand(pattern: str, split: str) -> list[Path]:
    """Paths of a pattern: ``{split}`` is replaced, ``{000..012}`` and ``{a,b}`` are expanded, then ``*`` and ``?`` are
    matched.

    Raises:
        ExunoError: if a shard is missing, or nothing matches.
    """
    pattern = pattern.replace("{split}", split)
    parts = re.split(r"\{([^{}]*)\}", pattern)
    choices = [_alternatives(part) if i % 2 else [part] for i, part in enumerate(parts)]
    FILES.check(prod(map(len, choices)), f"the pattern '{pattern}'")
    paths: list[Path] = []
    for words in product(*choices):
        path = Path("".join(words))
        if any(mark in path.name for mark in "*?"):
            paths += sorted(path.parent.glob(path.name))
        elif path.is_file():
            paths.append(path)
        else:
            raise ExunoError(f"there is no shard {path}", f"Check the pattern '{pattern}'.")
    if not paths:
        raise ExunoError(f"no file matches '{pattern}'", "Check the pattern.")
    return paths


def _alternatives(text: str) -> list[str]:
    if match := re.fullmatch(r"(\d+)\.\.(\d+)", text):
        first, last = match.groups()
        FILES.check(int(last) - int(first), f"{{{text}}}")
        return [str(i).zfill(len(first)) for i in range(int(first), int(last) + 1)]
    return text.split(",")


class Shards:
    """The files of one kind in tar files, in their order, with their labels.

    The key of a member is its name up to the first dot behind the last slash, as in webdataset, and the rest its
    extension, in which upper and lower case are one. Of a key, the one file whose suffix is wanted is taken: KEY.jpg,
    or KEY.left.jpg where there is no other; of several, the one with the extension ``only``. Labels are in members
    KEY.cls (or what else :mod:`exuno.data.shards` knows), of the same kind for all. What is left out is told.

    A compressed shard (.tar.gz) has no random access; it is unpacked into memory. Names of the classes are read from
    ``classes.txt`` beside the shards, one a line; without them there are as many classes as the largest label tells.

    Args:
        paths: the shards.
        suffixes: of the files that are wanted, in lower case.
        what: what they are, for messages.
        only: extension of the files, in lower case and without the first dot.

    Raises:
        ExunoError: for broken shards, members of one name, keys with several files, labels that are no numbers, or some
            files with and some without a label.
    """

    def __init__(self, paths: list[Path], suffixes: Collection[str], what: str, only: str | None = None) -> None:
        self.paths, self.suffixes, self.what, self.only = paths, suffixes, what, only
        self.content: dict[int, bytes] = {}
        self.checksums: dict[int, dict[str, int]] = {}
        self.members: list[Member] = []
        beside: list[dict[str, Member]] = []  # of each member, what else has its key
        self.left_out: dict[str, tuple[int, str]] = {}  # kind -> how many, and the first
        self.unmarked: list[Path] = []  # shards that end like one that was cut off
        for shard, path in enumerate(paths):
            for members in self._index(shard, path).values():
                chosen = self._choose(members)
                if chosen is not None:
                    self.members.append(members.pop(chosen))
                    beside.append(members)
                else:
                    self._leave_out(members, f" without {what}")
        if self.unmarked:
            more = f", and {len(self.unmarked) - 1:,} more" if len(self.unmarked) > 1 else ""
            tell(
                f"shards without the mark of an end: {self.unmarked[0]}{more}; where a shard was cut off, samples are "
                "missing"
            )
        if not self.members:
            raise ExunoError(
                f"there are no {what}{f' .{only}' if only else ''} in {paths[0]}, but {self._words() or 'nothing'}",
                f"Known suffixes: {' '.join(suffixes)}.",
            )
        listed = paths[0].parent / FILE
        names = read_classes(listed, repeated=True) if os.path.lexists(listed) else ()
        self.labels, why = self._labels(beside, names)
        for members in beside:
            self._leave_out(members)
        if self.left_out:
            tell(f"{paths[0]}: members left out: {self._words()}{why}")
        labels, told = np.array(self.labels), f"label in {paths[0]}"
        self.num_classes = count_classes(labels, names, told)
        self.classes = names if self.num_classes and names else None
        if not names:
            tell_unused(labels, self.num_classes, None, str(paths[0]))

    def read(self, member: Member) -> bytes:
        """The bytes of a file."""
        [content] = self._read([member])
        return content

    def some(self, member: Member) -> bytes:
        """Some of them, as :func:`exuno.data.content.some` has it."""
        held = self.content.get(member.shard)
        if held is None:
            return some_of(self.paths[member.shard], member.offset, member.size)
        return some(held[member.offset : member.offset + member.size])

    def _read(self, members: Iterable[Member]) -> Iterator[bytes]:
        """The bytes of several; a shard is opened once for those that follow each other in it."""
        for shard, several in groupby(members, lambda member: member.shard):
            held = self.content.get(shard)
            with self.paths[shard].open("rb") if held is None else io.BytesIO(held) as file:
                for member in several:
                    file.seek(member.offset)
                    content = file.read(member.size)
                    right = self.checksums.get(shard, {}).get(member.key)
                    if len(content) < member.size or right not in (None, zlib.crc32(content)):
                        raise ExunoError(
                            f"{member.key} in {self.paths[shard]} is not as it was written", "Write the shard again."
                        )
                    yield content

    def _index(self, shard: int, path: Path) -> dict[str, dict[str, Member]]:
        """The members of a shard: key -> extension -> member."""
        found: dict[str, dict[str, Member]] = {}
        try:
            if path.suffix in (".gz", ".tgz"):
                import gzip

                with gzip.open(path) as packed:
                    self.content[shard] = read_at_most(packed, UNPACKED, str(path))
            source = io.BytesIO(self.content[shard]) if shard in self.content else path.open("rb")
            with source, tarfile.open(fileobj=source, mode="r:", tarinfo=TarMember) as tar:
                for entry in tar:
                    if entry.isdir():
                        continue
                    if entry.name == CHECKSUMS:
                        self.checksums[shard] = read_checksums(source, entry)
                        continue
                    if entry.issparse():
                        raise tarfile.TarError(f"{entry.name} is stored without its zeros, as only GNU tar reads it")
                    folder, _, base = entry.name.rpartition("/")
                    stem, _, extension = base.partition(".")
                    member = Member(shard, entry.name, entry.offset_data, entry.size)
                    if not stem or not extension or not entry.isfile():
                        self._leave_out({"": member}, "without a key" if entry.isfile() else "links")
                        continue
                    members = found.setdefault(f"{folder}/{stem}", {})
                    if (extension := extension.lower()) in members:
                        both = (members[extension].key, entry.name)
                        names = f"{both[0]} twice" if both[0] == both[1] else f"both {both[0]} and {both[1]}"
                        raise ExunoError(f"{path} holds {names}", "Write it again, with each sample once.")
                    members[extension] = member
                if not at_end(source, tar.offset):
                    raise tarfile.TarError(f"what stands at byte {tar.offset:,} is no member and no end")
                if source.seek(0, os.SEEK_END) == tar.offset:
                    self.unmarked.append(path)
        except (tarfile.TarError, OSError, EOFError, ValueError, RecursionError, zlib.error) as error:
            raise ExunoError(f"{path} is not a whole tar file: {error}", "Fetch or write it again.") from error
        return found

    def _choose(self, members: Mapping[str, Member]) -> str | None:
        """The extension of the file that is wanted, if there is one."""
        if self.only is not None:
            return self.only if self.only in members else None
        able = [extension for extension in members if f".{extension.rpartition('.')[2]}" in self.suffixes]
        if len(able) > 1:
            able = [extension for extension in able if "." not in extension] or able
        if len(able) > 1:
            named = [members[extension] for extension in able]
            raise ExunoError(
                f"{self.paths[named[0].shard]} has {len(able)} {self.what} of one key, which ends at the first dot: "
                + ", ".join(member.key for member in named[:TOLD])
                + (", …" if len(named) > TOLD else ""),
                (f"Choose one by its extension, as in wds:PATTERN@{able[0]}, or w" if self.what == IMAGES else "W")
                + "rite them under keys of their own.",
            )
        return able[0] if able else None

    def _labels(self, beside: list[dict[str, Member]], names: tuple[str, ...]) -> tuple[list[int], str]:
        """The label of each file, -1 for all where there are none, and then why what could be labels is none."""
        numbers = {name: i for i, name in enumerate(names)}
        for name in (name for name, count in Counter(names).items() if count > 1):
            del numbers[name]
        why = ""
        for extension in choose(set().union(*beside)):
            mine = [members.get(extension) for members in beside]
            there = [member for member in mine if member is not None]
            labels: list[int] = []
            wrong: tuple[Member, NoLabel] | None = None
            contents = self._read(member for member in there if member.size <= MOST)
            for member in there:
                try:
                    labels.append(parse(next(contents) if member.size <= MOST else None, extension, numbers))
                except NoLabel as error:
                    wrong = wrong or (member, error)
            if wrong is not None:
                member, error = wrong
                if is_label(extension) or labels or error.meant:
                    path = self.paths[member.shard]
                    raise ExunoError(f"{path} has a label that is no class: {member.key} is {error}", f"{FORMS}.")
                why = why or f"; {member.key} is no label but {error}. {FORMS}"
                continue
            if len(there) < len(mine):
                bare = self.members[mine.index(None)]
                raise ExunoError(
                    f"{self.paths[bare.shard]}: {bare.key} has no label, others have "
                    f"({len(mine) - len(there):,} of {len(mine):,} {self.what} have none)",
                    f"Add its .{extension} file, or leave it out.",
                )
            for members in beside:
                del members[extension]
            return labels, ""
        return [-1] * len(beside), why

    def _leave_out(self, members: Mapping[str, Member], note: str = "") -> None:
        for extension, member in members.items():
            count, first = self.left_out.get(kind := f".{extension}{note}" if extension else note, (0, member.key))
            self.left_out[kind] = count + 1, first

    def _words(self) -> str:
        """How many members of which kinds were passed over, and the first of each."""
        kinds = sorted(self.left_out.items(), key=lambda kind: -kind[1][0])
        words = [f"{count:,} {kind} ({first}{', …' * (count > 1)})" for kind, (count, first) in kinds[:TOLD]]
        return ", ".join(words + ["…"] * (len(kinds) > TOLD))

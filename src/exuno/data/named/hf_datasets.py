"""``hf-datasets:NAME``: images of a data set of the Hugging Face hub, or of a folder that ``datasets`` can load."""

import hashlib
import io
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exuno.data.base import Data, Positions
from exuno.data.constants import IMAGENET
from exuno.data.content import looked_at
from exuno.data.images.folder import size_among
from exuno.data.images.picture import decode
from exuno.data.labels import count_classes, names_in, numbered, plain, tell_unused
from exuno.data.names import STANDS_IN, formats, split_word
from exuno.engine.documents import read_bytes
from exuno.engine.errors import ExunoError, tell

IMAGES = ("image", "img", "picture", "photo", "pixel_values")
"""Columns that hold the images where several could, the first of them that is there; else the first column."""
LABELS = ("label", "labels", "fine_label", "class", "target", "cls")
"""Columns that hold the label, the first of them that is there; else the only column of class labels."""


class HubData(Data):
    """The rows of a split, their images decoded when they are fetched: RGB, turned as their EXIF tag says.

    Their size is that of :func:`exuno.data.images.folder.size_among`. A split may lack the last class, or others: all
    splits together tell which classes there are, and the labels of training, validation and test must be of one kind.

    Args:
        name: what to call it.
        rows: a ``datasets.Dataset``.
        beside: the other splits, by name.
        training: whether these rows are for training; then classes without an image are told.
        chosen: whether the user named this split; then labels of the others may be of another kind.

    Raises:
        ExunoError: there is no column of images, or the labels are no numbers of classes, or names here and numbers in
            another split.
    """

    channels = 3
    mean, std = IMAGENET

    def __init__(
        self,
        name: str,
        rows: Any,
        beside: Mapping[str, Any] | None = None,
        training: bool = False,
        chosen: bool = False,
    ) -> None:
        import datasets

        self.name = name
        kinds: Mapping[str, Any] = rows.features
        pictures = [column for column, kind in kinds.items() if isinstance(kind, datasets.Image)]
        pictures = pictures or [column for column in kinds if len(rows) and _is_picture(rows[0][column])]
        if not pictures:
            raise ExunoError(
                f"{name} has no column of images (it has {', '.join(kinds)})",
                "If one holds paths, make it one: rows.cast_column(COLUMN, datasets.Image()).save_to_disk(PATH).",
            )
        self.column = next((column for column in IMAGES if column in pictures), pictures[0])
        if len(pictures) > 1:
            left = ", ".join(each for each in pictures if each != self.column)
            tell(f"{name} has several columns of images: {self.column} is read, not {left}", name.rpartition("/")[0])
        # The bytes as they are: exuno decodes every picture alike.
        self.rows = rows.select_columns([self.column]).cast_column(self.column, datasets.Image(decode=False))
        named = [column for column, kind in kinds.items() if isinstance(kind, datasets.ClassLabel)]
        column = next((each for each in LABELS if each in kinds), named[0] if len(named) == 1 else None)
        labels, self.classes, self.num_classes = np.full(len(rows), -1, np.int64), None, 0
        if column is None and (others := [each for each in kinds if each not in pictures]):
            tell(
                f"{name} is read without labels: of its columns {', '.join(others)} none is the label, or several may "
                f"be; rename_column(COLUMN, 'label') and save_to_disk(PATH) say which",
                f"{name.rpartition('/')[0]} labels",
            )
        if column is not None:
            what = f"the column {column} of {name}"
            own, beside = _labels(rows[column], what), beside or {}
            found = _labels_beside(column, beside, what)
            if not chosen and column not in named:
                # Where one split has a list of names, its numbers are theirs.
                plainly = {
                    split: x for split, x in found.items() if not hasattr(beside[split].features[column], "names")
                }
                _check_alike(own, plainly, what)
            others = [each for split, each in found.items() if beside[split].features[column] == kinds[column]]
            names = tuple(kinds[column].names) if column in named else names_in([own, *others])
            labels = numbered(own, names, what)
            if count := count_classes(labels, names, what):
                beyond = [] if names else [int(each.max()) + 1 for each in others]
                self.classes, self.num_classes = names or None, max([count, *beyond])
            if training:
                tell_unused(labels, self.num_classes, names, what)
        self.labels = torch.from_numpy(labels)
        self.image_size, self.resize = size_among(len(self), lambda position: io.BytesIO(self.read(position)))

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, position: int) -> bytes:
        """The bytes of a picture."""
        cell = self.rows[position][self.column] or {}
        if cell.get("bytes") is not None:
            return cell["bytes"]
        if cell.get("path") is None:
            raise ExunoError(f"row {position} of {self.name} has no picture", "Leave such rows out (Dataset.filter).")
        return read_bytes(Path(cell["path"]))

    def fetch(self, positions: Positions) -> tuple[list[Tensor], Tensor]:
        chosen = np.asarray(positions, np.int64)
        images: list[NDArray[np.uint8]] = [
            decode(self.read(position), f"image {position} of {self.name}") for position in chosen.tolist()
        ]
        return [torch.from_numpy(image).permute(2, 0, 1) for image in images], self.labels[torch.from_numpy(chosen)]

    def fingerprint(self) -> str:
        """sha256 of the names, sizes and labels of the images; the images themselves are not read."""
        import pyarrow.compute as pc

        digest = hashlib.sha256(self.labels.numpy().tobytes())
        for chunk in self.rows.data.column(self.column).chunks:
            sizes = pc.fill_null(pc.binary_length(chunk.field("bytes")), -1)  # pyright: ignore[reportAttributeAccessIssue]
            digest.update(f"{sizes.to_pylist()} {chunk.field('path').to_pylist()}".encode())
        return digest.hexdigest()

    def content(self) -> str:
        """See :mod:`exuno.data.content`."""
        return looked_at(len(self), self.read)


def _is_picture(cell: Any) -> bool:
    """Whether a cell of no declared kind holds the bytes of a picture: as they are, or as pandas writes them."""
    content = cell.get("bytes") if isinstance(cell, Mapping) else cell
    if not isinstance(content, bytes):
        return False
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)):
            return True
    except Exception:  # of any of Pillow's readers
        return False


def _labels(values: Sequence[Any], what: str) -> NDArray[Any]:
    """The labels in a column, as :func:`~exuno.data.labels.plain` has them; -1 throughout for a column of nothing.

    Raises:
        ExunoError: some rows have none.
    """
    values = values[:]  # a column of ``datasets`` is read anew for each row
    bare = [row for row, value in enumerate(values) if value is None]
    if len(bare) == len(values):
        return np.full(len(values), -1, np.int64)
    if bare:
        others = f", as {len(bare) - 1:,} others" if len(bare) > 1 else ""
        raise ExunoError(
            f"row {bare[0]} of {what} has no label{others}", "Give each image its class, or leave such rows out."
        )
    try:
        found = np.asarray(values)
    except ValueError:  # lists of different lengths
        raise ExunoError(f"{what} holds lists", "Give each image one class; several are not supported.") from None
    return plain(found, what)


def _labels_beside(column: str, beside: Mapping[str, Any], what: str) -> dict[str, NDArray[Any]]:
    """The labels of other splits; what is wrong with one is told where that is opened."""
    found: dict[str, NDArray[Any]] = {}
    for split, rows in beside.items():
        if column in rows.features and len(rows):
            with suppress(ExunoError):
                labels = _labels(rows[column], what)
                names = names_in([labels])
                count_classes(numbered(labels, names, what), names, what)
                found[split] = labels
    return found


def _check_alike(own: NDArray[Any], others: Mapping[str, NDArray[Any]], what: str) -> None:
    """Raises ExunoError where the labels of one split are names and those of another numbers: of which names nobody
    knows."""

    def form(labels: NDArray[Any]) -> str:
        return "names" if labels.dtype.kind == "U" else "numbers" if (labels >= 0).any() else ""

    for split, labels in others.items():
        if split_word(split) and {form(own), form(labels)} == {"names", "numbers"}:
            example = own[0] if form(own) == "names" else own[own >= 0][0]
            raise ExunoError(
                f"{what} holds {form(own)}, such as {example}, and in the split {split} {form(labels)}",
                "Save it with names in all splits, or numbers in all; hf-datasets:NAME@SPLIT takes one split alone.",
            )


def open_hub(spec: str, split: str) -> HubData:
    """``NAME[@[CONFIG/]SPLIT]``: a data set of the hub, or a folder of this machine: one that ``save_to_disk`` wrote,
    or files that ``load_dataset`` reads. A SPLIT that is named is the one for every split asked for.

    Raises:
        ExunoError: the package is missing, or there is no such data set, configuration or split.
    """
    try:
        import datasets
    except ImportError as error:
        raise ExunoError(f"hf-datasets:{spec} needs the package datasets", "pip install 'exuno[hf]'") from error
    name, _, chosen = spec.partition("@")
    config, _, asked = chosen.rpartition("/")
    try:
        if (Path(name) / "dataset_dict.json").is_file() or (Path(name) / "state.json").is_file():
            found: Any = datasets.load_from_disk(name)
        else:
            found = datasets.load_dataset(name, config or None)
    except Exception as error:  # of the hub, of the network, of a reader of files
        raise ExunoError(
            f"hf-datasets:{spec} cannot be loaded ({type(error).__name__}: {error})"[:400],
            "Check its name on huggingface.co/datasets, the network, and the configuration (NAME@CONFIG/SPLIT).",
        ) from error
    if not isinstance(found, dict):
        return HubData(f"hf-datasets:{spec}", found)
    wanted = [asked] if asked else [split, *STANDS_IN.get(split, ())]
    meant = {word[0]: each for each in reversed(list(found)) if (word := split_word(each)) and not word[1]}
    for each in wanted:
        if key := each if each in found else None if asked else meant.get(each):
            beside = {other: rows for other, rows in found.items() if other != key}
            return HubData(f"hf-datasets:{spec}/{key}", found[key], beside, each == "train", bool(asked))
    raise ExunoError(
        f"hf-datasets:{spec} has no split '{wanted[0]}'",
        f"Its splits are {', '.join(found)}: name one by hf-datasets:NAME@SPLIT.",
    )


@formats.register("hf-datasets", form="hf-datasets:NAME[@[CONFIG/]SPLIT]", files=False)
def _open(rest: str, split: str, root: Path | None) -> Data:
    return open_hub(rest, split)

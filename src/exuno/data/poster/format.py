"""The ``.poster`` folder: what is in it, written and read without trusting it.

A poster: one small picture that stands for a data set (PoDD, arXiv 2403.12040), with all it takes to learn from it.

On disk it is a folder ``NAME.poster`` of ``poster.png`` (lossless; a gray one has as many bits a pixel as the poster),
``poster.json`` and, where there are any, ``labels.safetensors`` (packed, below 16 bits) and ``whitening.safetensors``.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exuno.data.poster.check import MOST, check
from exuno.data.poster.coding import Coding, coding_of
from exuno.data.poster.layout import Layout
from exuno.data.poster.patches import Canvas, array_labels, fixed_labels, shared_labels
from exuno.data.poster.picture import picture, png
from exuno.data.poster.quantisation import packed, unpacked
from exuno.data.poster.whitening import Whitening, by_spectrum
from exuno.engine.documents import parse_json, read_text
from exuno.engine.errors import ExunoError
from exuno.engine.files import atomic_folder

FORMULA = 1 << 14
"""Numbers in an image whose whitening is computed by a formula; the matrix of this many has a gigabyte."""
VERSION = 4
"""Of the format; what reads it refuses newer ones. A poster of 8-bit pixels and 16-bit labels is of version 1, one
without a palette, labels of classes and whitening by a formula of version 2 at most, one whose colours have the size of
its light of version 3 at most."""
SUFFIX = ".poster"


@dataclass(frozen=True, eq=False)
class Poster:
    """A distilled data set of K classes, its pixels rounded to 2, 4 or 8 bits.

    Raises:
        ExunoError: parts that do not fit each other.
    """

    pixels: NDArray[np.uint8]
    """[C, H, W], multiples of 255 / (2^bits - 1); with a palette numbers of its colours, times that, [1, H, W]; with
    colours of half the size the sheet of exuno.data.poster.chroma."""
    low: tuple[float, ...]
    """Value of pixel 0, of each channel (or plane: light and two colours), in the space in which it was distilled:
    normalised or whitened."""
    high: tuple[float, ...]
    """Value of pixel 255, of each channel."""
    layout: Layout
    order: NDArray[np.int64]
    """Class in each cell of the grid, [rows, columns]."""
    class_names: tuple[str, ...]
    data: str
    """Spec of the data set that was distilled."""
    data_sha256: str
    """Its fingerprint (of the training split)."""
    mean: tuple[float, ...]
    """Of each channel, for pixels in [0, 1]; what the images were normalised by unless they were whitened."""
    std: tuple[float, ...]
    labels: NDArray[np.float16] | None = None
    """Learned label array [K, lh, lw], below 16 bits of whole numbers; None for labels by the class areas."""
    label_formula: Literal["paper", "reference"] = "paper"
    """How labels follow from class areas; see exuno.data.poster.patches."""
    whitening: Whitening | None = None
    bits: int = 8
    """Of a pixel in each channel."""
    label_bits: int = 16
    """Of a number of the label array."""
    palette: NDArray[np.float16] | None = None
    """Colours [2^bits, C] in the space in which it was distilled; None for evenly spaced levels of each channel."""
    label_sharing: Literal["cells", "classes"] = "cells"
    """What a learned label belongs to: a cell of an array that is cropped in step with the patches, or a class, whose
    labels, [K, 1, K], are mixed by the shares of the class areas in a patch."""
    chroma: Literal["full", "half"] = "full"
    """Width and height of the colours: those of the light, or half of them; see exuno.data.poster.chroma."""
    protocol: Mapping[str, Any] = field(default_factory=dict)
    """How a network learns from it: network, optimizer, batch, augmentation, steps."""
    lineage: Mapping[str, Any] = field(default_factory=dict)
    """Where it comes from: seed and algorithm."""

    def __post_init__(self) -> None:
        check(self)

    @property
    def classes(self) -> int:
        """K, the number of classes."""
        return len(self.class_names)

    @property
    def channels(self) -> int:
        """C, channels of the images that networks see."""
        return len(self.mean)

    @property
    def coding(self) -> Coding:
        """How the pixels are stored."""
        return coding_of(self.bits, self.palette is not None, self.chroma)

    @property
    def ipc(self) -> float:
        """Images per class: pixels of the poster / (classes x pixels of an image)."""
        return self.layout.pixels / (self.classes * self.layout.image[0] * self.layout.image[1])

    @property
    def values(self) -> Tensor:
        """The poster in the space in which it was distilled: float32 [C, H, W]."""
        return self.coding.values(self)

    @property
    def shown(self) -> NDArray[np.uint8]:
        """The poster as a picture, [C, H, W]."""
        return self.coding.shown(self)

    def patches(self) -> tuple[Tensor, Tensor]:
        """All P patches, float32 [P, C, h, w] in the distilled space, and their soft labels, float32 [P, K]."""
        if self.labels is None:
            labels = fixed_labels(self.layout, self.order, self.classes, self.label_formula)
        else:
            array = torch.from_numpy(self.labels).float()
            shared = self.label_sharing == "classes"
            labels = shared_labels(array, self.layout, self.order) if shared else array_labels(array, self.layout)
        return Canvas(self.layout).patches(self.values), labels

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of all that a network learns from."""
        plain = (asdict(self.layout), self.order.tolist(), self.low, self.high, self.mean, self.std, self.label_formula)
        digest = hashlib.sha256(json.dumps(plain).encode())
        if self.label_sharing != "cells":
            digest.update(self.label_sharing.encode())
        if self.palette is not None:
            digest.update(self.palette.tobytes())
        for array in (self.pixels, self.labels):
            digest.update(b"-" if array is None else np.ascontiguousarray(array).tobytes())
        digest.update(b"-" if self.whitening is None else self.whitening.content)
        return digest.hexdigest()


def save(poster: Poster, path: Path) -> Path:
    """Write a poster as the folder ``path`` (``NAME.poster``), whole or not at all; an older poster there is replaced.

    Raises:
        ExunoError: the name is another, something else is in the way, or the folder cannot be written.
    """
    from safetensors.numpy import save as pack

    if path.suffix != SUFFIX:
        raise ExunoError(f"{path} is no name of a poster", f"Call it NAME{SUFFIX}.")
    if path.exists() and not (path / "poster.json").is_file():
        raise ExunoError(f"{path} exists and is no poster", "Choose another name; it was not touched.")
    labels, few = poster.labels, {}
    if poster.bits < 8 or poster.label_bits < 16:
        shape = None if labels is None else labels.shape
        few = {"bits": poster.bits, "label_bits": poster.label_bits, "label_shape": shape}
    new = {} if poster.palette is None else {"palette": poster.palette.astype(np.float64).tolist()}
    if poster.label_sharing != "cells":
        new["label_sharing"] = poster.label_sharing
    if poster.chroma != "full":
        new["chroma"] = poster.chroma
    stored = poster.whitening
    if stored is not None and stored.formula:
        new["whitening"], stored = "spectrum", None
    content = {
        "format": "exuno poster",
        "version": VERSION if "chroma" in new else 3 if new else 2 if few else 1,
        "sha256": poster.fingerprint,
        "layout": asdict(poster.layout),
        "order": poster.order.tolist(),
        "low": poster.low,
        "high": poster.high,
        "mean": poster.mean,
        "std": poster.std,
        "data": poster.data,
        "data_sha256": poster.data_sha256,
        "learned_labels": poster.labels is not None,
        "label_formula": poster.label_formula,
        "whitened": poster.whitening is not None,
        **few,
        **new,
        "protocol": poster.protocol,
        "lineage": poster.lineage,
        "class_names": poster.class_names,
    }
    with atomic_folder(path) as folder:
        (folder / "poster.png").write_bytes(png(poster.pixels, poster.bits, poster.coding.colours(poster)))
        if labels is not None:
            few_bits = poster.label_bits < 16
            array = packed(labels.astype(np.uint8), poster.label_bits) if few_bits else labels
            (folder / "labels.safetensors").write_bytes(pack({"labels": array}))
        if stored is not None:
            (folder / "whitening.safetensors").write_bytes(pack({"matrix": stored.matrix.numpy()}))
        (folder / "poster.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def load(path: Path) -> Poster:
    """Read a poster: a ``.poster`` folder, or the directory of a run that made one.

    Raises:
        ExunoError: there is none, it is damaged, or a newer exuno wrote it.
    """

    return read(path)


FETCH = "Make or fetch the poster anew."


def read(path: Path) -> Poster:
    """The poster of a ``.poster`` folder or of a run directory.

    Raises:
        ExunoError: there is none, or it is damaged.
    """
    folder = find(path)
    content = description(folder / "poster.json")
    try:
        bits, label_bits = integer(content.get("bits", 8)), integer(content.get("label_bits", 16))
        palette = None if content.get("palette") is None else read_palette(content["palette"])
        pixels = picture(folder / "poster.png", None if palette is None else bits)
        layout = Layout(**{name: pair(sides) for name, sides in content["layout"].items()})
        mean = numbers(content["mean"])
        labels = whitening = None
        if content["learned_labels"]:
            labels = tensor(folder / "labels.safetensors", "labels")
            if label_bits < 16:
                shape = tuple(integer(side) for side in content["label_shape"])
                labels = unpacked(labels, label_bits, shape).astype(np.float16)
        if content["whitened"]:
            whitening = read_whitening(folder, content.get("whitening", "matrix"), (len(mean), *layout.image))
        poster = Poster(
            pixels,
            low=numbers(content["low"]),
            high=numbers(content["high"]),
            layout=layout,
            order=np.array([[integer(cell) for cell in row] for row in content["order"]], np.int64),
            class_names=tuple(text(name) for name in content["class_names"]),
            data=text(content["data"]),
            data_sha256=text(content["data_sha256"]),
            mean=mean,
            std=numbers(content["std"]),
            labels=labels,
            label_formula=content["label_formula"],
            whitening=whitening,
            bits=bits,
            label_bits=label_bits,
            palette=palette,
            label_sharing=content.get("label_sharing", "cells"),
            chroma=content.get("chroma", "full"),
            protocol=dict(content["protocol"]),
            lineage=dict(content["lineage"]),
        )
    except ExunoError as error:
        raise ExunoError(f"{folder} is damaged: {error.what}", FETCH) from error
    except KeyError as error:
        raise ExunoError(f"{folder / 'poster.json'} is damaged: {error} is missing", FETCH) from error
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ExunoError(f"{folder / 'poster.json'} is damaged: {error}", FETCH) from error
    if poster.fingerprint != content.get("sha256"):
        raise ExunoError(f"{folder} is not as it was written: its sha256 is another", FETCH)
    return poster


def read_palette(rows: Any) -> NDArray[np.float16]:
    """Colours, [k, C]."""
    with np.errstate(over="ignore"):  # what is beyond float16 is infinite, and told as such
        colours = np.array([numbers(row) for row in rows], np.float16)
    if colours.ndim != 2:
        raise ValueError("the palette is no table of colours")
    return colours


def read_whitening(folder: Path, kind: str, shape: tuple[int, int, int]) -> Whitening:
    """The whitening of a poster: the matrix beside it, or that which follows from the size of its images."""
    if kind == "matrix":
        return Whitening(torch.from_numpy(tensor(folder / "whitening.safetensors", "matrix")), shape)
    if kind != "spectrum" or not 0 < math.prod(shape) <= FORMULA:
        raise ExunoError(f"there is no whitening by '{kind}' of images of {shape}")
    return by_spectrum(shape)


def find(path: Path) -> Path:
    """The ``.poster`` folder that is ``path``, or that lies in the run directory ``path``."""
    folder = path if (path / "poster.json").exists() or path.suffix == SUFFIX else path / f"distilled{SUFFIX}"
    if folder.is_dir():
        return folder
    if not path.is_dir():
        raise ExunoError(f"there is no poster {path}", f"Give a folder NAME{SUFFIX}, or the run that made one.")
    if (path / "config.yaml").is_file():
        again = f"Repeat its command (see {path / 'command.txt'}), which continues where it stopped."
        raise ExunoError(f"the run in {path} has no poster: it is unfinished or made something else", again)
    raise ExunoError(f"{path} holds no poster", f"Give a folder NAME{SUFFIX}, or the run that made one.")


def description(path: Path) -> dict[str, Any]:
    """What poster.json says, of a version that is known."""
    if not path.is_file():
        raise ExunoError(f"{path} is missing", FETCH)
    try:
        content = parse_json(read_text(path, todo=FETCH))
    except (ValueError, RecursionError) as error:
        raise ExunoError(f"{path} cannot be read: {error}", FETCH) from error
    if not isinstance(content, dict) or content.get("format") != "exuno poster":
        raise ExunoError(f"{path} does not describe a poster", FETCH)
    version = content.get("version")
    if not isinstance(version, int) or version < 1:
        raise ExunoError(f"{path} has the format version {version}", FETCH)
    if version > VERSION:
        raise ExunoError(
            f"{path} has format version {version}, this exuno reads up to {VERSION}", "Install a newer exuno."
        )
    return content


def tensor(path: Path, name: str) -> NDArray[Any]:
    """The one array of a safetensors file."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    if not path.is_file():
        raise ExunoError(f"{path.name} is missing")
    if path.stat().st_size > MOST:
        raise ExunoError(f"{path.name} has {path.stat().st_size} bytes, more than a poster can need")
    try:
        arrays = load(path.read_bytes())
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise ExunoError(f"{path.name} is no whole safetensors file: {error}") from error
    if list(arrays) != [name]:
        raise ExunoError(f"{path.name} holds {', '.join(arrays) or 'nothing'}, not {name}")
    return arrays[name]


def integer(value: Any) -> int:
    """A whole number, and nothing that only looks like one."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} is no whole number")
    return value


def pair(value: Any) -> tuple[int, int]:
    """Two whole numbers."""
    first, second = (integer(side) for side in value)
    return first, second


def numbers(value: Any) -> tuple[float, ...]:
    """A list of numbers."""
    if not isinstance(value, list) or any(not isinstance(x, int | float) or isinstance(x, bool) for x in value):
        raise TypeError(f"{value!r} is no list of numbers")
    return tuple(map(float, value))


def text(value: Any) -> str:
    """A string."""
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value

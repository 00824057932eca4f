"""The ``.poster`` folder: what is in it, written and read without trusting it.

A poster: one small picture that stands for a data set (PoDD, arXiv 2403.12040), with all it takes to learn from it.

On disk it is a folder ``NAME.poster`` of ``poster.png`` (lossless; a gray one has as many bits a pixel as the poster),
``poster.json`` and, where there are any, ``labels.safetensors`` (packed, below 16 bits) and ``whitening.safetensors``.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exuno.data.poster.layout import Layout
from exuno.data.poster.palette import painted
from exuno.data.poster.patches import Canvas, array_labels, fixed_labels, shared_labels
from exuno.data.poster.picture import picture, png
from exuno.data.poster.quantisation import packed, top, unpacked
from exuno.data.poster.whitening import Whitening
from exuno.engine.documents import read_text
from exuno.engine.errors import ExunoError
from exuno.engine.files import atomic_folder

MOST = 1 << 32
"""Numbers in the patches of a poster, and bytes of its parts; more is a damaged file and not a small data set."""


def check(poster: "Poster") -> None:
    """Raises ExunoError, saying which parts of a poster contradict each other."""
    layout, shape = poster.layout, poster.pixels.shape
    if poster.pixels.dtype != np.uint8 or poster.pixels.ndim != 3 or shape[0] not in (1, 3):
        raise wrong(f"pixels are {poster.pixels.dtype} {list(shape)}, not uint8 [1 or 3, H, W]")
    if poster.bits not in (2, 4, 8) or (poster.pixels % (255 // top(poster.bits))).any():
        raise wrong(f"its pixels are not of {poster.bits} bits")
    check_palette(poster)
    check_layout(layout, poster.channels)
    if shape[1:] != layout.size:
        raise wrong(f"the picture has {shape[2]}x{shape[1]} pixels, the layout {layout.size[1]}x{layout.size[0]}")
    for name in ("low", "high", "mean", "std"):
        check_numbers(name, getattr(poster, name), poster.channels)
    if any(low > high for low, high in zip(poster.low, poster.high, strict=True)) or min(poster.std) <= 0:
        raise wrong(f"low {poster.low}, high {poster.high} and std {poster.std} are no ranges")
    if not poster.classes:
        raise wrong("no classes are named")
    if poster.order.shape != layout.grid or sorted(poster.order.ravel().tolist()) != list(range(poster.classes)):
        raise wrong(f"the order does not place each of the {poster.classes} classes once in a grid of {layout.grid}")
    check_labels(poster)
    images = (poster.channels, *layout.image)
    if poster.whitening is not None and poster.whitening.shape != images:
        raise wrong(f"the whitening is one of images of {poster.whitening.shape}, not {images}")


def check_palette(poster: "Poster") -> None:
    """Raises ExunoError for a palette that does not fit the pixels."""
    colours = poster.palette
    if colours is None:
        return
    if colours.dtype != np.float16 or colours.shape not in {(1 << poster.bits, 1), (1 << poster.bits, 3)}:
        raise wrong(f"the palette is {colours.dtype} {list(colours.shape)}, not float16 [{1 << poster.bits}, 1 or 3]")
    if not np.isfinite(colours).all():
        raise wrong("the palette holds numbers that are not finite")
    if len(poster.pixels) != 1:
        raise wrong(f"its pixels are numbers of a palette in {len(poster.pixels)} channels, not in one")


def check_layout(layout: Layout, channels: int) -> None:
    """Raises ExunoError for a layout that no poster can have."""
    pairs = (layout.size, layout.image, layout.patch, layout.patches, layout.grid, layout.area)
    if any(len(pair) != 2 or min(pair) < 1 for pair in pairs):
        raise wrong(f"{layout} has a side below 1")
    for name, part in (("patch", layout.patch), ("class area", layout.area)):
        if any(side > full for side, full in zip(part, layout.size, strict=True)):
            raise wrong(f"a {name} of {part} does not fit into a poster of {layout.size}")
    places = [full - side + 1 for full, side in zip(layout.size, layout.patch, strict=True)]
    if any(count > most for count, most in zip(layout.patches, places, strict=True)):
        raise wrong(f"there are no {layout.patches} different patches of {layout.patch} in {layout.size}")
    if layout.count * channels * math.prod(layout.image) > MOST:
        raise wrong(f"{layout.count} patches of {layout.image} are more than a poster can mean")


def check_numbers(name: str, numbers: Sequence[float], channels: int) -> None:
    """Raises ExunoError unless there is a finite number for each channel."""
    if len(numbers) != channels or not all(map(math.isfinite, numbers)):
        raise wrong(f"{name} {tuple(numbers)} is not a finite number for each of {channels} channels")


def check_labels(poster: "Poster") -> None:
    """Raises ExunoError for label parts that cannot be."""
    if poster.label_formula not in ("paper", "reference"):
        raise wrong(f"the label formula '{poster.label_formula}' is neither paper nor reference")
    labels, bits = poster.labels, poster.label_bits
    if poster.label_sharing not in ("cells", "classes"):
        raise wrong(f"labels are shared by '{poster.label_sharing}', which is neither cells nor classes")
    if bits not in (2, 4, 8, 16):
        raise wrong(f"labels have 2, 4, 8 or 16 bits, not {bits}")
    if labels is None:
        return
    if labels.dtype != np.float16 or labels.ndim != 3 or len(labels) != poster.classes or not labels.size:
        raise wrong(f"the label array is {labels.dtype} {list(labels.shape)}, not float16 [{poster.classes}, h, w]")
    if poster.label_sharing == "classes" and labels.shape[1:] != (1, poster.classes):
        raise wrong(f"the label array is {list(labels.shape)}, not one label for each of {poster.classes} classes")
    if poster.layout.count * labels[0].size > MOST:
        raise wrong(f"a label array of {list(labels.shape)} is more than a poster can mean")
    if not np.isfinite(labels).all() or labels.min() < 0:
        raise wrong("the label array holds numbers that are negative or not finite")
    if bits < 16 and ((labels != labels.round()).any() or labels.max() > top(bits)):
        raise wrong(f"the label array holds other numbers than 0 to {top(bits)}, those of {bits} bits")


def wrong(what: str) -> ExunoError:
    """The error for parts that do not fit."""
    return ExunoError(f"this is no poster: {what}", "Make or fetch it anew.")


VERSION = 3
"""Of the format; what reads it refuses newer ones. A poster of 8-bit pixels and 16-bit labels is of version 1, one
without a palette and labels of classes of version 2 at most."""
SUFFIX = ".poster"


@dataclass(frozen=True, eq=False)
class Poster:
    """A distilled data set of K classes, its pixels rounded to 2, 4 or 8 bits.

    Raises:
        ExunoError: parts that do not fit each other.
    """

    pixels: NDArray[np.uint8]
    """[C, H, W], multiples of 255 / (2^bits - 1); with a palette numbers of its colours, times that, [1, H, W]."""
    low: tuple[float, ...]
    """Value of pixel 0, of each channel, in the space in which it was distilled: normalised or whitened."""
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
        return len(self.pixels) if self.palette is None else self.palette.shape[1]

    @property
    def ipc(self) -> float:
        """Images per class: pixels of the poster / (classes x pixels of an image)."""
        return self.layout.pixels / (self.classes * self.layout.image[0] * self.layout.image[1])

    @property
    def values(self) -> Tensor:
        """The poster in the space in which it was distilled: float32 [C, H, W]."""
        if self.palette is not None:
            return painted(torch.from_numpy(self.palette).float(), torch.from_numpy(self.levels[0]).long()).contiguous()
        low, high = (np.array(bound)[:, None, None] for bound in (self.low, self.high))
        return torch.from_numpy((low + self.pixels / 255 * (high - low)).astype(np.float32))

    @property
    def levels(self) -> NDArray[np.uint8]:
        """The pixels as numbers below 2^bits, [C, H, W]."""
        return self.pixels // (255 // top(self.bits))

    @property
    def colours(self) -> NDArray[np.uint8] | None:
        """The palette as it is shown, [2^bits, C]: each channel from 0 for ``low`` to 255 for ``high``."""
        if self.palette is None:
            return None
        low, high = np.array(self.low), np.array(self.high)
        return np.rint((self.palette - low) / np.where(high > low, high - low, 1) * 255).clip(0, 255).astype(np.uint8)

    @property
    def shown(self) -> NDArray[np.uint8]:
        """The poster as a picture, [C, H, W]."""
        return self.pixels if self.colours is None else self.colours[self.levels[0]].transpose(2, 0, 1)

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
        for array in (self.pixels, self.labels, self.whitening and self.whitening.matrix.numpy()):
            digest.update(b"-" if array is None else np.ascontiguousarray(array).tobytes())
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
    content = {
        "format": "exuno poster",
        "version": VERSION if new else 2 if few else 1,
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
        (folder / "poster.png").write_bytes(png(poster.pixels, poster.bits, poster.colours))
        if labels is not None:
            few_bits = poster.label_bits < 16
            array = packed(labels.astype(np.uint8), poster.label_bits) if few_bits else labels
            (folder / "labels.safetensors").write_bytes(pack({"labels": array}))
        if poster.whitening is not None:
            (folder / "whitening.safetensors").write_bytes(pack({"matrix": poster.whitening.matrix.numpy()}))
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
        palette = content.get("palette")
        if palette is not None:
            palette = np.array([numbers(colour) for colour in palette], np.float16)
        pixels = picture(folder / "poster.png", None if palette is None else bits)
        layout = Layout(**{name: pair(sides) for name, sides in content["layout"].items()})
        channels = len(pixels) if palette is None else palette.shape[1]
        labels = whitening = None
        if content["learned_labels"]:
            labels = tensor(folder / "labels.safetensors", "labels")
            if label_bits < 16:
                shape = tuple(integer(side) for side in content["label_shape"])
                labels = unpacked(labels, label_bits, shape).astype(np.float16)
        if content["whitened"]:
            matrix = torch.from_numpy(tensor(folder / "whitening.safetensors", "matrix"))
            whitening = Whitening(matrix, (channels, *layout.image))
        poster = Poster(
            pixels,
            low=numbers(content["low"]),
            high=numbers(content["high"]),
            layout=layout,
            order=np.array([[integer(cell) for cell in row] for row in content["order"]], np.int64),
            class_names=tuple(text(name) for name in content["class_names"]),
            data=text(content["data"]),
            data_sha256=text(content["data_sha256"]),
            mean=numbers(content["mean"]),
            std=numbers(content["std"]),
            labels=labels,
            label_formula=content["label_formula"],
            whitening=whitening,
            bits=bits,
            label_bits=label_bits,
            palette=palette,
            label_sharing=content.get("label_sharing", "cells"),
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
        content = json.loads(read_text(path, todo=FETCH))
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

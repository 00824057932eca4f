"""A poster: one small picture that stands for a data set (PoDD, arXiv 2403.12040), with all it takes to learn from it.

On disk it is a folder ``NAME.poster`` of ``poster.png`` (8 bits a channel, lossless), ``poster.json`` and, where there
are any, ``labels.safetensors`` and ``whitening.safetensors``.
"""

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exuno.data.canvas import Layout
from exuno.data.gather import Canvas
from exuno.data.patch_labels import array_labels, fixed_labels
from exuno.data.poster_check import check
from exuno.data.whitening import Whitening
from exuno.engine.errors import ExunoError
from exuno.engine.files import atomic_folder

VERSION = 1
"""Of the format; what reads it refuses newer ones."""
SUFFIX = ".poster"
CODE = "Besides, code that reads a PNG file and cuts patches and labels out as poster.json says: exuno, for instance."


@dataclass(frozen=True, eq=False)
class Poster:
    """A distilled data set of K classes, its pixels rounded to 8 bits.

    Raises:
        ExunoError: parts that do not fit each other.
    """

    pixels: NDArray[np.uint8]
    """[C, H, W]"""
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
    """Learned label array [K, lh, lw]; None for labels by the class areas."""
    label_formula: Literal["paper", "reference"] = "paper"
    """How labels follow from class areas; see exuno.data.patch_labels."""
    whitening: Whitening | None = None
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
    def ipc(self) -> float:
        """Images per class: pixels of the poster / (classes x pixels of an image)."""
        return self.layout.pixels / (self.classes * self.layout.image[0] * self.layout.image[1])

    @property
    def values(self) -> Tensor:
        """The poster in the space in which it was distilled: float32 [C, H, W]."""
        low, high = (np.array(bound)[:, None, None] for bound in (self.low, self.high))
        return torch.from_numpy((low + self.pixels / 255 * (high - low)).astype(np.float32))

    def patches(self) -> tuple[Tensor, Tensor]:
        """All P patches, float32 [P, C, h, w] in the distilled space, and their soft labels, float32 [P, K]."""
        if self.labels is None:
            labels = fixed_labels(self.layout, self.order, self.classes, self.label_formula)
        else:
            labels = array_labels(torch.from_numpy(self.labels).float(), self.layout)
        return Canvas(self.layout).patches(self.values), labels

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of all that a network learns from."""
        plain = (asdict(self.layout), self.order.tolist(), self.low, self.high, self.mean, self.std, self.label_formula)
        digest = hashlib.sha256(json.dumps(plain).encode())
        for array in (self.pixels, self.labels, self.whitening and self.whitening.matrix.numpy()):
            digest.update(b"-" if array is None else np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def quantise(values: Tensor) -> tuple[NDArray[np.uint8], tuple[float, ...], tuple[float, ...]]:
    """Round a poster to 8 bits a channel, spread over what each channel spans.

    Args:
        values: float [C, H, W].

    Returns:
        Pixels uint8 [C, H, W] and the values (low, high) of 0 and 255 in each channel; the error is at most
        (high - low) / 510.

    Raises:
        ExunoError: values that are not finite.
    """
    array = values.detach().cpu().numpy().astype(np.float64)
    if not np.isfinite(array).all():
        raise ExunoError("the poster holds values that are not finite", "Distill it anew with a lower --optim.lr.")
    low, high = array.min((1, 2), keepdims=True), array.max((1, 2), keepdims=True)
    span = np.where(high > low, high - low, 1)
    pixels = ((array - low) / span * 255).round().astype(np.uint8)
    return pixels, tuple(low.ravel().tolist()), tuple(high.ravel().tolist())


def png(pixels: NDArray[np.uint8]) -> bytes:
    """uint8 [C, H, W], C = 1 or 3, as a PNG file."""
    from PIL import Image

    stream = io.BytesIO()
    picture = Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    picture.save(stream, format="PNG", optimize=True)
    return stream.getvalue()


def ledger(poster: Poster) -> dict[str, Any]:
    """What it takes to learn from a poster and to test what was learnt, in bytes.

    ``pixels`` raw and ``png`` as a file; ``labels``, 2 a number, 0 where they follow from layout and order; ``order``;
    ``normalisation`` (4 a number); ``whitening``, the float32 matrix without which no test image can be whitened;
    ``total`` (of these, with the raw pixels); ``ipc``, images per class; and in words the ``code`` needed.
    """
    spent = {
        "pixels": poster.pixels.size,
        "labels": 0 if poster.labels is None else 2 * poster.labels.size,
        "order": poster.classes * (1 if poster.classes <= 256 else 2),
        "normalisation": 4 * len(poster.pixels) * (4 if poster.whitening is None else 2),
        "whitening": 0 if poster.whitening is None else 4 * poster.whitening.matrix.numel(),
    }
    return {**spent, "total": sum(spent.values()), "png": len(png(poster.pixels)), "ipc": poster.ipc, "code": CODE}


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
    content = {
        "format": "exuno poster",
        "version": VERSION,
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
        "protocol": poster.protocol,
        "lineage": poster.lineage,
        "class_names": poster.class_names,
    }
    with atomic_folder(path) as folder:
        (folder / "poster.png").write_bytes(png(poster.pixels))
        if poster.labels is not None:
            (folder / "labels.safetensors").write_bytes(pack({"labels": poster.labels}))
        if poster.whitening is not None:
            (folder / "whitening.safetensors").write_bytes(pack({"matrix": poster.whitening.matrix.numpy()}))
        (folder / "poster.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def load(path: Path) -> Poster:
    """Read a poster: a ``.poster`` folder, or the directory of a run that made one.

    Raises:
        ExunoError: there is none, it is damaged, or a newer exuno wrote it.
    """
    from exuno.data.poster_read import read

    return read(path)

"""Reading a ``.poster`` folder without trusting it: what is missing, damaged or contradictory is told in a sentence."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from exuno.data.canvas import Layout
from exuno.data.poster import SUFFIX, VERSION, Poster
from exuno.data.poster_check import MOST
from exuno.data.whitening import Whitening
from exuno.engine.documents import read_text
from exuno.engine.errors import ExunoError

FETCH = "Make or fetch the poster anew."


def read(path: Path) -> Poster:
    """The poster of a ``.poster`` folder or of a run directory.

    Raises:
        ExunoError: there is none, or it is damaged.
    """
    folder = find(path)
    content = description(folder / "poster.json")
    try:
        pixels = picture(folder / "poster.png")
        layout = Layout(**{name: pair(sides) for name, sides in content["layout"].items()})
        channels = len(pixels)
        labels = whitening = None
        if content["learned_labels"]:
            labels = tensor(folder / "labels.safetensors", "labels")
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


def picture(path: Path) -> NDArray[np.uint8]:
    """uint8 [C, H, W] of an 8-bit gray or RGB PNG file."""
    from PIL import Image

    if not path.is_file():
        raise ExunoError(f"{path.name} is missing")
    try:
        with Image.open(path, formats=["PNG"]) as image:
            if image.mode not in ("L", "RGB"):
                raise ExunoError(f"{path.name} is a picture of mode {image.mode}, not 8-bit gray or RGB")
            pixels = np.array(image, np.uint8)
    except ExunoError:
        raise
    except Exception as error:  # Pillow raises OSError, SyntaxError, DecompressionBombError, … for a damaged file
        raise ExunoError(f"{path.name} is no whole PNG file ({type(error).__name__})") from error
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


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

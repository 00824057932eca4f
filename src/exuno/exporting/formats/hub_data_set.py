"""A poster as a data set that ``datasets.load_dataset(FOLDER)`` reads: a table of its patches, and Croissant
metadata."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from exuno.data.poster.data_set import PosterData
from exuno.data.poster.format import Poster
from exuno.engine.files import atomic, write_json
from exuno.exporting.croissant import METADATA, described
from exuno.exporting.options import formats

FILE = "data/train-00000-of-00001.parquet"


@formats.register("datasets", of="poster", needs=("datasets", "pyarrow"), install='pip install "exuno[hf]"')
def data_set(poster: Poster, folder: Path, license: str | None) -> str:
    """Write ``data/train-00000-of-00001.parquet`` and ``croissant.json``.

    A row is a patch: ``image``, what it looks like (PNG, 8 bits); ``label``, its likeliest class; ``soft_label``, K
    numbers of sum 1; ``values``, float32 [C, h, w], what networks train on. Values of a poster that was not whitened
    are in units of [0, 1] and may leave that range a little; those of a whitened one have mean 0 and deviation 1.

    Args:
        poster: read already.
        folder: that is there.
        license: as the hub names it; None where it is not known.

    Returns:
        In a line, what was written.
    """
    import datasets
    import pyarrow.parquet as parquet

    data = PosterData(poster, "poster")
    shape = (data.channels, *data.image_size)
    # Lists in lists, and not an array type of ``datasets``, which whoever reads the file by other means has not.
    values: Any = datasets.Value("float32")
    for side in reversed(shape):
        values = datasets.List(values, length=side)
    kinds = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=list(poster.class_names)),
            "soft_label": datasets.List(datasets.Value("float32"), length=poster.classes),
            "values": values,
        }
    )
    columns = {
        "image": [{"bytes": png, "path": None} for png in pictures(data)],
        "label": data.labels.argmax(1).tolist(),
        "soft_label": data.labels.tolist(),
        "values": data.images.tolist(),
    }
    rows: Any = datasets.Dataset.from_dict(columns, kinds).with_format("arrow")[:]
    with atomic(folder / FILE) as temporary:
        parquet.write_table(rows, temporary)
    write_json(folder / METADATA, described(poster, folder, FILE, shape, len(data), license))
    return f"{len(data):,} patches; datasets.load_dataset('{folder}')"


def pictures(data: PosterData) -> list[bytes]:
    """What the patches look like, as PNG: clipped to [0, 1]; whitened ones unwhitened, each with its own contrast."""
    shown: Tensor = data.images if data.whitening is None else data.whitening.picture(data.images)
    pixels = shown.clamp(0, 1).mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return [_png(each) for each in pixels]


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(file, "PNG")
    return file.getvalue()

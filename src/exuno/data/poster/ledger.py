"""What a poster takes, in bytes."""

from typing import Any

import numpy as np

from exuno.data.poster.format import Poster
from exuno.data.poster.picture import png
from exuno.data.poster.quantisation import byte_size, coded_size

CODE = "Besides, code that reads a PNG file and cuts patches and labels out as poster.json says: exuno, for instance."


def byte_breakdown(poster: Poster) -> dict[str, Any]:
    """What it takes to learn from a poster and to test what was learnt, in bytes.

    ``pixels``, packed, and ``png`` as a file; the colours of a ``palette`` (float16); ``labels``, packed, 0 where they
    follow from layout and order; ``order``; ``normalisation`` (4 a number); ``whitening``, the float32 matrix without
    which no test image can be whitened, 0 where it follows from a formula; ``total`` of these; ``coded``, what an
    entropy coder makes of pixels and labels, where that is shorter (labels of 16 bits are not coded); ``ipc``, images
    per class; and in words the ``code`` needed.
    """
    coding, labels, matrix = poster.coding, poster.labels, poster.whitening
    pixels, shared = coding.levels(poster), coding.shared_bytes(poster.channels)
    numbers = 2 * (matrix is None) + 2 * (not shared)  # mean and deviation, unless images are whitened; low and high
    spent = {
        "pixels": byte_size(pixels.size, poster.bits),
        "palette": shared,
        "labels": 0 if labels is None else byte_size(labels.size, poster.label_bits),
        "order": poster.classes * (1 if poster.classes <= 256 else 2),
        "normalisation": 4 * poster.channels * numbers,
        "whitening": 0 if matrix is None or matrix.formula else 4 * matrix.matrix.numel(),
    }
    coded = [min(spent["pixels"], coded_size(pixels, poster.bits)), spent["labels"]]
    if labels is not None and poster.label_bits < 16:
        coded[1] = min(coded[1], coded_size(labels.astype(np.uint8), poster.label_bits))
    others = {
        "coded": sum(coded),
        "png": len(png(poster.pixels, poster.bits, coding.colours(poster))),
        "ipc": poster.ipc,
        "code": CODE,
    }
    return {**spent, "total": sum(spent.values()), **others}

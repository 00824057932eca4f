"""The pictures of an examination: patches of each photograph, and what the teacher takes them for."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exuno.engine.files import write_json
from exuno.report.grid import image_grid, save_png

SHOWN = 32  # patches of each photograph
MOST = 12  # photographs


def write_figures(
    folder: Path, sources: Mapping[str, tuple[Any, NDArray[np.floating[Any]]]], names: Sequence[str]
) -> None:
    """Writes ``patches0.png``, … and ``figures.json`` for the report.

    Args:
        folder: figures/ of the run.
        sources: spec of a photograph -> its patches (a data set) and the teacher's logits for them [N, C].
        names: of the classes.
    """
    figures = []
    for i, (spec, (patches, logits)) in enumerate(list(sources.items())[:MOST]):
        images, _ = patches.fetch(np.arange(min(SHOWN, len(patches)), dtype=np.int64))
        pixels = images.permute(0, 2, 3, 1).contiguous().numpy()
        save_png(image_grid(pixels, columns=16, scale=max(1, 48 // pixels.shape[1])), folder / f"patches{i}.png")
        figures.append({"file": f"patches{i}.png", "title": spec, "caption": answers(logits, names)})
    write_json(folder / "figures.json", figures)


def answers(logits: NDArray[np.floating[Any]], names: Sequence[str]) -> str:
    """``The teacher's answers: cat 31 %, …``: the five most frequent classes of logits [N, C]."""
    counts = np.bincount(logits.argmax(1), minlength=logits.shape[1])
    first = np.argsort(-counts, kind="stable")[:5]
    told = ", ".join(f"{names[i]} {100 * counts[i] / len(logits):.0f}\u202f%" for i in first if counts[i])
    return f"The teacher's answers to {len(logits):,} patches: {told}."

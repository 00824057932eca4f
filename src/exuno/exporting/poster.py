"""A poster as a folder to hand on, with its card: that of a data set where its patches are written as a table."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from exuno.data.poster.format import Poster, load, save
from exuno.data.poster.ledger import byte_breakdown
from exuno.engine.files import write_text
from exuno.exporting.model import measured, nothing_left
from exuno.exporting.options import formats
from exuno.exporting.readme import Origin, document, lineage_of, origin_of, quoted
from exuno.report.html import flatten

NAME = "distilled.poster"
SIZES = {1000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", float("inf"): "n>100K"}
"""Rows below which -> how the hub names so many."""
AS_DATA_SET = """```python
import datasets

rows = datasets.load_dataset("DIR", split="train")  # {patches:,} patches
```

| column | |
|---|---|
| `image` | what the patch looks like, 8 bits |
| `label` | its likeliest class |
| `soft_label` | the share of each class; the sum is 1 |
| `values` | float32 [C, h, w], what a network trains on: {values} |

There is no test split: the data that it stands for are the test. `croissant.json` says what the columns are in
[Croissant](https://docs.mlcommons.org/croissant/) 1.1."""
PLAIN = "in units of [0, 1], which they may leave a little"
WHITENED = "whitened, as test images have to be, too (`whitening.safetensors`)"


def export_poster(path: Path, folder: Path, license: str | None = None, names: Sequence[str] = ()) -> dict[str, str]:
    """Write the poster at ``path`` (a .poster folder, or the run that made it) into a new or empty folder.

    Args:
        path: see above.
        folder: see above.
        license: as the hub names it, if it is known.
        names: of formats of posters, to write as well.

    Returns:
        What was written: title -> text.

    Raises:
        ExunoError: there is no poster, or it is damaged; nothing is left behind.
    """
    poster, origin = load(path), origin_of(f"run:{path}")
    with nothing_left(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lines = {"poster": f"{save(poster, folder / NAME)}; use it as poster:{folder}"}
        lines |= {name: formats.get(name)(poster, folder, license) for name in names}
        write_text(folder / "README.md", describe(poster, origin, folder.resolve().name, license, "datasets" in names))
    return lines


def describe(poster: Poster, origin: Origin, name: str, license: str | None, rows: bool) -> str:
    """The card of a poster; with ``rows`` that of a data set, with a head for the hub and ``datasets``."""
    spent, (height, width) = byte_breakdown(poster), poster.layout.size
    facts = {
        "poster": f"{width}x{height} pixels{poster.coding.words}, {poster.ipc:.3g} images per class, "
        f"{spent['png']:,} bytes as PNG",
        "stands for": f"`{poster.data}`, {poster.classes} classes: {', '.join(poster.class_names[:20])}"
        + (", …" if poster.classes > 20 else ""),
        "labels": "learned" if poster.labels is not None else "by the areas of the classes",
        "all that it takes": f"{spent['total']:,} bytes",
    }
    sections = {
        "How to learn from it": "```sh\nexuno teach --data 'poster:DIR?test=folder:TEST' --model exuno:convnet"
        "\nexuno eval poster:DIR --data folder:TEST\n```\n\nDIR is this folder, TEST one of your labelled images; "
        "without it the test is on what was distilled, where that is at hand."
        + "\n\nThe protocol that it was made for: `"
        + ", ".join(f"{key} {value}" for key, value in flatten(poster.protocol) if value != "")
        + "`.",
    }
    if rows:
        values = PLAIN if poster.whitening is None else WHITENED
        sections["As a data set"] = AS_DATA_SET.format(patches=poster.layout.count, values=values)
    if table := measured(origin.result):
        sections["What was measured"] = table
    lineage = {"data_sha256": poster.data_sha256, **poster.lineage, **origin.result.get("lineage", {})}
    sections["Where it comes from"] = lineage_of(lineage, origin.command)
    if rows and not license:
        sections["License"] = (
            f"Unknown to exuno. The poster is made of {quoted(poster.data)}, whose license and terms hold for it, too."
        )
    smoke, tags = origin.smoke or bool(poster.lineage.get("smoke")), ["dataset-distillation"]
    head = head_of(poster, license) if rows else {}
    text = document(name, facts, sections, license, tags, origin.summary, smoke, head)
    return text.replace("\n## ", f"\n![The poster]({NAME}/poster.png)\n\n## ", 1)


def head_of(poster: Poster, license: str | None) -> dict[str, Any]:
    """What the head of a data set's card says: license, task, size, and which file is which split."""
    return {
        "license": license or "unknown",
        "task_categories": ["image-classification"],
        "size_categories": [next(size for most, size in SIZES.items() if poster.layout.count < most)],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*.parquet"}]}],
    }

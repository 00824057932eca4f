"""Croissant metadata, version 1.1 (MLCommons): JSON-LD that says what the columns of a data set are."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from exuno.data.poster.format import Poster

METADATA = "croissant.json"
VERSION = "http://mlcommons.org/croissant/1.1"
CROISSANT = (
    *("arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field", "fileProperty"),
    *("fileObject", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5"),
    *("parentField", "path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate", "separator"),
    *("source", "subField", "transform"),
)
"""Words of the vocabulary."""
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    **{word: f"cr:{word}" for word in CROISSANT},
}


def described(
    poster: Poster, folder: Path, file: str, shape: Sequence[int], rows: int, license: str | None
) -> dict[str, Any]:
    """The metadata of a poster whose patches are a Parquet file.

    Args:
        poster: what the table was made of.
        folder: of the data set; its name becomes that of the data.
        file: the table, in the folder.
        shape: (C, h, w) of a patch.
        rows: in the table.
        license: as the hub names it; None where it is not known, and is said to be.
    """
    content = (folder / file).read_bytes()
    classes = ", ".join(poster.class_names)
    whitened = "whitened: mean 0, deviation 1" if poster.whitening is not None else "in units of [0, 1]"
    fields = [
        _field("image", "sc:ImageObject", "What the patch looks like.", transform={"jsonPath": "bytes"}),
        _field("label", "sc:Integer", f"Its likeliest class, counted from 0: {classes}."),
        _field("soft_label", "sc:Float", "The share of each class; the sum is 1.", shape=[poster.classes]),
        _field("values", "sc:Float", f"What a network trains on, [C, h, w], {whitened}.", shape=shape),
    ]
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": VERSION,
        "name": folder.resolve().name,
        "description": (
            f"{rows:,} patches of a poster, one small picture that stands for the data set {poster.data} "
            f"({poster.classes} classes, {poster.ipc:.3g} images per class)."
        ),
        "license": license or "unknown: that of the data it was made from",
        "version": "1.0.0",
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": "patches.parquet",
                "name": "patches.parquet",
                "contentUrl": file,
                "contentSize": f"{len(content)} B",
                "encodingFormat": "application/x-parquet",
                "sha256": hashlib.sha256(content).hexdigest(),
            }
        ],
        "recordSet": [{"@type": "cr:RecordSet", "@id": "patches", "name": "patches", "field": fields}],
    }


def _field(name: str, kind: str, description: str, shape: Sequence[int] = (), **more: Any) -> dict[str, Any]:
    """A column of the table; ``shape`` of an array, none of a single value."""
    array = {"isArray": True, "arrayShape": ",".join(map(str, shape))} if shape else {}
    source = {"fileObject": {"@id": "patches.parquet"}, "extract": {"column": name}, **more}
    about = {"@type": "cr:Field", "@id": f"patches/{name}", "name": name, "description": description}
    return {**about, "dataType": kind, **array, "source": source}

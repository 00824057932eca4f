"""Whether the cells of a study saw the same data: a study that goes on later may find other content under a name."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from exuno.engine.documents import read_json, read_yaml
from exuno.engine.errors import ExunoError

VERBS = ("teach", "distill")
SHAPING = ("data", "data_root", "holdout", "holdout_seed", "split", "teacher", "classes")
"""Options that say which data these are, and in whose numbers they are labelled."""
PINNED = ("training_data", "test_data")
"""Digests in the inputs of a run; those of some of the content of files, which earlier runs do not have, follow their
names."""


def mixed(cells: Iterable[Path]) -> list[str]:
    """A sentence for each data set that cells of the same options saw with different content.

    Args:
        cells: run directories of finished cells.
    """
    first: dict[str, tuple[str, dict[str, Any]]] = {}
    found: dict[str, str] = {}
    for folder in cells:
        try:
            record, inputs = read_yaml(folder / "config.yaml"), read_json(folder / "inputs.json")
        except ExunoError:
            continue  # damaged or moved away: whoever reads its result tells
        config = record.get("config")
        if record.get("verb") not in VERBS or not isinstance(config, dict) or not isinstance(inputs, dict):
            continue
        if config.get("data") is None:
            continue  # tested on patches, which differ by source and seed
        key = json.dumps([record["verb"], *(config.get(name) for name in SHAPING)], default=str)
        digests = {name: value for name, value in inputs.items() if name.startswith(PINNED)}
        name, known = first.setdefault(key, (folder.name, digests))
        if any(known.get(each, value) != value for each, value in digests.items()):
            found.setdefault(
                key,
                f"{config.get('data')} has changed between cells {name} and {folder.name}: the tables compare results "
                "on different data; another --run-dir computes all cells again",
            )
        known.update({each: value for each, value in digests.items() if each not in known})
    return list(found.values())

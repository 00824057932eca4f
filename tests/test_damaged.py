"""Damaged files end in a sentence: those that once ended in a traceback, and a slice of what ``make fuzz`` tries."""

import random
from pathlib import Path

import pytest

from fuzz.mutate import mutated, seeds
from fuzz.readers import READERS, tell

EACH = 60
VALID = seeds()


def test_files_that_once_ended_in_a_traceback(shared: Path, tmp_path: Path) -> None:
    files = sorted((shared / "cases/damaged").glob("*.bin"))
    if not files:
        pytest.skip("the shared folder has no damaged files")
    silent = []
    for number, file in enumerate(files):
        kind = file.name.partition("-")[0]
        folder = tmp_path / str(number)
        folder.mkdir()
        if tell(lambda kind=kind, folder=folder, file=file: READERS[kind](folder, file.read_bytes())) is None:
            silent.append(file.name)
    # Read without harm: a number of TensorFlow's index that is a shape of no variable, and a base with odd values.
    assert not [name for name in silent if name.partition("-")[0] not in ("tfbundle", "yamlcfg", "shards")], silent


@pytest.mark.parametrize("kind", VALID)
def test_any_damage_ends_in_a_sentence(kind: str, tmp_path: Path) -> None:
    refused = 0
    for number in range(EACH):
        draw = random.Random(f"slice/{kind}/{number}")
        folder = tmp_path / str(number)
        folder.mkdir()
        content = mutated(kind, draw.choice(VALID[kind]), draw)
        refused += tell(lambda content=content, folder=folder: READERS[kind](folder, content)) is not None
    assert refused > EACH // 10 or kind in ("yamlcfg", "evaluation", "curves")  # a page notes what it passes over


@pytest.mark.parametrize(
    "kind", [kind for kind in VALID if kind not in ("spec", "synthjson", "poster", "tfbundle", "lists", "curves")]
)
def test_the_files_themselves_are_read(kind: str, tmp_path: Path) -> None:
    for number, content in enumerate(VALID[kind]):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert tell(lambda content=content, folder=folder: READERS[kind](folder, content)) is None

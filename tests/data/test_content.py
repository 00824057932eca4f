"""What is noticed of files that keep their names and sizes."""

import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from exuno.data.content import BLOCK, BLOCKS, FILES, digests_of, looked_at, some, some_of
from exuno.data.holdout import parts
from exuno.data.open import open_data
from exuno.data.relabelled import Relabelled
from exuno.data.subset import choose
from exuno.engine.options import Holdout


def picture(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), value, np.uint8)).save(path, "BMP")  # of the same size whatever it shows


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        for number in range(3):
            picture(tmp_path / "data" / name / f"{number}.bmp", number)
    return tmp_path / "data"


def test_a_picture_that_was_edited_to_the_same_size(folder: Path) -> None:
    before = open_data(f"folder:{folder}")
    known, looked = before.fingerprint(), before.content()
    os.utime(folder / "a/0.bmp")  # a copy elsewhere has other times
    assert open_data(f"folder:{folder}").content() == looked
    picture(folder / "b/1.bmp", 200)
    after = open_data(f"folder:{folder}")
    assert after.fingerprint() == known  # records of earlier versions stay readable
    assert after.content() != looked


def test_what_is_made_of_data_knows_their_content(folder: Path) -> None:
    def made() -> list[str]:
        data = open_data(f"folder:{folder}")
        kept, held = parts(data, data, Holdout(0.34))
        every = [Relabelled(data, (1, 0), ("b", "a"), 2), choose("both", [data], ("b", "a"))]
        return [each.content() for each in (data, *every)] + [kept.content() + held.content()]

    before = made()
    assert all(before)
    picture(folder / "b/1.bmp", 200)
    assert all(one != other for one, other in zip(before, made(), strict=True))


def shard(path: Path, value: int) -> None:
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as tar:
        for number in range(4):
            file = io.BytesIO()
            Image.fromarray(np.full((8, 8, 3), value if number == 2 else 7, np.uint8)).save(file, "BMP")
            for suffix, content in (("bmp", file.getvalue()), ("cls", b"%d" % (number % 2))):
                entry = tarfile.TarInfo(f"{number}.{suffix}")
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))


@pytest.mark.parametrize("name", ["0.tar", "0.tar.gz"])
def test_shards(tmp_path: Path, name: str) -> None:
    found = []
    for value in (1, 1, 2):
        shard(tmp_path / name, value)
        found.append(digests_of("data", open_data(f"wds:{tmp_path / name}")))
    assert found[0] == found[1]
    assert found[0]["data"] == found[2]["data"]
    assert found[0]["data (content)"] != found[2]["data (content)"]


def test_data_that_are_read_as_a_whole_have_no_digest_of_some_content() -> None:
    assert list(digests_of("data", open_data("digits"))) == ["data", "data (class names)"]


def test_little_of_much_is_read(tmp_path: Path) -> None:
    content = np.random.default_rng(0).bytes(100 * BLOCK + 7)
    (tmp_path / "large").write_bytes(b"before" + content + b"after")
    taken = some(content)
    assert len(taken) == BLOCKS * BLOCK
    assert taken == some_of(tmp_path / "large", 6, len(content))
    assert taken.startswith(content[:BLOCK])
    assert taken.endswith(content[-BLOCK:])
    assert some(content[:5000]) == content[:5000] == some_of(tmp_path / "large", 6, 5000)
    asked: list[int] = []
    looked_at(10**6, lambda position: asked.append(position) or b"")
    assert len(asked) == len(set(asked)) == FILES
    assert max(asked) > 0.99 * 10**6
    every: list[int] = []
    looked_at(FILES - 1, lambda position: every.append(position) or b"")
    assert every == list(range(FILES - 1))

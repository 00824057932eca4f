"""Test images among what a student sees: counted, and told."""

import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from exuno.data.holdout import open_held
from exuno.data.open import num_shared, open_data
from exuno.distill.options import DistillConfig
from exuno.distill.source import overlap
from exuno.engine.options import Holdout


@pytest.fixture
def animals(tmp_path: Path) -> Path:
    """Four images of each of two classes for training, two for the test."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("test", 2)):
        for name in ("ant", "bee"):
            folder = tmp_path / "animals" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(folder / f"{number}.png")
    return tmp_path / "animals"


def test_files_are_the_same_where_they_lie_in_the_same_place(animals: Path) -> None:
    test = open_data(f"folder:{animals}", "test")
    assert num_shared(open_data(f"folder:{animals}", "train"), test) == 0
    assert num_shared(open_data(f"folder:{animals / 'test'}"), test) == 4
    assert num_shared(open_data(f"folder:{animals / 'test' / 'ant'}"), test) == 2
    (animals.parent / "link").symlink_to(animals / "test" / "bee")
    assert num_shared(open_data(f"folder:{animals.parent / 'link'}"), test) == 2
    shutil.copytree(animals / "test", animals.parent / "copy")
    assert num_shared(open_data(f"folder:{animals.parent / 'copy'}"), test) == 0


def test_held_out_files_are_found_in_a_part_of_their_folder(animals: Path) -> None:
    held = open_held(f"folder:{animals / 'train'}", "test", None, Holdout(0.5))
    assert num_shared(open_data(f"folder:{animals / 'train' / 'ant'}"), held) == 2
    assert num_shared(open_held(f"folder:{animals / 'train'}", "train", None, Holdout(0.5)), held) == 0


def test_members_of_shards_and_other_data(animals: Path) -> None:
    for name, files in (("a", ("0", "1")), ("b", ("2", "3"))):
        with tarfile.open(animals / f"{name}.tar", "w") as tar:
            for file in files:
                tar.add(animals / "train" / "ant" / f"{file}.png", f"{file}.png")
    whole = open_data(f"wds:{animals}/{{a,b}}.tar")
    assert num_shared(whole, open_data(f"wds:{animals}/b.tar")) == 2
    assert num_shared(open_data(f"wds:{animals}/a.tar"), open_data(f"wds:{animals}/b.tar")) == 0
    assert num_shared(open_data("digits"), open_data("digits", "test")) == 0
    assert num_shared(open_data("digits", "test"), open_data("digits", "test")) == 355


def test_a_distillation_tells_it(animals: Path) -> None:
    test = open_data(f"folder:{animals}", "test")

    def told(source: str) -> str:
        config = DistillConfig("run:x", "exuno:convnet", data=f"folder:{animals}", source=(source,))
        return overlap(config, open_data(source) if ":" in source else None, test)

    assert told(f"folder:{animals / 'test'}").startswith("4 of the 4 test images of")
    assert told(str(animals / "test" / "ant" / "0.png")).startswith("1 of the 4 test images of")
    assert told(f"folder:{animals / 'train'}") == told(str(animals / "train" / "ant" / "0.png")) == ""

"""The shared file of a teacher's logits: who meets in it, and what a damaged one does."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from PIL import Image

from exuno.cli import main
from exuno.data.base import ArrayData
from exuno.data.images.folder import open_folder
from exuno.data.open import open_data
from exuno.distill.options import DistillConfig
from exuno.distill.source import open_source
from exuno.distill.teacher import file_key, teacher_logits
from exuno.engine.configuration import fingerprint
from exuno.engine.options import RunOptions
from exuno.models.classifier import Classifier
from exuno.models.ensemble import joined
from exuno.models.load import load_model
from exuno.presets import to_dict

CPU = torch.device("cpu")


def network(seed: int = 0) -> Classifier:
    torch.manual_seed(seed)
    return load_model("exuno:convnet_1_8", classes=5, in_chans=1, input_size=(8, 8), pretrained=False)


def images(seed: int = 0, count: int = 12) -> ArrayData:
    random = np.random.default_rng(seed)
    return ArrayData("noise", random.integers(0, 256, (count, 1, 8, 8), np.uint8), np.arange(count) % 5)


@pytest.fixture(scope="module")
def accelerator() -> Accelerator:
    return Accelerator(cpu=True)


def test_the_second_run_asks_nobody(tmp_path: Path, accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch) -> None:
    teacher, source = network(), images()
    first = teacher_logits(teacher, source, (8, 8), accelerator, tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(first, teacher(source.images / 255))
    [file] = tmp_path.iterdir()
    monkeypatch.setattr("exuno.distill.teacher.logits", lambda *_: pytest.fail("the teacher was asked again"))
    assert torch.equal(teacher_logits(network(), images(), (8, 8), accelerator, tmp_path), first)
    assert [*tmp_path.iterdir()] == [file]


def test_another_teacher_source_or_size_has_a_file_of_its_own() -> None:
    known = file_key(network(), images(), (8, 8), CPU)
    assert known == file_key(network(), images(), (8, 8), CPU)
    others = [
        file_key(network(1), images(), (8, 8), CPU),
        file_key(network(), images(1), (8, 8), CPU),
        file_key(network(), images(0, 11), (8, 8), CPU),
        file_key(network(), images(), (16, 16), CPU),
    ]
    assert len({known, *others}) == 5


def test_teachers_of_the_same_weights_and_other_cards_have_files_of_their_own() -> None:
    """What a model does to pixels is in its card; several models have one each."""

    def key(**card: Any) -> str:
        one, two = network(), network(1)
        other = Classifier(two.net, replace(two.card, **card))
        return file_key(joined([one, other]), images(), (8, 8), CPU)

    assert key() == key(lineage={"seed": 3})
    assert len({key(), key(mean=(0.4,)), key(input_size=(16, 16))}) == 3


def test_an_image_of_a_folder_that_was_written_anew_is_another_source(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "train" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8), "red").save(tmp_path / "train" / name / "0.bmp")
    known = file_key(network(), open_folder(tmp_path, "train", "pictures"), (8, 8), CPU)
    Image.new("RGB", (8, 8), "blue").save(tmp_path / "train/a/0.bmp")
    assert file_key(network(), open_folder(tmp_path, "train", "pictures"), (8, 8), CPU) != known


def test_patches_too_many_for_memory_are_told_apart_by_what_makes_them(tmp_path: Path) -> None:
    """Without drawing them: those of a fresh source are never held."""

    def digest(seed: int = 0, patches: int = 10, size: int = 8, value: int = 0, channels: int = 1) -> str:
        path = tmp_path / f"{value}.png"
        Image.new("RGB", (50, 40), (value,) * 3).save(path)
        plan = DistillConfig("none", "none", "digits", (str(path),), patches=patches, fresh=True)
        plan = replace(plan, run=RunOptions(seed=seed))
        return open_source(plan, open_data("digits", "test"), (size, size), channels).fingerprint()

    found = {digest(), digest(seed=1), digest(patches=11), digest(size=16), digest(value=1), digest(channels=3)}
    assert len(found) == 6
    assert digest() in found


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_damaged_file_is_computed_again(damage: str, tmp_path: Path, accelerator: Accelerator) -> None:
    first = teacher_logits(network(), images(), (8, 8), accelerator, tmp_path)
    [file] = tmp_path.iterdir()
    content = bytearray(file.read_bytes())
    middle = len(content) // 3
    content[middle] ^= 255
    file.write_bytes({"cut": content[:middle], "flipped": content, "empty": b""}[damage])
    assert torch.equal(teacher_logits(network(), images(), (8, 8), accelerator, tmp_path), first)
    content[middle] ^= 255
    assert file.read_bytes() == bytes(content), "the good content is back"


def test_the_folder_does_not_shape_the_result() -> None:
    config = DistillConfig("run:a", "exuno:convnet", "digits", cache_logits=True)
    other = DistillConfig("run:a", "exuno:convnet", "digits", cache_logits=True, cache_dir=Path("cache"))
    assert fingerprint(to_dict(config)) == fingerprint(to_dict(other))
    assert fingerprint(to_dict(DistillConfig("run:a", "exuno:convnet", "digits"))) != fingerprint(to_dict(config))


def test_two_students_share_one_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    teacher, shared = tmp_path / "teacher", tmp_path / "cache"
    rest = ["--smoke", "--devices", "cpu"]
    assert main(["teach", "digits", *rest, "--run-dir", str(teacher)]) == 0
    args = ["distill", "--teacher", f"run:{teacher}", "--data", "digits", "--source", "digits", *rest]
    args += ["--cache-logits", "--cache-dir", str(shared)]
    for student in ("exuno:convnet_2_8", "exuno:convnet_2_4"):
        assert main([*args, "--student", student, "--run-dir", str(tmp_path / student[-1])]) == 0
        assert not [*(tmp_path / student[-1]).glob("teacher_logits*")]
    assert len([*shared.iterdir()]) == 1
    args.remove("--cache-logits")
    capsys.readouterr()
    assert main([*args, "--student", "exuno:convnet_2_8", "--run-dir", str(tmp_path / "none")]) == 2
    assert "--cache-dir says where" in capsys.readouterr().err

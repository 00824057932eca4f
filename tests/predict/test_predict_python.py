"""``exuno.predict`` and ``Trained.predict``: the same picture in every form, from several threads, mistakes told."""
# Mistakes that a type checker would tell are made here on purpose.
# pyright: reportArgumentType=false

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import exuno
from exuno.models.card import Hearing
from exuno.models.load import load_model


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> exuno.Trained:
    return exuno.teach("digits", smoke=True, devices="cpu", run_dir=tmp_path_factory.mktemp("runs") / "taught")


@pytest.fixture(scope="module")
def digits() -> torch.Tensor:
    """uint8 [12, 1, 8, 8]"""
    images, _ = exuno.open_data("digits", "test").fetch(np.arange(12))
    assert isinstance(images, torch.Tensor)
    return images


def told(found: list[exuno.Prediction]) -> list[tuple[int, float]]:
    return [(each.label, round(each.probability, 5)) for each in found]


def test_a_picture_in_every_form(student: exuno.Trained, digits: torch.Tensor, tmp_path: Path) -> None:
    arrays = [np.repeat(image[0].numpy()[..., None], 3, 2) for image in digits]
    for number, array in enumerate(arrays):
        Image.fromarray(array).save(tmp_path / f"{number:02}.png")
    paths = sorted(tmp_path.iterdir())
    expected = told(exuno.predict(student, paths))
    assert len(set(expected)) > 6
    forms: dict[str, Any] = {
        "folder": tmp_path,
        "words": [str(path) for path in paths],
        "pil": [Image.open(path) for path in paths],
        "gray": [Image.open(path).convert("L") for path in paths],
        "arrays": arrays,
        "flat": [array[..., 0] for array in arrays],
        "stack": np.stack(arrays),
        "torch's way": digits.numpy(),
        "batch": digits,
        "floats": digits / 255,
        "tensors": list(digits),
        "generator": (image for image in digits),
        "mixed": [*paths[:3], *arrays[3:6], digits[6], digits[7:]],
    }
    for name, images in forms.items():
        assert told(exuno.predict(student, images, batch_size=5, devices="cpu")) == expected, name
    assert told(student.predict(digits)) == expected
    alone = exuno.predict(student, paths[3], topk=10)
    assert told(alone) == expected[3:4]
    assert alone[0].source == str(paths[3])
    assert [each.source for each in exuno.predict(student, digits[:2])] == [0, 1]
    assert sum(each.score for each in alone[0].topk) == pytest.approx(1)
    assert alone[0].margin == pytest.approx(alone[0].topk[0].score - alone[0].topk[1].score)
    assert str(alone[0]) == alone[0].name


def test_a_photograph_in_every_form(student: exuno.Trained, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 5, 3), np.uint8)
    photo = Image.fromarray(pixels).resize((300, 260))
    photo.save(tmp_path / "photo.png")
    expected = told(exuno.predict(student, tmp_path / "photo.png"))
    assert told(exuno.predict(student, photo)) == told(exuno.predict(student, np.asarray(photo))) == expected
    assert told(exuno.predict(f"run:{student.dir}", photo)) == told(exuno.predict(student.dir, photo)) == expected
    whole = torch.from_numpy(np.array(photo)).permute(2, 0, 1)
    assert exuno.predict(student, whole)[0].probability == pytest.approx(student(whole[None]).softmax(1).max().item())


def test_threads_get_the_same_answers(student: exuno.Trained, digits: torch.Tensor) -> None:
    expected = [told(student.predict(image)) for image in digits]
    with ThreadPoolExecutor(6) as pool:
        for _ in range(5):
            found = list(pool.map(lambda image: told(student.predict(image)), digits))
            assert found == expected


def test_a_model_in_training_goes_on_in_training(digits: torch.Tensor) -> None:
    torch.manual_seed(0)
    model = load_model("exuno:convnet_1_8-batch", classes=4, in_chans=1, input_size=(8, 8), pretrained=False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = exuno.predict(model.train(), digits)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert told(found) == told(exuno.predict(model.eval(), digits))
    assert len(found[0].topk) == 4


def test_what_cannot_be_read_is_a_mistake_or_kept(student: exuno.Trained, digits: torch.Tensor, tmp_path: Path) -> None:
    (tmp_path / "b.png").write_bytes(b"hello")
    images = [digits[0], tmp_path / "b.png", tmp_path / "none.png"]
    with pytest.raises(exuno.ExunoError, match=r"b.png' is a text.* \(and 1 more\).*unreadable='keep'"):
        exuno.predict(student, images)
    good, bad, none = exuno.predict(student, images, unreadable="keep")
    assert good.label >= 0
    assert not good.error
    assert (bad.label, bad.name, bad.topk) == (-1, "", ())
    assert np.isnan(bad.probability)
    assert str(bad) == bad.error
    assert "there is no picture" in none.error


def test_recordings_and_clips_as_tensors() -> None:
    torch.manual_seed(0)
    hears = load_model("exuno:convnet_2_8", classes=3, hearing=Hearing(8000, 4000), pretrained=False)
    sounds = torch.rand(3, 1, 6000) - 0.5
    wanted = hears.eval()(sounds).softmax(1)
    for given in (sounds, [*sounds], sounds.numpy()):
        found = exuno.predict(hears, given)
        torch.testing.assert_close(torch.tensor([each.probability for each in found]), wanted.max(1).values)
    watches = load_model("exuno:x3d_xs", classes=2, input_size=(32, 32), pretrained=False)
    watches.card = replace(watches.card, frames=2)
    clips = torch.rand(2, 3, 3, 40, 40)
    with torch.inference_mode():
        wanted = watches.eval()(clips).softmax(1)
    found = exuno.predict(watches, clips)
    torch.testing.assert_close(torch.tensor([each.probability for each in found]), wanted.max(1).values)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (torch.full((1, 8, 8), 200.0), "far outside"),
        (torch.full((1, 8, 8), torch.nan), "not finite"),
        (torch.full((1, 8, 8), -1.0), "seems to be normalised. Give pixels in"),
        (np.zeros((0, 0, 3), np.uint8), "is no picture"),
        (torch.zeros(2, 8, 8), r"\[2, 8, 8\] is not a picture"),
        (torch.zeros(8, 8), r"\[8, 8\] is not a picture"),
        (np.zeros((8, 8, 3)), "float64 is no picture. Give uint8"),
        (np.zeros((3, 8, 8), np.uint8), "is no picture"),
        ([object()], "a object is no picture"),
        (7, "a int is no picture"),
    ],
)
def test_mistakes(student: exuno.Trained, images: Any, words: str) -> None:
    with pytest.raises(exuno.ExunoError, match=words):
        exuno.predict(student, images)


@pytest.mark.parametrize("topk", ["3", 2.5])
def test_numbers_of_the_wrong_type(topk: Any, student: exuno.Trained) -> None:
    with pytest.raises(exuno.ExunoError, match=r"topk is .*. Give a whole number"):
        exuno.predict(student, np.zeros((8, 8), np.uint8), topk=topk)


@pytest.mark.parametrize("model", [None, 3, torch.nn.Linear(2, 2)])
def test_what_is_no_model(model: Any) -> None:
    with pytest.raises(exuno.ExunoError, match="is no model"):
        exuno.predict(model, np.zeros((8, 8), np.uint8))


def test_mistakes_of_keywords_and_models(student: exuno.Trained, digits: torch.Tensor) -> None:
    with pytest.raises(exuno.ExunoError, match="topk is 0"):
        exuno.predict(student, digits, topk=0)
    with pytest.raises(exuno.ExunoError, match="there is no run"):
        exuno.predict("nowhere", digits)
    backbone = load_model("exuno:vit_24_2_3_2", classes=0, in_chans=1, input_size=(8, 8), pretrained=False)
    with pytest.raises(exuno.ExunoError, match="names no classes"):
        exuno.predict(backbone, digits)
    assert exuno.predict(student, []) == []

"""``poster:PATH`` as a data set: what training and testing get, and what teach, distill and eval make of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from exuno.cli import main
from exuno.data.base import classes_of, pictures
from exuno.data.batches import in_memory
from exuno.data.loader import Loader
from exuno.data.open import open_data
from exuno.data.poster.data_set import PosterData, WhitenedData
from exuno.data.poster.format import Poster, save
from exuno.data.poster.whitening import Whitening
from exuno.distill.losses.hard_label import hard_label
from exuno.engine.errors import ExunoError
from exuno.engine.options import Augment

Make = Callable[..., Poster]
ALL = np.arange(12)


@pytest.fixture
def plain(tmp_path: Path, tiny_poster: Make) -> Path:
    return save(tiny_poster(), tmp_path / "plain.poster")


@pytest.fixture
def white(tmp_path: Path, tiny_poster: Make) -> Path:
    return save(tiny_poster(whitened=True, learned=True), tmp_path / "white.poster")


def test_training_images_are_in_the_units_of_the_data(plain: Path, tiny_poster: Make) -> None:
    data = open_data(f"poster:{plain}")
    values, expected = tiny_poster().patches()
    images, labels = data.fetch(ALL)
    assert isinstance(images, torch.Tensor)
    assert images.dtype == labels.dtype == torch.float32
    mean, std = torch.tensor(data.mean).view(-1, 1, 1), torch.tensor(data.std).view(-1, 1, 1)
    torch.testing.assert_close((images - mean) / std, values)
    assert torch.equal(labels, expected)
    assert images.min() < 0  # a network sees the values that were distilled, not clipped ones
    assert (len(data), data.num_classes, data.channels, data.image_size) == (12, 10, 1, (8, 8))
    image, label = data[3]
    assert torch.equal(image, images[3])
    assert torch.equal(torch.as_tensor(label), labels[3])


def test_testing_is_done_on_the_original_data(plain: Path) -> None:
    data, original = open_data(f"poster:{plain}", "test"), open_data("digits", "test")
    assert data.fingerprint() == original.fingerprint()
    assert (data.mean, data.std) == (original.mean, original.std)


def test_whitened_posters_are_tested_on_whitened_images(white: Path) -> None:
    poster, test, original = (
        open_data(f"poster:{white}"),
        open_data(f"poster:{white}", "test"),
        open_data("digits", "test"),
    )
    assert isinstance(poster, PosterData)
    assert isinstance(test, WhitenedData)
    assert poster.mean == test.mean == (0.0,)
    assert poster.std == test.std == (1.0,)
    assert torch.equal(poster.fetch(ALL)[0], poster.poster.patches()[0])  # type: ignore[arg-type]
    whitening = poster.whitening
    assert whitening is not None
    images, labels = test.fetch(ALL)
    raw, truth = original.fetch(ALL)
    assert isinstance(raw, torch.Tensor)
    torch.testing.assert_close(images, whitening.apply(raw))
    assert torch.equal(labels, truth)
    assert test.fingerprint() != original.fingerprint()
    shown = pictures(test, images)
    assert shown.shape == (12, 8, 8, 1)
    correlation = np.corrcoef(shown.ravel(), raw.permute(0, 2, 3, 1).ravel())[0, 1]
    assert correlation > 0.9  # unwhitened to look at


def test_the_fingerprint_tells_posters_apart(tiny_poster: Make) -> None:
    poster = tiny_poster()
    pixels = poster.pixels.copy()
    pixels[0, 0, 0] ^= 1
    swapped = poster.order[::-1].copy()
    others = [tiny_poster(pixels=pixels), tiny_poster(order=swapped), tiny_poster(label_formula="reference")]
    others += [tiny_poster(learned=True), tiny_poster(whitened=True), tiny_poster(high=(99.0,))]
    assert len({each.fingerprint for each in (poster, *others)}) == 7
    assert tiny_poster(lineage={}).fingerprint == poster.fingerprint


def test_loader_augmentation_and_memory_leave_floats_and_soft_labels_alone(plain: Path) -> None:
    data: Any = open_data(f"poster:{plain}")
    assert in_memory(data) is data
    [batch] = Loader(data, 12, Augment(), shuffle=False).epoch(0)
    assert torch.equal(batch["images"], data.images)
    assert torch.equal(batch["labels"], data.labels)
    geometric = Augment(flip=1.0, pad=1, rotate=5, resized_crop=(0.5, 1.0), cutout=2)
    [batch] = Loader(data, 12, geometric, shuffle=False).epoch(0)
    assert batch["images"].min() < -0.2
    assert batch["images"].max() > 1
    bounds = data.images.min(), data.images.max()
    assert batch["images"].min() >= bounds[0]
    assert batch["images"].max() <= bounds[1]


def test_soft_labels_in_the_losses() -> None:
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 3, 1, 1, 2, 0])
    soft = F.one_hot(labels, 4).float()
    for share in (1.0, 0.3):
        torch.testing.assert_close(
            hard_label(logits, soft, soft.flip(0), share, 1 - share),
            hard_label(logits, labels, labels.flip(0), share, 1 - share),
        )
    assert torch.equal(classes_of(soft), labels)
    assert classes_of(labels) is labels


@pytest.mark.parametrize("kind", ["plain", "white"])
def test_from_a_poster_to_a_student(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    spec = f"poster:{request.getfixturevalue(kind)}"
    teacher, student, check = (tmp_path / name for name in ("teacher", "student", "check"))
    common = ["--data", spec, "--smoke", "--devices", "cpu", "--run-dir"]
    assert main(["teach", "--model", "exuno:convnet_2_16", *common, str(teacher)]) == 0
    told = json.loads((teacher / "result.json").read_text())
    assert told["n"]["model/top1"] == 64
    assert told["lineage"]["data_sha256"] == open_data(spec).fingerprint()
    card = json.loads((teacher / "model.json").read_text())
    assert card["mean"] == ([0.0] if kind == "white" else list(open_data("digits").mean))
    roles = ["--teacher", f"run:{teacher}", "--student", "exuno:convnet_2_16", "--source", spec, "--loss.hard", "0.5"]
    assert main(["distill", *roles, *common, str(student)]) == 0
    assert json.loads((student / "result.json").read_text())["metrics"]["agreement/kl"] >= 0
    assert main(["eval", str(student), "--data", spec, "--split", "train", "--run-dir", str(check)]) == 0
    assert json.loads((check / "result.json").read_text())["n"]["model/top1"] == 12
    assert "Not shown" not in (teacher / "report.html").read_text()


def test_a_network_learns_from_a_poster(tmp_path: Path, tiny_poster: Make) -> None:
    """Each class area holds the mean digit of its class: enough for far more than chance."""
    data: Any = open_data("digits")
    order = np.arange(10).reshape(2, 5)
    means = torch.stack([data.images[data.labels == k].float().mean(0)[0] for k in range(10)])
    picture = means.view(2, 5, 8, 8).permute(0, 2, 1, 3).reshape(16, 40).round().byte().numpy()[None]
    layout = tiny_poster().layout
    layout = type(layout)((16, 40), (8, 8), (8, 8), (2, 5), (2, 5), (8, 8))
    low, high = -data.mean[0] / data.std[0], (1 - data.mean[0]) / data.std[0]
    poster = tiny_poster(pixels=picture, low=(low,), high=(high,), layout=layout, order=order)
    spec = f"poster:{save(poster, tmp_path / 'means.poster')}"
    args = ["teach", "--model", "exuno:convnet_2_16", "--data", spec, "--epochs", "60", "--batch-size", "10"]
    assert main([*args, "--evaluations", "1", "--devices", "cpu", "--run-dir", str(tmp_path / "run")]) == 0
    assert json.loads((tmp_path / "run/result.json").read_text())["metrics"]["model/top1"] > 0.5


def test_who_has_a_poster_and_not_its_data_names_others_to_test_on(tmp_path: Path, tiny_poster: Make) -> None:
    spec = f"poster:{save(tiny_poster(data='npz:gone.npz'), tmp_path / 'gone.poster')}"
    parts = {"test_images": np.zeros((10, 8, 8), np.uint8), "test_labels": np.arange(10)}
    np.savez(tmp_path / "mine.npz", **parts)
    mine = f"{spec}?test=npz:{tmp_path / 'mine.npz'}"
    assert len(open_data(mine)) == len(open_data(spec))
    assert len(open_data(mine, "test")) == 10
    with pytest.raises(ExunoError, match=r"is tested on npz:other\.npz: there is no file") as told:
        open_data(f"{spec}?test=npz:other.npz", "test")
    assert "?test=" not in told.value.todo
    args = ["teach", "--model", "exuno:convnet_1_8", "--data", mine, "--smoke", "--devices", "cpu"]
    assert main([*args, "--run-dir", str(tmp_path / "run")]) == 0


def test_mistakes(white: Path, plain: Path, tmp_path: Path, tiny_poster: Make, capsys: Any) -> None:
    with pytest.raises(ExunoError, match="Did you mean poster:"):
        open_data(str(plain))
    with pytest.raises(ExunoError, match="there is no poster"):
        open_data("poster:nowhere.poster")
    gone = save(tiny_poster(data="npz:gone.npz"), tmp_path / "gone.poster")
    assert len(open_data(f"poster:{gone}")) == 12
    with pytest.raises(ExunoError, match=r"is tested on npz:gone\.npz: there is no file") as told:
        open_data(f"poster:{gone}", "test")
    assert told.value.todo.endswith(f"poster:{gone}?test=SPEC.")
    assert main(["eval", f"poster:{gone}"]) == 2
    assert "Or name others by --data." in capsys.readouterr().err
    np.savez(tmp_path / "few.npz", test_images=np.zeros((4, 8, 8), np.uint8), test_labels=np.arange(4))
    few = save(tiny_poster(data=f"npz:{tmp_path / 'few.npz'}"), tmp_path / "few.poster")
    with pytest.raises(ExunoError, match=r"has 4 classes and .*few\.poster, which was distilled from it, 10"):
        open_data(f"poster:{few}", "test")
    run = ["--devices", "cpu", "--smoke", "--run-dir", str(tmp_path / "run")]
    jitter = ["--augment.jitter", "0.1", "0.1", "0", "0"]
    assert main(["teach", "--model", "exuno:convnet_2_16", "--data", f"poster:{white}", *jitter, *run]) == 2
    assert "no colours to change" in capsys.readouterr().err
    run[-1] = str(tmp_path / "other")
    assert main(["distill", "digits", "--source", f"poster:{white}", *run]) == 2
    assert "whitened" in capsys.readouterr().err


def test_other_classes_than_those_that_were_distilled(tmp_path: Path, tiny_poster: Make) -> None:
    for letter in "klmnopqrst":
        (tmp_path / "other/test" / letter).mkdir(parents=True)
        Image.new("L", (8, 8)).save(tmp_path / "other/test" / letter / "a.png")
    other = f"folder:{tmp_path / 'other'}"
    letters = save(tiny_poster(class_names=tuple("abcdefghij"), data=other), tmp_path / "letters.poster")
    for spec, own in ((f"poster:{letters}", True), (f"poster:{letters}?test={other}", False)):
        with pytest.raises(ExunoError, match=r"letters\.poster") as told:
            open_data(spec, "test")
        assert ("--data-root of the data that were distilled" in told.value.todo) == own


def test_pictures_of_other_sizes_are_shown_as_they_are(tiny_poster: Make) -> None:
    whitening: Whitening = tiny_poster(whitened=True).whitening  # type: ignore[assignment]
    data = type("Data", (), {"whitening": whitening})()
    images = torch.full((2, 1, 9, 9), 2.0)
    assert (pictures(data, images) == 255).all()


@pytest.mark.parametrize("verb", ["pretrain", "eval"])
def test_new_classes_are_not_learned_from_patches_of_several(plain: Path, verb: str, fails) -> None:
    words = ["pretrain"] if verb == "pretrain" else ["eval", "pixels"]
    said = fails("fewshot", *words, "--data", f"poster:{plain}", "--devices", "cpu")
    assert "its images are patches that show several classes" in said
    assert "such as digits, of which it was made" in said

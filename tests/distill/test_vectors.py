"""A teacher whose answer is a vector: from ``features:MODEL`` and a photograph to a student, new classes, and ONNX."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cosine_similarity

from exuno.cli import main
from exuno.data.batches import ArrayData
from exuno.distill.options import DistillConfig, Loss, Mix, completed
from exuno.distill.untested import NoData
from exuno.distill.vectors import (
    Comparison,
    VectorDistillation,
    check_names,
    cosines,
    joined,
    similarity,
    width_of,
    with_names,
)
from exuno.engine.errors import ExunoError
from exuno.engine.method import Numbers
from exuno.models.build import build_net
from exuno.models.card import Hearing, ModelCard
from exuno.models.classifier import Classifier
from exuno.models.files import save_model
from exuno.models.load import load_model
from exuno.report.images import save_png

TINY = {"img_size": [16, 16], "patch_size": 4, "embed_dim": 24, "depth": 1, "num_heads": 2}
NAMES = ("cat", "dog", "bird")


def network(seed: int, classes: int = 0, name: str = "exuno:convnet_2_8", **more: Any) -> Classifier:
    torch.manual_seed(seed)
    return load_model(name, classes=classes, input_size=(12, 12), pretrained=False, **more).eval()


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small vision transformer of timm with random weights and 7 classes."""
    torch.manual_seed(0)
    card = ModelCard("timm:vit_tiny_patch16_224", 7, 3, (16, 16), (0.4,) * 3, (0.2,) * 3, options=TINY)
    folder = tmp_path_factory.mktemp("vit")
    save_model(Classifier(build_net(card), card), folder)
    return folder


def words(teacher: str | Path, run: Path, *more: str) -> list[str]:
    options = ["--smoke", "--devices", "cpu", "--run-dir", str(run), *more]
    return ["distill", "--teacher", f"features:run:{teacher}", "--student", "exuno:convnet_2_8", *options]


@pytest.fixture(scope="module")
def student(vit: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("student") / "run"
    assert main(words(vit, run)) == 0
    return run


def test_what_is_known_without_data(student: Path, vit: Path) -> None:
    result = json.loads((student / "result.json").read_text())
    assert set(result["metrics"]) == {"similarity/cosine", "similarity/error"}
    assert result["n"] == {"similarity/cosine": 64}
    low, high = result["intervals"]["similarity/cosine"]
    assert low <= result["metrics"]["similarity/cosine"] <= high
    assert -1 <= result["baselines"]["mean vector/cosine"] <= 1
    page = (student / "report.html").read_text()
    assert "cosine similarity" in page
    assert "No pictures were given (--data)" in page
    config = (student / "config.yaml").read_text()
    assert "kind: cosine" in config
    card = ModelCard.from_json((student / "model.json").read_text())
    assert (card.classes, card.class_names, card.input_size) == (0, None, (16, 16))
    assert card.lineage["teacher"]["spec"] == f"features:run:{vit}"


def test_a_head_from_a_handful_of_images_and_onnx(student: Path, tmp_path: Path, capsys: Any) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    random = np.random.default_rng(0)
    for name, grey in (("dark", 20), ("light", 230)):
        (tmp_path / "support" / name).mkdir(parents=True)
        for i in range(2):
            noise = random.integers(-15, 16, (16, 16, 3)) + grey
            save_png(noise.astype(np.uint8), tmp_path / "support" / name / f"{i}.png")
    asked = tmp_path / "support/dark/0.png"
    command = ["fewshot", "predict", f"run:{student}", str(asked), "--support", str(tmp_path / "support")]
    assert main([*command, "--devices", "cpu"]) == 0
    assert "dark" in capsys.readouterr().out
    out = tmp_path / "out"
    assert main(["export", f"run:{student}", "--to", str(out), "--onnx"]) == 0
    assert "it extracts features" in (out / "README.md").read_text()
    session = onnxruntime.InferenceSession(out / "model.onnx")
    pixels = torch.rand(3, 3, 16, 16)
    (found,) = session.run(None, {"pixels": pixels.numpy()})
    with torch.no_grad():
        expected = load_model(f"run:{student}", pretrained=True).eval()(pixels)
    np.testing.assert_allclose(found, expected, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize(
    "verb",
    [
        ["fewshot", "eval", "{student}", "features:run:{vit}"],
        ["probe", "{student}", "--seeds", "1"],
        ["teach", "--model", "run:{student}", "--evaluations", "0"],
    ],
)
def test_verbs_that_take_the_student(student: Path, vit: Path, tmp_path: Path, verb: list[str]) -> None:
    command = [word.format(student=student, vit=vit) for word in verb]
    run = ["--run-dir", str(tmp_path / "run")]
    assert main([*command, "--data", "digits", "--smoke", "--devices", "cpu", *run]) == 0


@pytest.mark.parametrize("more", [["--loss.kind", "mse"], ["--cache-logits"], ["--mix.cutmix", "1", "--fresh"]])
def test_on_pictures(vit: Path, tmp_path: Path, more: list[str]) -> None:
    assert main(words(vit, tmp_path / "run", "--data", "digits", *more)) == 0
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert set(result["metrics"]) == {"similarity/cosine", "similarity/error"}
    assert "test images of digits" in result["tables"][0]["note"]
    assert result["notes"] == []
    assert ("kind: mse" in (tmp_path / "run/config.yaml").read_text()) == ("mse" in more)


def test_a_student_that_starts_from_weights_loses_its_last_layer(vit: Path, tmp_path: Path) -> None:
    save_model(network(3, 4), tmp_path / "start")
    command = words(vit, tmp_path / "run", "--size", "12")
    command[command.index("exuno:convnet_2_8")] = f"run:{tmp_path / 'start'}"
    assert main(command) == 0
    assert load_model(f"run:{tmp_path / 'run'}", pretrained=True).card.classes == 0


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--loss.kind", "dkd"], "dkd compares classes, and --teacher features:run:{vit} answers with a vector. Give"),
        (["--loss.kind", "features"], "Give --loss.kind cosine or mse"),
        (["--loss.temperature", "4"], "--loss.temperature would do nothing"),
        (["--select", "balanced"], "--select balanced needs the teacher's classes"),
        (["--data", "digits", "--loss.hard", "0.5"], "--loss.hard 0.5 needs the teacher's classes"),
        (["--student", "features:run:{vit}"], "does not learn. To train it on, give run:{vit}."),
        (["--teacher", "features:exuno:resnet8"], "exuno:resnet8 names an architecture without weights"),
        (["--teacher", "features:run:nowhere"], "there is no run directory nowhere"),
        (["--teacher", "features:table.hdf5"], "features:table.hdf5 is a file of features, and here a model is needed"),
        (["--teacher", "run:{student}"], "imitate it as --teacher features:MODEL"),
        (["--source", "features:run:{vit}"], "is a model"),
        (["--data", "moving-digits"], "has clips, and features are imitated of single images"),
    ],
)
def test_mistakes(fails: Any, student: Path, vit: Path, tmp_path: Path, more: list[str], told: str) -> None:
    more = [word.format(vit=vit, student=student) for word in more]
    assert told.format(vit=vit) in fails(*words(vit, tmp_path / "run", *more))


def test_verbs_that_need_classes_say_so(fails: Any, vit: Path, tmp_path: Path) -> None:
    assert "names no classes" in fails("eval", f"features:run:{vit}", "--data", "digits", "--devices", "cpu")
    assert "features" in fails("doctor", f"features:run:{vit}", "--data", "digits", "--run-dir", tmp_path / "run")


def test_an_ear_is_no_teacher_of_pictures(fails: Any, tmp_path: Path) -> None:
    ear = load_model("exuno:convnet_2_8", classes=2, pretrained=False, hearing=Hearing(8000, 4000))
    save_model(ear, tmp_path)
    assert "takes recordings" in fails(*words(tmp_path, tmp_path / "run"))


def test_its_vectors_are_what_goes_into_the_last_layer(vit: Path) -> None:
    whole = load_model(f"run:{vit}", pretrained=True).eval()
    vectors = load_model(f"features:run:{vit}", pretrained=True).eval()
    images = torch.rand(3, 3, 16, 16)
    net: Any = whole.net
    with torch.no_grad():
        found = vectors(images)
        torch.testing.assert_close(net.head(found), whole(images))
    assert found.shape == (3, 24)
    assert width_of(vectors) == 24


@pytest.mark.parametrize("name", ["exuno:resnet8", "exuno:wrn_10_1", "exuno:vgg11_cifar", "torchvision:squeezenet1_1"])
def test_every_kind_of_network_without_its_last_layer(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    whole = load_model(name, classes=3, input_size=(32, 32), pretrained=False).eval()
    save_model(whole, tmp_path / "whole")
    bare = load_model(f"features:run:{tmp_path / 'whole'}", pretrained=True).eval()
    save_model(bare, tmp_path / "bare")
    again = load_model(f"run:{tmp_path / 'bare'}", pretrained=True).eval()
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(bare(images), again(images))
        assert bare(images).ndim == 2


def test_a_step_goes_towards_the_teacher() -> None:
    teacher, student = network(0, 5), network(1)
    teacher = load_bare(teacher)
    for kind in ("cosine", "mse"):
        method = VectorDistillation(teacher, student, Loss(kind=kind), Mix(), 0, (12, 12)).train()
        optimizer = torch.optim.Adam(method.parameter_groups(None)[0]["params"], 1e-2)  # type: ignore[arg-type]
        batch = {"images": torch.rand(16, 3, 12, 12, generator=torch.Generator().manual_seed(2))}
        losses = []
        for _ in range(30):
            found = method(batch, Numbers({}))
            optimizer.zero_grad()
            found.loss.backward()
            optimizer.step()
            losses.append(found.loss.item())
        assert losses[-1] < 0.5 * losses[0]
        with torch.no_grad():
            expected = cosine_similarity(method.model(batch["images"]), teacher(batch["images"])).mean()
            assert method(batch, Numbers({})).logs["train/cosine"] == pytest.approx(expected.item(), abs=1e-4)


def load_bare(model: Classifier) -> Classifier:
    from exuno.models.head import without_head

    return without_head(model).eval()


def test_numbers_about_vectors() -> None:
    wanted = np.array([[1.0, 0.0], [0.0, 2.0]], np.float32)
    np.testing.assert_allclose(cosines(3 * wanted, wanted), [1, 1])
    np.testing.assert_allclose(cosines(np.zeros_like(wanted), wanted), [0, 0])
    told = similarity(np.array([[1, 0], [1, 0]], np.float32), wanted, "images", "said")
    assert told["metrics"]["similarity/cosine"] == pytest.approx(0.5)
    assert told["metrics"]["similarity/error"] == pytest.approx((0 + 0 + 1 + 4) / 5)
    mean = np.array([0.5, 1.0])
    assert told["baselines"]["mean vector/cosine"] == pytest.approx((mean / np.linalg.norm(mean)).mean())
    assert told["notes"] == ["said"]
    assert joined(told, {"metrics": {"a": 1}, "notes": ["b"], "c": 1})["notes"] == ["said", "b"]


def test_the_teacher_is_asked_once() -> None:
    method = VectorDistillation(load_bare(network(0, 5)), network(1), Loss(kind="cosine"), Mix(), 0, (12, 12))
    images = np.random.default_rng(0).integers(0, 256, (9, 3, 12, 12), dtype=np.uint8)
    comparison = Comparison(method, ArrayData("x", images, np.zeros(9, np.int64), None, 0), (12, 12), 0)
    found, wanted = comparison.vectors(torch.device("cpu"))
    pixels = torch.from_numpy(images).float() / 255
    with torch.no_grad():
        np.testing.assert_allclose(wanted, method.frozen[0](pixels), atol=1e-5)
        np.testing.assert_allclose(found, method.model.eval()(pixels), atol=1e-5)
    method.frozen[0].net.register_forward_hook(lambda *_: pytest.fail("asked again"))
    assert comparison.vectors(torch.device("cpu"))[1] is wanted


def test_names_are_one_linear_layer() -> None:
    """Of a tower of embeddings of length 1 with 3 names, the student's class is that of its guess at length 1."""
    tower, student = load_bare(network(0, 6)), network(1)
    method = VectorDistillation(tower, student, Loss(kind="cosine"), Mix(), 0, (12, 12)).eval()
    named = network(2, 3, class_names=NAMES)
    width = width_of(tower)
    named.net.head = nn.Linear(width, 3)
    images = torch.rand(20, 3, 12, 12)
    with torch.no_grad():
        guesses = method.model(images)
        found = with_names(method, named, guesses.numpy()).eval()
        expected = named.net.head(guesses / guesses.norm(dim=1).mean())  # type: ignore[operator]
        torch.testing.assert_close(found(images), expected, rtol=1e-4, atol=1e-5)
    assert (found.card.class_names, found.card.classes) == (NAMES, 3)


def test_a_student_that_cannot_get_names_is_told_before_it_learns() -> None:
    named = network(0, 3, class_names=NAMES)
    student = network(1)
    before = torch.random.get_rng_state()
    check_names(student, named)
    assert torch.equal(torch.random.get_rng_state(), before)
    student = load_model("torchvision:squeezenet1_1", classes=0, input_size=(32, 32), pretrained=False)
    with pytest.raises(ExunoError, match="last layer of torchvision:squeezenet1_1 is not a linear one"):
        check_names(student, named)


def test_the_loss_that_a_teacher_calls_for() -> None:
    assert completed(DistillConfig("features:run:x", "")).loss.kind == "cosine"
    assert completed(DistillConfig("features:run:x", "", loss=Loss(kind="mse"))).loss.kind == "mse"
    assert completed(DistillConfig("run:x", "")).loss.kind == "kl"
    assert completed(DistillConfig("features:file.hdf5", "")).loss.kind == "kl"
    assert NoData(load_bare(network(0, 5)).card).num_classes == 0

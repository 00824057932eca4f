"""Class names and one photograph: the recipe of docs/zero-shot.md from its first command to the ONNX file, by imitation
of the teacher's answers and of its embeddings."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_clip import SEEN, write_tiny

from exuno.cli import main
from exuno.distill.vectors import load_asked
from exuno.models.card import ModelCard
from exuno.models.classifier import Classifier
from exuno.models.files import save_model
from exuno.models.load import load_model

open_clip: Any = pytest.importorskip("open_clip", reason="needs the extra clip")
CLASSES = "cat,dog,bird,horse"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("clip") / "tiny", open_clip)


def distilled(teacher: str, run: Path, *more: str, student: str = "exuno:convnet_2_8") -> Path:
    words = ["--teacher", teacher, "--student", student, "--size", "16", "--smoke", "--devices", "cpu", *more]
    assert main(["distill", *words, "--run-dir", str(run)]) == 0
    return run


def exported(run: Path, out: Path) -> Any:
    onnxruntime = pytest.importorskip("onnxruntime")
    assert main(["export", f"run:{run}", "--to", str(out), "--onnx"]) == 0
    return onnxruntime.InferenceSession(out / "model.onnx")


@pytest.mark.parametrize("prefix", ["", "features:"])
def test_class_names_and_a_photograph_become_two_megabytes(
    tiny: Path, tmp_path: Path, prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    more = [] if prefix else ["--loss.temperature", "1"]
    teacher = f"{prefix}clip:local-dir:{tiny}?classes={CLASSES}"
    run = distilled(teacher, tmp_path / "run", *more, "--cache-logits", student="exuno:resnet32")
    session = exported(run, tmp_path / "pets")
    assert 1.5e6 < (tmp_path / "pets/model.onnx").stat().st_size < 2.1e6
    card = ModelCard.from_json((tmp_path / "pets/model.json").read_text())
    assert card.class_names == tuple(CLASSES.split(","))
    pixels = torch.rand(2, 3, 21, 33)
    (found,) = session.run(None, {"pixels": pixels.numpy()})
    with torch.no_grad():
        expected = load_model(f"run:{run}", pretrained=True).eval()(pixels)
    np.testing.assert_allclose(found, expected, atol=1e-4 * max(1, float(expected.abs().max())))
    capsys.readouterr()
    assert main(["predict", f"run:{run}", "photo:astronaut", "--devices", "cpu", "--format", "jsonl"]) == 0
    assert any(name in capsys.readouterr().out for name in CLASSES.split(","))


def test_an_image_tower_with_names_makes_a_zero_shot_student(tiny: Path, tmp_path: Path) -> None:
    run = distilled(f"features:clip:local-dir:{tiny}?classes={CLASSES}", tmp_path / "run")
    result = json.loads((run / "result.json").read_text())
    assert set(result["metrics"]) == {"similarity/cosine", "similarity/error", "agreement/top1", "agreement/kl"}
    assert result["n"] == {"similarity/cosine": 64, "agreement/top1": 64}
    assert len(result["notes"]) == 1
    card = ModelCard.from_json((run / "model.json").read_text())
    assert (card.classes, card.class_names, list(card.mean)) == (4, tuple(CLASSES.split(",")), SEEN["mean"])
    assert main(["fewshot", "eval", f"run:{run}", "--data", "digits", "--smoke", "--devices", "cpu"]) == 0


def test_the_weights_of_tower_and_names_are_read_once(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, create = [], open_clip.create_model
    monkeypatch.setattr(open_clip, "create_model", lambda *args, **more: read.append(args) or create(*args, **more))
    teacher, judge = load_asked(f"features:clip:local-dir:{tiny}?classes={CLASSES}", "auto")
    assert len(read) == 1
    assert (teacher.card.classes, judge and judge.card.class_names) == (0, tuple(CLASSES.split(",")))


def test_on_labelled_pictures_its_accuracy_is_known_too(tiny: Path, tmp_path: Path) -> None:
    names = "zero,one,two,three,four,five,six,seven,eight,nine"
    run = distilled(f"features:clip:local-dir:{tiny}?classes={names}", tmp_path / "run", "--data", "digits")
    found = json.loads((run / "result.json").read_text())["metrics"]
    assert {"teacher/top1", "student/top1", "similarity/cosine", "agreement/top1"} <= set(found)


def test_an_image_tower_without_names_makes_a_student_of_features(tiny: Path, tmp_path: Path) -> None:
    run = distilled(f"features:clip:local-dir:{tiny}", tmp_path / "run")
    assert set(json.loads((run / "result.json").read_text())["metrics"]) == {"similarity/cosine", "similarity/error"}
    assert ModelCard.from_json((run / "model.json").read_text()).classes == 0
    assert exported(run, tmp_path / "out").run(None, {"pixels": np.zeros((2, 3, 9, 7), np.float32)})[0].ndim == 2


def test_embeddings_are_those_of_open_clip(tiny: Path, tmp_path: Path) -> None:
    images = torch.rand(3, 3, 32, 32)
    mean, std = (torch.tensor(SEEN[key])[:, None, None] for key in ("mean", "std"))
    whole = open_clip.create_model(f"local-dir:{tiny}").eval()
    with torch.no_grad():
        expected = whole.encode_image((images - mean) / std, normalize=True)
        for more in ("", "?classes=cat,dog"):
            found: Classifier = load_model(f"features:clip:local-dir:{tiny}{more}", pretrained=True).eval()
            torch.testing.assert_close(found(images), expected)
    save_model(found, tmp_path)
    assert load_model(f"run:{tmp_path}", pretrained=True).card.classes == 0


def test_photographs_are_ranked_without_data(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["doctor", f"clip:local-dir:{tiny}?classes={CLASSES}", "--sources", "photo:astronaut", "noise:1"]
    assert main([*words, "--smoke", "--devices", "cpu", "--run-dir", str(tmp_path / "run")]) == 0
    assert "never of a zero-shot one" in " ".join(capsys.readouterr().out.split())


def test_what_is_missing_says_where_to_put_it(monkeypatch: pytest.MonkeyPatch, fails: Any, tmp_path: Path) -> None:
    def fail(*_: object, **__: object) -> None:
        raise FileNotFoundError("no route to host")

    monkeypatch.setattr(open_clip, "create_model", fail)
    teacher = "features:clip:ViT-B-32/laion2b_s34b_b79k"
    told = fails("distill", "--teacher", teacher, "--student", "exuno:convnet_2_8", "--run-dir", tmp_path / "run")
    assert "hf download laion/CLIP-ViT-B-32-laion2B-s34B-b79K open_clip_model.safetensors" in told
    assert "HF_HOME" in told

"""Classes that have names only: the same logits as open_clip's, a student of them, ONNX."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_clip import SEEN, VISION, write_tiny

from exuno.cli import main
from exuno.engine.errors import ExunoError
from exuno.models.classifier import Classifier
from exuno.models.files import save_model
from exuno.models.load import load_model
from exuno.models.names import NotAtHand, none_fetched
from exuno.models.registry import known_only

open_clip: Any = pytest.importorskip("open_clip", reason="needs the extra clip")
NAMES = ("cat", "great white shark", "dog")
DIGITS = "zero,one,two,three,four,five,six,seven,eight,nine"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("clip") / "tiny", open_clip)


def load(folder: Path, rest: str = "") -> Classifier:
    return load_model(f"clip:local-dir:{folder}?classes=cat,great_white_shark,dog{rest}", pretrained=True).eval()


@torch.no_grad()
def published(folder: Path, images: torch.Tensor, templates: Any) -> torch.Tensor:
    """Logits as open_clip's zero-shot evaluation has them."""
    model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    texts = open_clip.build_zero_shot_classifier(model.eval(), tokenizer, NAMES, templates)
    mean, std = (torch.tensor(SEEN[key])[:, None, None] for key in ("mean", "std"))
    seen = model.encode_image((images - mean) / std, normalize=True)
    return model.logit_scale.exp() * seen @ texts + (0 if model.logit_bias is None else model.logit_bias)


@pytest.mark.parametrize(
    ("rest", "templates"),
    [
        ("", open_clip.SIMPLE_IMAGENET_TEMPLATES),
        ("&prompts=imagenet", open_clip.OPENAI_IMAGENET_TEMPLATES),
        ("&prompts=two pictures, one of a {}", ["two pictures, one of a {}"]),
    ],
)
def test_logits_are_those_of_open_clip(tiny: Path, rest: str, templates: Any) -> None:
    images = torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    found = load(tiny, rest)(images)
    expected = published(tiny, images, templates)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))
    assert expected.std() > 1  # else anything would agree


def test_the_embeddings_of_all_prompts_are_averaged(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("a photo of a {}.\nart of the {}.\n")
    net: Any = load(tiny, f"&prompts={tmp_path / 'prompts.txt'}").net
    model = open_clip.create_model(f"local-dir:{tiny}").eval()
    texts = open_clip.get_tokenizer(f"local-dir:{tiny}")(["a photo of a dog.", "art of the dog."])
    mean = model.encode_text(texts, normalize=True).mean(0)
    torch.testing.assert_close(net.head.weight[2], 100 * mean / mean.norm(), rtol=0, atol=1e-4)


def test_a_bias_counts(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "bias", open_clip, 10.0, init_logit_bias=-3.0)
    images = torch.rand(2, 3, 32, 32)
    expected = published(folder, images, open_clip.SIMPLE_IMAGENET_TEMPLATES)
    torch.testing.assert_close(load(folder)(images), expected, rtol=0, atol=1e-5)
    assert load(folder).net.head.bias.tolist() == [-3.0] * 3  # type: ignore[union-attr]


def test_its_card(tiny: Path) -> None:
    card = load(tiny).card
    assert (card.arch, card.classes, card.input_size) == (f"clip:local-dir:{tiny}", 3, (32, 32))
    assert card.class_names == ("cat", "great_white_shark", "dog")
    assert (list(card.mean), list(card.std)) == (SEEN["mean"], SEEN["std"])
    assert card.lineage == {"weights": f"clip:local-dir:{tiny}", "prompts": "simple"}


def test_a_file_of_weights_of_a_known_architecture(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = json.loads((tiny / "open_clip_config.json").read_text())["model_cfg"]
    (tmp_path / "Tiny-8.json").write_text(json.dumps(config))
    monkeypatch.setattr("open_clip.factory._MODEL_CONFIGS", {"Tiny-8": config})
    monkeypatch.setattr("exuno.models.clip_spec.architectures", lambda: {"Tiny-8"})
    spec = f"clip:Tiny-8/{tiny / 'open_clip_model.safetensors'}?classes=cat,dog"
    model = load_model(spec, pretrained=True)
    assert model.card.arch == "clip:Tiny-8"
    torch.testing.assert_close(model.net.state_dict()["visual.proj"], load(tiny).net.state_dict()["visual.proj"])
    (tmp_path / "other.pt").write_text("no weights")
    with pytest.raises(ExunoError, match=r"weights of clip:Tiny-8/\S+other.pt cannot be loaded"):
        load_model(f"clip:Tiny-8/{tmp_path / 'other.pt'}?classes=cat,dog", pretrained=True)


def test_it_is_saved_and_built_again(tiny: Path, tmp_path: Path) -> None:
    model, images = load(tiny), torch.rand(2, 3, 20, 24)
    save_model(model, tmp_path)
    again = load_model(f"run:{tmp_path}", pretrained=True).eval()
    assert torch.equal(again(images), model(images))
    with known_only(), pytest.raises(ExunoError, match="card names clip:local-dir:"):
        load_model(f"run:{tmp_path}", pretrained=True)


def test_a_new_last_layer(tiny: Path) -> None:
    model = load_model(f"clip:local-dir:{tiny}?classes=cat,dog", classes=5, pretrained=True, new_head=True)
    assert model(torch.rand(1, 3, 32, 32)).shape == (1, 5)
    with pytest.raises(ExunoError, match="has 2 classes, 5 are needed"):
        load_model(f"clip:local-dir:{tiny}?classes=cat,dog", classes=5, pretrained=True)


def test_weights_that_are_not_there(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise FileNotFoundError("Failed to download file. Last error: no route to host")

    monkeypatch.setattr(open_clip, "create_model", fail)
    with pytest.raises(ExunoError) as caught:
        load_model("clip:ViT-B-32/laion2b-s34b_b79k?classes=cat,dog", pretrained=True)
    assert caught.value.what.endswith("cannot be had: no route to host.")
    assert "hf download laion/CLIP-ViT-B-32-laion2B-s34B-b79K open_clip_model.safetensors" in caught.value.todo
    assert "HF_HOME" in caught.value.todo
    assert "clip:ViT-B-32/PATH" in caught.value.todo
    with pytest.raises(ExunoError, match=r"hf download org/name open_clip_config.json .*clip:local-dir:PATH"):
        load_model("clip:hf-hub:org/name?classes=cat,dog", pretrained=True)
    with none_fetched(), pytest.raises(NotAtHand):
        load_model("clip:ViT-B-32/laion2b_s34b_b79k?classes=cat,dog", pretrained=True)


def test_a_folder_without_weights(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "open_clip_config.json").write_text((tiny / "open_clip_config.json").read_text())
    with pytest.raises(ExunoError, match="cannot be loaded: Required pretrained weights"):
        load(tmp_path)


def test_weights_that_are_no_numbers(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "nan", open_clip, float("nan"))
    with pytest.raises(ExunoError, match="holds NaN in logit_scale"):
        load(folder)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("ViT-B-32/laion2b_s34b_b79", r"no published weights.*mean clip:ViT-B-32/laion2b_s34b_b79k\?"),
        ("ViT-B-32/zzz", "There are openai, laion400m_e31"),
        ("ViT-B-32/openai", "QuickGELU.*Give clip:ViT-B-32-quickgelu/openai"),
        ("RN50x8/openai", "no model 'RN50x8'.*clip:RN50x4/openai"),
    ],
)
def test_unknown_weights(model: str, words: str) -> None:
    with pytest.raises(ExunoError, match=words):
        load_model(f"clip:{model}?classes=cat,dog", pretrained=True)


def test_a_residual_network_and_a_captioning_model_answer() -> None:
    """Architectures whose image sides are built otherwise, with random weights."""
    from exuno.models.clip import build_clip

    for name in ("RN50", "coca_ViT-B-32"):
        net = build_clip(name, 4).eval()
        with torch.inference_mode():
            assert net(torch.zeros(1, 3, 224, 224)).shape == (1, 4)


def test_from_names_and_a_photograph_to_onnx(tiny: Path, tmp_path: Path) -> None:
    """The recipe of docs/zero-shot.md on the digits, whose names are numbers."""
    onnxruntime = pytest.importorskip("onnxruntime")
    spec, run, out = f"clip:local-dir:{tiny}?classes={DIGITS}", tmp_path / "run", tmp_path / "out"
    options = ("--data", "digits", "--smoke", "--devices", "cpu")
    assert main(["distill", "--teacher", spec, "--student", "exuno:convnet_2_16", *options, "--run-dir", str(run)]) == 0
    assert main(["export", f"run:{run}", "--to", str(out), "--onnx"]) == 0
    card = json.loads((out / "model.json").read_text())
    assert card["class_names"] == DIGITS.split(",")
    assert card["lineage"]["teacher"] == {"spec": spec, "weights": spec.partition("?")[0], "prompts": "simple"}
    session = onnxruntime.InferenceSession(out / "model.onnx")
    (found,) = session.run(None, {"pixels": np.zeros((2, 1, 9, 7), np.float32)})
    assert found.shape == (2, 10)


@pytest.mark.parametrize("more", [[], ["--loss.kind", "features"], ["--cache-logits"]])
def test_without_any_labelled_image(tiny: Path, tmp_path: Path, more: list[str]) -> None:
    run = tmp_path / "run"
    words = ["--teacher", f"clip:local-dir:{tiny}?classes=cat,dog", "--student", "exuno:convnet_2_8", "--size", "16"]
    assert main(["distill", *words, *more, "--smoke", "--devices", "cpu", "--run-dir", str(run)]) == 0
    card = json.loads((run / "model.json").read_text())
    assert (card["class_names"], card["input_size"], card["mean"]) == (["cat", "dog"], [16, 16], SEEN["mean"])


@pytest.mark.parametrize(
    "verb",
    [
        ["eval", "{}"],
        ["doctor", "{}"],
        ["doctor", "{}", "--sources", "photo:astronaut", "noise:1"],
        ["probe", "{}", "--seeds", "1"],
        ["fewshot", "eval", "{}"],
        ["explain", "penultimate", "{}", "--classes", "by-number"],
    ],
)
def test_every_verb_takes_it(tiny: Path, tmp_path: Path, verb: list[str]) -> None:
    words = [word.format(f"clip:local-dir:{tiny}?classes={DIGITS}") for word in verb]
    run = [] if verb[0] == "eval" else ["--run-dir", str(tmp_path / "run")]
    assert main([*words, "--data", "digits", "--smoke", "--devices", "cpu", *run]) == 0


def test_the_classifier_itself_as_onnx(tiny: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    spec = f"clip:local-dir:{tiny}?classes=cat,dog"
    assert main(["export", spec, "--to", str(tmp_path / "out"), "--onnx"]) == 0
    assert VISION["image_size"] == json.loads((tmp_path / "out/model.json").read_text())["input_size"][0]

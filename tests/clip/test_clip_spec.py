"""``clip:ARCH/TAG?classes=…``: what it says, and what is wrong with it, before anything is loaded."""

from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from exuno.engine.errors import ExunoError
from exuno.models import clip_spec
from exuno.models.clip_spec import check_clip, parse
from exuno.models.names import check_model, embedded, is_table
from exuno.specs import check_learner


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An open_clip that has two architectures."""
    package = tmp_path / "site/open_clip"
    (package / "model_configs").mkdir(parents=True)
    for name in ("ViT-B-32", "RN50"):
        (package / f"model_configs/{name}.json").touch()
    found = ModuleSpec("open_clip", None, origin=str(package / "__init__.py"))
    monkeypatch.setattr(clip_spec, "find_spec", lambda name: found)
    monkeypatch.setattr(clip_spec, "importable", lambda name: True)
    clip_spec.architectures.cache_clear()
    yield
    clip_spec.architectures.cache_clear()


def test_the_parts_of_a_spec(tmp_path: Path) -> None:
    found = parse("clip:ViT-B-32/laion2b_s34b_b79k?classes=cat, great_white_shark,salt & pepper")
    assert (found.name, found.weights, found.prompts) == ("ViT-B-32", "laion2b_s34b_b79k", "simple")
    assert found.classes == ("cat", "great_white_shark", "salt & pepper")
    assert found.model == "clip:ViT-B-32/laion2b_s34b_b79k"
    assert not found.local

    weights, names, prompts = (tmp_path / name for name in ("w.pt", "names.txt", "prompts.txt"))
    weights.touch()
    names.write_text("cat\ndog, sleeping\n")
    prompts.write_text("a photo of a {}.\n\nart of the {}.\n")
    found = parse(f"clip:RN50/{weights}?classes={names}&prompts={prompts}")
    assert (found.weights, found.local) == (str(weights), True)
    assert found.classes == ("cat", "dog, sleeping")
    assert found.prompts == ("a photo of a {}.", "art of the {}.")

    assert parse("clip:hf-hub:org/name?classes=a,b").name == "hf-hub:org/name"
    assert parse("clip:local-dir:some/where?classes=a,b&prompts=the {}").prompts == ("the {}",)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("clip:ViT-B-32/openai", r"names no classes.*'clip:ViT-B-32/openai\?classes=cat,dog'.*FILE"),
        ("clip:ViT-B-32/openai?classes=", "names no classes"),
        ("clip:ViT-B-32/openai?classes=cat", "is one class.*two or more"),
        ("clip:ViT-B-32/openai?classes=cat,dog,cat", "names 'cat' twice"),
        ("clip:ViT-B-32/openai?classes=sea_lion,Sea lion", "names 'Sea lion' and 'sea_lion', which the model reads"),
        ("clip:ViT-B-32/openai?classes=cat,,dog", "an empty name"),
        ("clip:ViT-B-32/openai?classes=no/such.txt", "no file of classes no/such.txt"),
        ("clip:ViT-B-32/openai?clases=cat,dog", "'clases=cat,dog' says nothing.*form is"),
        ("clip:ViT-B-32/openai?classes=a,b&classes=c,d", "has classes= twice"),
        ("clip:ViT-B-32/openai?classes=a,b&prompts=many", "no set of prompts.*simple or imagenet"),
        ("clip:ViT-B-32/openai?classes=a,b&prompts={} or {}", "no single {}"),
        ("clip:ViT-B-32/openai?classes=a,b&prompts=a {name}", "no single {}"),
        ("clip:vit-b32/openai?classes=a,b", r"no model 'vit-b32'.*mean clip:ViT-B-32/openai\?"),
        ("clip:ViT-B-32?classes=a,b", "names no weights.*clip:ViT-B-32/TAG"),
        ("clip:ViT-B-32/weights.pt?classes=a,b", "no file weights.pt"),
        ("clip:ViT-B-32//no/where?classes=a,b", "no file /no/where"),
        ("clip:hf-hub:name?classes=a,b", "no repository"),
        ("clip:local-dir:no/where?classes=a,b", "no folder no/where"),
        ("clip:local-dir:.?classes=a,b", "has no open_clip_config.json"),
        ("clip:", "no model spec"),
        ("clp:ViT-B-32", "Did you mean clip:ViT-B-32"),
    ],
)
def test_mistakes(installed: None, spec: str, words: str) -> None:
    with pytest.raises(ExunoError, match=words):
        check_learner(spec)


def test_a_list_of_prompts_without_one(tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("\n")
    with pytest.raises(ExunoError, match="has no prompts"):
        parse(f"clip:ViT-B-32/openai?classes=a,b&prompts={tmp_path / 'prompts.txt'}")


def test_without_open_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip_spec, "importable", lambda name: False)
    with pytest.raises(ExunoError, match=r'clip:ViT-B-32/openai needs open_clip.*pip install "exuno\[clip\]"'):
        check_model("clip:ViT-B-32/openai?classes=a,b")


def test_good_specs_pass(installed: None, tmp_path: Path) -> None:
    (tmp_path / "open_clip_config.json").touch()
    for spec in ("ViT-B-32/openai", "hf-hub:org/name", f"local-dir:{tmp_path}"):
        check_clip(f"clip:{spec}?classes=a,b")


def test_the_command_line_tells(fails) -> None:
    told = fails("distill", "digits", "--teacher", "clip:ViT-B-32/openai")
    assert "names no classes" in told
    assert "?classes=cat,dog" in told


def test_an_image_tower_needs_no_names(installed: None) -> None:
    for spec in ("ViT-B-32/openai", "ViT-B-32/openai?classes=a,b"):
        check_learner(f"features:clip:{spec}")
    with pytest.raises(ExunoError, match="names no classes"):
        check_learner("clip:ViT-B-32/openai")
    with pytest.raises(ExunoError, match="no model 'vit-b32'"):
        check_learner("features:clip:vit-b32/openai")
    with pytest.raises(ExunoError, match="names no classes"):
        check_learner("features:clip:ViT-B-32/openai?prompts=simple")


def test_what_follows_features_says_whether_it_is_a_model_or_a_file() -> None:
    assert embedded("features:timm:resnet18") == "timm:resnet18"
    assert embedded("features:run:a/b") == "run:a/b"
    for spec in ("features:a.hdf5", "features:run/a.hdf5", "features:timm", "features:", "timm:resnet18"):
        assert embedded(spec) is None
    assert is_table("features:timm.hdf5")
    assert not is_table("features:timm:resnet18")
    assert not is_table("timm:resnet18")

"""Several teachers that answer as one: their mean, the order of their classes, and what users do wrong."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from exuno.cli import main
from exuno.engine.errors import ExunoError
from exuno.models.classifier import Classifier, fuse_batchnorm
from exuno.models.ensemble import Ensemble, joined, load_teacher
from exuno.models.files import save_model
from exuno.models.load import load_model
from exuno.models.names import listed


def network(seed: int, names: str = "abc", channels: int = 1, size: int = 8, kind: str = "-batch") -> Classifier:
    torch.manual_seed(seed)
    model = load_model(
        f"exuno:convnet_1_8{kind}", classes=len(names), class_names=tuple(names), in_chans=channels,
        input_size=(size, size), mean=(0.1 * seed,) * channels, std=(0.5,) * channels, pretrained=False,
    )  # fmt: skip
    model.train()(torch.rand(64, channels, size, size))  # so that its running statistics are not those of the start
    return model.eval()


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        ("run:a", ["run:a"]),
        ("run:a,file:b/c.pth@exuno:resnet20", ["run:a", "file:b/c.pth@exuno:resnet20"]),
        ("clip:ViT-B-32/x?classes=cat,dog,big_cat", ["clip:ViT-B-32/x?classes=cat,dog,big_cat"]),
        ("clip:V/x?classes=cat,dog,run:a", ["clip:V/x?classes=cat,dog", "run:a"]),
        ("my.models:Net,hf-hub:me/it", ["my.models:Net", "hf-hub:me/it"]),
    ],
)
def test_a_comma_parts_models_and_not_the_classes_of_one(spec: str, parts: list[str]) -> None:
    assert list(listed(spec)) == parts


@torch.no_grad()
def test_the_answer_is_the_geometric_mean_whatever_the_sizes_and_the_order_of_the_classes() -> None:
    one, two = network(1), network(2, "cab", channels=3, size=10)
    both = joined([one, two])
    assert (both.card.class_names, both.card.in_chans) == (("c", "a", "b"), 3)
    images = torch.rand(5, 3, 9, 9)
    p, q = one(images).softmax(1)[:, [2, 0, 1]], two(images).softmax(1)
    for temperature in (1, 8):
        softened = (p ** (1 / temperature), q ** (1 / temperature))
        mean = (softened[0] / softened[0].sum(1, True) * softened[1] / softened[1].sum(1, True)).sqrt()
        torch.testing.assert_close((both(images) / temperature).softmax(1), mean / mean.sum(1, True))


@torch.no_grad()
def test_a_fused_copy_answers_the_same_and_is_frozen() -> None:
    both = joined([network(1), network(2, "cab")])
    fused = fuse_batchnorm(both)
    assert isinstance(fused, Ensemble)
    assert not any(isinstance(each, torch.nn.BatchNorm2d) for each in fused.modules())
    assert not any(each.requires_grad for each in fused.parameters())
    images = torch.rand(4, 1, 8, 8)
    torch.testing.assert_close(fused(images), both(images), rtol=1e-4, atol=1e-5)


def test_one_model_is_loaded_as_it_is(tmp_path: Path) -> None:
    save_model(network(1), tmp_path)
    assert not isinstance(load_teacher(f"run:{tmp_path}"), Ensemble)


def test_members_that_do_not_fit() -> None:
    with pytest.raises(ExunoError, match="have different classes"):
        joined([network(1), network(2, "abd")])
    clips = network(2)
    clips.card = replace(clips.card, frames=4)
    with pytest.raises(ExunoError, match=r"takes single images .* and .* clips"):
        joined([network(1), clips])


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in (1, 2):
        save_model(network(seed, "0123456789", kind=""), tmp_path / str(seed))
    teachers = f"run:{tmp_path / '1'},run:{tmp_path / '2'}"
    words = ["distill", "digits", "--smoke", "--devices", "cpu", "--run-dir", str(tmp_path / "run"), "--teacher"]
    assert main([*words, teachers]) == 0
    for wrong, told in (
        (f"{teachers},teach:digits", "teach:digits is to be trained, and stands among others"),
        (f"{teachers},run:{tmp_path / 'none'}", f"there is no run directory {tmp_path / 'none'}"),
    ):
        capsys.readouterr()
        assert main([*words, wrong]) == 2
        assert told in " ".join(capsys.readouterr().err.split())
    capsys.readouterr()
    assert main([*words, teachers, "--loss.kind", "features"]) == 2
    assert "asks for the features of one teacher, and 2 were given" in " ".join(capsys.readouterr().err.split())

"""What a student starts from, and whose normalisation it takes."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator

from exuno.data.images.digits import open_digits
from exuno.distill.options import DistillConfig
from exuno.distill.train import prepare
from exuno.models.classifier import Classifier
from exuno.models.files import save_model
from exuno.models.load import load_model

MEAN, STD = (0.125,), (0.375,)


def network(classes: int, seed: int) -> Classifier:
    torch.manual_seed(seed)
    return load_model(
        "exuno:convnet_1_8", classes=classes, in_chans=1, input_size=(8, 8), mean=MEAN, std=STD, pretrained=False
    )


def started(config: DistillConfig) -> Classifier:
    teacher = network(10, 0)
    return prepare(config, open_digits("test"), (teacher, teacher), Accelerator(cpu=True)).student


def config(student: str, pretrained: bool = False) -> DistillConfig:
    return DistillConfig("run:none", student, "digits", ("digits",), pretrained=pretrained)


def test_random_weights_take_the_normalisation_of_the_data() -> None:
    assert started(config("exuno:convnet_1_8")).card.mean == (pytest.approx(0.305, abs=1e-2),)


@pytest.mark.parametrize("classes", [10, 7])
def test_trained_weights_keep_theirs_and_get_a_new_head_where_the_classes_differ(classes: int, tmp_path: Path) -> None:
    known = network(classes, 1)
    save_model(known, tmp_path)
    student = started(config(f"run:{tmp_path}"))
    assert (student.card.mean, student.card.std) == (MEAN, STD)
    assert (student.card.classes, student.card.class_names) == (10, tuple(str(i) for i in range(10)))
    old, new = known.net.state_dict(), student.net.state_dict()
    body = [key for key in old if not key.startswith("linear")]
    assert len(body) == 4
    assert all(torch.equal(new[key], old[key]) for key in body)
    assert (
        torch.equal(new["linear.weight"], old["linear.weight"])
        if classes == 10
        else new["linear.weight"].shape[0] == 10
    )


def test_published_weights_are_loaded_on_request_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """``--pretrained`` asks the library for its weights, and the student keeps their normalisation."""
    asked = []

    def published(name: str, weights: str) -> tuple[torch.nn.Module, object]:
        asked.append((name, weights))
        model = network(7, 2)
        return model.net, replace(model.card, lineage={"weights": "published"})

    monkeypatch.setattr("exuno.models.foreign.load_torchvision", published)
    student = started(config("torchvision:some_net@V1", pretrained=True))
    assert asked == [("some_net", "V1")]
    assert (student.card.mean, student.card.classes) == (MEAN, 10)


def test_a_file_without_a_card_keeps_the_normalisation_that_is_usual_for_it(tmp_path: Path) -> None:
    torch.manual_seed(3)
    known = load_model("exuno:resnet20", classes=10, input_size=(32, 32), pretrained=False)
    torch.save(known.net.state_dict(), tmp_path / "resnet20.pt")
    assert len(started(config(f"file:{tmp_path / 'resnet20.pt'}")).card.mean) == 3, "that of the digits is one number"

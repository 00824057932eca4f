"""What a preset may still say of a run that changes it."""

import pytest

from exuno.distill.options import DistillConfig
from exuno.engine.session import about_of, counted, summary_of
from exuno.presets import Preset, to_dict
from exuno.teach.options import TeachConfig

ABOUT = {"summary": "A network", "paper": "A paper", "published": {"model/top1": 0.9}, "cost": "an hour"}
PRESET = Preset("one", "teach", ABOUT, {})
STATED = to_dict(TeachConfig(model="exuno:resnet20", data="cifar10"))


def test_the_preset_itself_says_all() -> None:
    assert about_of(PRESET, STATED, STATED) == ABOUT
    assert about_of(None, STATED, {}) == {}


def test_execution_seed_and_budget_leave_it_comparable() -> None:
    about = about_of(PRESET, {**STATED, "seed": 3, "workers": 4, "budget": 0.1}, STATED)
    assert about == {**ABOUT, "budget": 0.1}


def test_another_model_or_data_is_not_what_was_published() -> None:
    about = about_of(PRESET, {**STATED, "data": "cifar100", "batch_size": 7}, STATED)
    assert about == {"paper": "A paper", "summary": "one with other data (cifar100), batch size"}


def test_the_file_of_a_run_without_a_preset_says_nothing_of_another() -> None:
    nameless = Preset("", "teach", ABOUT, {})
    assert about_of(nameless, {**STATED, "epochs": 7}, STATED) == {"paper": "A paper"}


@pytest.mark.parametrize(
    ("verb", "config", "text"),
    [
        ("teach", STATED, "exuno:resnet20 taught on cifar10"),
        (
            "distill",
            to_dict(DistillConfig("run:t", "exuno:wrn_16_1", "digits", source=("a.jpg", "b.jpg"))),
            "exuno:wrn_16_1 distilled from run:t on a.jpg, b.jpg, tested on digits",
        ),
        ("poster", {"data": "digits", "model": "exuno:convnet"}, "A poster of digits for exuno:convnet"),
        ("fewshot pretrain", {"data": "omniglot", "model": "exuno:vit"}, "exuno:vit pretrained on omniglot"),
        (
            "study",
            {"stages": ["teach digits --epochs 2", "distill digits --teacher {teach}"], "axes": ["seed=0,1"]},
            "A study of teach digits and distill digits over seed",
        ),
        ("teach", {"data": "digits"}, ""),
        ("distill", {"data": 3, "student": None, "teacher": None, "source": None}, ""),
        ("eval", {"model": "x"}, ""),
    ],
)
def test_a_run_without_a_preset_is_told_by_its_models_and_data(verb: str, config: dict, text: str) -> None:
    assert summary_of(verb, config) == text


def test_one_of_a_kind_is_told_as_one() -> None:
    told = [counted(1, "step"), counted(2000, "step"), counted(1.0, "epoch"), counted(0.5, "epoch")]
    assert told == ["1 step", "2,000 steps", "1 epoch", "0.5 epochs"]

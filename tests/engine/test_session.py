"""What a preset may still say of a run that changes it."""

from exuno.engine.session import about_of
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
    assert about == {"paper": "A paper", "summary": "one, but for its data, batch size"}

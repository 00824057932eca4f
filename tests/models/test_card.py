import json

import pytest

from exuno.engine.errors import ExunoError
from exuno.models.card import ModelCard

CARD = ModelCard(
    "exuno:wrn_16_4",
    2,
    3,
    (32, 32),
    (0.5, 0.4, 0.3),
    (0.2, 0.2, 0.1),
    ("cat", "dög"),
    {"img_size": [32, 32]},
    {"seed": 3},
)


def test_json_round_trip() -> None:
    assert ModelCard.from_json(CARD.to_json()) == CARD


def test_unknown_fields_of_a_later_version_are_ignored() -> None:
    raw = json.loads(CARD.to_json()) | {"later": 1}
    assert ModelCard.from_json(json.dumps(raw)) == CARD


@pytest.mark.parametrize("text", ["{", "[]", '"x"', '{"arch": "exuno:convnet"}'])
def test_what_is_no_card(text: str) -> None:
    with pytest.raises(ExunoError, match=r"here\.json"):
        ModelCard.from_json(text, "here.json")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"classes": -1}, "-1 classes"),
        ({"mean": (0.5,)}, "3 input channels"),
        ({"std": (0.2, 0.0, 0.1)}, "not positive"),
        ({"class_names": ("cat",)}, "1 class names for 2"),
        ({"options": {"depth": 10**9}}, "whose depth is 1000000000"),
        ({"options": {"input_size": [3, 10**9]}}, "whose input_size"),
    ],
)
def test_impossible_cards(change: dict, told: str) -> None:
    values = {"arch": "a", "classes": 2, "in_chans": 3, "input_size": (8, 8), "mean": (0.5,) * 3, "std": (0.2,) * 3}
    with pytest.raises(ExunoError, match=told):
        ModelCard(**(values | change))

"""Which class of a model each label of the data means."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exuno.data.matching import Match, Side, by_name, match
from exuno.engine.errors import ExunoError
from exuno.engine.options import ClassOrder

TWELVE = [str(number) for number in range(12)]


def table(known: Sequence[str], names: Sequence[str], order: ClassOrder = "auto") -> Match:
    return match(Side("the model", len(known), tuple(known)), Side("the data", len(names), tuple(names)), order)


@given(st.lists(st.text("abc _-", min_size=1), unique_by=lambda name: name, min_size=1), st.randoms())
def test_equal_names_in_any_order_mean_the_same_classes(names: list[str], chance: random.Random) -> None:
    shuffled = names.copy()
    chance.shuffle(shuffled)
    found = by_name(names, shuffled)
    assert found is not None
    assert [names[number] for number in found] == shuffled


@pytest.mark.parametrize(
    ("known", "names", "wanted"),
    [
        (["cat", "dog"], ["cat", "dog"], (0, 1)),
        (["cat", "dog", "ship"], ["ship", "cat", "dog"], (2, 0, 1)),
        (["Sea Lion", "hot-dog"], ["hot_dog", "sea lion"], (1, 0)),
        (["a", "A", "b"], ["b", "A", "a"], (2, 1, 0)),
        (["cat", "dog", "ship", "truck"], ["truck", "cat"], (3, 0)),
        (["n01440764", "n01443537", "n01484850"], ["n01484850"], (2,)),
        (sorted(TWELVE), TWELVE, tuple(sorted(TWELVE).index(name) for name in TWELVE)),
        (["00", "01", "02"], ["2", "0", "1"], (2, 0, 1)),
        (["class_10", "class_2"], ["class_2", "class_10"], (1, 0)),
        (["crane", "boat", "crane"], ["crane", "boat", "crane"], (0, 1, 2)),
        (list("abcdefghijkl"), sorted(TWELVE), tuple(map(int, sorted(TWELVE)))),
        (sorted(TWELVE), list("bacdefghijkl"), tuple(sorted(TWELVE).index(name) for name in TWELVE)),
        (["0", "1", "2"], ["one", "two", "zero"], (1, 2, 0)),
        (["one", "two", "zero"], ["0", "1", "2"], (2, 0, 1)),
        (["tench", "goldfish"], ["n01440764", "n01443537"], (0, 1)),
    ],
)
def test_by_name_and_by_names_that_are_numbers(known: list[str], names: list[str], wanted: tuple[int, ...]) -> None:
    assert table(known, names).table == wanted


def test_what_is_done_is_told_where_labels_are_not_the_numbers_of_the_classes() -> None:
    assert table(["cat", "dog"], ["cat", "dog"]).told == table(["Cat", "dog"], ["cat", "Dog"]).told == ""
    said = table(["cat", "dog", "ship"], ["ship", "cat", "dog"]).told
    assert "label 0 (ship) is class 2 (ship), label 1 (cat) is class 0 (cat)" in said
    assert "--classes by-number" in said
    assert "the data has 1 of the 2 classes of the model, matched by name" in table(["cat", "dog"], ["dog"]).told
    assert "label 0 (0) is class 0 (cat)" in table(["cat", "dog"], ["0", "1"]).told


@pytest.mark.parametrize(("known", "names"), [(None, ("b", "a")), (("a", "b"), None), (None, None)])
def test_without_names_labels_are_numbers(known: tuple[str, ...] | None, names: tuple[str, ...] | None) -> None:
    assert match(Side("m", 2, known), Side("d", 2, names)) == Match((0, 1))


def test_labels_without_names_of_fewer_classes_are_numbers_if_that_is_asked_for() -> None:
    model, data = Side("the model", 4, None), Side("the data", 3, None)
    with pytest.raises(ExunoError, match="--classes by-number takes its labels as they are"):
        match(model, data)
    assert match(model, data, "by-number").table == (0, 1, 2)
    assert "the last 1 are not there" in match(model, data, "by-number").told


@pytest.mark.parametrize("order", ["auto", "by-name", "by-number"])
def test_data_without_labels_are_told_as_such(order: ClassOrder) -> None:
    for names in (None, ("a", "b")):
        with pytest.raises(ExunoError, match="the data has no labels"):
            match(Side("the model", 2, ("a", "b")), Side("the data", 0, names), order)


def test_labels_without_names_are_the_numbers_that_name_a_models_classes() -> None:
    found = match(Side("the model", 12, tuple(sorted(TWELVE))), Side("the data", 12, None))
    assert [sorted(TWELVE)[number] for number in found.table] == TWELVE
    assert "order is another" in found.told


@pytest.mark.parametrize(
    ("known", "names", "order", "said"),
    [
        (["cat", "dog", "ship"], ["boat", "kitty", "puppy"], "auto", "cat, dog, ship; and boat, kitty, puppy"),
        (
            ["cat", "dog"],
            ["cat", "dog", "ship"],
            "auto",
            "has 2 classes but the data has 3: cat, dog; and cat",
        ),
        (list("abcdefgh"), list("abcdefgx"), "auto", r"a, b, c, d, e and 3 more.*\(x only in the second\)"),
        (["1", "2"], ["0", "1"], "auto", "1, 2; and 0, 1"),
        (["cat", "cat", "dog"], ["cat", "dog"], "auto", "has 3 classes but the data has 2"),
        (["Cat", "cat", "dog"], ["CAT", "dog"], "auto", "has 3 classes but"),
        (["cat", "dog"], ["0", "1"], "by-name", "cat, dog; and 0, 1"),
        (["cat", "dog", "ship"], ["a", "b"], "by-number", "has 3 classes but the data has 2"),
        (["cat", "dog", "ship"], ["0", "2"], "auto", "has 3 classes but the data has 2: cat, dog, ship; and 0, 2"),
    ],
)
def test_other_classes_are_refused(known: list[str], names: list[str], order: ClassOrder, said: str) -> None:
    with pytest.raises(ExunoError, match=said):
        table(known, names, order)


def test_the_refusal_names_the_flag_where_it_helps() -> None:
    with pytest.raises(ExunoError) as error:
        table(["cat", "dog"], ["kitty", "puppy"])
    assert "--classes by-number" in error.value.todo
    with pytest.raises(ExunoError) as error:
        table(["cat", "dog", "ship"], ["kitty", "puppy"])
    assert "--classes" not in error.value.todo


@pytest.mark.parametrize(
    ("known", "names"),
    [
        (["0", "1", "2"], ["acht", "Drei", "null"]),
        (["0", "1", "2"], ["Null", "acht", "drei"]),
        (["n01440764", "n01443537"], ["goldfish", "tench"]),
        (["goldfish", "tench"], ["n01440764", "n01443537"]),
    ],
)
def test_the_order_of_the_alphabet_is_not_that_of_numbers_or_wnids(known: list[str], names: list[str]) -> None:
    with pytest.raises(ExunoError, match="which is which is not known") as error:
        table(known, names)
    assert "--classes by-number" in error.value.todo
    assert "classes.txt" in error.value.todo
    assert table(known, names, "by-number") == Match(tuple(range(len(known))))


def test_by_number_compares_no_names() -> None:
    assert table(["cat", "dog"], ["dog", "cat"], "by-number") == Match((0, 1))
    assert table(["cat", "dog"], ["boat", "kitty"], "by-number") == Match((0, 1))
    assert table(list("abcdef"), ["1", "5"], "by-number").table == (1, 5)
    assert match(Side("a model without names", 9, None), Side("d", 2, ("1", "5")), "by-number").table == (1, 5)


def test_by_name_needs_names() -> None:
    with pytest.raises(ExunoError, match="the data has no names"):
        match(Side("the model", 2, ("a", "b")), Side("the data", 2, None), "by-name")


def test_a_separator_between_digits_is_part_of_the_name() -> None:
    assert by_name(["1-0", "1-1"], ["10", "11"]) is None
    assert by_name(["2020-01", "2020-11"], ["2020_11", "2020 01"]) == (1, 0)
    assert by_name(["T-shirt", "big dog"], ["Big_Dog", "t shirt"]) == (1, 0)

"""What stands beside a field is held, groups included, and told under the name of its option."""

import math
from dataclasses import dataclass, field, fields, is_dataclass
from importlib import import_module
from typing import Annotated, Any, Literal, get_args, get_type_hints

import numpy as np
import pytest
import tyro
from hypothesis import given
from hypothesis import strategies as st

from exuno.engine.errors import ExunoError
from exuno.engine.ranges import Range, check_fields
from exuno.verbs import VERBS


@dataclass(frozen=True)
class Inside:
    low_rate: Annotated[float, Range(above=0)] = 1.0
    pair: Annotated[tuple[float, float] | None, Range(low=0, high=1, rising=True, wanted="a pair")] = None


@dataclass(frozen=True)
class Bare:
    share: Annotated[float, Range(low=0, below=1)] = 0.0


@dataclass(frozen=True)
class Whole:
    count: Annotated[int, Range(low=1)] = 1
    named: Annotated[int, tyro.conf.arg(name="other"), Range(low=2, high=5)] = 3
    inside: Inside = field(default_factory=Inside)
    bare: tyro.conf.OmitArgPrefixes[Bare] = field(default_factory=Bare)
    views: Literal[1, 2] = 1


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (Whole(count=0), "--count is 0. Give at least 1."),
        (Whole(named=6), "--other is 6. Give a number from 2 to 5."),
        (Whole(inside=Inside(low_rate=0.0)), "--inside.low-rate is 0.0. Give a positive number."),
        (Whole(inside=Inside(low_rate=math.nan)), "--inside.low-rate is nan. Give a positive number."),
        (Whole(inside=Inside(low_rate=math.inf)), "--inside.low-rate is inf. Give a positive number."),
        (Whole(inside=Inside(pair=(0.5, 0.2))), "--inside.pair is (0.5, 0.2). Give a pair."),
        (Whole(inside=Inside(pair=(0.5, 1.2))), "--inside.pair is (0.5, 1.2). Give a pair."),
        (Whole(bare=Bare(1.0)), "--share is 1.0. Give a number from 0 to below 1."),
        (Whole(views=3), "--views is 3. Give one of 1, 2."),  # pyright: ignore[reportArgumentType]
    ],
)
def test_what_is_outside_is_told(config: Whole, told: str) -> None:
    with pytest.raises(ExunoError) as error:
        check_fields(config)
    assert str(error.value) == told


@dataclass(frozen=True)
class Numbers:
    count: Annotated[int, Range(low=1)] = 1
    seed: int = 0
    rate: float = 0.5
    size: int | None = None
    steps: tuple[int, ...] = (1,)
    bare: float | int = 1
    name: str | None = None


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"count": 2.5}, "--count is 2.5. Give a whole number."),
        ({"count": "2"}, "--count is '2'. Give a whole number."),
        ({"count": True}, "--count is True. Give a whole number."),
        ({"count": (1, 2)}, "--count is (1, 2). Give a whole number."),
        ({"seed": 1.0}, "--seed is 1.0. Give a whole number."),
        ({"seed": None}, "--seed is None. Give a whole number."),
        ({"rate": "fast"}, "--rate is 'fast'. Give a number."),
        ({"rate": math.inf}, "--rate is inf. Give a finite number."),
        ({"rate": math.nan}, "--rate is nan. Give a finite number."),
        ({"size": 32.5}, "--size is 32.5. Give a whole number."),
        ({"steps": (1, 2.5)}, "--steps is (1, 2.5). Give whole numbers."),
    ],
)
def test_a_field_knows_by_its_type_whether_it_is_whole(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ExunoError) as error:
        check_fields(Numbers(**given))
    assert str(error.value) == told
    # An array's number is one, and a whole number may be given where it need not be.
    check_fields(Numbers(np.int64(3), rate=np.float32(1), size=None, steps=(), bare=2.5, name="x"))  # pyright: ignore


@given(st.floats(), st.floats(-5, 5), st.floats(0, 5))
def test_bounds(x: float, low: float, width: float) -> None:
    assert Range(low=low, high=low + width).holds(x) == (low <= x <= low + width)
    assert Range(above=low, below=low + width).holds(x) == (low < x < low + width)


def groups(kind: type[Any]) -> list[type[Any]]:
    inside = [each for hint in get_type_hints(kind).values() if is_dataclass(hint) for each in groups(hint)]  # pyright: ignore
    return [kind, *inside]


def test_the_defaults_of_every_verb_are_inside() -> None:
    checked = 0
    for verb in VERBS.values():
        for place in verb.options.values():
            module, _, name = place.partition(":")
            for kind in groups(getattr(import_module(module), name)):
                given = {each.name: None for each in fields(kind) if each.default is each.default_factory}
                check_fields(kind(**given))
                checked += 1
    assert checked > 40


COUNTED = ("epochs", "batch_size", "budget", "size", "patches", "evaluations", "workers", "candidates", "networks")


def numbers_in(hint: Any) -> bool:
    """Whether a type is int or float, perhaps annotated, perhaps None."""
    return hint in (int, float) or any(map(numbers_in, get_args(hint)))


def test_numbers_that_every_verb_names_alike_have_a_range_in_every_verb() -> None:
    """A verb that is added takes part: a training of 0 epochs or in batches of 0 is told before it begins. Options of
    ``synth`` are bound in one function with what writes samples; a study hands its own to cells, which tell."""
    bare, checked = [], 0
    for name, verb in VERBS.items():
        for place in () if name in ("synth", "study") else verb.options.values():
            module, _, whole = place.partition(":")
            for kind in groups(getattr(import_module(module), whole)):
                if kind.__module__.startswith("exuno.synth."):
                    continue
                for field_name, hint in get_type_hints(kind, include_extras=True).items():
                    if field_name in COUNTED and numbers_in(hint):
                        checked += 1
                        if not any(hasattr(mark, "check_value") for mark in getattr(hint, "__metadata__", ())):
                            bare.append(f"{whole}: {kind.__name__}.{field_name}")
    assert checked > 30
    assert bare == []

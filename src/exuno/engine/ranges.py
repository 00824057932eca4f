"""What a field of a configuration may be, said beside it: ``lr: Annotated[float, Range(above=0)] = 1e-3``. No torch.

:func:`check_fields` holds a whole configuration to it, with its groups, wherever its values came from.
"""

from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from math import inf
from numbers import Integral, Real
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from exuno.engine.errors import ExunoError


def require(good: bool, flag: str, value: object, wanted: str) -> None:
    """Raises ExunoError, ``--FLAG is VALUE``, unless ``good``; ``wanted``: what to give instead."""
    if not good:
        raise ExunoError(f"{flag} is {str(value) or 'empty'}", f"Give {wanted}.")


@dataclass(frozen=True)
class Range:
    """The numbers that a field takes; of a tuple, that each element is. None and empty tuples pass."""

    low: float | None = None
    """The least."""
    high: float | None = None
    """The greatest."""
    above: float | None = None
    """Below all of them: above=0 are the positive numbers."""
    below: float | None = None
    """Above all of them."""
    rising: bool = False
    """Whether the elements of a tuple must not fall."""
    wanted: str = ""
    """What to give, for the message; by default told from the bounds."""

    def check_value(self, flag: str, value: Any) -> None:
        """Raises ExunoError for a value outside."""
        if value is None:
            return
        each = value if isinstance(value, tuple) else (value,)
        good = all(self.holds(x) for x in each) and not (self.rising and list(each) != sorted(each))
        require(good, flag, value, self.wanted or self.told())

    def holds(self, x: float) -> bool:
        """Whether it is inside; NaN and infinity are not."""
        inside = -inf < x < inf and (self.low is None or x >= self.low) and (self.high is None or x <= self.high)
        return inside and (self.above is None or x > self.above) and (self.below is None or x < self.below)

    def told(self) -> str:
        """The bounds in words."""
        if self.above is not None:
            end = "" if self.high is None else f", at most {self.high:,}"
            return f"a {'positive number' if self.above == 0 else f'number above {self.above:,}'}{end}"
        if self.low is None and self.high is None:
            return "a finite number"
        if self.high is None and self.below is None:
            return "0 or more" if self.low == 0 else f"at least {self.low:,}"
        end = f"{self.high:,}" if self.high is not None else f"below {self.below:,}"
        return f"a number from {self.low:,} to {end}"


@dataclass(frozen=True)
class Kind:
    """What a field of numbers holds, told from its type: the command line reads its words so, and Python hands over
    anything."""

    whole: bool
    """int, not float."""
    several: bool
    """A tuple of them."""
    optional: bool
    """Or None."""

    @classmethod
    def of(cls, hint: Any) -> "Kind | None":
        """That of a type; None for one that holds anything but numbers."""
        inside = _inside(hint)
        held = inside - {NoneType, tuple, Ellipsis}
        if not held or held - {int, float}:
            return None
        return cls(held == {int}, tuple in inside, NoneType in inside)

    def check_value(self, flag: str, value: Any) -> None:
        """Raises ExunoError for anything else."""
        each = value if self.several and isinstance(value, tuple) else (value,)
        kind = Integral if self.whole else Real
        good = all(isinstance(x, kind) and not isinstance(x, bool) for x in each)
        one, many = ("a whole number", "whole numbers") if self.whole else ("a number", "numbers")
        require(good or (self.optional and value is None), flag, repr(value), many if self.several else one)


def _inside(hint: Any) -> set[Any]:
    """The types that a type is made of, ``tuple`` among them: ``tuple[int, ...] | None`` -> tuple, int, ..., None."""
    if not (parts := get_args(hint)):
        return {hint}
    return set().union(*map(_inside, parts)) | ({tuple} if get_origin(hint) is tuple else set())


@dataclass(frozen=True)
class Choice:
    """The few values of a field that is a Literal, which the command line checks and Python does not."""

    values: tuple[Any, ...]

    def check_value(self, flag: str, value: Any) -> None:
        """Raises ExunoError for another value."""
        require(value in self.values, flag, value, f"one of {', '.join(map(str, self.values))}")


POSITIVE = Range(above=0)
FROM_0 = Range(low=0)
FROM_1 = Range(low=1)
PIXELS = Range(low=1, wanted="at least 1 pixel")
PROBABILITY = Range(low=0, high=1, wanted="a probability from 0 to 1")
FRACTION = Range(low=0, below=1)
SHARE = Range(above=0, high=1, wanted="a share above 0, at most 1")
STRENGTHS = Range(low=0, wanted="four numbers from 0")
POSITIVE_PAIR = Range(above=0, rising=True, wanted="a range of positive numbers")
SEED = Range(low=-(2**63), high=2**64 - 1, wanted="a whole number of 64 bits")
BUDGET = Range(above=0, wanted="a positive number; 0.1 is a tenth of the training")
TEMPERATURE = Range(above=0, wanted="a temperature above 0")
AREAS = Range(above=0, high=1, rising=True, wanted="fractions of the area, at most 1")


def check_fields(config: Any, prefix: str = "") -> None:
    """Raises ExunoError for the first field whose value is not what stands beside it, groups included.

    Args:
        config: a dataclass.
        prefix: of its options: ``optim.``.
    """
    for name, flag, marks in marked(type(config)):
        value = getattr(config, name)
        if is_dataclass(value):
            check_fields(value, prefix + flag)
        for mark in marks:
            if hasattr(mark, "check_value"):
                mark.check_value(f"--{prefix}{flag}", value)


@cache
def marked(kind: type[Any]) -> list[tuple[str, str, tuple[Any, ...]]]:
    """Name of each field, the name of its option (of a group: what stands before those of its fields), annotations."""
    import tyro

    found, hints = [], get_type_hints(kind, include_extras=True)
    for each in fields(kind):
        hint, marks = hints[each.name], ()
        if get_origin(hint) is Annotated:
            hint, *marks = get_args(hint)
        flag = next((given for mark in marks if (given := getattr(mark, "name", None))), each.name).replace("_", "-")
        if is_dataclass(hint):
            flag = "" if tyro.conf.OmitArgPrefixes in marks else f"{flag}."
        if get_origin(hint) is Literal:
            marks = (*marks, Choice(get_args(hint)))
        if kind_of_number := Kind.of(hint):
            ranged = any(isinstance(mark, Range) for mark in marks)
            marks = (kind_of_number, *marks, *(() if ranged else (Range(),)))  # first: a range compares numbers only
        found.append((each.name, flag, tuple(marks)))
    return found

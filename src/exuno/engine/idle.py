"""Options that would do nothing: they are refused, or somebody would believe in what they did not do. No torch.

What another option of the same group turns on is said beside the field, ``gamma: Annotated[float, Acts(…)]``, and asked
of whatever is typed (:func:`check_acting`). What depends on data or on models asks :func:`refuse_idle` when these are
known.
"""

from collections.abc import Callable, Iterable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from operator import attrgetter
from typing import Any

from exuno.engine.errors import ExunoError
from exuno.engine.ranges import marked

LEAVE_OUT = "Leave it out."


@dataclass(frozen=True)
class Acts:
    """Where a field does something; elsewhere it must not be given."""

    where: Callable[[Any], object]
    """Tells it from the group that the field is in."""
    why: str
    """It does nothing elsewhere; {NAME} stands for the value of another field of the group."""
    todo: str = LEAVE_OUT


def check_acting(config: Any, stated: Any = None, prefix: str = "") -> None:
    """Raises ExunoError for the first field that is neither as it was stated nor as it is by default, where it would do
    nothing; groups included.

    Args:
        config: a dataclass.
        stated: the same before the user changed it, as a preset has it; None: by default.
        prefix: of its options: ``optim.``.
    """
    usual = {each.name: default_of(each) for each in fields(config)}
    for name, flag, marks in marked(type(config)):
        value, before = getattr(config, name), usual[name] if stated is None else getattr(stated, name)
        if is_dataclass(value):
            check_acting(value, None if before is MISSING else before, prefix + flag)
        for mark in marks:
            if isinstance(mark, Acts) and value not in (before, usual[name]) and not mark.where(config):
                raise nothing(prefix + flag, mark.why.format(**vars(config)), mark.todo)


def default_of(field: Any) -> Any:
    """The default value of a field of a dataclass, MISSING if it has none."""
    return field.default if field.default_factory is MISSING else field.default_factory()


def nothing(flag: str, why: str, todo: str = LEAVE_OUT) -> ExunoError:
    """The refusal of an option."""
    return ExunoError(f"--{flag} would do nothing: {why}", todo)


def refuse_idle(config: Any, stated: Any, names: Iterable[str], why: str, todo: str = LEAVE_OUT) -> None:
    """Raises ExunoError for an option that the user has given although it would do nothing.

    Args:
        config: what the user asks for: a configuration, or a group of one.
        stated: the same before he changed it: as the preset has it, or by default.
        names: of the fields that would do nothing, ``GROUP.FIELD`` for one of a group; of a group, all in it.
        why: they would do nothing.
        todo: what to do about it.
    """
    for name in names:
        here, there = attrgetter(name)(config), attrgetter(name)(stated)
        if is_dataclass(here):
            refuse_idle(config, stated, (f"{name}.{each.name}" for each in fields(here)), why, todo)
        elif here != there and here is not False:  # --no-fresh says what is so
            raise nothing(name.replace("_", "-"), why, todo)

"""Values that hold for as long as something is done. No torch."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def meanwhile(variable: ContextVar[T], value: T) -> Iterator[None]:
    """Within, ``variable`` has this value; behind it, the one that it had before."""
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)

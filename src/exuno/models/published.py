"""Whether published weights may be fetched. A dry run fetches none: it gives such a network random ones. No torch."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_fetched: ContextVar[bool] = ContextVar("fetched", default=True)


class NotAtHand(Exception):
    """What cannot be known without fetching; the text names it."""


@contextmanager
def none_fetched() -> Iterator[None]:
    """Meanwhile ``load_model`` gives networks of timm and torchvision random weights, and refuses those of the hub by
    NotAtHand, since only their files tell what they are."""
    token = _fetched.set(False)
    try:
        yield
    finally:
        _fetched.reset(token)


def may_fetch() -> bool:
    """Whether published weights are wanted."""
    return _fetched.get()

"""The self-supervised methods, one file each: a dataclass of options that makes a ``Method`` of the loop. No torch.

A method registers itself with ``@methods.register("name", paper="…")`` and satisfies :class:`Pretext`.
"""

from typing import TYPE_CHECKING, Any, Protocol

from exuno.engine.ranges import require
from exuno.selfsup.options import methods as methods

if TYPE_CHECKING:
    from exuno.data.loader import Loader
    from exuno.engine.loop import Batches
    from exuno.models.classifier import Classifier


class Pretext(Protocol):
    """A self-supervised method with its options."""

    def check(self) -> None:
        """Raises ExunoError for options that no training can use."""

    @property
    def outputs(self) -> int:
        """Numbers that the network's last layer gives."""
        ...

    def make(self, model: "Classifier", samples: int, size: tuple[int, int], seed: int) -> Any:
        """The ``Method`` that trains ``model`` on ``samples`` images of (H, W) pixels.

        Raises:
            ExunoError: images that it cannot be trained on.
        """
        ...

    def batches(self, method: Any, loader: "Loader") -> "Batches":
        """What ``method`` is trained on: ``loader``, or what it makes of it."""
        ...


def need_setting(good: bool, name: str, value: object, wanted: str) -> None:
    """Raises ExunoError, ``--settings NAME=VALUE``, unless ``good``."""
    require(good, f"--settings {name}", value, wanted)

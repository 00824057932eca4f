"""The self-supervised methods, one file each: a dataclass of options that makes a ``Method`` of the loop. No torch.

A method registers itself with ``@methods.register("name", paper="…")`` and satisfies :class:`Pretext`. What an option
may be stands beside it (``Annotated[int, Range(low=2)]``).
"""

from typing import TYPE_CHECKING, Any, Protocol

from exuno.selfsup.options import methods as methods

if TYPE_CHECKING:
    from exuno.data.loader import Loader
    from exuno.engine.probe import Loads
    from exuno.models.classifier import Classifier


class Pretext(Protocol):
    """A self-supervised method with its options."""

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

    def batches(self, method: Any, loader: "Loader") -> "Loads":
        """What ``method`` is trained on: ``loader``, or what it makes of it."""
        ...

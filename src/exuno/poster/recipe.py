"""How a network learns from a poster, as its file says it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from exuno.engine.errors import ExunoError
from exuno.poster.options import Inner, Proof


@dataclass(frozen=True)
class Recipe:
    """The protocol of a poster."""

    model: str
    """Network: a model spec without weights."""
    inner: Inner
    """Optimizer, batch and augmentation."""
    steps: int
    """Training steps chosen on held-out data, never on test data: the accuracy that counts is the one after them."""
    tested: tuple[int, ...] = Proof().steps
    """Numbers of steps among which they were chosen."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for ``Poster.protocol``."""
        return {"model": self.model, "inner": asdict(self.inner), "steps": self.steps, "tested": list(self.tested)}

    @classmethod
    def of(cls, protocol: Mapping[str, Any]) -> "Recipe":
        """Read ``Poster.protocol``. Raises ExunoError where it is none."""
        try:
            known = {field.name for field in fields(Inner)}
            inner = Inner(**{key: value for key, value in protocol["inner"].items() if key in known})
            tested = tuple(int(count) for count in protocol.get("tested", Proof().steps))
            return cls(str(protocol["model"]), inner, int(protocol["steps"]), tested)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise ExunoError(
                f"the poster's protocol makes no sense: {dict(protocol)}",
                "Take its poster.json from where it was made.",
            ) from None

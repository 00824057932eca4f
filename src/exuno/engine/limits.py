"""How much a file may ask for before anything is allocated. Each limit can be raised by an environment variable, which
reaches worker processes too."""

import os
from dataclasses import dataclass
from typing import Protocol

from exuno.engine.errors import ExunoError


@dataclass(frozen=True)
class Limit:
    """An upper bound on what a file may declare or unpack to."""

    variable: str
    """Environment variable that overrides it."""
    default: int
    unit: str

    @property
    def value(self) -> int:
        """The bound in force.

        Raises:
            ExunoError: the variable holds no number.
        """
        text = os.environ.get(self.variable, "")
        try:
            return int(float(text)) if text.strip() else self.default
        except (ValueError, OverflowError):
            raise ExunoError(f"{self.variable} is '{text}', not a number", "For example 2e9.") from None

    def check(self, amount: int | float, what: str) -> None:
        """Raises ExunoError if ``what`` asks for more than the bound."""
        if not amount <= self.value:
            raise ExunoError(
                f"{what} asks for {amount:,} {self.unit}; at most {self.value:,} are taken",
                f"If you trust it, set {self.variable} to a larger number and give the command again.",
            )


UNPACKED = Limit("EXUNO_MAX_BYTES", 16 * 2**30, "bytes")
"""Of one array, one archive or one compressed shard in memory."""
PIXELS = Limit("EXUNO_MAX_PIXELS", 250_000_000, "pixels")
"""Of one picture or frame."""
CLASSES = Limit("EXUNO_MAX_CLASSES", 100_000, "classes")
PARAMETERS = Limit("EXUNO_MAX_PARAMETERS", 10_000_000_000, "parameters")
"""Of one network."""
FILES = Limit("EXUNO_MAX_FILES", 1_000_000, "files")
"""That one pattern of shards expands to."""
SMALL = Limit("EXUNO_MAX_TEXT", 64 * 2**20, "bytes")
"""Of a file that describes others: a card, a result, a configuration, a label."""


class Readable(Protocol):
    """What bytes can be read from."""

    def read(self, size: int, /) -> bytes: ...


def read_at_most(file: Readable, limit: Limit, what: str) -> bytes:
    """All that a stream gives, which may be the output of a decompressor.

    Raises:
        ExunoError: it is more than the limit.
    """
    parts, total = [], 0
    while part := file.read(1 << 22):
        total += len(part)
        limit.check(total, what)
        parts.append(part)
    return b"".join(parts)

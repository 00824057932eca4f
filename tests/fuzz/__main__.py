"""``python -m tests.fuzz --count 100000``: damaged files of every kind, read as a user's would be.

Prints how many inputs each reader took, refused in a sentence and stumbled over. What it stumbled over is written to
``--out`` and ends the command with exit code 1. Equal seeds give equal inputs.
"""

import argparse
import hashlib
import random
import resource
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from pathlib import Path

from .mutate import mutated, seeds
from .readers import READERS, tell

MEMORY = 24 * 2**30
"""Address space in bytes: what a file makes a reader allocate beyond it is found as a MemoryError."""


def trial(kind: str, content: bytes, folder: Path) -> str:
    """``taken``, ``refused``, or the last line of a traceback with its place in exuno."""
    try:
        return "taken" if tell(lambda: READERS[kind](folder, content)) is None else "refused"
    except Exception as error:
        places = [each for each in traceback.extract_tb(error.__traceback__) if "exuno/" in each.filename]
        place = f"{Path(places[-1].filename).name}:{places[-1].lineno}" if places else "?"
        return f"{type(error).__name__} at {place}: {str(error).splitlines()[0][:80] if str(error) else ''}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="*", default=None)
    parser.add_argument("--out", type=Path, default=Path("fuzz-found"))
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    valid = {kind: files for kind, files in seeds().items() if options.kinds is None or kind in options.kinds}
    found: Counter[tuple[str, str]] = Counter()
    for number in range(options.count):
        kind = list(valid)[number % len(valid)]
        draw = random.Random(f"{options.seed}/{kind}/{number}")
        content = mutated(kind, draw.choice(valid[kind]), draw)
        with tempfile.TemporaryDirectory() as folder:
            became = trial(kind, content, Path(folder))
        if became not in ("taken", "refused") and not found[kind, became]:
            options.out.mkdir(exist_ok=True)
            (options.out / f"{kind}-{hashlib.sha256(content).hexdigest()[:8]}.bin").write_bytes(content)
        found[kind, became] += 1
    for (kind, became), times in sorted(found.items()):
        print(f"{kind:12} {times:7} {became}")
    wrong = sum(times for (_, became), times in found.items() if became not in ("taken", "refused"))
    print(f"{options.count} inputs, seed {options.seed}: {wrong} ended in a traceback")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())

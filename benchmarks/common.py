"""What every benchmark shares: timing with a spread, and sections of RESULTS.md that tell where numbers come from."""

import os
import re
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from exuno.engine.run import processor

RESULTS = Path(os.environ.get("EXUNO_RESULTS", Path(__file__).parent / "RESULTS.md"))
"""Where the tables go; EXUNO_RESULTS takes those of a trial that should not be kept."""


class Spread(NamedTuple):
    """Median, smallest and largest of several measurements."""

    median: float
    min: float
    max: float


def spread(times: Sequence[float]) -> Spread:
    return Spread(statistics.median(times), min(times), max(times))


def shared() -> Path:
    """The folder of shared data beside the repository, or where EXUNO_SHARED says."""
    return Path(os.environ.get("EXUNO_SHARED", Path(__file__).parents[1].parent / "shared"))


def machine() -> str:
    """CPU model, cores that this process may use, and the GPU if torch sees one."""
    return f"{processor()}, {_gpu() or 'no GPU'}"


def _gpu() -> str:
    try:
        query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return ""


def commit() -> str:
    """Short hash of the checked-out commit, with a + where tracked files differ from it."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        name = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        dirty = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", "../src"], check=False).returncode
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return name.stdout.strip() + ("+" if dirty else "")


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """A Markdown table; the keys of the first row are its columns."""
    columns = list(rows[0])
    lines = [columns, ["---"] * len(columns), *([str(row.get(name, "")) for name in columns] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def record(section: str, rows: list[dict[str, object]], note: str) -> None:
    """Print the rows as a Markdown table and put it into RESULTS.md in place of the section's last one.

    Args:
        section: heading of the section; other sections stay as they are.
        rows: one dict for each line of the table, all with the same keys.
        note: what was compared, with which command.
    """
    stamp = f"{datetime.now(UTC):%Y-%m-%d}, commit {commit()}, {machine()}."
    body = f"## {section}\n\n{stamp}\n{note.strip()}\n\n{table(rows)}\n"
    print(body)
    old = RESULTS.read_text() if RESULTS.exists() else "# Results of the benchmarks\n"
    head, *sections = re.split(r"^(?=## )", old, flags=re.MULTILINE)
    kept = {part.splitlines()[0].removeprefix("## ").strip(): part.strip() + "\n" for part in sections}
    kept[section] = body
    temporary = RESULTS.with_suffix(".tmp")
    temporary.write_text(head.strip() + "\n\n" + "\n".join(kept[name] for name in sorted(kept)))
    temporary.replace(RESULTS)

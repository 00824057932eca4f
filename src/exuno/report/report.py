"""``exuno report RUN_DIR…``: write the page of a run, or one that compares several."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import tyro

from exuno.commandline import parsed
from exuno.engine.errors import ExunoError
from exuno.report.page import write_report


@dataclass(frozen=True)
class ReportOptions:
    """Write the HTML page of a run, or a table that compares several."""

    EXAMPLES: ClassVar[tuple[str, ...]] = (
        "exuno report runs/mine",
        "exuno report runs/mine runs/other",
        "exuno report runs/mine --out page.html",
    )

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN_DIR [RUN_DIR ...]")]
    """Run directories."""
    out: Path | None = None
    """File to write. Default: RUN_DIR/report.html for one run, comparison.html for several."""
    no_images: bool = False
    """Show no image of the data or of a source, and paths by their last names."""
    debug: bool = False
    """Show tracebacks."""


def main(args: Sequence[str]) -> None:
    """Parse, write, and print the path.

    Raises:
        ExunoError: no directory given, a directory that is missing or no run, or a file in the way.
    """
    options = parsed("report", ReportOptions, args)

    if not options.runs:
        raise ExunoError("no run directory was given", "exuno report RUN_DIR writes RUN_DIR/report.html.")
    if len(options.runs) == 1:
        print(write_report(options.runs[0], options.out, options.no_images))
    else:
        from exuno.report.compare import write_comparison

        print(write_comparison(options.runs, options.out or Path("comparison.html"), options.no_images))

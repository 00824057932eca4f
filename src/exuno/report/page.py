"""``exuno report``: the page of a run, and what a command says when it is done."""

import sys
from importlib.resources import files
from pathlib import Path

from exuno.engine.errors import ExunoError
from exuno.engine.files import write_text
from exuno.engine.run import Run, rank
from exuno.report import curves, figures, headline, mistakes
from exuno.report.curves import charts
from exuno.report.html import esc, tables
from exuno.report.record import Record, private, read_record
from exuno.version import __version__

STAMP = "<!doctype html><!-- exuno report -->"


def write_report(run_dir: Path, out: Path | None = None, no_images: bool = False) -> Path:
    """Write the page of a run and return its path; default RUN_DIR/report.html.

    Sections without data are left out; files that cannot be read are named at the end of the page. With ``no_images``,
    or where the run was made so, it shows no image of data or source, and paths by their last names.

    Raises:
        ExunoError: no such directory, no run in it, or ``out`` is another document.
    """
    record = read_page(run_dir, no_images)
    target = out or Path(run_dir) / "report.html"
    return save(target, render(record))


def read_page(run_dir: Path, no_images: bool) -> Record:
    """A run as a page may tell it."""
    record = read_record(run_dir)
    return private(record) if no_images or record.bare else record


def render(record: Record) -> str:
    """The whole page as text."""
    check(record)
    body = [
        headline.top(record),
        headline.remarks(record),
        charts(record),
        tables(record),
        figures.figures_section(record),
        figures.test_samples(record),
        curves.curves(record),
        mistakes.confusion(record),
        mistakes.reliability(record),
        mistakes.classes(record),
        headline.origin(record),
        headline.replay(record),
        headline.configuration(record),
        headline.environment(record),
        headline.lineage(record),
    ]
    return document(headline.title(record), "".join(body) + headline.notes(record))


def check(record: Record) -> None:
    """Note it where result.json and the logits on disk tell different accuracies."""
    for one in record.evaluations:
        told, found = record.part("metrics").get(f"{one.name}/top1"), one.summary["top1"]
        if isinstance(told, int | float) and abs(told - found) > 1e-4:
            logits = f"the logits in evaluation/{one.name}.npz give {found:.4f}"
            record.notes.append(f"result.json says {one.name}/top1 is {told:.4f}, {logits}.")


def document(title: str, body: str) -> str:
    """A page around a body of HTML."""
    style = files("exuno.report").joinpath("style.css").read_text(encoding="utf-8")
    return (
        f'{STAMP}\n<html lang="en"><head><meta charset="utf-8"><title>{esc(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<style>{style}</style></head><body><main>{body}</main>"
        f"<footer>Written by exuno {esc(__version__)} from what lies beside this file.</footer></body></html>\n"
    )


def save(path: Path, page: str) -> Path:
    """Write a page in one step, over an older page but over nothing else.

    Raises:
        ExunoError: the path is a directory, or a file that is no page of exuno.
    """
    if path.is_dir():
        raise ExunoError(f"{path} is a directory", "Give the name of a file: --out page.html.")
    if path.is_file():
        with path.open("rb") as file:
            if file.read(len(STAMP)) != STAMP.encode():
                raise ExunoError(f"{path} exists and is no page of exuno", "Choose another name; it was not touched.")
    write_text(path, page)
    return path


def show(run: Run) -> None:
    """Prints accuracies of a finished run with n and 95 % interval, and the path of its page."""
    result = run.result
    if result is None or rank() != 0:
        return
    from rich.console import Console
    from rich.table import Table

    from exuno.report.headline import EPISODES, is_accuracy
    from exuno.report.html import pretty

    table = Table()
    few_shot = any(map(EPISODES.search, result["metrics"]))
    untested = not any(map(is_accuracy, result["metrics"]))  # without labels, agreement is what there is
    vectors = untested and "agreement/top1" not in result["metrics"]  # or the similarity of features
    for name, side in (
        ("", "left"),
        ("accuracy" if few_shot else "cosine" if vectors else "top-1", "right"),
        ("95 % interval", "right"),
        ("episodes" if few_shot else "n", "right"),
        ("published", "right"),
    ):
        table.add_column(name, justify=side)  # pyright: ignore[reportArgumentType]

    def shown(value: float) -> str:
        return f"{value:.4f}" if vectors else f"{100 * value:.2f}"

    published = result.get("published") or {}
    for key, value in {**result["metrics"], **result.get("baselines", {})}.items():
        agreed = (untested and key == "agreement/top1") or (vectors and key.endswith("/cosine"))
        if value is None or not (is_accuracy(key) or agreed):
            continue
        low, high = result.get("intervals", {}).get(key, (None, None))
        interval = f"{shown(low)} – {shown(high)}" if low is not None else ""
        count = result.get("n", {}).get(key)
        paper = f"{100 * published[key]:.2f} %" if key in published else ""
        name = pretty(key) if EPISODES.search(key) else key.removesuffix("/top1")
        table.add_row(name, shown(value) + ("" if vectors else " %"), interval, f"{count:,}" if count else "", paper)
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 100)
    console.print(run.about.get("summary") or f"exuno {run.verb}", soft_wrap=True)
    if table.row_count:
        console.print(table)
    if budget := run.about.get("budget"):
        console.print(f"trained with {100 * budget:g} % of the preset's budget")
    console.print(
        f"{result['wall_seconds']:.0f} s on {result['device']}.  Look at: {run.dir / 'report.html'}", soft_wrap=True
    )

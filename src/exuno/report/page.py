"""``write_report``: a run directory -> RUN_DIR/report.html, one file without scripts or outside requests."""

from importlib.resources import files
from pathlib import Path

from exuno.engine.errors import ExunoError
from exuno.engine.files import write_text
from exuno.report import curves, headline, mistakes, pictures, setup
from exuno.report.charts import charts
from exuno.report.html import esc
from exuno.report.private import private
from exuno.report.record import Record, read_record
from exuno.report.tables import tables
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
        setup.remarks(record),
        charts(record),
        tables(record),
        pictures.figures(record),
        pictures.test_samples(record),
        curves.curves(record),
        mistakes.confusion(record),
        mistakes.reliability(record),
        mistakes.classes(record),
        headline.origin(record),
        setup.replay(record),
        setup.configuration(record),
        setup.environment(record),
        setup.lineage(record),
    ]
    return document(headline.title(record), "".join(body) + setup.notes(record))


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

"""``write_comparison``: several runs -> one page with a table, each run a row."""

from collections.abc import Sequence
from pathlib import Path

from exuno.report.headline import SCALE, Score, scores, strip_row
from exuno.report.html import duration, esc, hue, pretty, section, table
from exuno.report.page import document, read_page, save
from exuno.report.record import Record

HEAD = ("run", "preset", "teacher", "result", "95 % interval", "n", "time")


def write_comparison(run_dirs: Sequence[Path], out: Path, no_images: bool = False) -> Path:
    """Write a page that compares runs in the order given, and return its path; with ``no_images`` it shows paths by
    their last names.

    Raises:
        ExunoError: a directory that is missing or no run, or ``out`` is another document.
    """
    records = [read_page(path, no_images) for path in run_dirs]
    named = [(_label(record, records), record) for record in records]
    title = f"{len(records)} runs compared"
    header = f'<header><p class="eyebrow">exuno report</p><h1>{title}</h1></header>'
    rows = table(HEAD, [_row(label, record) for label, record in named])
    commands = "".join(
        f'<h3>{esc(label)}</h3><pre class="command">{esc(_command(one))}</pre>' for label, one in named if _command(one)
    )
    body = section("Accuracy", _strip(named)) + section("Runs", rows) + section("Commands", commands)
    return save(out, document(title, header + body))


def _label(record: Record, records: list[Record]) -> str:
    """Name of the folder, with its parent where two runs have the same."""
    alone = sum(one.name == record.name for one in records) == 1
    return record.name if alone else f"{record.dir.resolve().parent.name}/{record.name}"


def _main(record: Record) -> Score | None:
    """The student's accuracy; of a run without one, its first."""
    found = scores(record)
    return next((score for score in found if hue(score.name) == "student"), found[0] if found else None)


def _row(label: str, record: Record) -> list[str]:
    found = {hue(score.name): score for score in reversed(scores(record))}
    main, seconds = _main(record), (record.result or {}).get("wall_seconds", record.seconds)
    interval = " – ".join(f"{100 * bound:.1f}" for bound in main.interval) if main and main.interval else "–"
    teacher = found["teacher"].text if "teacher" in found else "–"
    result = f"{esc(main.text)} <small>{esc(pretty(main.name))}</small>" if main else "–"
    count = f"{main.n:,}" if main and main.n else "–"
    spent = duration(seconds) or "–"
    remark = ", unfinished" if record.result is None else ", smoke run" if record.smoke else ""
    return [esc(label), esc(record.preset or "–"), esc(teacher), result, interval, count, esc(spent + remark)]


def _strip(named: list[tuple[str, Record]]) -> str:
    shown = [(label, main) for label, record in named if (main := _main(record))]
    rows = "".join(strip_row(Score(name, main.value, main.interval, main.n), hue(main.name)) for name, main in shown)
    return f'<div class="strip">{rows}{SCALE}</div>' if rows else ""


def _command(record: Record) -> str:
    return next((line for line in record.command.splitlines() if line and not line.startswith("#")), "")

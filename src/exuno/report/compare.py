"""``write_comparison``: several runs -> one page with a table, each run a row."""

from collections.abc import Sequence
from pathlib import Path

from exuno.report.headline import SCALE, Score, scores, strip_row
from exuno.report.html import duration, esc, hue, section, table
from exuno.report.page import document, save
from exuno.report.record import Record, read_record

HEAD = ("run", "preset", "teacher", "student", "95 % interval", "n", "time")


def write_comparison(run_dirs: Sequence[Path], out: Path) -> Path:
    """Write a page that compares runs in the order given, and return its path.

    Raises:
        ExunoError: a directory that is missing or no run, or ``out`` is another document.
    """
    records = [read_record(path) for path in run_dirs]
    title = f"{len(records)} runs compared"
    header = f'<header><p class="eyebrow">exuno report</p><h1>{title}</h1></header>'
    rows = table(HEAD, [_row(record) for record in records])
    commands = "".join(f"<h3>{esc(one.name)}</h3><pre>{esc(_command(one))}</pre>" for one in records if _command(one))
    body = section("Accuracy", _strip(records)) + section("Runs", rows) + section("Commands", commands)
    return save(out, document(title, header + body))


def _main(record: Record) -> Score | None:
    """The student's accuracy; of a run without one, its first."""
    found = scores(record)
    return next((score for score in found if hue(score.name) == "student"), found[0] if found else None)


def _row(record: Record) -> list[str]:
    found = {hue(score.name): score for score in reversed(scores(record))}
    main, seconds = _main(record), (record.result or {}).get("wall_seconds", record.seconds)
    interval = " – ".join(f"{100 * bound:.1f}" for bound in main.interval) if main and main.interval else "–"
    cells = [found[role].text if role in found else "–" for role in ("teacher", "student")]
    count = f"{main.n:,}" if main and main.n else "–"
    spent = duration(seconds) or "–"
    time = spent if record.result is not None else f"{spent}, unfinished"
    return [esc(cell) for cell in (record.name, record.preset or "–", *cells, interval, count, time)]


def _strip(records: list[Record]) -> str:
    shown = [(record.name, main) for record in records if (main := _main(record))]
    rows = "".join(strip_row(Score(name, main.value, main.interval, main.n), hue(main.name)) for name, main in shown)
    return f'<div class="strip">{rows}{SCALE}</div>' if rows else ""


def _command(record: Record) -> str:
    return next((line for line in record.command.splitlines() if line and not line.startswith("#")), "")

"""``write_comparison``: several runs -> one page: what each is, how well it did, and what differs between them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from exuno.engine.configuration import flatten
from exuno.report.headline import SCALE, Score, guesses, scores, strip_row
from exuno.report.html import duration, esc, hue, pretty, section, table
from exuno.report.page import document, read_page, save
from exuno.report.record import Record, mapping

HEAD = ("run", "verb", "data", "source", "teacher", "model", "result", "95 % interval", "n", "chance", "time")
OTHER_NAMES = {"source": ("source", "sources"), "model": ("student", "model", "models"), "teacher": ("teacher",)}
"""Column -> the options that say it, in the order in which they are looked for."""


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
    body = section("Accuracy", _strip(named)) + section("Runs", rows) + _differences(named)
    return save(out, document(title, header + body + section("Commands", commands)))


def _label(record: Record, records: list[Record]) -> str:
    """Name of the folder, with its parent where two runs have the same."""
    alone = sum(one.name == record.name for one in records) == 1
    return record.name if alone else f"{record.dir.resolve().parent.name}/{record.name}"


def _main(record: Record) -> Score | None:
    """The student's accuracy; of a run without one, that of what is no teacher."""
    found = scores(record)
    order = {"student": 0, "teacher": 2}
    return min(found, key=lambda score: order.get(hue(score.name), 1), default=None)


def _options(record: Record) -> dict[str, Any]:
    return mapping(record.config.get("config"))


def _named(record: Record, column: str) -> str:
    """The value of an option as it was typed; a dash where the run has none."""
    options = _options(record)
    value = next((options[name] for name in OTHER_NAMES.get(column, (column,)) if options.get(name)), None)
    return _text(value)


def _text(value: Any) -> str:
    """A value of a configuration in words."""
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or "–"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def _row(label: str, record: Record) -> list[str]:
    found = {hue(score.name): score for score in reversed(scores(record))}
    main, seconds = _main(record), (record.result or {}).get("wall_seconds", record.seconds)
    interval = " – ".join(f"{100 * bound:.1f}" for bound in main.interval) if main and main.interval else "–"
    teacher = esc(_named(record, "teacher"))
    if "teacher" in found and main and found["teacher"] is not main:
        teacher += f" <small>{esc(found['teacher'].text)}</small>"
    result = f"{esc(main.text)} <small>{esc(pretty(main.name))}</small>" if main else "–"
    count = f"{main.n:,}" if main and main.n else "–"
    chance = ", ".join(f"{100 * share:.3g}\u202f%" for share in guesses(record).values()) or "–"
    spent = duration(seconds) or "–"
    remark = ", unfinished" if record.result is None else ", smoke run" if record.smoke else ""
    what = " · ".join(filter(None, (record.verb, record.preset)))
    named = [esc(_named(record, column)) for column in ("data", "source")]
    model = esc(_named(record, "model"))
    return [esc(label), esc(what), *named, teacher, model, result, interval, count, esc(chance), esc(spent + remark)]


def _differences(named: list[tuple[str, Record]]) -> str:
    """The options that two runs or more have and in which they differ, a row each; and the files behind equal names."""
    flat = [flatten(_options(record)) for _, record in named]
    inputs = [{f"sha256 of {name}": digest for name, digest in mapping(one.config.get("inputs")).items()}
              for _, one in named]  # fmt: skip
    rows = []
    for found in (flat, inputs):
        for key in dict.fromkeys(key for each in found for key in each):
            values = [each[key] for each in found if key in each]
            if len(values) > 1 and any(value != values[0] for value in values):
                cells = [_text(each[key])[:64] if key in each else "–" for each in found]
                rows.append([esc(key.replace("_", "-") if found is flat else key), *map(esc, cells)])
    if not rows:
        same = "The runs have the same configuration." if len({one.verb for _, one in named}) == 1 else ""
        return section("What differs", f'<p class="lead">{same}</p>' if same else "")
    lead = "Options of config.yaml in which the runs differ; a dash where a run has no such option, or none was given."
    return section("What differs", table(["option", *(label for label, _ in named)], rows), lead)


def _strip(named: list[tuple[str, Record]]) -> str:
    shown = [(label, main, record) for label, record in named if (main := _main(record))]
    rows = "".join(strip_row(Score(name, main.value, main.interval, main.n), hue(main.name)) for name, main, _ in shown)
    told = dict.fromkeys(pair for *_, record in shown for pair in guesses(record).items())
    rows += "".join(strip_row(Score(name, value), "other", "baseline") for name, value in told)
    return f'<div class="strip">{rows}{SCALE}</div>' if rows else ""


def _command(record: Record) -> str:
    return next((line for line in record.command.splitlines() if line and not line.startswith("#")), "")

"""The bottom of the page: how to repeat the run, with what it was made, and what could not be shown."""

from exuno.report.html import duration, esc, flatten, section, table
from exuno.report.record import Record, mapping


def replay(record: Record) -> str:
    """The command, ready to be copied; its comments below it."""
    lines = record.command.splitlines() or [_joined(record)]
    command = "\n".join(line for line in lines if not line.startswith("#")).strip()
    remarks = "".join(f"<p>{esc(line.lstrip('# '))}</p>" for line in lines if line.startswith("#"))
    return section("Replay", f'<pre class="command">{esc(command)}</pre>{remarks}' if command else remarks)


def _joined(record: Record) -> str:
    command = (record.result or {}).get("command", "")
    return " ".join(map(str, command)) if isinstance(command, list) else str(command)


def configuration(record: Record) -> str:
    """config.yaml as it stands, folded."""
    text = record.config_text.strip()
    lines = len(text.splitlines())
    fold = f"<details><summary>config.yaml, {lines} lines</summary><pre>{esc(text)}</pre></details>"
    return section("Configuration", fold if text else "")


def environment(record: Record) -> str:
    """Machine and versions."""
    result = record.result or {}
    known = {**mapping(result.get("versions")), **record.environment}
    if isinstance(result.get("wall_seconds"), int | float):
        known["wall time"] = duration(result["wall_seconds"])
    if isinstance(memory := result.get("peak_memory_bytes"), int | float):
        known["peak memory"] = f"{memory / 2**20:,.0f} MiB"
    rows = [[esc(name.replace("_", " ")), esc(value)] for name, value in flatten(known)]
    return section("Environment", table([], rows, "plain") if rows else "")


def lineage(record: Record) -> str:
    """What the result was made from, with checksums."""
    rows = [
        [esc(name.replace("_", " ")), f"<code>{esc(value)}</code>"] for name, value in flatten(record.part("lineage"))
    ]
    return section("Lineage", table([], rows, "plain") if rows else "")


def remarks(record: Record) -> str:
    """What the run itself says that a reader should know of its numbers."""
    told = (record.result or {}).get("notes")
    items = "".join(f"<li>{esc(note)}</li>" for note in told) if isinstance(told, list) else ""
    return section("Notes", f"<ul>{items}</ul>" if items else "")


def notes(record: Record) -> str:
    """What the page lacks because it could not be read."""
    items = "".join(f"<li>{esc(note)}</li>" for note in record.notes)
    return section("Not shown", f"<ul>{items}</ul>" if items else "")

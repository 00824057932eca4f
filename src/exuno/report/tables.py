"""Tables that a command has put into result.json as text: a title, a head, rows, and perhaps a note."""

from typing import Any

from exuno.report.html import esc, section, table
from exuno.report.record import Record, mapping


def tables(record: Record) -> str:
    """A section for each table of result.json; one that makes no sense becomes a note."""
    listed = (record.result or {}).get("tables") or []
    return "".join(_section(record, each) for each in (listed if isinstance(listed, list) else [listed]))


def _section(record: Record, content: Any) -> str:
    content = mapping(content)
    head, rows = content.get("head"), content.get("rows")
    good = isinstance(head, list) and head and isinstance(rows, list)
    if not good or any(not isinstance(row, list) or len(row) != len(head) for row in rows):
        record.notes.append("A table of result.json makes no sense.")
        return ""
    body = table([str(cell) for cell in head], [[esc(cell) for cell in row] for row in rows])
    return section(str(content.get("title") or "Table"), body, str(content.get("note") or ""))

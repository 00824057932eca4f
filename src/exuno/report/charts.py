"""Charts that a command has put into result.json: a title, the places of the x axis by name, lines over them (dashed
ones are for comparison), the names of the axes, and whether the values are shares, shown in percent."""

from typing import Any

from exuno.report.html import section
from exuno.report.plot import Line, line_chart
from exuno.report.record import Record, mapping

COLOURS = ("student", "teacher", "third", "fourth", "fifth", "sixth")


def charts(record: Record) -> str:
    """One section with all charts of result.json; one that makes no sense becomes a note."""
    listed = (record.result or {}).get("charts") or []
    drawn = [_chart(record, each) for each in (listed if isinstance(listed, list) else [listed])]
    return section("At a glance", f'<div class="charts">{"".join(drawn)}</div>' if any(drawn) else "")


def _chart(record: Record, content: Any) -> str:
    content = mapping(content)
    try:
        places = [str(name) for name in content["places"]]
        lines = [
            Line(
                str(line["name"]),
                [(float(x), float(y)) for x, y in line["points"]],
                "other" if line.get("dashed") else COLOURS[number % len(COLOURS)],
                bool(line.get("dashed")),
            )
            for number, line in enumerate(content["lines"])
        ]
    except (KeyError, TypeError, ValueError, AttributeError):
        record.notes.append("A chart of result.json makes no sense.")
        return ""
    title, percent = str(content.get("title") or "Chart"), bool(content.get("percent"))
    names = {"x_name": str(content.get("x") or ""), "y_name": str(content.get("y") or "")}
    return line_chart(title, lines, percent, may_log=False, places=places, **names)

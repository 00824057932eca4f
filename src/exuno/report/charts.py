"""Charts that a command has put into result.json: a title, the places of the x axis by name, and lines over them."""

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
            Line(str(line["name"]), [(float(x), float(y)) for x, y in line["points"]], COLOURS[number % len(COLOURS)])
            for number, line in enumerate(content["lines"])
        ]
    except (KeyError, TypeError, ValueError):
        record.notes.append("A chart of result.json makes no sense.")
        return ""
    shares = all(0 <= y <= 1 for line in lines for _, y in line.points)
    return line_chart(str(content.get("title") or "Chart"), lines, shares, may_log=False, places=places)

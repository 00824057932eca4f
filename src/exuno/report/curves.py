"""Charts of the page: how the training went, and those that a command put into result.json.

Charts that a command has put into result.json: a title, the places of the x axis by name, lines over them (dashed
ones are for comparison), the names of the axes, and whether the values are shares, shown in percent.
"""

from typing import Any

from exuno.report.headline import EPISODES, guesses, scores
from exuno.report.html import hue, pretty, section
from exuno.report.plot import Line, line_chart
from exuno.report.record import Record, mapping

IN_PERCENT = ("top1", "top5", "accuracy", "agreement")
TITLES = {"loss": "Loss", "accuracy": "Accuracy", "clusters": "Clusters and classes", "lr": "Learning rate"}
UNITS = {"loss": "loss, in nats", "accuracy": "accuracy", "clusters": "from 0 to 1", "lr": "learning rate"}
CLUSTERS = {"nmi": "normalised mutual information", "ari": "adjusted Rand index"}


def curves(record: Record) -> str:
    """Loss, accuracy, learning rate, then whatever else was logged; each with the last value in its legend."""
    groups: dict[str, dict[str, list[tuple[float, float]]]] = {kind: {} for kind in TITLES}
    for name, curve in record.curves.items():
        last = name.rsplit("/", 1)[-1]
        kind = "accuracy" if last in IN_PERCENT or EPISODES.search(name) else "clusters" if last in CLUSTERS else last
        groups.setdefault(kind, {})[name] = curve
    charts = [_chart(record, kind, lines) for kind, lines in groups.items() if lines]
    lead = (
        "Long curves are averaged over neighbouring steps." if any(len(c) > 300 for c in record.curves.values()) else ""
    )
    title = "How the pictures grew" if record.verb == "explain neurons" else "Training"
    return section(title, f'<div class="charts">{"".join(charts)}</div>' if any(charts) else "", lead)


def _chart(record: Record, kind: str, group: dict[str, list[tuple[float, float]]]) -> str:
    spare = iter(("third", "fourth", "fifth", "sixth"))
    taken: set[str] = set()
    lines = []
    for name, curve in sorted(group.items()):
        colour = hue(name)
        if colour == "other" or colour in taken:
            colour = next((one for one in spare if one not in taken), "other")
        taken.add(colour)
        lines.append(Line(_label(name, kind), curve, colour))
    if kind == "accuracy" and lines:
        first, last = min(line.points[0][0] for line in lines), max(line.points[-1][0] for line in lines)
        lines += [
            Line("teacher, at the end", [(first, score.value), (last, score.value)], "teacher", dashed=True)
            for score in scores(record)
            if score.name == "teacher/top1" and "teacher" not in taken and last > first
        ]
        lines += [
            Line(pretty(name), [(first, value), (last, value)], "other", dashed=True)
            for name, value in guesses(record).items()
            if last > first
        ]
    shares = kind == "accuracy" and all(0 <= y <= 1 for line in lines for _, y in line.points)
    name = kind.replace("_", " ")
    y_name = "loss" if kind == "loss" and record.verb == "poster" else UNITS.get(kind, name)  # not all of its are nats
    x_name = "step" if record.verb.startswith("explain") else "training step"
    title = TITLES.get(kind, name.capitalize())
    return line_chart(title, lines, shares, may_log=kind != "lr", x_name=x_name, y_name=y_name)


def _label(name: str, kind: str) -> str:
    """``eval/student/top1`` -> ``student, test``; ``train/agreement`` -> ``agreement, training``."""
    if EPISODES.search(name):
        return pretty(name.removeprefix("eval/").removeprefix("val/")) + ", validation classes"
    *where, last = name.split("/")
    if last in CLUSTERS:
        return CLUSTERS[last]
    measured = last in ("top1", "top5") or where[:1] == ["eval"]
    side = "training" if where[:1] == ["train"] else "test" if measured else ""
    rest = [part for part in where if part not in ("train", "eval")]
    if last not in (kind, "top1"):
        rest.append(last.replace("top5", "top-5"))
    return ", ".join(filter(None, (" ".join(rest).replace("_", " "), side))) or last


COLOURS = ("student", "teacher", "third", "fourth", "fifth", "sixth")


def charts(record: Record) -> str:
    """One section with all charts of result.json; one that makes no sense becomes a note."""
    listed = (record.result or {}).get("charts") or []
    drawn = [_own_chart(record, each) for each in (listed if isinstance(listed, list) else [listed])]
    return section("At a glance", f'<div class="charts">{"".join(drawn)}</div>' if any(drawn) else "")


def _own_chart(record: Record, content: Any) -> str:
    content = mapping(content)
    try:
        places = [str(name) for name in content["places"]]
        lines = [
            Line(
                str(line["name"]),
                [(float(x), float(y)) for x, y in line["points"]],
                "other" if line.get("dashed") else COLOURS[number % len(COLOURS)],
                bool(line.get("dashed")),
                [(float(low), float(high)) for low, high in line.get("ranges") or ()],
            )
            for number, line in enumerate(content["lines"])
        ]
    except (KeyError, TypeError, ValueError, AttributeError):
        record.notes.append("A chart of result.json makes no sense.")
        return ""
    title, percent = str(content.get("title") or "Chart"), bool(content.get("percent"))
    names = {"x_name": str(content.get("x") or ""), "y_name": str(content.get("y") or "")}
    return line_chart(title, lines, percent, may_log=False, places=places, **names)

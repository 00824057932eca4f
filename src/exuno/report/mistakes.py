"""Where the models are wrong, and whether they know it: confusion, calibration, accuracy of each class."""

import math

import numpy as np

from exuno.metrics import agreement, calibration
from exuno.report.html import esc, hue, percent, scroll, section, table
from exuno.report.plot import reliability_chart
from exuno.report.record import Evaluation, Record

MOST = 20  # classes in a matrix; above it the most confused pairs
PAIRS = 12
WORST = 15  # rows of the class table that are open from the start


def confusion(record: Record) -> str:
    """A heat table for each model, or its most confused pairs where the classes are many."""
    small = [one for one in record.evaluations if len(one.class_names) <= MOST]
    large = [one for one in record.evaluations if len(one.class_names) > MOST]
    body = "".join(_matrix(one) for one in small) + "".join(_pairs(one) for one in large)
    lead = (
        "Rows are true classes, columns predictions, numbers samples. The shade grows with the square root of the share"
    )
    lead += " of its row, so that single mistakes remain visible."
    body = f'{alike(record)}<div class="pair">{body}</div>' if body else ""
    return section("Confusion", body, lead if small else "")


def _matrix(one: Evaluation) -> str:
    cells, names = np.array(one.summary["confusion"]), one.class_names
    total = np.maximum(cells.sum(1, keepdims=True), 1)
    shade = np.sqrt(cells / total)
    long = max(map(len, names)) > 3
    head = "".join(f'<th scope="col"{" class=tall" if long else ""}><span>{esc(name)}</span></th>' for name in names)
    rows = ""
    for i, name in enumerate(names):
        row = "".join(_cell(int(cells[i, j]), shade[i, j], i == j, name, names[j]) for j in range(len(names)))
        rows += f'<tr><th scope="row">{esc(name)}</th>{row}</tr>'
    wrong = len(one.labels) - int(np.trace(cells))
    title = f"<h3>{esc(one.name)} <small>{wrong:,} of {len(one.labels):,} wrong</small></h3>"
    first = 0.7 * min(12, max(map(len, names))) + 0.8  # room for the row's name, in em
    style = f"--first:{first:.1f}em;min-width:calc({first:.1f}em + {24 * len(names)}px)"
    width = 12.5 * first + 24 * len(names)
    grid = f'<table class="matrix" style="{style}"><thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table>'
    return f'<div>{title}<p class="axes">↓ true class, predicted class →</p>{scroll(grid, width)}</div>'


def _cell(count: int, shade: float, right: bool, truth: str, answer: str) -> str:
    if not count:
        return "<td></td>"
    tip = esc(f"{count} × {truth}, predicted {answer}")
    kind = ("hit" if right else "miss") + (" deep" if shade > 0.7 else "")
    return f'<td class="{kind}" style="--v:{shade:.2f}" title="{tip}">{count}</td>'


def _pairs(one: Evaluation) -> str:
    cells, names = np.array(one.summary["confusion"]), one.class_names
    off = cells - np.diag(np.diag(cells))
    order = np.argsort(-off, axis=None, kind="stable")[:PAIRS]
    rows = []
    for i, j in zip(*np.unravel_index(order, off.shape), strict=True):
        if off[i, j]:
            rows.append([esc(names[i]), esc(names[j]), str(off[i, j]), percent(off[i, j] / cells[i].sum())])
    title = f"<h3>{esc(one.name)} <small>most confused pairs</small></h3>"
    return f"<div>{title}{table(['true class', 'predicted', 'samples', 'of class'], rows)}</div>" if rows else ""


def reliability(record: Record) -> str:
    """A reliability diagram for each model."""
    charts = []
    for one in record.evaluations:
        result = calibration(one.probabilities, one.labels)
        if not math.isnan(result.ece):
            charts.append(reliability_chart(one.name, hue(one.name), result))
    lead = (
        "Bars: accuracy of the test samples answered with that confidence (15 bins). On the dashed line a model is as"
    )
    lead += " often right as it says; below it, it is too sure. Gray: how many samples (square root)."
    return section("Calibration", f'<div class="pair">{"".join(charts)}</div>' if charts else "", lead)


def classes(record: Record) -> str:
    """Accuracy of each class and model; all classes where they are few, else the worst of the last model."""
    if not record.evaluations:
        return ""
    judge = record.evaluations[-1]
    alike = [one for one in record.evaluations if one.class_names == judge.class_names]
    counts = np.bincount(judge.labels, minlength=len(judge.class_names))
    head = ["class", "n", *(one.name for one in alike)]
    accuracy = judge.summary["per_class"]
    order = sorted(range(len(accuracy)), key=lambda i: 2.0 if (share := accuracy[i]) is None else share)
    few = len(order) <= MOST
    chosen = list(range(len(order))) if few else order[:WORST]
    body = table(head, [_class_row(i, counts, alike) for i in chosen], "classes")
    if not few:
        every = table(head, [_class_row(i, counts, alike) for i in range(len(order))], "classes")
        body += f"<details><summary>All {len(order):,} classes</summary>{every}</details>"
    return section("Classes", body, "" if few else f"The {WORST} classes that the {judge.name} knows worst.")


def _class_row(i: int, counts: np.ndarray, models: list[Evaluation]) -> list[str]:
    cells = []
    for one in models:
        share = one.summary["per_class"][i]
        width = 0.0 if share is None else 100 * share
        cells.append(f'<span class="meter {hue(one.name)}"><i style="width:{width:.1f}%"></i></span>{percent(share)}')
    return [esc(models[0].class_names[i]), f"{counts[i]:,}", *cells]


def alike(record: Record) -> str:
    """One sentence on how often teacher and student answer the same, computed from their logits."""
    named = {one.name: one for one in record.evaluations}
    teacher, student = named.get("teacher"), named.get("student")
    if not teacher or not student or teacher.logits.shape != student.logits.shape:
        return ""
    found = agreement(teacher.logits, student.logits)
    text = f"On {percent(found.top1)} of the test samples the student answers what its teacher answers, right or wrong"
    return f'<p class="lead">{esc(text)}; mean KL divergence {found.kl:.3g} nats.</p>'

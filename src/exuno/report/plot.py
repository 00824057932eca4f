"""Charts as SVG text. Drawn by hand, not by matplotlib: colours come from the page's style, so the same chart reads on
light and dark paper, its letters are the page's, and a report costs no three seconds of import.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from exuno.metrics import Calibration
from exuno.report.html import esc, percent

WIDTH, HEIGHT = 330, 200
LEFT, RIGHT, TOP, BOTTOM = 44, 8, 8, 24
POINTS = 300  # a longer curve is averaged down to so many points


@dataclass(frozen=True)
class Line:
    """One curve: points (x, y) with x rising; ``colour`` is a class of the style sheet."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: str
    dashed: bool = False


def thin(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Means of neighbouring points, so that at most POINTS remain."""
    if len(points) <= POINTS:
        return list(points)
    parts = np.array_split(np.asarray(points, float), POINTS)
    return [(float(part[:, 0].mean()), float(part[:, 1].mean())) for part in parts]


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten) that lie in [low, high]."""
    if not high > low:
        return [low]
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * power for unit in (1, 2, 5, 10) if unit * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten in [low, high], with 2 and 5 times them where there are fewer than three."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for units in ((1,), (1, 2, 5)):
        marks = [unit * 10.0**power for power in powers for unit in units if low <= unit * 10.0**power <= high * 1.001]
        if len(marks) >= 3:
            break
    return marks[:: max(1, len(marks) // 6)]


def short(value: float) -> str:
    """``12000`` -> ``12k``."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:.3g}"


def line_chart(
    title: str, lines: Sequence[Line], in_percent: bool = False, may_log: bool = True, places: Sequence[str] = ()
) -> str:
    """Curves over steps, the last value of each in the legend; a logarithmic axis where they span 30 times.

    With ``places``, x counts them, and their names stand in the place of steps.
    """
    lines = [Line(line.name, thin(line.points), line.colour, line.dashed) for line in lines if line.points]
    values = [y for line in lines for _, y in line.points]
    xs = [x for line in lines for x, _ in line.points]
    if not values:
        return ""
    low, high = min(values), max(values)
    log = may_log and not in_percent and low > 0 and high / low > 30
    low, high = _span(low, high, in_percent, log)
    x_low, x_high = min(xs), max(max(xs), min(xs) + 1e-9)

    if places:  # half a place on either side, for the names
        x_low, x_high = -0.5, len(places) - 0.5

    def x_of(x: float) -> float:
        return LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)

    def y_of(y: float) -> float:
        share = (math.log(y / low) / math.log(high / low)) if log else (y - low) / (high - low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    show = (lambda y: percent(y, 0)) if in_percent else short
    marks = log_ticks(low, high) if log else ticks(low, high)
    if in_percent and len({show(mark) for mark in marks}) < len(marks):
        show = percent
    axes = "".join(
        f'<line class="rule" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y_of(y):.1f}" y2="{y_of(y):.1f}"/>'
        f'<text x="{LEFT - 7}" y="{y_of(y) + 4:.1f}" text-anchor="end">{esc(show(y))}</text>'
        for y in marks
    )
    axes += "".join(
        f'<text x="{x_of(x):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{esc(name)}</text>'
        for x, name in (enumerate(places) if places else ((x, short(x)) for x in ticks(x_low, x_high, 4)))
        if places or x_of(x) < WIDTH - RIGHT - 36
    )
    if not places:
        axes += f'<text class="axis" x="{WIDTH - RIGHT}" y="{HEIGHT - BOTTOM + 16}" text-anchor="end">step</text>'
    curves = "".join(_curve(line, [(x_of(x), y_of(y)) for x, y in line.points]) for line in lines)
    legend = "".join(
        f'<li><i class="swatch {line.colour}{" dashed" if line.dashed else ""}"></i>{esc(line.name)} '
        f"<b>{esc(percent(line.points[-1][1]) if in_percent else f'{line.points[-1][1]:.3g}')}</b></li>"
        for line in lines
    )
    label = esc(title if places else f"{title} over training steps")
    svg = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{axes}{curves}</svg>'
    note = " <small>logarithmic</small>" if log else ""
    return f'<figure class="chart"><h3>{esc(title)}{note}</h3><ul class="legend">{legend}</ul>{svg}</figure>'


def _span(low: float, high: float, in_percent: bool, log: bool) -> tuple[float, float]:
    if log:
        return low / 1.15, high * 1.15
    room = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    if in_percent:
        return max(0.0, low - room), min(1.0, high + room) if low < 1 else 1.01
    return (0.0 if 0 <= low < 0.4 * high else low - room), high + room


def _curve(line: Line, points: list[tuple[float, float]]) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    kind = f"line {line.colour}{' dashed' if line.dashed else ''}"
    dots = points if len(points) <= 25 and not line.dashed else points[-1:]
    marks = "".join(f'<circle class="dot {line.colour}" cx="{x:.1f}" cy="{y:.1f}" r="2.6"/>' for x, y in dots)
    return f'<polyline class="{kind}" points="{path}"/>{marks}'


def reliability_chart(name: str, colour: str, result: Calibration) -> str:
    """Accuracy over confidence, a bar for each bin, and the diagonal of perfect calibration; under it the samples."""
    left, top, side, bins = 46, 8, 220, len(result.count)
    width, floor, most = side / bins, top + side, max(1, int(result.count.max()))
    parts = [
        f'<line class="rule" x1="{left}" x2="{left + side}" y1="{floor - y * side:.1f}" y2="{floor - y * side:.1f}"/>'
        f'<text x="{left - 7}" y="{floor - y * side + 4:.1f}" text-anchor="end">{percent(y, 0)}</text>'
        for y in (0, 0.5, 1)
    ]
    for place, (accuracy, count) in enumerate(zip(result.accuracy, result.count, strict=True)):
        if not count:
            continue
        x, tall, deep = left + place * width, accuracy * side, math.sqrt(count / most) * 34
        span = f'x="{x + 1:.1f}" width="{width - 2:.1f}"'
        tip = f"confidence {percent(result.confidence[place])}, accuracy {percent(accuracy)}, {count} samples"
        parts.append(
            f"<g><title>{esc(tip)}</title>"
            f'<rect class="bar {colour}" y="{floor - tall:.1f}" height="{tall:.1f}" {span}/>'
            f'<rect class="count" y="{floor + 6:.1f}" height="{deep:.1f}" {span}/></g>'
        )
    parts.append(f'<line class="line ink dashed" x1="{left}" y1="{floor}" x2="{left + side}" y2="{top}"/>')
    parts.append(f'<text x="{left}" y="{floor + 56}">0</text>')
    parts.append(f'<text x="{left + side / 2}" y="{floor + 56}" text-anchor="middle">confidence</text>')
    parts.append(f'<text x="{left + side}" y="{floor + 56}" text-anchor="end">{percent(1, 0)}</text>')
    svg = f'<svg viewBox="0 0 {left + side + 10} {floor + 62}" role="img" aria-label="Reliability of {esc(name)}">'
    head = (
        f'<h3>{esc(name)}</h3><ul class="legend"><li>expected calibration error <b>{percent(result.ece)}</b></li></ul>'
    )
    return f'<figure class="chart square">{head}{svg}{"".join(parts)}</svg></figure>'

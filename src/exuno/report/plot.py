"""Charts as SVG text. Drawn by hand, not by matplotlib: colours come from the page's style, so the same chart reads on
light and dark paper, its letters are the page's, and a report costs no three seconds of import.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from exuno.metrics import Calibration
from exuno.report.html import esc, percent

WIDTH, RIGHT, TOP, TALL = 330, 8, 22, 168
"""Of a chart in pixels: its width, the margins, the height of the field between the axes."""
LETTER = 6.5
"""Width of a letter of a label in pixels, a little more than most have."""
POINTS = 300  # a longer curve is averaged down to so many points


@dataclass(frozen=True)
class Line:
    """One curve: points (x, y) with x rising; ``colour`` is a class of the style sheet."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: str
    dashed: bool = False
    ranges: Sequence[tuple[float, float]] = ()
    """Low and high end of a bar at each point; none without."""


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
    title: str,
    lines: Sequence[Line],
    in_percent: bool = False,
    may_log: bool = True,
    places: Sequence[str] = (),
    x_name: str = "training step",
    y_name: str = "",
) -> str:
    """Curves over steps, the last value of each in the legend; a logarithmic axis where they span 30 times.

    With ``places``, x counts them, and their names stand in the place of steps. ``x_name`` and ``y_name`` are written
    at the axes, with units where they have one.
    """
    lines = [Line(line.name, thin(line.points), line.colour, line.dashed, line.ranges) for line in lines if line.points]
    values = [y for line in lines for _, y in line.points] + [y for line in lines for pair in line.ranges for y in pair]
    xs = [x for line in lines for x, _ in line.points]
    if not values:
        return ""
    low, high = min(values), max(values)
    log = may_log and not in_percent and low > 0 and high / low > 30
    low, high = _span(low, high, in_percent, log)
    x_low, x_high = min(xs), max(max(xs), min(xs) + 1e-9 * max(1.0, abs(min(xs))))
    if places:  # half a place on either side, for the names
        x_low, x_high = -0.5, len(places) - 0.5
    show = (lambda y: percent(y, 0)) if in_percent else short
    marks = log_ticks(low, high) if log else ticks(low, high)
    if in_percent and len({show(mark) for mark in marks}) < len(marks):
        show = percent
    left, floor = max(44.0, 10 + LETTER * max(len(show(y)) for y in marks)), TOP + TALL

    def x_of(x: float) -> float:
        return left + (x - x_low) / (x_high - x_low) * (WIDTH - left - RIGHT)

    def y_of(y: float) -> float:
        share = (math.log(y / low) / math.log(high / low)) if log else (y - low) / (high - low)
        return floor - share * TALL

    axes = "".join(
        f'<line class="rule" x1="{left:.1f}" x2="{WIDTH - RIGHT}" y1="{y_of(y):.1f}" y2="{y_of(y):.1f}"/>'
        f'<text x="{left - 7:.1f}" y="{y_of(y) + 4:.1f}" text-anchor="end">{esc(show(y))}</text>'
        for y in marks
    )
    if places:
        named, below = _places(places, [x_of(x) for x in range(len(places))], floor)
    else:
        named, below = _steps([(x_of(x), short(x)) for x in ticks(x_low, x_high, 4) if x == int(x)], floor), 18.0
    axes += f'{named}<text class="axis" x="0" y="10">{esc(y_name)}{" (logarithmic)" if log else ""}</text>'
    middle, foot = (left + WIDTH - RIGHT) / 2, floor + below + 16
    axes += f'<text class="axis" x="{middle:.1f}" y="{foot:.1f}" text-anchor="middle">{esc(x_name)}</text>'
    curves = "".join(_curve(line, [(x_of(x), y_of(y)) for x, y in line.points]) for line in lines)
    curves += "".join(
        f'<line class="line {line.colour}" x1="{x_of(x):.1f}" x2="{x_of(x):.1f}" y1="{y_of(low):.1f}" '
        f'y2="{y_of(high):.1f}"/>'
        for line in lines
        for (x, _), (low, high) in zip(line.points, line.ranges, strict=bool(line.ranges))
    )
    legend = "".join(
        f'<li><i class="swatch {line.colour}{" dashed" if line.dashed else ""}"></i>{esc(line.name)} '
        f"<b>{esc(percent(line.points[-1][1]) if in_percent else f'{line.points[-1][1]:.3g}')}</b></li>"
        for line in lines
    )
    label = esc(f"{title}: {y_name or 'values'} over {x_name or 'places'}")
    svg = f'<svg viewBox="0 0 {WIDTH} {foot + 6:.0f}" role="img" aria-label="{label}">{axes}{curves}</svg>'
    return f'<figure class="chart"><h3>{esc(title)}</h3><ul class="legend">{legend}</ul>{svg}</figure>'


def _steps(marks: Sequence[tuple[float, str]], floor: float) -> str:
    """Numbers under an axis, kept within the picture; one that would touch the one before is left out."""
    text, free = "", -math.inf
    for x, name in marks:
        half = LETTER * len(name) / 2
        x = min(x, WIDTH - half)
        if x - half > free:
            text += f'<text x="{x:.1f}" y="{floor + 16:.1f}" text-anchor="middle">{esc(name)}</text>'
            free = x + half + 4
    return text


def _places(names: Sequence[str], xs: Sequence[float], floor: float) -> tuple[str, float]:
    """Names under an axis, slanted where they have no room side by side, and the height that they take."""
    room = (xs[1] - xs[0] if len(xs) > 1 else WIDTH / 2) - 4
    if LETTER * max(map(len, names)) <= room:
        at = zip(xs, names, strict=True)
        return "".join(
            f'<text x="{x:.1f}" y="{floor + 16:.1f}" text-anchor="middle">{esc(n)}</text>' for x, n in at
        ), 18.0
    most = 18  # letters
    cut = [name if len(name) <= most else f"{name[: most - 1]}…" for name in names]
    every = max(1, math.ceil(14 / (room + 4)))  # lines of letters that would lie on each other are left out
    text = "".join(
        f'<text x="{x:.1f}" y="{floor + 12:.1f}" text-anchor="end" transform="rotate(-40 {x:.1f} {floor + 12:.1f})">'
        f"<title>{esc(name)}</title>{esc(short_name)}</text>"
        for x, name, short_name in [*zip(xs, names, cut, strict=True)][::every]
    )
    return text, 14 + LETTER * max(map(len, cut)) * 0.65


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
    left, top, side, bins = 46, 22, 220, len(result.count)
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
    parts.append('<text class="axis" x="0" y="10">accuracy</text>')
    parts.append(f'<line class="line ink dashed" x1="{left}" y1="{floor}" x2="{left + side}" y2="{top}"/>')
    parts.append(f'<text x="{left}" y="{floor + 56}">{percent(0, 0)}</text>')
    parts.append(f'<text class="axis" x="{left + side / 2}" y="{floor + 56}" text-anchor="middle">confidence</text>')
    parts.append(f'<text x="{left + side}" y="{floor + 56}" text-anchor="end">{percent(1, 0)}</text>')
    svg = f'<svg viewBox="0 0 {left + side + 10} {floor + 62}" role="img" aria-label="Reliability of {esc(name)}">'
    head = (
        f'<h3>{esc(name)}</h3><ul class="legend"><li>expected calibration error <b>{percent(result.ece)}</b></li></ul>'
    )
    return f'<figure class="chart square">{head}{svg}{"".join(parts)}</svg></figure>'

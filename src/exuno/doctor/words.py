"""What was found and what is claimed, in tables and sentences. No torch."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from exuno.data.holdout import recorded
from exuno.doctor.measures import (
    LEAST_ALPHA,
    LEAST_RIGHT,
    MEASURED,
    MOST_SPREAD,
    Advice,
    Calibrated,
    Normalised,
    Smoothing,
    alike,
    better,
)
from exuno.doctor.options import TEACH, DoctorConfig
from exuno.doctor.sources import RESAMPLES, Ranked
from exuno.engine.documents import mapping, read_result, read_yaml
from exuno.engine.errors import ExunoError
from exuno.engine.run import Run

SAME_DEVICE, OTHER_DEVICE = 0.5, 3.0
"""Images by which two measurements on the same images may differ: none, but for the rounding of a share of them; a few
where another kind of device rounds otherwise."""


class Claim(NamedTuple):
    """An accuracy (a fraction), and who says so."""

    value: float
    who: str
    tolerance: float | None = None
    """Images by which it may differ, if it was measured on the same ones."""

    def agrees(self, top1: float, interval: tuple[float, float], n: int) -> bool:
        """Whether an accuracy of n images, with its interval, can be the same as the claimed one."""
        if self.tolerance is None:
            return interval[0] <= self.value <= interval[1]
        return abs(self.value - top1) * n <= self.tolerance


def claimed(config: DoctorConfig, run_dir: Path, n: int, device: str) -> Claim | None:
    """The accuracy of --claimed, else what the teacher's run measured on the same images.

    Args:
        config: of the examination.
        run_dir: its run directory, which holds a teacher that was trained first.
        n: images of the examination.
        device: on which it runs.

    Returns:
        None if nothing was claimed about these images, or the record of the run is damaged.
    """
    if config.claimed is not None:
        return Claim(config.claimed, "that was claimed")
    if config.teacher.startswith(TEACH):
        folder = run_dir / "teacher"
    elif config.teacher.startswith("run:"):
        folder = Path(config.teacher.removeprefix("run:"))
    else:
        return None
    try:
        trained: dict[str, Any] = mapping(read_yaml(folder / "config.yaml")["config"])
        result: dict[str, Any] = read_result(folder / "result.json")
        same = all(trained.get(key) == getattr(config, key) for key in ("data", "size"))
        same = same and recorded(trained) == config.held
        same = same and trained.get("split", "test") == config.split and bool(trained.get("smoke")) == config.smoke
        key = next(key for key in ("model/top1", "student/top1") if key in result["metrics"])
        value, images = float(result["metrics"][key]), result.get("n", {}).get(key, n)
    except (ExunoError, ValueError, KeyError, TypeError, AttributeError, StopIteration):
        return None
    if not same or images != n or not 0 <= value <= 1:
        return None
    return Claim(value, "that its run measured", SAME_DEVICE if result.get("device") == device else OTHER_DEVICE)


FINDINGS = "Findings"
CONSTANT = "its answers do not depend on the image."
DIGITS, CIFAR10 = "0.87 (0.51 to 0.99)", "0.66 (0.00 to 1.00)"
"""Spearman's correlation of the score with what students learned, with its 95 % interval: docs/reproductions.md."""
Table = dict[str, Any]
"""title, head, rows (all strings) and note, as the page shows them."""


def percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def of_accuracy(top1: float, interval: tuple[float, float], n: int, claim: Claim | None, invalid: int = 0) -> str:
    """Accuracy, and how it stands to what was claimed by whom.

    Args:
        top1: measured, a fraction.
        interval: of it.
        n: images.
        claim: what is said of it.
        invalid: images without a finite answer.
    """
    low, high = interval
    text = f"{percent(top1)} of {n:,} images (95 % interval {100 * low:.2f} to {100 * high:.2f})"
    if invalid:
        text += f", {invalid:,} of which have no finite answer and count as wrong"
    if claim is None:
        return f"{text}; nothing was claimed (--claimed gives a number to compare with)."
    if claim.agrees(top1, interval, n):
        return f"{text}: that agrees with the {percent(claim.value)} {claim.who}."
    side = "above" if claim.value < top1 else "below"
    check = " Look at normalisation and class order before anything else." if side == "below" else ""
    images = round(abs(claim.value - top1) * n)
    beyond = "beyond the interval" if claim.tolerance is None else f"on {images} of the same images"
    return f"{text}: {side} the {percent(claim.value)} {claim.who}, {beyond}.{check}"


def of_normalisation(rows: Sequence[Normalised], n: int) -> str:
    """Whether the card's normalisation is the right one."""
    best, same = better(rows), alike(rows)
    if best is not None:
        value, low, high = (100 * x for x in best.minus)
        gain = f"{value:+.2f} points ({low:+.2f} to {high:+.2f})"
        return f"the card's is wrong: with {best.name}, accuracy changes by {gain} on {n:,} images."
    if same:
        return f"no other is better than the card's; not told from it on {n:,} images: {'; '.join(same)}."
    return f"the card's is right: every other one that was tried is worse, beyond the interval, on {n:,} images."


def of_calibration(found: Calibrated) -> str:
    """Whether confidence can be believed, and which temperature mends it."""
    gap = f"confidence is {100 * abs(found.excess):.2f} ± {100 * found.half:.2f} points"
    words = {
        "over": f"over-confident: {gap} above accuracy",
        "under": f"under-confident: {gap} below accuracy",
        "fair": f"confidence and accuracy agree on average ({100 * found.excess:+.2f} ± {100 * found.half:.2f} points)",
    }[found.verdict]
    at = f"T = {found.best.temperature:.2f}"
    mend = f"NLL is least at {at}, where ECE is {percent(found.ece_scaled)}"
    if not found.best.inside:
        mend = f"NLL falls up to the end of the range of temperatures, {at}: too few answers are wrong, or too many"
    return f"{words}; ECE {percent(found.ece)}; {mend}."


def of_smoothing(found: Smoothing | None, classes: int) -> str:
    """Whether the teacher looks label-smoothed."""
    if classes < 3:
        return "two classes do not tell."
    if found is None:
        return f"fewer than {LEAST_RIGHT} answers are right; that is too few to tell."
    numbers = f"α by the median confidence {found.alpha:.3f}, spread of the other logits {found.spread:.3f}"
    rule = f"smoothed ones have at least {LEAST_ALPHA} and at most {MOST_SPREAD}"
    known = "" if classes == MEASURED else f" The rule was measured with {MEASURED} classes, here are {classes}."
    if found.smoothed:
        looks = "unsure: by the rule it would be label-smoothed" if known else "it looks label-smoothed"
        return f"{looks}, with α about {found.alpha:.2f} ({numbers}; {rule}).{known}"
    why = "it is sure of what it gets right" if found.alpha < LEAST_ALPHA else "its other logits stay apart"
    return f"it looks plain: {why} ({numbers}; {rule}).{known}"


def of_advice(advice: Advice) -> str:
    """The temperature to distil with."""
    return f"T = {advice.temperature:g}: {advice.reason}."


def normalisation_table(rows: Sequence[Normalised], n: int) -> Table:
    """Accuracy and NLL with each normalisation."""
    lines = []
    for place, row in enumerate(rows):
        value, low, high = (100 * x for x in row.minus)
        minus = f"{value:+.2f} ({low:+.2f} to {high:+.2f})" if place else "–"
        interval = f"{100 * row.interval[0]:.2f} – {100 * row.interval[1]:.2f}"
        losses = ["–" if value is None else f"{value:.3f}" for value in (row.nll, row.nll_scaled)]
        lines.append([row.name, percent(row.top1), interval, minus, *losses])
    head = ["normalisation", "top-1", "95 % interval", "minus the card's", "NLL", "NLL at its best T"]
    note = f"{n:,} images; the differences are paired by image, and their 95 % intervals hold together (Bonferroni)."
    return {"title": "Normalisation of the input", "head": head, "rows": lines, "note": note}


def entropy_table(spec: str, entropies: Mapping[float, float], patches: int) -> Table:
    """Mean relative entropy of the answers at each temperature."""
    cells = [f"{value:.3f}" for value in entropies.values()]
    note = (
        f"{patches:,} patches; 0 is a sure answer, 1 none: the entropy of softmax(logits / T) over log of the classes."
    )
    head = ["source", *(f"T = {t:g}" for t in entropies)]
    return {"title": "Entropy of the answers to patches", "head": head, "rows": [[spec, *cells]], "note": note}


WITHOUT_DATA = (
    "the places are those that data would give (at the same --size), since they come from the teacher's answers to "
    "patches alone. What is not known: whether the teacher is right about pictures of its classes. And the score was "
    "held against students of teachers that were trained on labelled images, never of a zero-shot one. With a few "
    "labelled images (--data), ask the teacher itself: exuno doctor without --sources."
)
"""What a ranking is worth of which no images are known."""


def ranking_table(found: Sequence[Ranked], patches: int, images: bool = True) -> Table:
    """The photographs, the best first; ``images``: whether diversity is in units of that of test images."""
    places = {each.candidate.spec: str(place) for place, each in enumerate(found, 1)}
    rows = []
    for place, each in enumerate(found, 1):
        seen, (low, high) = each.candidate, each.interval
        alike = ", ".join(places[spec] for spec in each.alike) or "–"
        rows.append(
            [seen.spec, str(place), f"{each.score:.2f}", f"{low:.2f} – {high:.2f}", alike, f"{seen.balance:.3f}",
             f"{seen.diversity:.3f}", percent(seen.doubt), f"{seen.entropy:.3f}"]
        )  # fmt: skip
    unit = ", that of two test images being 1" if images else ""
    note = (
        f"{patches:,} patches of each. balance: relative entropy of the teacher's classes; diversity: mean distance of "
        f"two patches' logits{unit}; near a boundary: share of patches whose two best logits are less than 1 apart. "
        "The score is the mean of the places in balance and diversity, 1 for the first in both; "
        f"its 95 % interval is over which patches were drawn ({RESAMPLES:,} bootstrap samples). Two places are not "
        "told apart where the interval of the difference of their scores holds zero."
    )
    head = ["source", "place", "score", "95 % interval", "not told apart from", "balance", "diversity",
            "near a boundary", "entropy at T = 1"]  # fmt: skip
    return {"title": "Photographs ranked as sources", "head": head, "rows": rows, "note": note}


def of_ranking(found: Sequence[Ranked]) -> str:
    """Which photographs come first, and which of them are not told apart."""
    names = [each.candidate.spec for each in found]
    first = [names[0], *found[0].alike]
    rest = ", ".join(name for name in names[: max(3, len(first))] if name not in first)
    if len(first) == len(found):
        text = f"not told apart: {', '.join(first)}; these patches rank none of them above another."
    elif len(first) > 1:
        text = f"not told apart: {', '.join(first)}{f'; then {rest}' if rest else ''}."
    else:
        text = f"{', '.join(names[:3])}."
        if close := next((each for each in found[1:3] if each.alike), None):
            text += f" Not told apart: {', '.join((close.candidate.spec, *close.alike))}."
    return (
        f"{text} Where it was measured, the rank correlation of the score with the students' accuracy was {DIGITS} "
        f"on the digits, for which the score was fitted, and {CIFAR10} on CIFAR-10, which is not told from chance. It "
        "parts useful sources from useless ones, and does not order the useful ones."
    )


def findings_table(findings: Mapping[str, str]) -> Table:
    """The sentences, for the page."""
    rows = [[name, f"{text[0].upper()}{text[1:]}"] for name, text in findings.items()]
    return {"title": FINDINGS, "head": ["", "what was found"], "rows": rows, "note": ""}


def show(run: Run) -> None:
    """Prints what a finished examination holds."""
    from rich.console import Console
    from rich.table import Table as Drawn

    result = run.result
    assert result is not None
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 120, markup=False, highlight=False)
    console.print(run.about["summary"], soft_wrap=True)
    for content in (each for each in result["tables"] if each["title"] != FINDINGS):
        drawn = Drawn(title=content["title"], title_justify="left")
        for place, name in enumerate(content["head"]):
            drawn.add_column(name, justify="right" if place else "left", overflow="fold")
        for row in content["rows"]:
            drawn.add_row(*row)
        console.print(drawn)
        if content["note"]:
            console.print(content["note"], soft_wrap=True)
    console.print()
    for name, text in result["findings"].items():
        console.print(f"{name}: {text}", soft_wrap=True)
    console.print(f"{result['wall_seconds']:.0f} s.  Look at: {run.dir / 'report.html'}", soft_wrap=True)

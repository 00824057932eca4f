"""What can be looked at: the list of figures, and test samples beside what the models make of them."""

import json
from pathlib import Path

import numpy as np

from exuno.engine.documents import read_text
from exuno.engine.errors import ExunoError
from exuno.engine.files import write_json
from exuno.metrics import in_turn
from exuno.report.html import array_uri, esc, figure_uri, hue, pretty, scroll, section
from exuno.report.record import Evaluation, Record


def add(folder: Path, file: str, title: str, caption: str, shows: str = "data", least: int = 0) -> None:
    """Names a picture in ``figures.json``, in the place of an older one of its name.

    Args:
        folder: figures/ of a run.
        file: its name there.
        title: of the figure.
        caption: of the figure.
        shows: "numbers" for a chart, which a page inverts in the dark; "model" for what a model made of noise; else
            "data" (see ``private``).
        least: width in pixels of the page below which its labels are too small; 0 for a picture without labels.
    """
    path = folder / "figures.json"
    try:
        listed = json.loads(read_text(path)) if path.is_file() else []
    except (ValueError, RecursionError, ExunoError):
        listed = []
    rows = listed if isinstance(listed, list) else []
    others = [each for each in rows if isinstance(each, dict) and each.get("file") != file]
    write_json(path, [*others, {"file": file, "title": title, "caption": caption, "shows": shows, "least": least}])


def slug(name: str) -> str:
    """A name as part of a file name."""
    return "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in name)


SHOWN = 24  # test samples on the page
MISTAKES = 12  # of them wrong ones, at most
LOOKS = "Where it looks"
TITLES = {
    "poster": "The poster",
    "fewshot pretrain": LOOKS,
    "fewshot distill": LOOKS,
    "fewshot eval": LOOKS,
    "explain penultimate": "Features and distances",
    "explain neurons": "What the units answer to",
    "explain attention": LOOKS,
}
"""Of the section with the figures, where a verb has its own."""


def figures_section(record: Record) -> str:
    """The pictures of ``figures/`` with title and caption. Small ones are enlarged with sharp pixels."""
    items = []
    for figure in record.figures:
        try:
            uri, width, height = figure_uri(figure.path)
        except (OSError, ValueError, SyntaxError):  # Pillow raises SyntaxError for a broken PNG
            record.notes.append(f"figures/{figure.path.name} is not a picture that can be read.")
            continue
        text = f"<b>{esc(figure.title)}</b> {esc(figure.caption)}"
        share = min(3.2, max(0.7, width / height))  # of the row: wide pictures get more of it
        kind, style = "drawn" if figure.shows == "numbers" else "", f"--wide:{share:.2f}"
        sharp = ' class="sharp"' if width <= 256 else ""
        image = f'<img{sharp} src="{uri}" alt="{esc(figure.title)}">'
        if figure.least:  # it has labels, which are read at that width
            kind, style = f"{kind} lettered".strip(), f"{style};--least:{figure.least}px;--most:{width}px"
            image = scroll(image, figure.least)
        named = f' class="{kind}"' if kind else ""
        items.append(f'<figure{named} style="{style}">{image}<figcaption>{text}</figcaption></figure>')
    title = TITLES.get(record.verb, "What went in")
    return section(title, f'<div class="figures">{"".join(items)}</div>' if items else "")


def test_samples(record: Record) -> str:
    """Test samples with the predictions of every model: mistakes of the student first, then a mix of classes."""
    drawn = [one for one in record.evaluations if one.images is not None]
    if not drawn:
        return ""
    judge = next((one for one in drawn if one.name == "student"), drawn[-1])
    same = [one for one in record.evaluations if np.array_equal(one.labels, judge.labels)]
    is_right = judge.predictions == judge.labels
    mistakes = _mixed(~is_right, judge)[:MISTAKES]
    correct = _mixed(is_right, judge)[: SHOWN - len(mistakes)]
    body, total = "", len(judge.labels)
    for what, places, count in (("wrong", mistakes, total - int(is_right.sum())), ("right", correct, is_right.sum())):
        if places:
            share = f"all {total:,}" if count == total else f"{count:,} of {total:,}"
            part = f"; {len(places)} of them" if len(places) < count else ""
            body += _gallery(f"The {pretty(judge.name)} is {what} on {share} test samples{part}", places, same, judge)
    keys = "".join(f'<li><i class="swatch {hue(one.name)}"></i>{esc(pretty(one.name))}</li>' for one in same)
    lead = "Above the line the true class, below what each model answers: ✓ right, ✗ wrong. Mistakes come first and are"
    lead += " over-represented, the classes in turn; the accuracies above count every test sample."
    return section("Test samples", f'<ul class="legend">{keys}</ul>{body}', lead)


def _mixed(wanted: np.ndarray, shown: Evaluation) -> list[int]:
    """Places among the kept samples of those that are wanted (bool [N], of all samples), the classes in turn."""
    places = np.flatnonzero(wanted[shown.index])
    return places[in_turn(shown.labels[shown.index[places]])].tolist()


def _gallery(title: str, places: list[int], models: list[Evaluation], shown: Evaluation) -> str:
    longest = max((len(shown.class_names[label]) for label in shown.labels[shown.index[places]]), default=1)
    kind = "gallery" if longest <= 4 else "gallery roomy"
    tiles = "".join(_tile(place, models, shown) for place in places)
    return f'<h3>{esc(title)}</h3><div class="{kind}">{tiles}</div>'


def _tile(place: int, models: list[Evaluation], shown: Evaluation) -> str:
    assert shown.images is not None
    image, index = shown.images[place], int(shown.index[place])
    truth = shown.class_names[shown.labels[index]]
    answers = "".join(_answer(one, index) for one in models)
    alt = f"test sample {index}, class {truth}"
    sharp = ' class="sharp"' if max(image.shape[-3:-1] if image.ndim > 2 else image.shape) <= 64 else ""
    picture = f'<img{sharp} src="{array_uri(image)}" alt="{esc(alt)}">'
    caption = f'<figcaption><b title="{esc(truth)}">{esc(truth)}</b>{answers}</figcaption>'
    return f'<figure class="tile">{picture}{caption}</figure>'


def _answer(one: Evaluation, index: int) -> str:
    prediction, label = int(one.predictions[index]), int(one.labels[index])
    if prediction < 0:
        return f'<span class="bad" title="{esc(one.name)}: no answer">✗ none</span>'
    name, sure = one.class_names[prediction], float(one.probabilities[index, prediction])
    tip = esc(f"{one.name}: {name}, {100 * sure:.0f} % sure")
    kind, sign = ("good", "✓") if prediction == label else ("bad", "✗")
    return f'<span class="{kind}" title="{tip}"><i class="swatch {hue(one.name)}"></i>{sign} {esc(name)}</span>'

"""What can be looked at: the figures of the run, and test samples beside what the models make of them."""

import numpy as np

from exuno.report.html import array_uri, esc, figure_uri, hue, section
from exuno.report.record import Evaluation, Record

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


def figures(record: Record) -> str:
    """The pictures of ``figures/`` with title and caption. Small ones are enlarged with sharp pixels."""
    items = []
    for figure in record.figures:
        try:
            uri, width, height = figure_uri(figure.path)
        except (OSError, ValueError, SyntaxError):  # Pillow raises SyntaxError for a broken PNG
            record.notes.append(f"figures/{figure.path.name} is not a picture that can be read.")
            continue
        sharp = ' class="sharp"' if width <= 256 else ""
        text = f"<b>{esc(figure.title)}</b> {esc(figure.caption)}"
        image = f'<img{sharp} src="{uri}" alt="{esc(figure.title)}">'
        share = min(3.2, max(0.7, width / height))  # of the row: wide pictures get more of it
        items.append(f'<figure style="--wide:{share:.2f}">{image}<figcaption>{text}</figcaption></figure>')
    title = TITLES.get(record.verb, "What went in")
    return section(title, f'<div class="figures">{"".join(items)}</div>' if items else "")


def test_samples(record: Record) -> str:
    """Test samples with the predictions of every model: mistakes of the student first, then a mix of classes."""
    shown = next((one for one in record.evaluations if one.images is not None), None)
    if shown is None or shown.images is None:
        return ""
    same = [one for one in record.evaluations if np.array_equal(one.labels, shown.labels)]
    judge = next((one for one in same if one.name == "student"), same[-1])
    count = len(shown.index)
    is_right = (judge.predictions == judge.labels)[shown.index]
    wrong, right = np.flatnonzero(~is_right), np.flatnonzero(is_right)
    mistakes = _mixed(wrong, shown)[:MISTAKES]
    correct = _mixed(right, shown)[: SHOWN - len(mistakes)]
    name = judge.name
    body = ""
    if mistakes:
        head = f"The {name} is wrong on {len(wrong)} of the {count} test samples kept for this page"
        body += _gallery(
            head + (f"; {len(mistakes)} of them" if len(mistakes) < len(wrong) else ""), mistakes, same, shown
        )
    if correct:
        share = f"{len(right)} of the {count}" if mistakes else f"all {count} test samples kept for this page"
        body += _gallery(
            f"The {name} is right on {share}; {len(correct)} of them, the classes in turn", correct, same, shown
        )
    keys = "".join(f'<li><i class="swatch {hue(one.name)}"></i>{esc(one.name)}</li>' for one in same)
    lead = "Above the line the true class, below what each model answers: ✓ right, ✗ wrong. Mistakes come first and are"
    lead += " over-represented; the accuracies above count every test sample."
    return section("Test samples", f'<ul class="legend">{keys}</ul>{body}', lead)


def _mixed(places: np.ndarray, shown: Evaluation) -> list[int]:
    """Places among the kept samples, the classes in turn: first one of each class, then a second one, and so on."""
    turn: dict[int, int] = {}
    ranked = []
    for place in places.tolist():
        label = int(shown.labels[shown.index[place]])
        turn[label] = turn.get(label, -1) + 1
        ranked.append((turn[label], label, place))
    return [place for *_, place in sorted(ranked)]


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
    picture = f'<img src="{array_uri(image)}" alt="{esc(alt)}">'
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

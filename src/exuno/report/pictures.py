"""What can be looked at: the figures of the run, and test images beside what the models make of them."""

import numpy as np

from exuno.report.html import array_uri, esc, figure_uri, hue, section
from exuno.report.record import Evaluation, Record

SHOWN = 24  # test images on the page
MISTAKES = 12  # of them wrong ones, at most


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
    return section("What went in", f'<div class="figures">{"".join(items)}</div>' if items else "")


def test_images(record: Record) -> str:
    """Test images with the predictions of every model: mistakes of the student first, then a mix of classes."""
    shown = next((one for one in record.evaluations if one.images is not None), None)
    if shown is None or shown.images is None:
        return ""
    same = [one for one in record.evaluations if np.array_equal(one.labels, shown.labels)]
    judge = next((one for one in same if one.name == "student"), same[-1])
    count = min(len(shown.images), len(shown.labels))
    wrong = np.flatnonzero(judge.predictions[:count] != judge.labels[:count])
    right = np.flatnonzero(judge.predictions[:count] == judge.labels[:count])
    mistakes = _mixed(wrong, judge.labels)[:MISTAKES]
    correct = _mixed(right, judge.labels)[: SHOWN - len(mistakes)]
    name = judge.name
    body = ""
    if mistakes:
        head = f"The {name} is wrong on {len(wrong)} of the first {count} test images"
        body += _gallery(
            head + (f"; {len(mistakes)} of them" if len(mistakes) < len(wrong) else ""), mistakes, same, shown
        )
    if correct:
        body += _gallery(
            f"The {name} is right on {len(right)}; {len(correct)} of them, the classes in turn", correct, same, shown
        )
    keys = "".join(f'<li><i class="swatch {hue(one.name)}"></i>{esc(one.name)}</li>' for one in same)
    lead = "Above the line the true class, below what each model answers: ✓ right, ✗ wrong. Mistakes come first and are"
    lead += " over-represented; the accuracies above count every test image."
    return section("Test images", f'<ul class="legend">{keys}</ul>{body}', lead)


def _mixed(indices: np.ndarray, labels: np.ndarray) -> list[int]:
    """The indices with the classes in turn: first one of each class, then a second one, and so on."""
    turn: dict[int, int] = {}
    ranked = []
    for index in indices.tolist():
        label = int(labels[index])
        turn[label] = turn.get(label, -1) + 1
        ranked.append((turn[label], label, index))
    return [index for *_, index in sorted(ranked)]


def _gallery(title: str, indices: list[int], models: list[Evaluation], shown: Evaluation) -> str:
    longest = max((len(shown.class_names[shown.labels[index]]) for index in indices), default=1)
    kind = "gallery" if longest <= 4 else "gallery roomy"
    tiles = "".join(_tile(index, models, shown) for index in indices)
    return f'<h3>{esc(title)}</h3><div class="{kind}">{tiles}</div>'


def _tile(index: int, models: list[Evaluation], shown: Evaluation) -> str:
    assert shown.images is not None
    image, truth = shown.images[index], shown.class_names[shown.labels[index]]
    answers = "".join(_answer(one, index) for one in models)
    alt = f"test image {index}, class {truth}"
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
    return f'<span class="{kind}" title="{tip}"><i class="swatch {hue(one.name)}"></i>{esc(name)} {sign}</span>'

"""The rule for the temperature, and the sentences around the numbers."""

import pytest

from exuno.doctor import words
from exuno.doctor.measures import Calibrated, Difference, Fitted, Normalised, Smoothing, advise
from exuno.doctor.sources import Candidate, Ranked
from exuno.doctor.words import OTHER_DEVICE, SAME_DEVICE, Claim

SOFT = {1.0: 0.6, 2.0: 0.7, 4.0: 0.8, 8.0: 0.9, 16.0: 1.0}
SHARP = {1.0: 0.05, 2.0: 0.2, 4.0: 0.55, 8.0: 0.9, 16.0: 1.0}
HARD = {1.0: 0.0, 2.0: 0.0, 4.0: 0.1, 8.0: 0.3, 16.0: 0.6}


@pytest.mark.parametrize(
    ("entropies", "smoothed", "temperature", "word"),
    [
        (SHARP, True, 1, "standardise"),
        (SHARP, False, 4, "half of the largest entropy"),
        (SHARP, None, 4, "half"),
        (SOFT, False, 1, "T = 1 already"),
        (HARD, False, 8, "sharp"),
    ],
)
def test_temperature(entropies: dict[float, float], smoothed: bool | None, temperature: float, word: str) -> None:
    found = advise(entropies, smoothed)
    assert found.temperature == temperature
    assert word in found.reason


def test_accuracy_against_a_claim() -> None:
    told = (0.9, (0.88, 0.92), 1000)
    who = "that was claimed"
    assert "that agrees with the 91.00 % that was claimed" in words.of_accuracy(*told, Claim(0.91, who))
    assert "below the 95.00 % that was claimed, beyond the interval" in words.of_accuracy(*told, Claim(0.95, who))
    assert "above the 80.00 %" in words.of_accuracy(*told, Claim(0.80, who))
    assert "--claimed" in words.of_accuracy(*told, None)
    assert "7 of which have no finite answer and count as wrong;" in words.of_accuracy(*told, None, invalid=7)


def test_the_number_of_its_run_is_compared_by_images() -> None:
    told = (0.9, (0.88, 0.92), 1000)
    who = "that its run measured"
    assert "agrees" in words.of_accuracy(*told, Claim(0.9004, who, SAME_DEVICE))  # a share that was rounded
    said = words.of_accuracy(*told, Claim(0.902, who, SAME_DEVICE))  # well inside Wilson's interval
    assert "below the 90.20 % that its run measured, on 2 of the same images" in said
    assert "Look at normalisation" in said
    assert "agrees" in words.of_accuracy(*told, Claim(0.902, who, OTHER_DEVICE))
    assert "above" in words.of_accuracy(*told, Claim(0.896, who, OTHER_DEVICE))


def ranked(name: str, *alike: str) -> Ranked:
    return Ranked(Candidate(name, 1, 1, 1, 1), 0.5, (0.25, 0.75), alike)


@pytest.mark.parametrize(
    ("found", "text"),
    [
        ([ranked("a", "b"), ranked("b", "a")], "not told apart: a, b; these patches rank none of them above another. "),
        ([ranked("a", "b"), ranked("b", "a"), ranked("c"), ranked("d")], "not told apart: a, b; then c. "),
        ([ranked("a", "c"), ranked("b"), ranked("c", "a")], "not told apart: a, c; then b. "),
        ([ranked("a"), ranked("b", "c"), ranked("c", "b")], "a, b, c. Not told apart: b, c. "),
    ],
)
def test_the_ranking_tells_what_is_not_told_apart(found: list[Ranked], text: str) -> None:
    assert words.of_ranking(found).startswith(text)
    table = words.ranking_table(found, 300)
    assert all(len(row) == len(table["head"]) for row in table["rows"])
    column = table["head"].index("not told apart from")
    told = {row[0]: row[column] for row in table["rows"]}
    places = {row[0]: row[1] for row in table["rows"]}
    assert told == {each.candidate.spec: ", ".join(places[name] for name in each.alike) or "–" for each in found}


def test_the_ranking_tells_how_far_it_can_be_believed() -> None:
    said = words.of_ranking([ranked("a.jpg"), ranked("b.jpg")])
    assert said.startswith("a.jpg, b.jpg. ")
    assert "0.87 (0.51 to 0.99) on the digits" in said
    assert "0.66 (0.00 to 1.00) on CIFAR-10, which is not told from chance" in said
    assert "docs/" not in said


def row(name: str, top1: float, minus: Difference) -> Normalised:
    return Normalised(name, top1, (top1 - 0.01, top1 + 0.01), minus, 0.5, 0.4)


CARD = row("the card's", 0.9, Difference(0, 0, 0))
WORSE = row("w", 0.5, Difference(-0.4, -0.45, -0.35))
SAME = row("s", 0.9, Difference(0, -0.01, 0.01))
BETTER = row("b", 0.93, Difference(0.03, 0.01, 0.05))


def test_normalisation_in_words() -> None:
    assert words.of_normalisation([CARD, WORSE], 10).startswith("the card's is right")
    assert "not told from it on 10 images: s" in words.of_normalisation([CARD, WORSE, SAME], 10)
    said = words.of_normalisation([CARD, WORSE, SAME, BETTER], 10)
    assert said.startswith("the card's is wrong: with b")
    assert "+3.00 points (+1.00 to +5.00)" in said
    broken = Normalised("x", 0.1, (0, 0.2), Difference(-0.8, -0.9, -0.7), None, None)
    assert words.normalisation_table([CARD, broken], 10)["rows"][1][4:] == ["–", "–"]
    assert words.normalisation_table([CARD, BETTER], 10)["rows"][1][3] == "+3.00 (+1.00 to +5.00)"


def test_calibration_in_words() -> None:
    over = Calibrated(0.1, 0.02, Fitted(2.5, True), 0.1, 0.01)
    assert words.of_calibration(over).startswith("over-confident: confidence is 10.00 ± 1.00 points above accuracy")
    assert "NLL is least at T = 2.50, where ECE is 2.00 %" in words.of_calibration(over)
    assert words.of_calibration(Calibrated(0.1, 0.02, Fitted(2.5, True), -0.1, 0.01)).startswith("under-confident")
    fair = words.of_calibration(Calibrated(0.1, 0.02, Fitted(0.01, False), -0.1, 0.2))
    assert "agree on average" in fair
    assert "end of the range" in fair


def test_smoothing_in_words() -> None:
    assert "α about 0.10" in words.of_smoothing(Smoothing(0.1, 0.1, 50), 10)
    assert "it is sure" in words.of_smoothing(Smoothing(0.001, 0.1, 50), 10)
    assert "its other logits stay apart" in words.of_smoothing(Smoothing(0.1, 0.5, 50), 10)
    assert "too few" in words.of_smoothing(None, 10)
    assert "10 classes, here are 7" in words.of_smoothing(Smoothing(0.1, 0.1, 50), 7)
    assert words.of_smoothing(None, 2) == "two classes do not tell."

"""The page is well-formed, asks nobody for anything, escapes what it shows and survives what is missing or broken."""

import base64
import io
import json
import re
import shutil
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from fake_run import make_run
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from exuno.engine.errors import ExunoError
from exuno.report.html import table
from exuno.report.page import write_report
from exuno.report.plot import Line, line_chart
from exuno.report.record import read_record

VOID = {"meta", "img", "br", "link", "input", "hr"}
DIGITS = [str(i) for i in range(10)]
EVIL = "<script>alert('\"&amp;')</script>"


class Page(HTMLParser):
    """Raises where tags do not balance; collects tags, addresses and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action", "data")]
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"closed but never opened: {tag}"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data + "\n"


def read(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run", DIGITS)


def headings(page: Page) -> set[str]:
    known = ("What went in", "Test samples", "Training", "Confusion", "Calibration", "Classes", "Where it comes from")
    known += ("Replay", "Configuration", "Environment", "Lineage", "Not shown")
    return {title for title in known if f"\n{title}\n" in page.text}


def test_everything_is_shown(run: Path) -> None:
    path = write_report(run)
    page = read(path)
    assert path == run / "report.html"
    assert headings(page) == headings(page) | {"What went in", "Test samples", "Training", "Confusion", "Calibration"}
    assert headings(page) >= {"Classes", "Where it comes from", "Replay", "Configuration", "Environment", "Lineage"}
    assert "Not shown" not in headings(page)
    result = json.loads((run / "result.json").read_text())
    for model in ("teacher", "student"):
        low, high = result["intervals"][f"{model}/top1"]
        assert f"{100 * result['metrics'][f'{model}/top1']:.1f}\u202f%" in page.text
        assert f"interval {100 * low:.1f} – {100 * high:.1f}" in page.text
    assert "of 60 test samples" in page.text
    assert "same answer as the teacher\n75.0\u202f%\n" in page.text
    assert "published 90.00\u202f%" in page.text
    assert "exuno distill digits" in page.text
    assert "has not finished" not in page.text


def test_it_asks_nobody_for_anything(run: Path) -> None:
    page = read(write_report(run))
    outside = [address for address in page.addresses if not address.startswith("data:image/")]
    assert outside == ["https://arxiv.org/abs/2112.00725"]
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    text = (run / "report.html").read_text()
    assert "@import" not in text
    assert not re.search(r"url\(", text)


def test_everything_is_escaped(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [f"{EVIL}{i}" for i in range(3)], evil=EVIL)
    page = read(write_report(run))
    assert "script" not in page.tags
    assert "<script>" not in (run / "report.html").read_text()
    assert page.text.count("<script>") > 20  # shown as text


def test_many_classes_show_pairs_and_the_worst(tmp_path: Path) -> None:
    page = read(write_report(make_run(tmp_path / "run", [f"class{i}" for i in range(30)], n=300)))
    assert "most confused pairs" in page.text
    assert "All 30 classes" in page.text


def test_an_unfinished_run_says_so(tmp_path: Path) -> None:
    page = read(write_report(make_run(tmp_path / "run", DIGITS, finished=False)))
    assert "has not finished" in page.text
    assert "30 steps" in page.text
    assert "of 60 test samples" in page.text  # from the logits


def test_a_smoke_run_says_so(run: Path) -> None:
    with (run / "config.yaml").open("a") as file:
        file.write("  smoke: true\n")
    assert "A smoke run" in read(write_report(run)).text


PIECES = ["config.yaml", "command.txt", "environment.json", "metrics.jsonl", "result.json", "figures", "evaluation"]


@pytest.mark.parametrize("piece", [*PIECES, "figures/figures.json", "figures/source.png", "evaluation/teacher.npz"])
@pytest.mark.parametrize("how", ["missing", "broken", "empty"])
def test_a_piece_may_be_missing_or_broken(run: Path, piece: str, how: str) -> None:
    path = run / piece
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    if how != "missing":
        path.write_bytes(b"{[: \x80 not this\n" if how == "broken" else b"")
    page = read(write_report(run))
    assert len(headings(page)) >= 6
    if how == "broken" and piece not in ("command.txt", "figures", "evaluation"):
        assert "Not shown" in headings(page)


def test_almost_nothing(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text("")
    page = read(write_report(tmp_path))
    assert not headings(page)
    assert "has not finished" in page.text


def test_values_of_other_kinds_are_survived(run: Path) -> None:
    odd = {"metrics": {"student/top1": "high", "a": None, "b/top1": 7}, "intervals": [1], "n": {"student/top1": "x"}}
    odd |= {"baselines": None, "published": "94.6 %", "lineage": "none", "wall_seconds": "long", "versions": 3}
    (run / "result.json").write_text(json.dumps(odd))
    assert "94.6 %" in read(write_report(run)).text


def test_a_number_that_the_logits_do_not_give_is_named(run: Path) -> None:
    result = json.loads((run / "result.json").read_text())
    result["metrics"]["student/top1"] = 0.999
    (run / "result.json").write_text(json.dumps(result))
    assert "result.json says student/top1 is 0.9990" in read(write_report(run)).text


def test_a_resumed_run_keeps_the_last_lines(tmp_path: Path) -> None:
    rows = [(1, 5.0), (2, 4.0), (3, 3.0), (2, 40.0), (4, 20.0)]
    lines = [json.dumps({"step": step, "train/loss": loss, "epoch": 0}) for step, loss in rows]
    (tmp_path / "metrics.jsonl").write_text("\n".join([*lines, '{"step": 5, "train/loss": NaN}', '{"step": 6, "tr']))
    record = read_record(tmp_path)
    assert record.curves == {"train/loss": [(1, 5), (2, 40), (4, 20)]}
    assert "1 line(s)" in record.notes[0]


def test_figures_cannot_leave_their_folder(run: Path) -> None:
    (run / "secret.png").write_bytes((run / "figures" / "source.png").read_bytes())
    (run / "figures" / "figures.json").write_text(json.dumps([{"file": "../secret.png"}, "odd", {"title": "x"}]))
    record = read_record(run)
    assert record.figures == []
    assert "secret.png" in record.notes[0]


def test_mistakes_come_first_and_are_counted_over_the_whole_test_set(run: Path) -> None:
    record = read_record(run)
    student = next(one for one in record.evaluations if one.name == "student")
    is_wrong = student.predictions != student.labels
    kept = int(is_wrong[:24].sum())  # the samples that have an image
    assert 0 < kept <= 12
    text = read(write_report(run)).text
    assert f"The student is wrong on {is_wrong.sum()} of 60 test samples; {kept} of them" in text
    assert f"is right on {60 - is_wrong.sum()} of 60 test samples; {24 - kept} of them" in text
    assert text.index("is wrong on") < text.index("is right on")


def test_images_may_come_from_anywhere_in_the_test_set(run: Path) -> None:
    for path in (run / "evaluation").glob("*.npz"):
        with np.load(path) as file:
            content = dict(file)
        np.savez(path, **{**content, "index": np.arange(24) * 2})
    record = read_record(run)
    student = next(one for one in record.evaluations if one.name == "student")
    is_wrong = student.predictions != student.labels
    assert (
        f"is wrong on {is_wrong.sum()} of 60 test samples; {is_wrong[:48:2].sum()} of" in read(write_report(run)).text
    )


def test_the_images_are_those_of_the_model_that_is_judged(run: Path) -> None:
    path = run / "evaluation" / "teacher.npz"
    with np.load(path) as file:
        content = {name: file[name] for name in file.files if name != "images"}
    np.savez(path, **content)
    assert "The student is wrong on" in read(write_report(run)).text


def test_large_pictures_are_made_smaller(run: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 224, 224, 3), np.uint8)
    with np.load(run / "evaluation" / "student.npz") as file:
        content = dict(file)
    np.savez(run / "evaluation" / "student.npz", **{**content, "images": images})
    addresses = read(write_report(run)).addresses
    assert sum(address.startswith("data:image/jpeg") for address in addresses) == 4


def test_mistakes_of_the_user(tmp_path: Path, run: Path) -> None:
    with pytest.raises(ExunoError, match="no directory"):
        write_report(tmp_path / "nowhere")
    with pytest.raises(ExunoError, match=r"is not a run directory\. Runs inside it: run"):
        write_report(tmp_path)
    other = tmp_path / "thesis.html"
    other.write_text("<p>mine</p>")
    with pytest.raises(ExunoError, match="no page of exuno"):
        write_report(run, other)
    assert other.read_text() == "<p>mine</p>"
    with pytest.raises(ExunoError, match="is a directory"):
        write_report(run, tmp_path)
    assert write_report(run) == write_report(run)  # over its own page


def test_tables_of_the_result_are_shown(run: Path) -> None:
    result = json.loads((run / "result.json").read_text())
    good = {
        "title": f"Steps{EVIL}",
        "head": ["on", f"10{EVIL}"],
        "rows": [["poster", f"8.5{EVIL}"]],
        "note": f"Read{EVIL}",
    }
    broken = [{**good, "rows": [["poster"]]}, {"title": "x"}, 3]
    (run / "result.json").write_text(json.dumps({**result, "tables": [good, *broken]}))
    page = write_report(run).read_text()
    assert EVIL not in page
    text = Page(page).text
    assert f"Steps{EVIL}" in text
    assert f"8.5{EVIL}" in text
    assert f"Read{EVIL}" in text
    assert text.count("A table of result.json makes no sense.") == 3


def test_an_animation_stays_one(run: Path) -> None:
    frames = [Image.new("L", (1700, 4), shade) for shade in (0, 128, 255)]  # wider than a still may be
    path = run / "figures" / "progress.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100, loop=0)
    (run / "figures" / "figures.json").write_text(json.dumps([{"file": "progress.gif", "title": "How it grew"}]))
    [address] = [one for one in read(write_report(run)).addresses if one.startswith("data:image/gif")]
    content = base64.b64decode(address.partition("base64,")[2])
    assert content == path.read_bytes()
    with Image.open(io.BytesIO(content)) as picture:
        assert getattr(picture, "n_frames", 1) == 3


def test_the_page_of_a_poster(run: Path) -> None:
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(config.replace("verb: distill", "verb: poster"))
    shutil.rmtree(run / "evaluation")
    found = {"metrics": {"poster/top1": 0.8512}, "intervals": {"poster/top1": [0.84, 0.86]}, "n": {"poster/top1": 355}}
    networks = {"poster": [0.85, 0.8524], "random real images": [0.3]}
    found |= {"baselines": {"random real images/top1": 0.31}, "networks": networks}
    (run / "result.json").write_text(json.dumps(found))
    text = read(write_report(run)).text
    assert "top-1 accuracy of 355 test samples, mean of 2 networks" in text
    assert "95\u202f% interval 84.0 – 86.0" in text
    assert "random real images" in text
    assert "\nThe poster\n" in text
    assert "What went in" not in text
    (run / "result.json").write_text(json.dumps({**found, "networks": 3}))
    assert "top-1 accuracy of 355 test samples\n" in read(write_report(run)).text


def rewrite(run: Path, **changes: Any) -> None:
    """Changes config.yaml."""
    content = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump({**content, **changes}))


def test_a_run_without_a_preset_has_models_and_data_in_its_title(run: Path) -> None:
    config = {"teacher": "run:t", "student": "exuno:wrn_16_1", "data": "folder:cats", "source": ["my.jpg"]}
    rewrite(run, about={}, preset=None, config=config)
    result = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps({**result, "preset": None}))
    page = write_report(run).read_text()
    told = "exuno:wrn_16_1 distilled from run:t on my.jpg, tested on folder:cats"
    assert f"<h1>{told}</h1>" in page
    assert f"<title>{told}</title>" in page


def test_guessing_is_shown_beside_what_was_learned(run: Path) -> None:
    result = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps({**result, "baselines": {}}))  # of a verb that did not tell it
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 60, "time": 9, "eval/student/top1": 0.6}) + "\n")
    text = read(write_report(run)).text
    assert text.count("chance") == 2  # on the scale, and in the chart of the accuracies
    assert "10.0\u202f%" in text


def test_the_chance_of_an_episode_follows_from_its_classes(run: Path) -> None:
    found = {"metrics": {"test/5-way-1-shot": 0.61, "test/5-way-5-shot": 0.8, "test/20-way-1-shot": 0.4}}
    shutil.rmtree(run / "evaluation")
    (run / "result.json").write_text(json.dumps(found))
    text = read(write_report(run)).text
    assert text.count("chance · 5-way") == text.count("chance · 20-way") == 1


def test_axes_have_names_and_units(run: Path) -> None:
    page = read(write_report(run)).text
    for name in ("\ntraining step\n", "\nloss, in nats\n", "\naccuracy\n", "\nlearning rate\n", "\nconfidence\n"):
        assert name in page


def test_a_chart_of_the_result_has_its_names_and_a_dashed_line(run: Path) -> None:
    result = json.loads((run / "result.json").read_text())
    lines = [{"name": "a", "points": [[0, 0.5], [1, 0.6]]}]
    lines += [{"name": "chance", "points": [[0, 0.1], [1, 0.1]], "dashed": True}]
    places = ["a name that has no room", "another such name"]
    chart = {"title": "T", "places": places, "lines": lines, "percent": True, "x": "student", "y": "top-1 accuracy"}
    (run / "result.json").write_text(json.dumps({**result, "charts": [chart]}))
    page = write_report(run).read_text()
    assert 'class="swatch other dashed"' in page
    assert "rotate(-40" in page
    text = Page(page).text
    for name in ("student", "top-1 accuracy", *places):
        assert f"\n{name}\n" in text


@pytest.mark.parametrize(
    ("rows", "cue"),
    [
        ([["a", "1"]], None),
        ([["model", "80.33 ± 5.11", "95.00 ± 2.45", "97.00 ± 2.45"]], '"cue"'),
        ([[f"model {i}", *(["80.33 ± 5.11"] * 7)] for i in range(3)], '"cue mid"'),
        ([["model", *(["some words that can be broken"] * 12)]], '"cue far"'),
    ],
)
def test_a_wide_table_says_that_it_scrolls(rows: list[list[str]], cue: str | None) -> None:
    text = table([""] * len(rows[0]), rows)
    Page(text)
    assert ("scroll →" in text) == bool(cue)
    assert cue is None or f"class={cue}" in text


def test_a_table_breaks_words_only_and_keeps_markup() -> None:
    text = table(
        ["", "x", "y"], [["a", "80.33 ± 5.11 / 90.01 ± 0.10", "a sentence of <small>words &amp; more</small>"]]
    )
    assert '<td class="whole">80.33' in text
    assert '<td class="words">a sentence of <small>words &amp; more</small></td>' in text


def test_figures_follow_the_scheme_and_keep_their_letters_legible(run: Path) -> None:
    listed = json.loads((run / "figures/figures.json").read_text())
    chart = {"file": "source.png", "title": "A chart", "shows": "numbers", "least": 500}
    odd = {"file": "source.png", "title": "Odd", "least": "wide", "shows": 3}
    (run / "figures/figures.json").write_text(json.dumps([*listed, chart, odd]))
    page = write_report(run).read_text()
    assert 'class="drawn lettered" style="--wide:1.50;--least:500px;--most:30px"' in page
    assert page.count("lettered") == 3  # two rules of the style, one figure
    style = page[page.index("<style>") : page.index("</style>")]
    assert re.search(r"prefers-color-scheme: dark\) \{ \.drawn img \{ filter: invert", style)
    assert ".scroll {" in style
    assert "background-attachment: local" in style


@pytest.mark.parametrize("names", [list("abc"), [f"a long name, number {i}" for i in range(6)], [*map(str, range(90))]])
def test_names_of_places_do_not_lie_on_each_other(names: list[str]) -> None:
    chart = line_chart("T", [Line("x", [(i, 0.5) for i in range(len(names))], "third")], True, places=names)
    flat = [
        (float(x), text) for x, text in re.findall(r'<text x="([\d.]+)" y="206.0" text-anchor="middle">(.*?)<', chart)
    ]
    slanted = [float(x) for x in re.findall(r'text-anchor="end" transform="rotate\(-40 ([\d.]+) ', chart)]
    assert bool(flat) != bool(slanted)
    for (left, one), (right, other) in pairwise(flat):
        assert right - left > 6.5 * (len(one) + len(other)) / 2
    assert all(right - left >= 13.9 for left, right in pairwise(slanted))
    assert 'viewBox="0 0 330 ' in chart


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9))
def test_labels_of_an_axis_stay_inside_the_picture(low: float, span: float) -> None:
    chart = line_chart("T", [Line("x", [(0, low), (1000, low + span)], "third")])
    for x, text in re.findall(r'<text x="([\d.-]+)" y="[\d.-]+" text-anchor="end">(.*?)<', chart):
        assert float(x) - 6.5 * len(text) >= -1
    marks = re.findall(r'<text x="([\d.-]+)" y="206.0" text-anchor="middle">(.*?)<', chart)
    for (left, one), (right, other) in pairwise(marks):
        assert float(right) - float(left) >= 6.5 * (len(one) + len(other)) / 2

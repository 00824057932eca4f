"""Rows, columns and differences of a study, from made-up measurements."""

import csv
import io
import math
from dataclasses import replace
from pathlib import Path

import pytest

from exuno.study.gather import Measured, in_percent, to_csv
from exuno.study.grid import make_cells, read_axes, read_stages
from exuno.study.table import Layout, chance_of, changes, chart, contents, is_seed, layout_tables, markdown, numbers

STAGES = read_stages(("teach digits", "distill --teacher {teach}"))
AXES = read_axes(("teach.smooth=0,0.1", "distill.T=1,3", "distill.student=exuno:a,exuno:b", "seed=0,1"), STAGES)
SMOOTH, T, STUDENT, SEED = AXES
LAYOUT = Layout((STUDENT,), T, SMOOTH, ("top1", "top5"))


def accuracy(values) -> float:
    """Grows with everything but the temperature, and the more so for the smoothed teacher."""
    smooth, seed = float(values["teach.smooth"]), int(values["seed"])
    hurt = (0.02 + smooth) * (float(values.get("distill.T", 1)) - 1)
    return 0.5 + smooth + 0.02 * seed - hurt + 0.1 * (values.get("distill.student") == "exuno:b")


def measured(failed=lambda cell: False, waiting=lambda cell: False):
    found = []
    for cell in make_cells(STAGES, AXES, (), Path("F")):
        if failed(cell) or waiting(cell):
            found.append(Measured(cell, {}, "broken" if failed(cell) else None))
            continue
        who = "model" if cell.stage == "teach" else "student"
        top1 = accuracy(cell.values)
        found.append(Measured(cell, {"teacher/top1": 0.99, f"{who}/top1": top1, f"{who}/top5": 1.0}, "", 2.0))
    return found


def shown(found, layout=LAYOUT):
    return [contents(table, layout) for table in layout_tables(found, layout)]


def test_one_table_for_each_student_with_the_teachers_on_top():
    a, b = shown(measured())
    assert (a["title"], b["title"]) == ("student = a", "student = b")
    assert a["head"] == ["", "smooth = 0", "smooth = 0.1"]
    assert [row[0] for row in a["rows"]] == ["teach", "T = 1", "T = 3"]
    half = 12.706205 * math.sqrt(2) / math.sqrt(2)  # Student's t for one degree of freedom; two seeds, 2 points apart
    assert a["rows"][0][1] == f"51.00 ± {half:.2f} / 100.00 ± 0.00"
    assert a["rows"][2][2].startswith("37.00 ±")
    assert b["rows"][2][2].startswith("47.00 ±")
    assert a["rows"][0] == b["rows"][0]


def test_what_is_missing_is_told():
    a, _ = shown(measured(failed=lambda cell: cell.values.get("distill.T") == "3" and cell.values["seed"] == "1"))
    assert a["rows"][2][1] == "46.00 (1 of 2) / 100.00 (1 of 2)"
    a, _ = shown(measured(failed=lambda cell: cell.values.get("distill.T") == "3"))
    assert a["rows"][2][1] == "failed / failed"
    a, _ = shown(measured(waiting=lambda cell: cell.values.get("distill.T") == "3"))
    assert a["rows"][2][1] == "… / …"
    [only] = shown(measured(), Layout((), T, None, ("nosuch",)))
    assert only["rows"][1] == ["T = 1", "–"]


def test_changes_are_paired_by_seed():
    (down, across), _ = (changes(table, LAYOUT) for table in layout_tables(measured(), LAYOUT))
    assert down["title"] == "student = a: change from T = 1"
    assert down["head"] == ["", "smooth = 0", "smooth = 0.1"]
    # The seeds differ by 2 points, the difference between temperatures by nothing: paired, it has no spread.
    assert down["rows"] == [["T = 3", "-4.00 ± 0.00", "-24.00 ± 0.00"]]
    assert across["title"] == "student = a: change from smooth = 0"
    assert across["head"] == ["", "smooth = 0.1"]
    assert across["rows"] == [["teach", "+10.00 ± 0.00"], ["T = 1", "+10.00 ± 0.00"], ["T = 3", "-10.00 ± 0.00"]]


def test_changes_without_rows_or_columns():
    only_columns, only_rows = Layout((), None, SMOOTH, ("top1",)), Layout((), T, None, ("top1",))
    [across] = changes(layout_tables(measured(), only_columns)[0], only_columns)
    assert across["title"] == "Results: change from smooth = 0"
    table = layout_tables(measured(), only_rows)[0]
    assert contents(table, only_rows)["head"] == ["", "top1"]
    [down] = changes(table, only_rows)
    assert down["head"] == ["", "top1"]
    neither = Layout((), None, None, ("top1",))
    assert changes(layout_tables(measured(), neither)[0], neither) == []


def test_the_chart_has_a_line_for_each_column():
    drawn = chart(layout_tables(measured(), LAYOUT)[0], LAYOUT)
    assert drawn["places"] == ["1", "3"]
    assert [line["name"] for line in drawn["lines"]] == ["smooth = 0", "smooth = 0.1"]
    assert drawn["lines"][0]["points"] == [[0, pytest.approx(0.51)], [1, pytest.approx(0.47)]]


def test_numbers():
    assert numbers([0.25], True) == "25.00"
    assert numbers([0.25, 1.25], False) == "0.75 ± 6.353"
    assert numbers([1.5, 1.5], False) == "1.5 ± 0"
    assert numbers([-0.01], True, "+") == "-1.00"
    assert numbers([0.01], True, "+") == "+1.00"


@pytest.mark.parametrize(("name", "share"), [("student/top1", True), ("top5", True), ("agreement/kl", False)])
def test_units_belong_to_the_metric(name, share):
    assert in_percent(name) == share


def test_axes_left_over_make_tables_and_only_seeds_are_averaged():
    titles = [each["title"] for each in shown(measured(), Layout((STUDENT, T), SMOOTH, None, ("top1",)))]
    assert titles == [f"student = {s}, T = {t}" for s in "ab" for t in (1, 3)]
    assert [is_seed(axis) for axis in AXES] == [False, False, False, True]


def test_the_table_of_cells_holds_every_cell_and_metric():
    found = measured(failed=lambda cell: cell.stage == "teach" and cell.values["seed"] == "1")
    rows = list(csv.DictReader(io.StringIO(to_csv(found, AXES, Path("F")))))
    assert len(rows) == len(found)
    assert [row["status"] for row in rows].count("failed") == 2
    student = next(row for row in rows if row["stage"] == "distill")
    assert float(student["student/top1"]) == pytest.approx(accuracy(student | {"seed": student["seed"]}))
    assert student["distill.T"] == "1"
    assert Path(student["run"]).parent == Path("F")


def test_markdown_escapes_bars():
    text = markdown({"title": "T", "head": ["", "a|b"], "rows": [["x", "1\n 2"]], "note": "n"})
    assert "| --- | --- |\n| x | 1 2 |" in text
    assert "a\\|b" in text


def test_a_metric_is_found_by_its_end_and_the_student_is_preferred():
    one = Measured(measured()[0].cell, {"teacher/top1": 1.0, "student/top1": 0.5}, "")
    assert one.value("top1") == 0.5
    assert one.value("teacher/top1") == 1.0
    assert one.value("ece") is None


def test_chance_stands_beside_the_accuracies_where_it_is_one():
    found = [replace(one, chance=0.1) for one in measured()]
    assert all(each["note"].endswith("; chance is 10.00") for each in shown(found))
    table = layout_tables(found, LAYOUT)[0]
    drawn = chart(table, LAYOUT)
    assert drawn["lines"][-1] == {"name": "chance", "points": [[0, 0.1], [1, 0.1]], "dashed": True}
    assert (drawn["x"], drawn["y"]) == ("T", "top-1 accuracy")
    found[0] = replace(found[0], chance=0.5)  # of other data
    assert not any("chance" in each["note"] for each in shown(found) if each["rows"][0][0] == "teach")
    kl = Layout(LAYOUT.tables, LAYOUT.rows, LAYOUT.columns, ("agreement/kl",))
    assert chance_of(table, kl) is None


def test_a_stage_that_measures_nothing_of_what_is_shown_is_left_out_and_two_are_told_apart():
    stages = read_stages(("pre: selfsup rotnet", "other: selfsup bigan", "a: probe {pre}", "b: probe {other}"))
    axes = read_axes(("source=photo:cat,noise:0",), stages)
    found = [
        Measured(cell, {"run/first/top1": 0.5, "run/last/top1": 0.25} if cell.verb == "probe" else {"loss": 1.0}, "")
        for cell in make_cells(stages, axes, (), Path("F"))
    ]
    [only] = shown(found, Layout((), axes[0], None, ("first/top1", "last/top1")))
    assert only["rows"] == [
        [f"{stage}, source = {source}", "50.00 / 25.00"] for stage in ("a", "b") for source in ("photo:cat", "noise:0")
    ]

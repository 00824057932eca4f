"""Stages and axes of a study -> cells."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from exuno.engine.errors import ExunoError
from exuno.study.content import content
from exuno.study.grid import find_axis, has_option, make_cells, read_axes, read_stages, typed
from exuno.study.options import StudyConfig, StudyRun
from exuno.study.plan import plan

STAGES = ("teach digits", "distill --teacher {teach} --data digits")
AXES = ("teach.label-smoothing=0,0.1", "distill.loss.temperature=1,2,3", "seed=0,1")


def cells_of(stages=STAGES, axes=AXES, fixed=(), folder=Path("F")):
    read = read_stages(stages)
    return make_cells(read, read_axes(axes, read), read_axes(fixed, read), folder)


def test_a_stage_is_multiplied_by_its_own_axes_and_those_above_it():
    cells = cells_of()
    assert [sum(cell.stage == name for cell in cells) for name in ("teach", "distill")] == [4, 12]
    teacher = next(cell for cell in cells if cell.stage == "teach")
    assert teacher.args == ("digits", "--label-smoothing", "0", "--seed", "0")
    assert teacher.values == {"teach.label-smoothing": "0", "seed": "0"}


def test_each_student_refers_to_the_teacher_of_its_values():
    cells = cells_of()
    by_name = {cell.name: cell for cell in cells}
    for student in (cell for cell in cells if cell.stage == "distill"):
        [teacher] = (by_name[name] for name in student.needs)
        assert all(student.values[name] == value for name, value in teacher.values.items())
        assert f"run:F/{teacher.name}" in student.args
        assert cells.index(teacher) < cells.index(student)


def test_names_are_unique_and_do_not_depend_on_the_folder():
    names = [cell.name for cell in cells_of()]
    assert len(set(names)) == len(names)
    assert names == [cell.name for cell in cells_of(folder=Path("/elsewhere"))]


def test_another_option_above_is_another_cell_below():
    plain = {cell.name for cell in cells_of()}
    other = {cell.name for cell in cells_of(fixed=("teach.epochs=3",))}
    assert not plain & other


def test_fixed_options_reach_the_stage_they_name_or_all():
    cells = cells_of(fixed=("distill.epochs=3", "budget=0.5"))
    for cell in cells:
        assert ("--epochs" in cell.args) == (cell.stage == "distill")
        assert cell.args[cell.args.index("--budget") + 1] == "0.5"


def test_a_stage_may_refer_to_two_and_through_one():
    stages = ("big: teach digits", "small: distill --teacher {big} --data digits", "eval {small} --teacher {big}")
    cells = cells_of(stages, ("big.seed=0,1", "small.loss.temperature=1,2"))
    last = [cell for cell in cells if cell.stage == "eval"]
    assert len(last) == 4
    assert {len(cell.needs) for cell in last} == {2}


@given(st.lists(st.integers(1, 4), min_size=0, max_size=4))
def test_the_grid_has_as_many_cells_as_the_product(sizes):
    names = ("optim.lr", "optim.weight-decay", "epochs", "batch-size")
    axes = tuple(f"{name}=" + ",".join(map(str, range(size))) for name, size in zip(names, sizes, strict=False))
    product = 1
    for size in sizes:
        product *= size
    assert len(cells_of(("teach digits",), axes)) == product


def test_the_folder_of_the_study_has_a_name():
    cells = cells_of(
        ("teach digits", "distill --teacher {teach} --cache-dir {study}/cache"), (), folder=Path("S/cells")
    )
    assert cells[1].args[-1] == "S/cache"
    assert cells[1].needs == (cells[0].name,)


def test_an_axis_that_is_set_keeps_one_value_and_its_place():
    axes = (*AXES[:2], "distill.student=exuno:a,exuno:b", "seed=0,1")
    free = StudyConfig(STAGES, axes, tables="student", rows="temperature", columns="label-smoothing")
    made = plan(replace(free, set=("distill.student=exuno:c", "seed=7", "budget=0.5")))
    assert [axis.values for axis in made.layout.tables] == [("exuno:c",)]
    assert [axis.values for axis in made.axes if axis.flag == "seed"] == [("7",)]
    assert [axis.name for axis in made.fixed] == ["budget"]
    assert (len(plan(free).cells(Path("F"))), len(made.cells(Path("F")))) == (28, 8)


def test_a_poster_feeds_a_teacher():
    cells = cells_of(("poster digits", "teach --data poster:{poster} --model exuno:convnet"), ())
    assert cells[1].args[1] == f"poster:F/{cells[0].name}"


def test_options_of_every_training_go_where_they_are_known():
    stages = ("teach digits", "eval {teach}")
    cells = cells_of(stages, (), ("precision=bf16", "data-root=D", "optim.lr=1", "graphs=false", "eval.nosuch=1"))
    assert cells[0].args == ("digits", "--precision", "bf16", "--data-root", "D", "--optim.lr", "1", "--no-graphs")
    assert cells[1].args[1:] == ("--data-root", "D", "--nosuch", "1")
    assert not has_option("eval", "track")
    assert has_option("fewshot distill", "track")
    with pytest.raises(ExunoError, match=r"no stage of this study has an option --optim.lrr. Did you mean optim.lr\?"):
        cells_of(stages, ("optim.lrr=1,2",))


def test_an_axis_of_all_multiplies_only_what_has_it_or_needs_it():
    stages = ("teach digits", "pre: selfsup rotnet-digits", "probe {pre} --against {teach}", "last: probe {teach}")
    cells = cells_of(stages, ("source=photo:astronaut,photo:cat",))
    assert [cell.stage for cell in cells] == ["teach", "pre", "pre", "probe", "probe", "last"]
    assert [("--source" in cell.args) for cell in cells] == [False, True, True, False, False, False]


def test_what_a_command_reads_is_part_of_its_cell(tmp_path):
    preset, photo = tmp_path / "mine.yaml", tmp_path / "photo.png"

    def names(**config) -> list[str]:
        preset.write_text(
            yaml.safe_dump({"verb": "teach", "config": {"model": "exuno:convnet", "data": "digits", **config}})
        )
        lines = (f"teach {preset}", f"distill --teacher {{teach}} --source {photo}")
        return [cell.name for cell in plan(StudyConfig(lines)).cells(Path("F"))]

    Image.new("RGB", (8, 8)).save(photo)
    first = names(epochs=1)
    assert names(epochs=1) == first
    assert all(a != b for a, b in zip(names(epochs=4), first, strict=True))
    Image.new("RGB", (8, 8), "red").save(photo)
    again = names(epochs=1)
    assert (again[0] == first[0], again[1] == first[1]) == (True, False)
    packaged = [cell.name for cell in plan(StudyConfig(("distill digits --seed 1",))).cells(Path("F"))]
    assert packaged[0].startswith("distill-")


def test_layout_is_refused_where_it_is_ambiguous():
    axes = ("teach.epochs=1,2", "distill.epochs=1,2")
    with pytest.raises(ExunoError, match=r"may be teach\.epochs or distill\.epochs"):
        plan(StudyConfig(STAGES, axes, rows="epochs"))
    with pytest.raises(ExunoError, match="two places"):
        plan(StudyConfig(STAGES, AXES, rows="temperature", columns="temperature"))
    with pytest.raises(ExunoError, match="seed is an axis"):
        plan(StudyConfig(STAGES, AXES, run=StudyRun(seed=5)))
    with pytest.raises(ExunoError, match="says nothing about the cluster"):
        plan(StudyConfig(STAGES, AXES, processes=2, ray="auto"))
    rest = plan(StudyConfig(STAGES, (*AXES, "distill.loss.t2=true,false"))).layout
    assert rest.rows is not None
    assert (rest.rows.flag, [axis.flag for axis in rest.tables]) == ("label-smoothing", ["loss.temperature", "loss.t2"])


def test_words_of_a_command_line():
    assert typed("loss.t2", "true") == ["--loss.t2"]
    assert typed("loss.t2", "false") == ["--loss.no-t2"]
    assert typed("fresh", "false") == ["--no-fresh"]
    assert typed("augment.jitter", "0.4 0.4 0 0") == ["--augment.jitter", "0.4", "0.4", "0", "0"]


def test_an_axis_is_found_by_its_end():
    axes = read_axes(AXES, read_stages(STAGES))
    for name in ("distill.loss.temperature", "loss.temperature", "temperature", "--distill.loss.temperature"):
        assert find_axis(name, axes).name == "distill.loss.temperature"
    with pytest.raises(ExunoError, match="no axis"):
        find_axis("emperature", axes)


@pytest.mark.parametrize(
    ("stages", "axes", "told"),
    [
        ((), (), "no stages"),
        (("synth photo.jpg",), (), "no stage of a study"),
        (("distill --teacher {teach}", "teach digits"), (), "no earlier stage"),
        (("teach digits", "teach digits --seed 1"), (), "two stages"),
        (("study: teach digits",), (), "named 'study'"),
        (STAGES, ("loss.temperature",), "no axis"),
        (STAGES, ("loss.temperature=1,,2",), "no axis"),
        (STAGES, ("seed=1,1",), "twice"),
        (STAGES, ("seed=1", "seed=2"), "twice"),
        (("../../x: teach digits",), (), "named '../../x'"),
        (("teach don't",), (), "not understood"),
        (STAGES, ("distill.source=anna's.jpg",), "not understood"),
        (STAGES, ("distill.teacher={teach}",), "refers to a stage"),
    ],
)
def test_mistakes(stages, axes, told):
    with pytest.raises(ExunoError, match=told):
        cells_of(stages, axes)


def test_a_photograph_with_bits_behind_it_is_part_of_a_cell(tmp_path: Path) -> None:
    found = []
    for shade in (1, 2):
        Image.new("I;16", (4, 4), shade).save(tmp_path / "x.png")
        found += [
            content("distill", ["digits", "--source", f"{tmp_path}/x.png{bits}"]) for bits in ("", "@10bit", "@12bit")
        ]
    assert len(set(found)) == 6

"""What benchmarks/gpu makes of its measurements; the measurements themselves need a GPU, or ``--tiny`` and minutes."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """``measure`` and ``experiment``, which are no packages."""
    before = set(sys.modules)
    for folder in (FOLDER, FOLDER / "gpu"):
        monkeypatch.syspath_prepend(str(folder))
    import experiment  # pyright: ignore[reportMissingImports]
    import measure  # pyright: ignore[reportMissingImports]

    yield measure, experiment
    for name in set(sys.modules) - before:
        if name in ("measure", "experiment", "bare", "common", "speeds", "goals", "agree"):
            del sys.modules[name]


def test_hours_are_read_off_a_straight_line(modules: Any) -> None:
    hours_to = modules[1].hours_to
    points = [(100.0, 0.9), (400.0, 0.95)]  # an error of 1 / sqrt(seconds)
    assert hours_to(points, 0.99) == "2.8"
    assert hours_to(points, 0.95) == "reached"
    assert hours_to([(100.0, 0.9), (400.0, 0.9)], 0.95) == "never at this slope"
    assert hours_to([(100.0, 0.9)], 0.95) == "unknown"
    assert hours_to(points, 1 - 1e-9) == "more than 10,000"
    early = [(1.0, 0.1), (2.0, 0.1), (3.0, 0.1), *points]
    assert hours_to(early, 0.99) == hours_to([early[2], *points], 0.99)


def test_parts(modules: Any, capsys: pytest.CaptureFixture[str]) -> None:
    measure = modules[0]
    everything = measure.parsed(["first", "second"]).parts
    assert sorted(everything) == sorted(measure.LIMITS)
    assert measure.parsed([]).parts == measure.CALLS["first"]
    for call in measure.CALLS.values():  # two of them and two starts are fifteen minutes
        needed = [part for part in call if part != "compiled"]
        assert sum(measure.LIMITS[part] for part in needed) <= 7 * 60
    with pytest.raises(SystemExit):
        measure.parsed(["frist"])
    assert "no part frist" in capsys.readouterr().err


def test_tables_are_kept_in_the_place_of_older_ones(
    modules: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = modules[0]
    results = tmp_path / "RESULTS.md"
    results.write_text("# Results\n\n## a\n\nold\n\n## c\n\nold\n")
    new = tmp_path / "new"
    new.mkdir()
    (new / "RESULTS.md").write_text("# Results\n\n## b\n\nnew\n\n## c\n\nnew\n")
    monkeypatch.setattr(measure, "HERE", tmp_path / "gpu" / "measure.py")
    measure.keep(new)
    assert results.read_text() == "# Results\n\n## a\n\nold\n\n## b\n\nnew\n\n## c\n\nnew\n"

from pathlib import Path

import pytest
from fake_run import make_run
from test_report_page import DIGITS, read

from exuno.engine.errors import ExunoError
from exuno.report.command import main


def test_one_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path / "run", DIGITS)
    main([str(run)])
    assert capsys.readouterr().out.strip() == str(run / "report.html")
    main([str(run), "--out", str(tmp_path / "page.html")])
    assert (tmp_path / "page.html").read_text() == (run / "report.html").read_text()


def test_several_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [make_run(tmp_path / name, DIGITS, finished=name == "first") for name in ("first", "second")]
    main([*map(str, runs), "--out", str(tmp_path / "both.html")])
    page = read(tmp_path / "both.html")
    assert capsys.readouterr().out.strip() == str(tmp_path / "both.html")
    assert "2 runs compared" in page.text
    assert "12 s" in page.text
    assert "unfinished" in page.text
    assert page.text.count("exuno distill digits") == 2
    assert not page.addresses


def test_runs_of_the_same_name_are_told_apart(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / name / "run", DIGITS) for name in ("a", "b")]
    main([*map(str, runs), "--out", str(tmp_path / "both.html")])
    text = read(tmp_path / "both.html").text
    assert "a/run" in text
    assert "b/run" in text


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(ExunoError, match="no run directory was given"):
        main([])
    with pytest.raises(ExunoError, match="not a run directory"):
        main([str(tmp_path)])
    with pytest.raises(ExunoError, match="no directory"):
        main([str(tmp_path / "a"), str(tmp_path / "b")])

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_run import make_run
from test_report_page import DIGITS, read

from exuno.engine.errors import ExunoError
from exuno.report.report import main


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


def configure(run: Path, **config: Any) -> None:
    """Puts options, or ``inputs``, into config.yaml."""
    content = yaml.safe_load((run / "config.yaml").read_text())
    inputs = config.pop("inputs", {})
    (run / "config.yaml").write_text(yaml.safe_dump({**content, "config": config, "inputs": inputs}))


def compared(tmp_path: Path, *configs: dict[str, Any]) -> str:
    runs = [make_run(tmp_path / name, DIGITS) for name in ("first", "second", "third")[: len(configs)]]
    for run, config in zip(runs, configs, strict=True):
        configure(run, **config)
    main([*map(str, runs), "--out", str(tmp_path / "all.html")])
    return read(tmp_path / "all.html").text


BASE = {
    "teacher": "run:t",
    "student": "exuno:wrn_16_1",
    "data": "digits",
    "source": ["photo:coffee", "a.jpg"],
    "optim": {"lr": 0.1, "nesterov": False},
    "seed": 0,
}


def test_what_the_runs_are_and_what_differs(tmp_path: Path) -> None:
    other = {**BASE, "source": ["noise:0"], "optim": {"lr": 0.01, "nesterov": True}, "size": None}
    third = {**BASE, "student": "exuno:resnet20", "size": 32}
    text = compared(tmp_path, BASE, other, third)
    for name in ("data", "source", "teacher", "model", "chance"):
        assert f"\n{name}\n" in text
    row = text[text.index("distill · digits") :]
    for value in ("digits", "photo:coffee, a.jpg", "run:t", "exuno:wrn_16_1"):
        assert f"\n{value}" in row
    differs = text[text.index("What differs") : text.index("Commands")].split("\n")
    rows = {name: differs[differs.index(name) + 1 : differs.index(name) + 4] for name in differs if name}
    assert rows["source"] == ["photo:coffee, a.jpg", "noise:0", "photo:coffee, a.jpg"]
    assert rows["optim.lr"] == ["0.1", "0.01", "0.1"]
    assert rows["optim.nesterov"] == ["no", "yes", "no"]
    assert rows["student"] == ["exuno:wrn_16_1", "exuno:wrn_16_1", "exuno:resnet20"]
    assert rows["size"] == ["–", "–", "32"]
    assert not {"teacher", "data", "seed"} & set(rows)


def test_files_of_one_name_that_differ_are_told(tmp_path: Path) -> None:
    text = compared(tmp_path, {**BASE, "inputs": {"a.jpg": "aaa"}}, {**BASE, "inputs": {"a.jpg": "bbb"}})
    assert "sha256 of a.jpg\naaa\nbbb" in text


def test_equal_runs(tmp_path: Path) -> None:
    assert "The runs have the same configuration." in compared(tmp_path, BASE, BASE)


def test_runs_of_different_verbs(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / name, DIGITS) for name in ("first", "second")]
    configure(runs[0], **BASE)
    configure(runs[1], model="run:first", data="cifar10", split="test")
    content = (runs[1] / "config.yaml").read_text()
    (runs[1] / "config.yaml").write_text(content.replace("verb: distill", "verb: eval"))
    main([*map(str, runs), "--out", str(tmp_path / "all.html")])
    text = read(tmp_path / "all.html").text
    differs = text[text.index("What differs") : text.index("Commands")]
    assert "data\ndigits\ncifar10" in differs
    assert "optim" not in differs
    assert "\nrun:first\n" in text


def test_options_that_make_no_sense_are_survived(tmp_path: Path) -> None:
    odd = {"data": ["x", None], "source": {"a": 1}, "student": 3, "teacher": [[1], {"b": 2}], "optim": "fast"}
    assert "What differs" in compared(tmp_path, BASE, odd)


def test_of_a_model_beside_a_teacher_the_model_counts(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / name, DIGITS) for name in ("first", "second")]
    result = json.loads((runs[0] / "result.json").read_text())
    result["metrics"] = {"model/top1": 0.7, "teacher/top1": 0.99}
    (runs[0] / "result.json").write_text(json.dumps(result))
    main([*map(str, runs), "--out", str(tmp_path / "all.html")])
    assert "70.0\u202f% \nmodel" in read(tmp_path / "all.html").text

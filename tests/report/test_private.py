"""Pages that go to others: no image of data or source, no path, and all else as it was."""

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from fake_run import make_run
from test_report_page import DIGITS, read

from exuno.cli import main
from exuno.engine.errors import ExunoError
from exuno.report.page import write_report

HOME = "/home/jane doe/secret"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with paths in every place that a page shows."""
    run = make_run(tmp_path / "run", DIGITS)
    content = yaml.safe_load((run / "config.yaml").read_text())
    content["config"] = {
        "data": f"folder:{HOME}/cats",
        "source": [f"{HOME}/my photo.jpg", "private/other.jpg", "photo:coffee"],
        "teacher": "run:private/teacher/",
        "student": "hf-hub:org/student",
        "data_root": None,
    }
    content["about"]["summary"] = f"hf-hub:org/student distilled from run:private/teacher/ on folder:{HOME}/cats"
    content["inputs"] = {f"{HOME}/my photo.jpg": "a1b2"}
    (run / "config.yaml").write_text(yaml.safe_dump(content))
    words = ["exuno", "distill", "private/runs/x/config.yaml", "--run-dir", f"{HOME}/x-replay"]
    (run / "command.txt").write_text(f"{shlex.join(words)}\n# first typed as: exuno {HOME}\n# in: {HOME}\n")
    result = json.loads((run / "result.json").read_text())
    result["lineage"] = {"source": [{"path": f"{HOME}/my photo.jpg"}], "teacher": {"file": "/opt/secret/t.pt"}}
    result["tables"] = [{"title": "T", "head": ["source", "x"], "rows": [["private/other.jpg", "1/2 of 3"]]}]
    (run / "result.json").write_text(json.dumps(result))
    listed = json.loads((run / "figures/figures.json").read_text())
    listed.append({"file": "chart.png", "title": "A chart", "caption": "of private/other.jpg", "shows": "numbers"})
    (run / "figures/chart.png").write_bytes((run / "figures/source.png").read_bytes())
    (run / "figures/figures.json").write_text(json.dumps(listed))
    return run


def test_a_page_without_images(run: Path) -> None:
    page = write_report(run, no_images=True)
    text, shown = page.read_text(), read(page)
    for word in ("secret", "private/", "jane", "/home", "/opt"):
        assert word not in text
    assert sum(address.startswith("data:image") for address in shown.addresses) == 1  # the chart
    assert "Test samples" not in shown.text
    assert "A chart" in shown.text
    assert "<h1>hf-hub:org/student distilled from run:teacher on folder:cats</h1>" in text
    for part in ("my photo.jpg", "other.jpg", "photo:coffee", "hf-hub:org/student", "t.pt", "1/2 of 3"):
        assert part in shown.text
    assert "exuno distill config.yaml --run-dir x-replay" in shown.text
    assert "command.txt beside this page has them whole" in shown.text
    assert "https://arxiv.org/abs/2112.00725" in shown.addresses
    assert {"svg"} <= set(shown.tags)
    for title in ("Training", "Confusion", "Calibration", "Configuration", "Lineage"):
        assert f"\n{title}\n" in shown.text


def test_with_images_all_is_as_before(run: Path) -> None:
    text = write_report(run).read_text()
    assert f"{HOME}/my photo.jpg" in text
    assert "\nTest samples\n" in read(run / "report.html").text


def test_a_run_that_was_made_without_images_stays_so(run: Path, tmp_path: Path) -> None:
    with (run / "config.yaml").open("a") as file:
        file.write("no_images: true\n")
    assert "secret" not in write_report(run).read_text()
    assert main(["report", str(run), str(run), "--out", str(tmp_path / "both.html")]) == 0
    assert "secret" not in (tmp_path / "both.html").read_text()


def test_the_command(run: Path, tmp_path: Path) -> None:
    assert main(["report", str(run), "--no-images"]) == 0
    assert "secret" not in (run / "report.html").read_text()
    assert main(["report", str(run), str(run), "--no-images", "--out", str(tmp_path / "both.html")]) == 0
    assert "secret" not in (tmp_path / "both.html").read_text()


@pytest.mark.parametrize("piece", ["config.yaml", "command.txt", "result.json"])
def test_a_broken_piece_is_survived(run: Path, piece: str) -> None:
    (run / piece).write_bytes(b"{[: 'not this /home/jane/x\n")
    text = write_report(run, no_images=True).read_text()
    assert "/home/jane" not in text


@pytest.mark.parametrize(
    ("verb", "config"),
    [
        ("study", {"stages": ["teach digits --data folder:my/cats"], "axes": ["teach.data=folder:a/b,folder:c/d"]}),
        ("eval", {"model": "file:./weights/x.pt", "data": "wds:shards/x-{0..9}.tar"}),
        ("doctor", {"teacher": "~/nets/x", "data": "recordings:sounds/here@16000"}),
    ],
)
def test_paths_of_other_verbs(verb: str, config: dict[str, Any], tmp_path: Path) -> None:
    content = {"verb": verb, "config": config, "about": {"summary": " and ".join(map(str, config.values()))}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(content))
    text = read(write_report(tmp_path, no_images=True)).text
    for folder in ("my/", "a/b", "c/d", "weights", "shards", "nets", "sounds"):
        assert folder not in text


def smoke(folder: Path, *args: str) -> dict[str, Any]:
    assert main([*args, "--smoke", "--no-images", "--devices", "cpu", "--run-dir", str(folder)]) == 0
    return yaml.safe_load((folder / "config.yaml").read_text())


def test_nothing_that_a_run_writes_shows_its_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    content = smoke(run, "distill", "digits")
    assert content["no_images"] is True
    assert yaml.safe_load((run / "teacher/config.yaml").read_text())["no_images"] is True
    assert "no_images" not in content["config"]  # the same run, with or without
    assert not list(run.rglob("*.png"))
    for path in run.rglob("*.npz"):
        with np.load(path) as file:
            assert "images" not in file.files
    assert "data:image" not in (run / "report.html").read_text()
    assert "--no-images" in (run / "command.txt").read_text().splitlines()[0]
    assert main(["report", str(run)]) == 0
    assert str(tmp_path) not in (run / "report.html").read_text()
    for args in (["eval", str(run)], ["doctor", str(run / "teacher"), "--patches", "20"]):
        smoke(tmp_path / args[0], *args)
        assert "data:image" not in (tmp_path / args[0] / "report.html").read_text()
        assert not list((tmp_path / args[0]).rglob("*.png"))
    plain = tmp_path / "plain"
    assert main(["teach", "digits", "--smoke", "--devices", "cpu", "--run-dir", str(plain)]) == 0
    capsys.readouterr()
    assert main(["teach", "digits", "--smoke", "--devices", "cpu", "--run-dir", str(plain), "--no-images"]) == 2
    assert f"exuno report {plain} --no-images" in " ".join(capsys.readouterr().err.split())


def test_a_run_that_goes_on_without_images_is_marked(tmp_path: Path) -> None:
    from exuno.engine.options import RunOptions
    from exuno.engine.run import open_run

    for no_images, marked in ((False, False), (True, True), (False, True)):
        options = RunOptions(run_dir=tmp_path / "r", no_images=no_images)
        run = open_run("teach", None, {"data": "digits"}, {}, options)
        run.close()
        assert run.options.no_images is marked
        assert yaml.safe_load((tmp_path / "r/config.yaml").read_text()).get("no_images", False) is marked
    run.finish(metrics={})
    run = open_run("teach", None, {"data": "digits"}, {}, RunOptions(run_dir=tmp_path / "r", no_images=True))
    run.close()
    (tmp_path / "r/config.yaml").write_text(yaml.safe_dump({"verb": "teach", "config": {"data": "digits"}}))
    with pytest.raises(ExunoError, match="made without --no-images"):
        open_run("teach", None, {"data": "digits"}, {}, RunOptions(run_dir=tmp_path / "r", no_images=True))

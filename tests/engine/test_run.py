"""The run directory: what it writes, and what it refuses."""

import errno
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from exuno.engine.configuration import fingerprint
from exuno.engine.errors import ExunoError
from exuno.engine.options import RunOptions
from exuno.engine.run import Run, git_commit, open_run

CONFIG: dict[str, Any] = {"epochs": 3, "optim": {"lr": 0.1}, "seed": 0, "devices": "auto", "run_dir": None}


def begin(folder: Path, config: dict[str, Any] = CONFIG, **options: Any) -> Run:
    return open_run("teach", "digits", config, {"summary": "x"}, RunOptions(run_dir=folder, **options))


def test_a_new_run_says_what_it_is(tmp_path: Path) -> None:
    run = begin(tmp_path / "run")
    run.close()
    written = yaml.safe_load((tmp_path / "run/config.yaml").read_text())
    assert written["verb"] == "teach"
    assert written["config"] == {"epochs": 3, "optim": {"lr": 0.1}, "seed": 0}
    assert (tmp_path / "run/command.txt").read_text().startswith("exuno teach ")
    assert json.loads((tmp_path / "run/environment.json").read_text())["python"]
    assert run.result is None


def test_the_same_configuration_opens_it_again(tmp_path: Path) -> None:
    begin(tmp_path / "run").close()
    begin(tmp_path / "run", {**CONFIG, "devices": "cpu"}).close()  # where it runs does not matter


def test_another_configuration_is_refused_and_named(tmp_path: Path) -> None:
    begin(tmp_path / "run").close()
    before = (tmp_path / "run/config.yaml").read_text()
    with pytest.raises(ExunoError, match="epochs: 3 there, 5 here"):
        begin(tmp_path / "run", {**CONFIG, "epochs": 5})
    assert (tmp_path / "run/config.yaml").read_text() == before


def test_a_run_of_an_earlier_version_goes_on_without_the_options_that_came_later(tmp_path: Path) -> None:
    begin(tmp_path / "run").close()
    begin(tmp_path / "run", {**CONFIG, "deterministic": False}).close()
    with pytest.raises(ExunoError, match="deterministic: False there, True here"):
        begin(tmp_path / "run", {**CONFIG, "deterministic": True})


def test_a_foreign_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ExunoError, match="not empty"):
        begin(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(ExunoError, match="is a file"):
        begin(tmp_path / "run")


def test_two_processes_do_not_share_a_run(tmp_path: Path) -> None:
    first = begin(tmp_path / "run")
    with pytest.raises(ExunoError, match="another process"):
        begin(tmp_path / "run")
    first.close()
    begin(tmp_path / "run").close()


def test_resume_never_does_not_touch_a_run(tmp_path: Path) -> None:
    begin(tmp_path / "run").close()
    with pytest.raises(ExunoError, match="never"):
        begin(tmp_path / "run", resume="never")


def test_the_default_name_depends_on_what_shapes_the_result(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    run = open_run("teach", "digits", CONFIG, {}, RunOptions())
    run.close()
    assert str(run.dir).startswith("runs/teach-digits-")
    assert fingerprint(CONFIG) == fingerprint({**CONFIG, "devices": "2"})
    assert fingerprint(CONFIG) != fingerprint({**CONFIG, "seed": 1})


def test_finish_writes_a_result_that_replays(tmp_path: Path) -> None:
    run = begin(tmp_path / "run")
    run.finish(metrics={"model/top1": 0.5})
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert result["metrics"] == {"model/top1": 0.5}
    assert result["command"][:2] == ["exuno", "teach"]
    assert result["command"][2].endswith("config.yaml")
    run.close()


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    begin(tmp_path / "run").close()
    (tmp_path / "run/.distilled.poster.123.tmp/deep").mkdir(parents=True)
    (tmp_path / "run/.distilled.poster.123.tmp/deep/.poster.png.123.tmp").write_text("half")
    (tmp_path / "run/.result.json.123.tmp").write_text("{")
    before = {path.name for path in (tmp_path / "run").iterdir() if not path.name.endswith(".tmp")}
    begin(tmp_path / "run").close()
    assert {path.name for path in (tmp_path / "run").iterdir()} == before


def test_what_a_run_learns_from_may_not_change(tmp_path: Path) -> None:
    run = begin(tmp_path / "run")
    run.pin(training_data="a", teacher="b")
    run.close()
    again = begin(tmp_path / "run")
    again.pin(training_data="a", teacher="b", test_data="c")
    with pytest.raises(ExunoError, match=r"the teacher of the run in .* has changed since it began"):
        again.pin(training_data="a", teacher="other")


def test_lines_of_the_metrics_that_are_missing_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = begin(tmp_path / "run")
    run.log({"step": 1})
    run.log({"step": 2})
    length = run.metrics_bytes
    run.cut_metrics(length)
    assert capsys.readouterr().err == ""
    run.metrics.write_text('{"step": 1}\n{"st')
    run.cut_metrics(length)
    assert "metrics.jsonl has 16 of the 24 bytes" in capsys.readouterr().err
    assert run.metrics.read_text() == '{"step": 1}\n'
    run.metrics.unlink()
    run.cut_metrics(length)
    assert "has 0 of the 24 bytes" in capsys.readouterr().err


def test_a_finished_run_on_a_disk_that_can_only_be_read_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begin(tmp_path / "run")
    run.finish(metrics={"model/top1": 0.5})
    run.close()
    whole = Path.open

    def read_only(self: Path, mode: str = "r", *args: Any, **options: Any) -> Any:
        if set(mode) & set("wax+"):
            raise OSError(errno.EROFS, "Read-only file system", str(self))
        return whole(self, mode, *args, **options)

    monkeypatch.setattr(Path, "open", read_only)
    again = begin(tmp_path / "run")
    assert again.result is not None
    assert again.result["metrics"] == {"model/top1": 0.5}
    (tmp_path / "run/result.json").unlink()
    with pytest.raises(ExunoError, match="cannot be written"):
        begin(tmp_path / "run")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"metrics": 3}', '{"n": {"a": "b"}}', '"\\ud800"', "\xff"])
def test_a_damaged_result_is_told(tmp_path: Path, text: str) -> None:
    run = begin(tmp_path / "run")
    (tmp_path / "run/result.json").write_text(text, encoding="latin1")
    with pytest.raises(ExunoError, match=r"result\.json is damaged"):
        _ = run.result


def test_the_commit_is_that_of_a_checkout_of_exuno(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not of a repository in whose folder a package happens to be installed."""

    def git(*words: str) -> None:
        about = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *about, *words], cwd=tmp_path, check=True, capture_output=True)

    (tmp_path / "run.py").touch()
    git("init")
    git("commit", "--allow-empty", "-m", "theirs")
    monkeypatch.setattr("exuno.engine.run.__file__", str(tmp_path / "run.py"))
    assert git_commit() is None
    git("add", "run.py")
    git("commit", "-m", "ours")
    assert re.fullmatch("[0-9a-f]{12}", git_commit() or "")

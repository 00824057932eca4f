"""What commit 207f77b wrote is read today: runs, weights, a poster, presets, under the names that options had then.

tests/old/207f77b.tar.xz was made by that commit on a CPU, in an empty folder:

    exuno teach digits --smoke --devices cpu --model exuno:convnet_2_8 --run-dir teacher
    exuno distill digits --smoke --devices cpu --teacher run:teacher --student exuno:convnet_2_4 --loss.argmax \
        --run-dir student
    exuno poster digits --smoke --devices cpu --run-dir poster
    exuno presets copy distill speech-digits speech.yaml
    exuno presets copy poster digits poster.yaml

and lost its pages, pictures and the checkpoints of student and poster.
"""

import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from exuno.cli import main

ARCHIVE = Path(__file__).parent / "old" / "207f77b.tar.xz"


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def result(run: Path) -> dict[str, float]:
    return json.loads((run / "result.json").read_text())["metrics"]


def test_weights_answer_as_they_did(old: Path) -> None:
    for name, key in (("teacher", "model/top1"), ("student", "student/top1")):
        assert main(["eval", f"run:{name}", "--smoke", "--devices", "cpu", "--run-dir", f"again-{name}"]) == 0
        assert result(old / f"again-{name}")["model/top1"] == result(old / name)[key]


def test_finished_runs_are_found_done_by_their_configurations(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {name: (old / name / "result.json").read_bytes() for name in ("student", "poster")}
    for verb, name in (("distill", "student"), ("poster", "poster")):
        words = [verb, f"{name}/config.yaml", "--smoke", "--devices", "cpu", "--precision", "no", "--run-dir", name]
        assert main(words) == 0, capsys.readouterr().err
        assert (old / name / "result.json").read_bytes() == before[name]


def test_an_unfinished_run_goes_on_to_the_same_weights(old: Path) -> None:
    weights = (old / "teacher" / "model.safetensors").read_bytes()
    for file in ("result.json", "model.safetensors", "model.json"):
        (old / "teacher" / file).unlink()
    words = ["teach", "digits", "--smoke", "--devices", "cpu", "--precision", "no", "--model", "exuno:convnet_2_8"]
    assert main([*words, "--run-dir", "teacher"]) == 0
    again = (old / "teacher" / "model.safetensors").read_bytes()
    assert again[-2000:] == weights[-2000:]


def test_pages_are_written_anew(old: Path) -> None:
    assert main(["report", "teacher", "student", "--out", "page.html"]) == 0
    for name in ("teacher", "student", "poster"):
        assert main(["report", name]) == 0
        assert "could not be shown" not in (old / name / "report.html").read_text()


def test_a_poster_is_a_data_set_and_can_be_measured(old: Path) -> None:
    words = ["--smoke", "--devices", "cpu", "--run-dir"]
    assert main(["eval", "poster:poster", *words, "measured"]) == 0
    assert main(["teach", "digits", "--data", "poster:poster/distilled.poster", *words, "taught"]) == 0


@pytest.mark.parametrize(("verb", "new"), [("distill", "mel"), ("poster", "canvas")])
def test_presets_have_todays_names(old: Path, verb: str, new: str, capsys: pytest.CaptureFixture[str]) -> None:
    name = {"distill": "student/config.yaml", "poster": "poster/config.yaml"}[verb]
    assert main([verb, name, "--devices", "cpu", "--dry-run"]) == 0
    printed = yaml.safe_load(capsys.readouterr().out)["config"]
    assert new in printed
    assert not {"sound", "proof", "image_size"} & printed.keys()
    assert "argmax" not in printed.get("loss", {})
    for file in ("speech.yaml", "poster.yaml"):
        assert yaml.safe_load((old / file).read_text())["verb"] in ("distill", "poster")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["teach", "digits", "--sound.mels", "32"], "--sound.mels is --mel.mels now"),
        (["poster", "digits", "--proof.networks", "2"], "--proof.networks is --eval.networks now"),
        (["poster", "digits", "--size", "20x20"], "--size 20x20 is --canvas 20x20 now"),
        (["distill", "digits", "--loss.argmax"], "--loss.argmax is --loss.kind argmax now"),
    ],
)
def test_old_options_are_told_their_new_names(fails: Callable[..., str], words: list[str], told: str) -> None:
    assert told in fails(*words)

"""No command of the README and the manuals rots: each is resolved by a dry run, in process, without torch.

What a command names and a user would have (a photograph, a run, a file of weights) is made, as far as that looks at it.
The record of experiments, docs/reproductions.md, is left out: its scripts have holes.
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from exuno.cli import main

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *(page for page in sorted(ROOT.glob("docs/**/*.md")) if page.stem != "reproductions"),
]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NO_DRY_RUN = ("import", "export", "report", "presets")
OF_RUNS = (
    *("eval", "doctor", "probe", "predict", "fewshot eval", "fewshot predict"),
    *("explain penultimate", "explain neurons", "explain attention"),
)
"""Verbs after which a bare word is the folder of a run."""


@dataclass(frozen=True)
class Command:
    """One command of a page."""

    page: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}: exuno {' '.join(self.words)}"


def commands() -> list[Command]:
    """Every different command that stands in a block; columns of two spaces or more part it from what it does."""
    found = []
    for page in PAGES:
        for kind, block in BLOCK.findall(page.read_text()):
            for line in re.sub(r"\s*\\\n\s*", " ", block).splitlines() if kind in ("sh", "") else []:
                if line.startswith("exuno ") and "…" not in line:
                    typed = re.split(r"\s{2,}", line)[0] if kind == "" else line
                    found.append(Command(page.name, tuple(shlex.split(typed, comments=True)[1:])))
    return list(dict.fromkeys(found))


COMMANDS = commands()


def prepare(words: tuple[str, ...]) -> None:
    """Makes what a command names: pictures, recordings, files of weights, groups of classes, folders of runs."""
    verb = next((each for each in OF_RUNS if " ".join(words).startswith(each)), None)
    for number, word in enumerate(words):
        path, option = Path(word), words[number - 1] if number else ""
        if path.exists() or ":" in word or word.startswith("-"):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in (".jpg", ".png"):
            Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(path)
        elif path.suffix == ".flac":
            pytest.importorskip("soundfile").write(path, np.linspace(-1, 1, 200_000), 44_100)
        elif path.suffix in (".safetensors", ".pth", ".json"):
            path.write_text("{}")
        elif path.suffix == ".poster":
            path.mkdir()
        elif verb and number >= len(verb.split()) and (option in verb.split() or not option.startswith("--")):
            if re.fullmatch(r"(RUN\w*|runs/.*)", word):
                for run in map(Path, word.split(",")):
                    run.mkdir(parents=True)
                    (run / "config.yaml").write_text("verb: teach\nconfig: {data: digits}\n")
        elif option in ("--teacher", "--similar", "--reference"):
            path.mkdir()


def test_there_are_commands() -> None:
    assert len([each for each in COMMANDS if each.page == "README.md"]) >= 8
    assert len({each.page for each in COMMANDS}) >= 12
    assert len(COMMANDS) >= 70


@pytest.mark.usefixtures("nothing_is_looked_for")
@pytest.mark.parametrize("command", [each for each in COMMANDS if each.words[0] not in NO_DRY_RUN], ids=str)
def test_a_command_is_understood(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    prepare(command.words)
    code = main([*command.words, "--dry-run"])
    assert code == 0, capsys.readouterr().err


@pytest.mark.parametrize("command", [each for each in COMMANDS if each.words[0] in NO_DRY_RUN], ids=str)
def test_a_command_without_dry_run_is_parsed(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It ends at the file that is not there, or is done."""
    monkeypatch.chdir(tmp_path)
    if main(list(command.words)):
        said = capsys.readouterr().err
        assert said.startswith("exuno: there is no "), said


def python_blocks() -> list[Any]:
    """The blocks of the README and docs/python.md."""
    pages = [page for page in PAGES if page.name in ("README.md", "python.md")]
    found = [(page.name, text) for page in pages for kind, text in BLOCK.findall(page.read_text()) if kind == "python"]
    return [pytest.param(text, id=f"{name}-{number}") for number, (name, text) in enumerate(found)]


@pytest.mark.parametrize("text", python_blocks())
def test_python_of_the_pages_runs(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On slivers of work, with a photograph and images as the pages have them."""
    import torch

    import exuno
    from exuno import api
    from exuno.api.keywords import configure, keywords

    def smoke(verb: str, kind: type[Any], options: dict[str, Any], *rest: Any) -> Any:
        short = {"smoke": True, "devices": "cpu"}
        return configure(verb, kind, {**options, **{key: short[key] for key in short & keywords(kind).keys()}}, *rest)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(api, "configure", smoke)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save("my-photo.jpg")
    names: dict[str, Any] = {"exuno": exuno, "images": torch.zeros(2, 1, 8, 8)}
    exec(compile(text, "page", "exec"), names)

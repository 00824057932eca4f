"""Each tutorial is followed from top to bottom in an empty folder: its commands, its Python, and what one sees.

The fast test adds ``--smoke`` to every command that has it; the slow one follows the page to the letter. Commands
about CIFAR-10, which is not here, are resolved by a dry run. A ``text`` block shows of what the block before it prints:
each of its lines is a part of that, whatever the numbers are.
"""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from test_readme import BLOCK, NO_DRY_RUN, ROOT, prepare

from exuno.cli import main

TUTORIALS = sorted(ROOT.glob("docs/tutorials/*.md"))
LEFT_TO_THE_READER = ("pip install ", "wget ")
NO_DATA = ("cifar10",)
"""Tutorials whose data are not here."""


def words_of(block: str) -> list[list[str]]:
    """The commands of a block."""
    lines = re.sub(r"\s*\\\n\s*", " ", block).splitlines()
    return [shlex.split(line, comments=True) for line in lines if not line.startswith(LEFT_TO_THE_READER)]


def follow(page: Path, added: str) -> int:
    """Carries out the blocks of a page; the number of blocks of text that were compared.

    Args:
        page: the tutorial.
        added: what is added to every command that has it, or nothing.
    """
    names: dict[str, Any] = {}
    printed, compared = "", 0
    for kind, block in BLOCK.findall(page.read_text(encoding="utf-8")):
        if kind == "text":
            for line in block.splitlines():
                assert shape(line) in shape(printed), f"{line!r} is not in what was printed:\n{printed}"
            compared += 1
            continue
        if kind == "python":
            printed = captured(lambda block=block: exec(compile(block, page.name, "exec"), names))
            continue
        assert kind == "sh", f"a block of '{kind}' is neither run nor compared"
        printed = "".join(captured(lambda words=words: run(words, added)) for words in words_of(block))
    return compared


def run(words: list[str], added: str) -> None:
    """One command."""
    assert words[0] == "exuno", f"{words[0]} is no command of exuno"
    known = words[1] not in NO_DRY_RUN and words[1:3] != ["fewshot", "predict"]
    more = [added] if added and known and not {added, "--dry-run"} & set(words) else []
    if more == ["--smoke"] and words[1] == "study":
        more += ["--processes", "1"]  # each would import torch for seconds, and has little to do
    code = main([*words[1:], *more])
    assert code == 0, " ".join(words)


def captured(work: Any) -> str:
    """What ``work`` printed, tables not wrapped."""
    import contextlib
    import io

    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
        try:
            work()
        except AssertionError as error:
            raise AssertionError(f"{error}\n{out.getvalue()}") from error
    return out.getvalue()


def shape(text: str) -> str:
    """A text without what differs between two runs and two terminals: numbers, spaces, and the lines of tables."""
    text = re.sub(r"(?<![\w./-])[+-]?\d[\d.,]*(e-\d+)?", "#", re.sub(r"[┏┳┓┡╇┩└┴┘━]+", "", text))
    return re.sub(r"[^\S\n]+", " ", text).strip()


def test_there_are_tutorials() -> None:
    assert len(TUTORIALS) >= 6
    assert set(NO_DATA) <= {page.stem for page in TUTORIALS}


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(each, id=each.stem, marks=[pytest.mark.slow] if each.stem == "which-teacher" else [])
        for each in TUTORIALS
        if each.stem not in NO_DATA
    ],
)
def test_a_tutorial_can_be_followed(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "onnx" in page.read_text(encoding="utf-8"):
        pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    assert follow(page, "--smoke") >= 1


@pytest.mark.usefixtures("nothing_is_looked_for")
@pytest.mark.parametrize("stem", NO_DATA)
def test_a_tutorial_without_its_data_is_understood(stem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = ROOT / f"docs/tutorials/{stem}.md"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    for kind, block in BLOCK.findall(page.read_text(encoding="utf-8")):
        for words in words_of(block) if kind == "sh" else ():
            prepare(tuple(words[1:]))
    assert follow(page, "--dry-run") >= 1


@pytest.mark.slow
@pytest.mark.parametrize("page", [each for each in TUTORIALS if each.stem not in NO_DATA], ids=lambda page: page.stem)
def test_a_tutorial_holds_to_the_letter(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every minute of it."""
    if "onnx" in page.read_text(encoding="utf-8"):
        pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    assert follow(page, "") >= 1

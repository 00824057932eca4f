"""docs/label-smoothing.md: its commands are understood, its numbers are the published ones."""

import re
import shlex
from pathlib import Path

import pytest

from exuno.cli import main

pytestmark = pytest.mark.usefixtures("nothing_is_looked_for")

PAGE = (Path(__file__).parents[2] / "docs/label-smoothing.md").read_text()
BLOCKS = "".join(re.findall(r"^```sh$(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)).replace("\\\n", " ")
COMMANDS = [line for line in BLOCKS.splitlines() if line.startswith("exuno")]
TRANSLATED = re.findall(r"^\| `([^`]+)` \| `(exuno [^`]+|--[^`]+)`", PAGE, re.MULTILINE)


def test_the_commands_are_there() -> None:
    assert len(COMMANDS) >= 8
    assert len(TRANSLATED) >= 10


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_understood(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*shlex.split(command, comments=True)[1:], "--dry-run"]) == 0
    assert "label-smoothing" in command or "cub200" in capsys.readouterr().out


@pytest.mark.parametrize(("published", "ours"), TRANSLATED)
def test_translations_are_understood(published: str, ours: str) -> None:
    preset = "distill cub200-resnet50-kd"
    preset = "teach cub200-resnet50" if published == "--alpha=0.1" else preset
    words = shlex.split(ours.replace("--label-smoothing A", "--label-smoothing 0.1"))
    if ours.startswith("--"):
        assert main([*preset.split(), *words, "--dry-run"]) == 0
    elif words[1] != "explain":
        assert main([*words[1:], "--dry-run"]) == 0


def test_the_numbers_are_those_of_the_published_tables(shared: Path) -> None:
    readme = (shared / "papers/label-smoothing-and-distillation.md").read_text()
    for row in re.findall(r"^\| (?:Teacher|Student) : (.*)$", readme, re.MULTILINE):
        model, at, first, second, _ = (part.strip() for part in row.split("|"))
        model = "teacher ResNet-50" if at == "\\-" else f"{model}, {at}"
        assert f"| {model} | {first} | {second} |" in PAGE

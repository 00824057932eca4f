"""Every row of the translation tables in docs/synth.md holds."""

import ast
import re
import shlex
from pathlib import Path

import pytest
import yaml

from exuno.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "synth.md"
REFERENCE_FLAGS = (
    *("img_size", "batch_size", "num_imgs", "threads", "vflip", "deg", "shear"),
    *("cropfirst", "initcrop", "scale", "randinterp", "debug", "imgpath", "targetpath"),
)


def rows() -> list[list[str]]:
    page = PAGE.read_text().split("## From make_dataset_single.py")[1]
    cells = [
        [cell.strip() for cell in line.strip("|\n").split("|")] for line in page.splitlines() if line.startswith("|")
    ]
    return [row for row in cells if row[2] != "option" and not set(row[0]) <= set("-")]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0][:40])
def test_row(row, capsys):
    _, command, option, value = row
    args = shlex.split(command.strip("`"))
    if "photo:coffee" not in args:
        args.insert(0, "photo:coffee")
    assert main(["synth", *args, "--dry-run"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)[option] == ast.literal_eval(value)


def test_every_published_flag_has_a_row():
    told = {flag for row in rows() for flag in re.findall(r"--(\w+)", row[0])}
    assert told >= set(REFERENCE_FLAGS)

"""Every row of the translation tables in docs/synth-commands.md holds."""

import ast
import re
import shlex
from pathlib import Path

import pytest
import yaml

from exuno.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "synth-commands.md"
IMAGE_FLAGS = (
    *("img_size", "batch_size", "num_imgs", "threads", "vflip", "deg", "shear"),
    *("cropfirst", "initcrop", "scale", "randinterp", "debug", "imgpath", "targetpath"),
)


VIDEO_FLAGS = (
    *("img_size", "batch_size", "num_imgs", "threads", "no_vflip", "cropfirst", "initcrop", "scale"),
    *("frames", "imgpath", "targetpath"),
)
SCRIPTS = {"make_fakevideo_dataset.py": VIDEO_FLAGS, "make_dataset_single.py": IMAGE_FLAGS}


def rows(script: str) -> list[list[str]]:
    """The rows of the tables in the section that is called after a published script."""
    page = re.split(r"^#+ ", PAGE.read_text().split(f"# From {script}")[1], flags=re.MULTILINE)[0]
    cells = [
        [cell.strip() for cell in line.strip("|\n").split("|")] for line in page.splitlines() if line.startswith("|")
    ]
    return [row for row in cells if row[2] != "option" and not set(row[0]) <= set("-")]


@pytest.mark.parametrize(
    ("script", "row"), [(script, row) for script in SCRIPTS for row in rows(script)], ids=lambda cell: cell[0][:40]
)
def test_row(script, row, capsys):
    _, command, option, value = row
    args = shlex.split(command.strip("`"))
    if "photo:coffee" not in args:
        args.insert(0, "photo:coffee")
    if SCRIPTS[script] is VIDEO_FLAGS:
        pytest.importorskip("av")
        args.insert(0, "video")
    assert main(["synth", *args, "--dry-run"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)[option] == ast.literal_eval(value)


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_published_flag_has_a_row(script):
    told = {flag for row in rows(script) for flag in re.findall(r"--(\w+)", row[0])}
    assert told >= set(SCRIPTS[script])

"""The table of docs/video.md that translates the published video/distill.py: each flag sets what its row says."""

import ast
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from exuno.cli import main

pytestmark = pytest.mark.usefixtures("nothing_is_looked_for")

PAGE = Path(__file__).parents[2] / "docs/video.md"
ROWS = re.findall(
    r"^\| (.+?) \| `([^`]+)`[^|]* \| ([\w.]+) \| (.+?) \|$",
    PAGE.read_text().split("## The published commands")[1],
    re.MULTILINE,
)
PUBLISHED = {
    *("dataset", "dist_data_path", "test_data_path", "teacher_ckpt", "temperature", "depth_factor", "width_factor"),
    *("lr", "weight_decay", "batch_size", "epochs", "warmup_epochs", "workers", "eval_every", "save_dir", "validate"),
}


def resolved(words: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    preset = [] if words.split()[0].endswith("_e") else ["k400-x3d_xs-x3d_xs_e"]
    capsys.readouterr()
    assert main(["distill", *preset, *shlex.split(words), "--dry-run"]) == 0
    return yaml.safe_load(capsys.readouterr().out)["config"]


def test_every_flag_is_in_the_table() -> None:
    told = set(re.findall(r"`[^`|]*?--(\w+)|(?<= )--(\w+)(?= [\d.]+`)", PAGE.read_text()))
    names = {name for pair in told for name in pair}
    assert names >= PUBLISHED
    assert len(ROWS) == 16


@pytest.mark.parametrize(("published", "ours", "option", "value"), ROWS)
def test_a_flag(published: str, ours: str, option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    found: Any = resolved(ours, capsys)
    for part in option.split("."):
        found = found[part]
    assert found == ast.literal_eval(value), published


def test_the_recipe_is_that_of_the_code(capsys: pytest.CaptureFixture[str]) -> None:
    """The defaults of the published script, and what is written into its modules."""
    for data in ("k400", "ucf101"):
        config = resolved(f"{data}-x3d_xs-x3d_xs_e", capsys)
        assert (config["epochs"], config["batch_size"], config["patches"]) == (400, 128, 200_000)
        assert (config["loss"]["temperature"], config["loss"]["t2"], config["mix"]["cutmix"]) == (5, False, 1)
        optim, augment = config["optim"], config["augment"]
        assert (optim["name"], optim["lr"], optim["weight_decay"], optim["schedule"]) == ("adamw", 1e-3, 0, "cosine")
        assert optim["warmup"] * config["epochs"] == 5
        assert (augment["frames"], augment["augmix"], augment["short_side"]) == (4, 3, [183, 229])
        assert (augment["flip"], augment["augmix_formula"]) == (0.5, "reference")
        assert (config["video"]["size"], config["video"]["frames"]) == (230, 8)


def test_the_teacher_of_ucf101_has_a_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["teach", "ucf101-x3d_xs", "--dry-run"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["config"]["data"] == "ucf101"

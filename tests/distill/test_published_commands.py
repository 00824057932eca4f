"""The table of docs/distill-commands.md, which translates the published commands: each row means what it says."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from exuno.cli import main

pytestmark = pytest.mark.usefixtures("nothing_is_looked_for")

PAGE = Path(__file__).parents[2] / "docs/distill-commands.md"
ROWS = re.findall(r"^\| `([^`]+)` \| `([^`]+)` \|$", PAGE.read_text(), re.MULTILINE)
COMMANDS = [row for row in ROWS if row[1].startswith("exuno")]
FLAGS = [row for row in ROWS if row[1].startswith("--")]
# Exuno's names for what each published flag sets, worked out from the published code by hand.
FIELDS = {
    "dataset": "data",
    "image": "source",
    "traindir": "source",
    "testdir": "data_root",
    "student": "student",
    "student_arch": "student",
    "teacher": "teacher",
    "teacher_arch": "teacher",
}


def resolved(command: str, capsys: pytest.CaptureFixture[str]) -> dict:
    capsys.readouterr()
    assert main([*shlex.split(command)[1:], "--dry-run"]) == 0
    return yaml.safe_load(capsys.readouterr().out)["config"]


def words(published: str) -> dict[str, str]:
    found = re.findall(r"--(\w+)[= ](\S+)", published)
    return dict(found)


def test_the_table_is_there() -> None:
    assert len(COMMANDS) == 2
    assert len(FLAGS) >= 15
    assert {flag for published, _ in COMMANDS for flag in words(published)} <= {
        flag for published, _ in FLAGS for flag in words(published)
    }


@pytest.mark.parametrize(("published", "ours"), FLAGS)
def test_each_flag_resolves_to_what_its_row_says(published: str, ours: str, capsys: pytest.CaptureFixture[str]) -> None:
    [(flag, _)] = words(published).items()
    preset = "imagenet-resnet18-resnet50" if flag.endswith(("dir", "_arch")) else "cifar10-wrn40_4-wrn16_4"
    _, value = shlex.split(ours)
    found = resolved(f"exuno distill {preset} {ours}", capsys)[FIELDS[flag]]
    assert found == ([value] if FIELDS[flag] == "source" else value)


@pytest.mark.parametrize(("published", "ours"), COMMANDS)
def test_each_command_means_the_sum_of_its_flags(published: str, ours: str, capsys: pytest.CaptureFixture[str]) -> None:
    config = resolved(ours, capsys)
    table = {(flag, value): ours for row, ours in FLAGS for flag, value in words(row).items()}
    for flag, value in words(published).items():
        expected = shlex.split(table[flag, value])[1]
        assert config[FIELDS[flag]] == ([expected] if FIELDS[flag] == "source" else expected), flag


def test_the_recipes_are_those_of_the_code(capsys: pytest.CaptureFixture[str]) -> None:
    cifar = resolved(COMMANDS[0][1], capsys)
    assert (cifar["epochs"], cifar["batch_size"], cifar["patches"]) == (1000, 512, 50_000)
    assert (cifar["loss"]["temperature"], cifar["loss"]["t2"], cifar["mix"]["cutmix"]) == (8, False, 0.25)
    # The layers have an l2 of 2.5e-4, but the published training step never adds it to what it differentiates.
    assert (cifar["optim"]["name"], cifar["optim"]["lr"], cifar["optim"]["weight_decay"]) == ("adam", 1e-3, 0)
    imagenet = resolved(COMMANDS[1][1], capsys)
    assert (imagenet["epochs"], imagenet["batch_size"], imagenet["mix"]["cutmix"]) == (200, 512, 1)
    assert (imagenet["optim"]["name"], imagenet["optim"]["lr"], imagenet["optim"]["weight_decay"]) == (
        "adamw",
        0.01,
        5e-4,
    )
    assert imagenet["augment"]["resized_crop"] == [0.08, 1]
    assert (imagenet["augment"]["jitter"], imagenet["augment"]["jitter_p"]) == ([0.4] * 4, 0.8)

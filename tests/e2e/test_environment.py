"""What an environment brings: the demo no more than exuno needs, the tests all."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
HEAVY = {"ray", "nvidia-dali-cuda120", "open-clip-torch", "datasets", "gradio", "playwright"} | {
    "mlcroissant",
    "mlflow-skinny",
    "alembic",
    "sqlalchemy",
}


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=;\[ ]", each)[0].replace("_", "-") for each in requirements}


def planned(target: str) -> str:
    """The commands that make would carry out in a checkout without an environment."""
    if not shutil.which("make"):
        pytest.skip("there is no make")
    nothing_is_there = ["-W", "pyproject.toml", "-W", "uv.lock"]
    done = subprocess.run(["make", "-n", *nothing_is_there, target], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_heavy_is_apart_from_the_tools_that_everybody_needs() -> None:
    groups = PROJECT["dependency-groups"]
    assert names(groups["heavy"]) == HEAVY
    assert not names(groups["dev"]) & HEAVY
    assert not names(PROJECT["project"]["dependencies"]) & HEAVY
    assert PROJECT["tool"]["uv"]["default-groups"] == ["dev"]


def test_make_demo_brings_what_exuno_needs_and_takes_nothing_away() -> None:
    [sync] = [line for line in planned("demo").splitlines() if " sync " in line]
    assert "--no-default-groups" in sync
    assert "--group" not in sync
    assert "--inexact" in sync
    assert "--locked" in sync


def test_make_test_brings_the_heavy_group_too() -> None:
    [sync] = [line for line in planned("test").splitlines() if " sync " in line]
    assert "--group heavy" in sync
    assert "--no-default-groups" not in sync
    assert "--inexact" in sync


def test_the_lock_belongs_to_the_project() -> None:
    lock = tomllib.loads((ROOT / "uv.lock").read_text())
    [own] = [package for package in lock["package"] if package["name"] == "exuno"]
    locked = {group: {each["name"] for each in entries} for group, entries in own["dev-dependencies"].items()}
    assert locked == {group: names(entries) for group, entries in PROJECT["dependency-groups"].items()}
    assert set(own["metadata"]["provides-extras"]) == set(PROJECT["project"]["optional-dependencies"])


def test_the_readme_says_how_large_an_install_is() -> None:
    text = (ROOT / "README.md").read_text()
    assert re.search(r"\d\.\d GB for the demo", text)
    assert "docs/faq.md#without-a-gpu" in text
    assert "--index-url https://download.pytorch.org/whl/cpu" in (ROOT / "docs/faq.md").read_text()

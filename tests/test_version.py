"""The version of a checkout that was never built is its commit, read from git's files."""

import subprocess
from pathlib import Path

import pytest

from exuno.version import unbuilt


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "init.defaultBranch=main")
    return subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    folder.mkdir()
    git(folder, "init")
    git(folder, "commit", "--allow-empty", "-m", "first")
    return folder


def test_the_commit_however_git_keeps_it(checkout: Path, tmp_path: Path) -> None:
    expected = f"0+g{git(checkout, 'rev-parse', 'HEAD')[:7]}"
    assert unbuilt(checkout) == expected
    git(checkout, "pack-refs", "--all")
    assert unbuilt(checkout) == expected
    git(checkout, "worktree", "add", str(tmp_path / "beside"))
    assert unbuilt(tmp_path / "beside") == expected
    git(checkout, "checkout", "--detach")
    assert unbuilt(checkout) == expected


def test_without_a_commit_it_is_unknown(tmp_path: Path) -> None:
    assert unbuilt(tmp_path) == "0+unknown"
    git(tmp_path, "init")
    assert unbuilt(tmp_path) == "0+unknown"
    (tmp_path / ".git/HEAD").write_text("anything")
    assert unbuilt(tmp_path) == "0+unknown"

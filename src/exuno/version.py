"""The version: that of the git tag, which the build writes into ``_version.py`` (pyproject.toml)."""

from importlib import import_module
from pathlib import Path


def _built() -> str:
    try:
        return import_module("exuno._version").__version__
    except ImportError:
        return unbuilt(Path(__file__).resolve().parents[2])


def unbuilt(checkout: Path) -> str:
    """That of a checkout that was never built or installed: ``0+g1f0c2ab``, its commit; ``0+unknown`` without one.

    git's files are read, since every command would wait for a process. How far the last tag is away they do not tell.
    """
    place = checkout / ".git"
    try:
        if place.is_file():  # of a worktree, it says where
            place = checkout / _read(place).removeprefix("gitdir: ")
        commit = _read(place / "HEAD")
        if (ref := commit.removeprefix("ref: ")) != commit:
            shared = place / "commondir"
            place = place / _read(shared) if shared.is_file() else place
            commit = _read(place / ref) if (place / ref).is_file() else _packed(place / "packed-refs", ref)
        return f"0+g{int(commit, 16):040x}"[:10]
    except (OSError, ValueError):
        return "0+unknown"


def _packed(path: Path, ref: str) -> str:
    return next((line.split()[0] for line in _read(path).splitlines() if line.endswith(f" {ref}")), "")


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip()


__version__ = _built()

"""Paths on other machines, of which ``memory://`` is the nearest: photographs, shards and folders as sources, what
synth and export write, and what goes wrong."""

import json
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

import exuno
from exuno.cli import main
from exuno.data.images.photo import load_photo, photo_sha256
from exuno.data.open import open_data
from exuno.engine import remote
from exuno.engine.errors import ExunoError
from exuno.engine.remote import fetched, is_remote, there, url_of


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An empty file system of another machine, and an empty cache here."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    system = fsspec.filesystem("memory")
    system.store.clear()
    return system


def files(folder: Path) -> dict[str, bytes]:
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {name: content for name, content in found.items() if not name.startswith(".")}


@pytest.mark.parametrize(
    ("path", "remote"),
    [
        ("s3://bucket/photo.jpg", True),
        ("s3:/bucket/photo.jpg", True),  # what pathlib makes of it
        ("memory://x", True),
        ("/home/me/photo.jpg", False),
        ("folder:/home/me", False),
        ("wds:s3://bucket/x.tar", False),
        ("photo:coffee", False),
        ("photo.jpg", False),
    ],
)
def test_which_paths_are_remote(path: str, remote: bool) -> None:
    assert is_remote(path) == remote
    if remote:
        assert url_of(Path(path)) == f"{path.partition(':')[0]}://{path.partition(':')[2].lstrip('/')}"


def test_what_is_not_remote_stays(memory: Any) -> None:
    assert fetched("a/b.jpg") == Path("a/b.jpg")


@pytest.mark.parametrize("container", ["folder", "wds"])
def test_synth_to_another_machine_and_back_as_a_source(memory: Any, tmp_path: Path, container: Any) -> None:
    how: Any = {"count": 12, "size": 8, "group": 5, "container": container, "workers": 1, "contact_sheet": 4}
    here = exuno.synth("photo:coffee", out=tmp_path / "here", **how)
    back = exuno.synth("photo:coffee", out="memory://bucket/patches", **how)
    copied = {name.removeprefix("/bucket/patches/"): memory.cat(name) for name in memory.find("/bucket/patches")}
    assert copied == files(here)
    spec = ("folder:{}" if container == "folder" else "wds:{}/{{000000..000002}}.tar").format
    there, local = open_data(spec("memory://bucket/patches")), open_data(spec(here))
    assert len(there) == len(local) == 12
    for one, other in zip(there.fetch(np.arange(12))[0], local.fetch(np.arange(12))[0], strict=True):
        assert np.array_equal(one, other)
    assert files(fetched(back)) == copied


def test_synth_goes_on_with_the_same_options_only(memory: Any, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["synth", "photo:coffee", "--out", "memory://bucket/x", "--count", "4", "--size", "8", "--workers", "1"]
    assert main(args) == 0
    memory.rm("/bucket/x/patches", recursive=True)
    assert main(args) == 0
    assert len(memory.find("/bucket/x/patches")) == 4
    assert main([*args, "--seed", "1"]) == 2
    assert "made with other options (seed: 0, now 1)" in capsys.readouterr().err
    memory.pipe("/bucket/y/thesis.txt", b"precious")
    assert main([*args[:3], "memory://bucket/y", *args[4:]]) == 2
    assert "memory://bucket/y is not empty" in capsys.readouterr().err
    assert list(memory.find("/bucket/y")) == ["/bucket/y/thesis.txt"]


def test_a_photograph_is_copied_once_and_again_when_it_has_changed(memory: Any, monkeypatch: Any) -> None:
    import cv2

    def put(value: int) -> None:
        memory.pipe("/photos/mine.png", cv2.imencode(".png", np.full((9, 7, 3), value, np.uint8))[1].tobytes())

    copies: list[str] = []
    get = type(memory).get_file
    monkeypatch.setattr(type(memory), "get_file", lambda self, a, b, **k: (copies.append(a), get(self, a, b, **k)))
    put(1)
    before = photo_sha256("memory://photos/mine.png")
    assert load_photo("memory://photos/mine.png").shape == (9, 7, 3)
    assert len(copies) == 1
    put(2)
    assert load_photo("memory://photos/mine.png").max() == 2
    assert photo_sha256("memory://photos/mine.png") != before
    assert len(copies) == 2


def test_a_file_that_is_gone_there_is_gone_here(memory: Any) -> None:
    for name in "ab":
        memory.pipe(f"/data/train/{name}/1.png", b"x")
    assert set(files(fetched("memory://data"))) == {"train/a/1.png", "train/b/1.png"}
    memory.rm("/data/train/a/1.png")
    assert set(files(fetched("memory://data"))) == {"train/b/1.png"}


def test_of_shards_only_those_of_the_pattern_are_copied_and_their_classes(memory: Any) -> None:
    for name in ("train-0.tar", "test-0.tar", "other.tar", "classes.txt"):
        memory.pipe(f"/shards/{name}", b"x")
    path = fetched("memory://shards/{split}-{0..3}.tar@left.jpg")
    assert path.name == "{split}-{0..3}.tar@left.jpg"
    assert set(files(path.parent)) == {"train-0.tar", "test-0.tar", "classes.txt"}
    assert there("memory://shards/{split}-{0..3}.tar")
    assert not there("memory://shards/none-{0..3}.tar")


def test_a_student_learns_from_a_remote_photograph(memory: Any, tmp_path: Path) -> None:
    import cv2

    photo = cv2.imencode(".png", load_photo("photo:coffee"))[1].tobytes()
    memory.pipe("/photos/coffee.png", photo)
    run = tmp_path / "run"
    args = ["distill", "digits", "--smoke", "--devices", "cpu", "--source", "memory://photos/coffee.png"]
    assert main([*args, "--run-dir", str(run)]) == 0
    model = str(run / "teacher") if (run / "teacher/model.json").is_file() else str(run)
    assert main(["export", model, "--to", "memory://models/mine"]) == 0
    names = {Path(name).name for name in memory.find("/models/mine")}
    assert {"model.safetensors", "model.json", "README.md"} <= names
    assert json.loads(memory.cat("/models/mine/model.json"))
    assert main(["export", model, "--to", "memory://models/mine"]) == 2


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("memory://nowhere/photo.png", "there is nothing at memory://nowhere/photo.png"),
        ("folder:memory://nowhere", "there is nothing at memory://nowhere"),
        ("s3://bucket/photo.png", "needs a package that is not installed (Install s3fs"),
        ("nosuch://bucket/photo.png", "cannot be used"),
    ],
)
def test_mistakes(memory: Any, tmp_path: Path, capsys: Any, monkeypatch: Any, source: str, told: str) -> None:
    monkeypatch.setitem(__import__("sys").modules, "s3fs", None)
    assert main(["distill", "digits", "--source", source, "--run-dir", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert told in said
    assert "Traceback" not in said
    assert not (tmp_path / "run").exists()


def test_a_refusal_by_the_other_machine_is_a_sentence(memory: Any, monkeypatch: Any) -> None:
    def refuse(*args: Any, **options: Any) -> None:
        raise PermissionError("Access Denied")

    monkeypatch.setattr(type(memory), "find", refuse)
    with pytest.raises(ExunoError, match=r"memory://b/x cannot be used \(PermissionError: Access Denied\)"):
        remote.fetched("memory://b/x")

"""What is given to the page: kept under names that tell the content, zip files unpacked where they may be."""

import zipfile
from pathlib import Path

import pytest

from exuno.app.uploads import kept, unpacked
from exuno.engine.errors import ExunoError


def zipped(path: Path, names: list[str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, name)
    return path


def below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_file_is_kept_once_and_another_of_its_name_beside_it(tmp_path: Path) -> None:
    upload = tmp_path / "my photo (1).JPG"
    upload.write_bytes(b"one")
    first = kept(upload, tmp_path / "photos")
    assert first == kept(upload, tmp_path / "photos")
    assert first.name.startswith("my-photo-1-")
    assert first.suffix == ".jpg"
    upload.write_bytes(b"other")
    assert kept(upload, tmp_path / "photos") != first
    assert first.read_bytes() == b"one"


@pytest.mark.parametrize(
    ("names", "inside"),
    [
        (["cat/a.png", "dog/b.png"], {"cat/a.png", "dog/b.png"}),
        (["pets/cat/a.png", "pets/dog/b.png", "__MACOSX/pets/._a.png", "pets/.DS_Store"], {"cat/a.png", "dog/b.png"}),
        (["train/cat/a.png"], {"train/cat/a.png"}),
        (["x/pets/train/cat/a.png", "x/pets/test/cat/b.png"], {"train/cat/a.png", "test/cat/b.png"}),
        (["pets/a.png"], {"pets/a.png"}),
    ],
)
def test_the_folder_of_data_in_a_zip_file(tmp_path: Path, names: list[str], inside: set[str]) -> None:
    upload = zipped(tmp_path / "data.zip", names)
    found = unpacked(upload, tmp_path / "data")
    assert below(found) == inside
    assert unpacked(upload, tmp_path / "data") == found


def test_nothing_is_unpacked_outside(tmp_path: Path) -> None:
    upload = zipped(tmp_path / "data.zip", ["../../evil/a.png", "/evil/b.png", "cat/c.png"])
    unpacked(upload, tmp_path / "deep/er/data")
    assert {path.name for path in tmp_path.iterdir()} == {"data.zip", "deep"}
    assert {path.name for path in (tmp_path / "deep/er").iterdir()} == {"data"}


def test_a_file_that_is_no_zip_file(tmp_path: Path) -> None:
    (tmp_path / "data.zip").write_text("nothing of the kind")
    with pytest.raises(ExunoError, match=r"data.zip is no zip file that can be read"):
        unpacked(tmp_path / "data.zip", tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_one_that_asks_for_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = zipped(tmp_path / "data.zip", ["cat/a.png"])
    monkeypatch.setenv("EXUNO_MAX_BYTES", "5")
    with pytest.raises(ExunoError, match="asks for 9 bytes"):
        unpacked(upload, tmp_path / "data")
    assert not (tmp_path / "data").exists()

"""What was given to the page, kept under a name that tells its content: a file again, the same command
again. No torch.
"""

import hashlib
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

from exuno.data.layout import ignored
from exuno.data.names import split_word
from exuno.engine.errors import ExunoError
from exuno.engine.files import atomic, atomic_folder
from exuno.engine.untrusted import FILES, UNPACKED


def kept(upload: Path, folder: Path) -> Path:
    """A copy of an uploaded file in ``folder``.

    Raises:
        ExunoError: the folder cannot be written.
    """
    place = folder / _named(upload)
    if not place.is_file():
        with atomic(place) as temporary:
            shutil.copyfile(upload, temporary)
    return place


def unpacked(upload: Path, folder: Path) -> Path:
    """The folder of data in an uploaded zip file, unpacked in ``folder``; a single folder around all is left out.

    Raises:
        ExunoError: no zip file, a damaged one, or one that asks for too much room.
    """
    place = (folder / _named(upload)).with_suffix("")
    try:
        with zipfile.ZipFile(upload) as archive:
            members = list(_members(archive))
            FILES.check(len(members), f"the archive {upload.name}")
            UNPACKED.check(sum(member.file_size for member in members), f"the archive {upload.name}")
            if not place.is_dir():
                with atomic_folder(place) as temporary:
                    for member in members:
                        archive.extract(member, temporary)  # never outside: zipfile drops .. and leading slashes
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:  # damaged, another code, a password
        raise ExunoError(
            f"{upload.name} is no zip file that can be read ({error})", "Pack the folder again, or name it."
        ) from None
    inside = [each for each in place.iterdir() if not ignored(each.name)]
    while len(inside) == 1 and inside[0].is_dir() and not split_word(inside[0].name):
        below = [each for each in inside[0].iterdir() if not ignored(each.name)]
        if not any(each.is_dir() for each in below):
            break
        place, inside = inside[0], below
    return place


def _members(archive: zipfile.ZipFile) -> Iterator[zipfile.ZipInfo]:
    for member in archive.infolist():
        if not member.is_dir() and not any(ignored(part) for part in Path(member.filename).parts):
            yield member


def _named(upload: Path) -> str:
    """``my photo.jpg`` -> ``my-photo-1a2b3c.jpg``."""
    with upload.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:6]
    stem = re.sub(r"[^\w.]+", "-", upload.stem).strip("-.") or "upload"
    return f"{stem[:60]}-{digest}{upload.suffix.lower()}"

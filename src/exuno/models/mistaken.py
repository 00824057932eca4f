"""Files that are taken for weights and are none: a page in their place, an archive around them. Told from the bytes,
whatever the name says."""

import zipfile
from pathlib import Path

from exuno.engine.errors import ExunoError

HEAD = 512
"""Bytes that are looked at."""
UNPACK = "Unpack it, and give the file of weights that is in it."


def refuse_mistaken(path: Path) -> None:
    """Raises ExunoError if a file is empty, a web page or another text, a pointer of Git LFS, or an archive that torch
    did not write."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    if not head:
        raise ExunoError(f"{path} is empty", "Fetch or write it again.")
    if head.startswith(b"version https://git-lfs"):
        raise ExunoError(f"{path} is a pointer of Git LFS, not the file itself", "Fetch it: git lfs pull.")
    if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise ExunoError(
            f"{path} is a web page, not weights",
            "Fetch the file that the page offers; of a Dropbox link, by dl=1 at its end in place of dl=0.",
        )
    if head.isascii() and head.decode().replace("\n", " ").replace("\r", " ").replace("\t", " ").isprintable():
        text = " ".join(head.decode().split())
        raise ExunoError(f"{path} is a text, not weights: '{text[:60]}'", "Check where it comes from.")
    if head.startswith(b"\x1f\x8b"):
        raise ExunoError(f"{path} is compressed by gzip", UNPACK)
    if head[257:262] == b"ustar":
        raise ExunoError(f"{path} is a tar archive", UNPACK)
    if head.startswith(b"PK") and (names := _names(path)) is not None:
        if any("/code/" in name for name in names):
            raise ExunoError(
                f"{path} is a TorchScript program, not weights",
                "Where you trust it: torch.save(torch.jit.load(PATH).state_dict(), NEW).",
            )
        if not any(name.endswith("data.pkl") for name in names):
            raise ExunoError(f"{path} is a zip archive of {', '.join(names[:3]) or 'nothing'}, not of torch", UNPACK)


def _names(path: Path) -> list[str] | None:
    """What a zip archive holds; None if it is damaged, which the reader of weights tells."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
        return None

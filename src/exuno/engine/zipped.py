"""Zip archives of tensors, as torch writes them: refused before they unpack to more than they are. No torch."""

import os
import zipfile
from pathlib import Path
from typing import IO

SLACK = 1 << 16
"""Bytes by which the sum of the members may be more than the file: none is needed."""


class Swollen(ValueError):
    """An archive that claims to hold more than its own bytes."""


def refuse_swollen(file: Path | IO[bytes]) -> None:
    """Raises Swollen if the members of a zip archive are larger together than the archive: compressed, or several on
    the same bytes. torch stores them as they are. What is no zip archive, or a damaged one, passes: its reader tells.
    """
    size = file.stat().st_size if isinstance(file, Path) else file.seek(0, os.SEEK_END)
    try:
        with zipfile.ZipFile(file) as archive:
            claimed = sum(info.file_size for info in archive.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError, EOFError):
        claimed = 0
    if not isinstance(file, Path):
        file.seek(0)
    if claimed > size + SLACK:
        raise Swollen(f"its members unpack to {claimed:,} bytes, and it has {size:,}")

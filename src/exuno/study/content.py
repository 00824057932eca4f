"""What a command of a study reads beside its words. No torch."""

import json
from collections.abc import Sequence
from pathlib import Path

from exuno.data.constants import PICTURES
from exuno.data.images.deep import split_bits
from exuno.engine.errors import ExunoError
from exuno.engine.remote import is_remote
from exuno.presets import files, read


def content(verb: str, words: Sequence[str]) -> str:
    """A text that changes when the preset that a command names does, or that of its teacher, or a photograph.

    Args:
        verb: of the command.
        words: what follows it.

    Raises:
        ExunoError: there is no such preset.
    """
    found: list[object] = []
    if words and not words[0].startswith("-") and files(verb):
        found.append(read(verb, words[0]).config)
    for word in words:
        if word.startswith("teach:"):
            found.append(read("teach", word.removeprefix("teach:")).config)
        elif Path(file := split_bits(word)[0]).suffix.lower() in PICTURES and (is_remote(file) or Path(file).is_file()):
            found.append(_sha256(word))
    return json.dumps(found, sort_keys=True, default=str)


def _sha256(spec: str) -> str:
    from exuno.data.images.photo import photo_sha256

    try:
        return photo_sha256(spec)
    except ExunoError:
        return ""  # its cell will tell what is wrong with it

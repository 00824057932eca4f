"""What exuno promises: the names in tests/public_api.txt with their signatures, and keywords that editors know.

After a change that is meant, write the file anew:

    .venv/bin/python -m tests.test_public_api
"""

import inspect
from pathlib import Path
from typing import Any

from tests.typed_keywords import FILE, formatted

import exuno

LISTED = Path(__file__).parent / "public_api.txt"


def line_of(name: str) -> str:
    thing: Any = getattr(exuno, name)
    words = [word for word in dir(thing) if not word.startswith("_")] if name in ("fewshot", "explain", "synth") else []
    if words:
        public = [word for word in words if inspect.isroutine(getattr(thing, word, None))]
        return f"{name}: {', '.join(public)}"
    if inspect.isclass(thing) and not inspect.isabstract(thing):
        return f"class {name}"
    kind = "class " if inspect.isclass(thing) else ""
    if callable(thing) and not kind:
        try:
            return f"{name}{inspect.signature(thing)}"
        except (TypeError, ValueError):
            pass
    return f"{kind}{name}"


def listed() -> str:
    return "\n".join(line_of(name) for name in sorted(exuno.__all__)) + "\n"


def test_public_names_are_those_of_the_list() -> None:
    assert listed() == LISTED.read_text()


def test_every_public_name_can_be_had() -> None:
    assert set(exuno.__all__) <= set(dir(exuno))
    assert all(getattr(exuno, name) is not None for name in exuno.__all__)


def test_editors_know_the_keywords_of_today() -> None:
    assert FILE.read_text() == formatted()


if __name__ == "__main__":
    LISTED.write_text(listed())

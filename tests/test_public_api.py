"""What exuno promises: the names in tests/public_api.txt with their signatures, and keywords that editors know.

After a change that is meant, write the file anew:

    .venv/bin/python tests/test_public_api.py
"""

import inspect
from pathlib import Path
from typing import Any

import exuno
from typed_keywords import FILE, formatted

LISTED = Path(__file__).parent / "public_api.txt"


def called(thing: Any) -> inspect.Signature:
    """How it is called; types are printed otherwise by every version of Python, and are pyright's to hold."""
    signature, empty = inspect.signature(thing), inspect.Signature.empty
    given = [each.replace(annotation=empty) for each in signature.parameters.values()]
    return signature.replace(parameters=given, return_annotation=empty)


def lines_of(name: str) -> list[str]:
    """A class with what makes it, a function with its signature, verbs of two words with those of each."""
    thing: Any = getattr(exuno.api, name, None) or getattr(exuno, name)
    if name in WORDS:
        words = [word for word in vars(type(thing)) if not word.startswith("_") or word == "__call__"]
        return [f"{name}.{word}{called(getattr(thing, word))}" for word in words]
    if callable(thing):
        try:
            return [f"{'class ' * inspect.isclass(thing)}{name}{called(thing)}"]
        except ValueError:
            pass
    return [name]


WORDS = ("fewshot", "explain", "synth")


def listed() -> str:
    return "\n".join(line for name in sorted(exuno.__all__) for line in lines_of(name)) + "\n"


def test_public_names_are_those_of_the_list() -> None:
    assert listed() == LISTED.read_text()


def test_every_public_name_can_be_had() -> None:
    assert set(exuno.__all__) <= set(dir(exuno))
    assert all(getattr(exuno, name) is not None for name in exuno.__all__)


def test_editors_know_the_keywords_of_today() -> None:
    assert FILE.read_text() == formatted()


if __name__ == "__main__":
    LISTED.write_text(listed())

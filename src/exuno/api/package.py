"""Packages that can be called: ``exuno.distill`` is the package of a verb, and calling it carries the verb out.

A function of that name in ``exuno`` would be overwritten by the first import of one of the package's modules.
"""

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

VERBS = (
    *("synth", "teach", "distill", "selfsup", "poster", "fewshot", "study", "doctor", "explain", "evaluate", "probe"),
    *("predict", "report"),
)
"""Packages with a function of the same name in ``exuno.api``."""
OF_TWO_WORDS = ("exuno.synth", "exuno.fewshot", "exuno.explain")
"""Packages whose modules may be second words."""


class Parent(ModuleType):
    """A module that makes packages callable when they are imported, which is when they become its attributes."""

    def __setattr__(self, name: str, value: Any) -> None:
        word = name in VERBS if self.__name__ == "exuno" else self.__name__ in OF_TWO_WORDS
        if word and type(value) is ModuleType:
            value.__class__ = Package
        super().__setattr__(name, value)


class Package(Parent):
    """A package that is called as the function of the same path in ``exuno.api``; further words are found there, and
    its modules imported, when they are asked for."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        found = function_of(self.__name__)
        if not callable(found):
            words = ", ".join(f"{self.__name__}.{word}" for word in dir(found) if not word.startswith("_"))
            raise TypeError(f"'{self.__name__}' is not called itself, but by a word: {words}")
        return found(*args, **options)

    def __getattr__(self, name: str) -> Any:
        full = f"{self.__name__}.{name}"
        if name.startswith("_"):
            raise AttributeError(f"module '{self.__name__}' has no attribute '{name}'")
        if hasattr(self, "__path__") and find_spec(full):
            return import_module(full)
        return function_of(full)


def function_of(path: str) -> Any:
    """``exuno.fewshot.pretrain`` -> that of ``exuno.api``."""
    found: Any = import_module("exuno.api")
    for word in path.split(".")[1:]:
        if not hasattr(found, word):
            raise AttributeError(f"there is no '{path}'")
        found = getattr(found, word)
    return found

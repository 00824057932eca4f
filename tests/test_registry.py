"""Options of registered things, from text."""

from dataclasses import dataclass
from typing import Any

import pytest

from exuno.engine.errors import ExunoError
from exuno.registry import Registry


@dataclass(frozen=True)
class Thing:
    needed: int
    rate: float = 0.5
    on: bool = False
    name: str | None = "x"


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    made = Registry("thing", "--thing", "exuno.engine")
    monkeypatch.setattr(made, "get", lambda name: Thing)
    return made


def test_values_have_the_types_of_the_fields(registry: Registry) -> None:
    made = registry.make("thing", ["needed=3", "rate=1e-2", "on=true", "name=none"])
    assert made == Thing(3, 0.01, True, None)
    assert registry.make("thing", ["needed=3"], rate=2.0, other=1) == Thing(3, 2.0)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ([], "--thing thing needs needed. Its options are needed=…, rate=0.5, on=False, name=x."),
        (["needed=x"], "needed is x. Give a value of type int."),
        (["needed=1", "on=yes"], "on is yes. Give a value of type bool."),
        (["needed=1", "neded=2"], "has no option 'neded=2'. Its options are"),
        (["needed"], "has no option 'needed'"),
    ],
)
def test_mistakes(registry: Registry, settings: list[str], told: str) -> None:
    with pytest.raises(ExunoError) as error:
        registry.make("thing", settings)
    assert told in str(error.value)


def test_what_has_no_options_takes_none(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    plain: Any = lambda: 1  # noqa: E731
    monkeypatch.setattr(registry, "get", lambda name: plain)
    assert registry.make("thing") is plain
    with pytest.raises(ExunoError, match="has no options"):
        registry.make("thing", ["a=1"])


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("exuno.distill.options:losses", "dkd"),
        ("exuno.distill.options:rules", "balanced"),
        ("exuno.engine.options:optimizers", "adam"),
        ("exuno.models.registry:networks", "wrn"),
        ("exuno.data.names:formats", "npz"),
        ("exuno.poster.options:algorithms", "mtt"),
        ("exuno.fewshot.options:heads", "knn"),
    ],
)
def test_every_entry_can_be_loaded(place: str, name: str) -> None:
    from importlib import import_module

    module, _, attribute = place.partition(":")
    found: Registry = getattr(import_module(module), attribute)
    assert name in found.names
    assert all(callable(entry.load()) for entry in found.entries.values())

"""Resolved configurations as plain values: what of one shapes a result, and in what two of them differ. No torch."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from exuno.engine.options import EXECUTION
from exuno.renamed import LATER, before_later


def identity(config: dict[str, Any]) -> dict[str, Any]:
    """The part of a resolved configuration that shapes the result."""
    return {key: value for key, value in config.items() if key not in EXECUTION}


def shape(config: dict[str, Any]) -> dict[str, Any]:
    """What two configurations of one run have in common: :func:`identity`, without options that earlier versions did
    not have where these do what those did, so that their runs go on."""
    return before_later(identity(config))


def fingerprint(config: dict[str, Any]) -> str:
    """Six characters that differ where the result may differ."""
    return hashlib.sha256(json.dumps(shape(config), sort_keys=True).encode()).hexdigest()[:6]


def default_folder(verb: str, preset: str | None, config: dict[str, Any]) -> Path:
    """Where a run lives unless the user says otherwise."""
    return Path("runs") / "-".join(filter(None, (*verb.split(), preset, fingerprint(config))))


def without(config: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """A configuration but for some of its fields."""
    return {key: value for key, value in config.items() if key not in names}


def differences(before: dict[str, Any], now: dict[str, Any]) -> str:
    """``epochs 3 instead of 5``: the first fields in which two configurations differ."""
    before, now = flatten(shape(before)), flatten(shape(now))
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    usual = flatten(LATER)
    there, here = ({key: each.get(key, usual.get(key)) for key in keys} for each in (before, now))
    return ", ".join(f"{key}: {there[key]} there, {here[key]} here" for key in keys[:3])


def flatten(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """``{"optim": {"lr": 1}}`` -> ``{"optim.lr": 1}``."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat

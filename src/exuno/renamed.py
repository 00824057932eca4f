"""Options that had another name once: files that hold the old one are read, commands are told the new one. No torch."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from exuno.engine.errors import ExunoError

POSTER = {"size": "canvas", "image_size": "size"}
"""Old -> new names of options of ``exuno poster``, where --size was the size of the poster."""
WHY = "--size is the side of the images, as in every verb, and --canvas the size of the poster."


LATER = {
    "deterministic": False,
    "sync_batchnorm": False,
    "teacher_precision": "same",
    "classes": "auto",
    "holdout": None,
    "holdout_seed": 0,
    "augment": {"augmix_formula": "paper"},
    "split": "test",
    "ema": 0.0,
    "adversarial": 0.0,
    "select": "",
    "candidates": 20,
    "loss": {"kind": "kl", "options": []},
    "optim": {"options": []},
    "algorithm_options": [],
    "bits": 8,
    "label_bits": 16,
    "channels": None,
    "palette": False,
    "chroma": "full",
    "zca_from": "data",
    "unroll": {"adapt": 0},
}
"""Options that earlier versions did not have, and what these did."""


def before_later(config: Mapping[str, Any], later: Mapping[str, Any] = LATER) -> dict[str, Any]:
    """A configuration without the options that earlier versions did not have, where it does what these did."""
    found = {}
    for key, value in config.items():
        known = later.get(key)
        if isinstance(value, Mapping) and isinstance(known, Mapping):
            found[key] = before_later(value, known)
        elif key not in later or value != known:
            found[key] = value
    return found


GROUPS = {("poster", "proof"): "eval", ("teach", "sound"): "mel", ("distill", "sound"): "mel"}
"""(Verb, old name) -> new name of groups of options."""


def modern(verb: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration of any age, as a preset or config.yaml holds it, under today's names."""
    config = {GROUPS.get((verb, key), key): value for key, value in config.items()}
    if verb == "poster" and ("image_size" in config or isinstance(config.get("size"), str)):
        return {POSTER.get(key, key): value for key, value in config.items()}
    loss = config.get("loss")
    if verb == "distill" and isinstance(loss, Mapping) and "argmax" in loss:
        loss = dict(loss)
        kind = {"kind": "argmax"} if loss.pop("argmax") else {}
        return {**config, "loss": {**loss, **kind}}
    return dict(config)


def check_names(verb: str, args: Sequence[str]) -> None:
    """Raises ExunoError if a command line has an option under its old name."""
    for flag in (word.partition("=")[0] for word in args):
        group, dot, option = flag.removeprefix("--").partition(".")
        if dot and (new := GROUPS.get((verb, group))):
            raise ExunoError(f"{flag} is --{new}.{option} now", "The values are the same.")
        if verb == "distill" and flag == "--loss.argmax":
            raise ExunoError("--loss.argmax is --loss.kind argmax now", "It is one of several kinds of loss.")
    if verb != "poster" or not args:
        return
    for word, following in zip(args, (*args[1:], ""), strict=True):
        flag, equals, value = word.partition("=")
        value = value if equals else following
        if flag.replace("_", "-") == "--image-size":
            raise ExunoError(f"{flag} {value} is --size {value} now", WHY)
        if flag == "--size" and re.search(r"\dx\d", value.lower()):
            raise ExunoError(f"--size {value} is --canvas {value} now", WHY)

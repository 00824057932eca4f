"""What a configuration names, looked at before anything is opened, and what ``--dry-run`` rehearses. No torch.

A field means the same in every verb, so its name says what it holds. Pictures are decoded: a broken one is told at
once, not when a teacher has been trained. What a study is still to make is not looked for.

No torch until a check needs it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import fields
from pathlib import Path
from typing import Any

from exuno.data.audio.recording import check_recording, is_recording
from exuno.data.images.photo import is_photo, is_program, is_single, load_photo
from exuno.data.names import check_data, needs_root
from exuno.engine.errors import ExunoError
from exuno.engine.meanwhile import meanwhile
from exuno.engine.remote import fetched
from exuno.engine.session import counted
from exuno.models.names import PREFIXES, NotAtHand, check_model, embedded, is_table, listed, none_fetched
from exuno.synth.program import check_program

MODELS = ("model", "models", "teacher", "student", "reference", "similar", "arch")
PHOTOS = ("photos", "sources", "images")
GAP = "# not checked: "
"""What a line of a dry run about something that it could not look at begins with."""
TRAINED_FIRST = {"teach": "teach", "pretrain": "fewshot pretrain"}
"""Prefix of a model that a preset trains -> the verb of the preset."""

_to_come: ContextVar[Path | None] = ContextVar("to_come", default=None)


@contextmanager
def to_come(folder: Path) -> Iterator[None]:
    """Meanwhile, whatever lies in a folder counts as there: earlier commands will have made it."""
    with meanwhile(_to_come, folder):
        yield


_not_opened: ContextVar[bool] = ContextVar("not_opened", default=False)


@contextmanager
def not_opened() -> Iterator[None]:
    """Meanwhile, a dry run checks what a command says, and opens neither data nor models."""
    with meanwhile(_not_opened, True):
        yield


_followed: ContextVar[bool] = ContextVar("followed", default=False)


@contextmanager
def followed() -> Iterator[None]:
    """Meanwhile, a dry run is one of a command that is given next: what it names and is not there is a mistake."""
    with meanwhile(_followed, True):
        yield


def is_to_come(spec: str) -> bool:
    """Whether a spec names what an earlier command will have made."""
    folder = _to_come.get()
    return folder is not None and f"{folder}/" in spec


def names_what_is_to_come(config: Any) -> bool:
    """Whether a configuration builds on what an earlier command will have made."""
    return any(is_to_come(word) for field in fields(config) for word in words_of(getattr(config, field.name)))


def check_specs(config: Any, but: Any = None) -> None:
    """Raises ExunoError for the first thing that a configuration names and that is not there, or of no known form.

    Args:
        config: a frozen dataclass; of a verb that completes what is typed, the completed one.
        but: another one, such as a preset's: fields that are as there are not looked at.
    """
    for field in fields(config):
        if but is not None and getattr(config, field.name) == getattr(but, field.name):
            continue
        for word in words_of(getattr(config, field.name)):
            if is_to_come(word):
                continue
            if field.name == "data" and not is_table(word):
                check_data(word, getattr(config, "data_root", None))
            elif field.name == "teacher":
                for spec in listed(word):
                    check_learner(spec)
            elif field.name in MODELS:
                check_learner(word)
            elif field.name in PHOTOS:
                load_photo(word)
            elif field.name == "recordings":
                check_recording(word)
            elif field.name == "source":
                check_source(word, getattr(config, "data_root", None))


def words_of(value: Any) -> tuple[str, ...]:
    """The words of a field; none where it holds anything else."""
    listed = value if isinstance(value, tuple) else (value,)
    return tuple(word for word in listed if isinstance(word, str) and word)


def check_learner(spec: str) -> None:
    """``check_model``, also for what only some verbs take: a preset that trains the model first, a poster, pixels,
    random weights, groups of classes."""
    prefix, colon, rest = spec.partition(":")
    if is_table(spec):  # which exuno fewshot eval opens, and others refuse
        return
    if is_to_come(spec) or spec == "pixels" or (not colon and spec.endswith(".json")):
        return
    if colon and rest and prefix in TRAINED_FIRST:
        from exuno.presets import read

        read(TRAINED_FIRST[prefix], rest)
    elif colon and rest and prefix == "poster":
        check_data(spec)
    elif colon and rest and prefix == "random":
        check_model(rest)
    else:
        check_model(spec)


def check_source(spec: str, root: Path | None) -> None:
    """What a student sees: a photograph, a recording, a folder or data."""
    if is_photo(spec):
        load_photo(spec)
    elif is_program(spec):
        check_program(spec)
    elif is_recording(spec):
        check_recording(spec)
    elif spec.partition(":")[0] in PREFIXES or embedded(spec):
        raise ExunoError(f"--source {spec} is a model", "Give --source a photograph, a folder or a data spec.")
    elif not fetched(spec).is_dir():
        check_data(spec, root)


def length_of(config: Any) -> list[str]:
    """What is known of the length of a training on ``config.source`` before anything is opened."""
    if not all(is_single(spec) for spec in config.source):
        return [f"{counted(config.epochs * config.budget, 'epoch')} of {config.source[0]}"]
    images = config.epochs * config.budget * config.patches
    count = max(1, round(images / config.batch_size))
    made = images if config.fresh else config.patches
    steps, seen = counted(count, "step"), counted(round(images), "sample")
    return [f"{steps} of {counted(config.batch_size, 'sample')}: {seen} seen, {made:,.0f} of them made, none on disk"]


def rehearse(config: Any, look: Callable[[], object], check: Callable[[], object] | None = None) -> None:
    """Looks at everything that a run begins with, and prints a line that says how far that went.

    Args:
        config: the complete configuration.
        look: opens data and models and holds them against each other, as the run does.
        check: holds the options against each other, where completing the configuration has not done so. It opens
            nothing, so it is done also where what the run begins with is not there.

    Raises:
        ExunoError: what the run would raise.
    """
    if check:
        check()
    try:
        check_specs(config)
    except ExunoError as error:  # of a preset: what was typed has been looked at
        if _followed.get():
            raise
        print(f"{GAP}whether all fits, since {error.what}")
        return
    if _not_opened.get():
        return
    data, root = getattr(config, "data", None), getattr(config, "data_root", None)
    if data and root is None and needs_root(data):
        if _followed.get():
            from exuno.data.open import open_data

            open_data(data, root=root)  # which says what belongs there
        print(f"{GAP}whether all fits, since {data} needs --data-root")
    elif names_what_is_to_come(config):
        print(f"{GAP}whether all fits, since it begins with the runs of earlier commands")
    else:
        attempt(look)


def attempt(look: Callable[[], object]) -> None:
    """Looks as far as nothing has to be fetched."""
    try:
        with none_fetched():
            look()
    except NotAtHand as gap:
        print(f"{GAP}{gap}")
    else:
        print("# checked: what this names is there, and fits together")

"""What models are called: the forms of a model spec, what is wrong with one, and whether weights may be fetched. No
torch.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from exuno.engine.errors import ExunoError
from exuno.engine.files import near_paths
from exuno.engine.meanwhile import meanwhile
from exuno.models.clip_spec import check_clip
from exuno.models.registry import exuno_models, family_of, is_own

FORMS = (
    "exuno:NAME (such as exuno:wrn_40_4), timm:NAME, torchvision:NAME, hf-hub:ORG/NAME, "
    "clip:ARCH/TAG?classes=cat,dog, "
    "features:MODEL (one of these without its last layer), "
    "file:PATH (or file:PATH@ARCH, such as file:r50.pth@torchvision:resnet50, or with options @timm:NAME?img_size=224; "
    "file:PATH#student, #teacher or #ema for one network of a checkpoint that has several), run:RUN_DIR, "
    "or module:Name, a class of yours"
)
PREFIXES = ("exuno", "timm", "torchvision", "hf-hub", "clip", "run", "file")
FEATURES = "features:"
"""Prefix of a model without its last layer; and, before a path, of a file of features (``exuno fewshot eval``)."""
WEIGHTS = "model.safetensors"
"""Name of the weights in the folder of a run."""


def embedded(spec: str) -> str | None:
    """MODEL of ``features:MODEL``, which begins with the prefix of a model; None of any other spec, such as
    ``features:PATH`` of a file of features."""
    prefix, colon, rest = spec.partition(":")
    return rest if f"{prefix}{colon}" == FEATURES and rest.split(":")[0] in PREFIXES and ":" in rest else None


def is_table(spec: str) -> bool:
    """Whether a spec names a file of features, ``features:PATH``."""
    return spec.startswith(FEATURES) and embedded(spec) is None


def listed(spec: str) -> tuple[str, ...]:
    """The model specs of a list ``run:A,file:B``. A comma parts two of them where a prefix follows it, so that the
    class names of ``clip:ARCH/TAG?classes=cat,dog`` stay together."""
    return tuple(re.split(r",(?=[A-Za-z_][\w.-]*:)", spec))


def check_model(spec: str, named: bool = True) -> None:
    """Raises ExunoError for a spec of no known form, a network that exuno has not, or a path that is not there; loads
    nothing. ``named``: whether it has to name classes."""
    if (inner := embedded(spec)) is not None:
        check_model(inner, named=False)
        return
    prefix, colon, rest = spec.partition(":")
    if not colon or not rest:
        raise no_model(spec)
    if prefix not in PREFIXES:
        if is_own(spec):
            return
        raise unknown_prefix(spec)
    if prefix == "exuno":
        family_of(rest)
    if prefix == "clip":
        check_clip(spec, named)
    if prefix == "run":
        check_run(Path(rest))
    if prefix == "file":
        check_file(rest)


def check_run(folder: Path) -> None:
    """Raises ExunoError unless a folder holds the weights of a finished run."""
    if folder.is_file():
        raise ExunoError(f"{folder} is a file, not a run directory", f"Give it as file:{folder}.")
    if not folder.is_dir():
        raise ExunoError(f"there is no run directory {folder}", near_paths(folder) or "Check the path.")
    if not (folder / WEIGHTS).exists():
        if (folder / "result.json").exists():
            poster = any(folder.glob("*.poster"))
            raise ExunoError(
                f"the run in {folder} is finished, and made no model",
                f"It made a poster: give poster:{folder}." if poster else "Give the folder of a run that trains one.",
            )
        unfinished = (folder / "config.yaml").exists() or (folder / "checkpoints").exists()
        raise ExunoError(
            f"{folder} has no {WEIGHTS}" + (": the run is unfinished" if unfinished else ""),
            f"Finish it: repeat its command (see {folder / 'command.txt'}), which continues from the last checkpoint."
            if unfinished
            else "Give the folder of a finished run.",
        )


def check_file(name: str) -> None:
    """Raises ExunoError if there is no file at ``PATH[#…][@…]``; an @ or # may belong to the path."""
    stem = re.split(r"[@#]", name)[0]
    if not any(Path(each).exists() for each in (name, name.rpartition("@")[0], name.rpartition("#")[0], stem) if each):
        path = Path(stem)
        raise ExunoError(f"there is no file {path}", near_paths(path) or "Check the path.")


def no_model(spec: str) -> ExunoError:
    """What is wrong with a spec that has no prefix, or nothing behind it."""
    name = spec.rstrip(":")
    path = Path(name)
    if path.exists():
        hint = f"Did you mean {'run' if path.is_dir() else 'file'}:{name}? "
    elif path.suffix or len(path.parts) > 1:
        what = "file" if path.suffix else "folder"
        return ExunoError(f"'{spec}' is no model spec, and there is no such {what}", near_paths(path) or forms())
    else:
        near = named(name)
        hint = f"Did you mean {' or '.join(near)}? " if near else near_paths(path)
    return ExunoError(f"'{spec}' is no model spec", hint or forms())


def forms() -> str:
    """A sentence that lists them."""
    return f"The forms are {FORMS}."


def unknown_prefix(spec: str) -> ExunoError:
    """What is wrong with a spec whose prefix nobody knows."""
    prefix, _, rest = spec.partition(":")
    if is_table(spec):
        return ExunoError(
            f"{spec} is a file of features, and here a model is needed",
            "Give features:MODEL, such as features:timm:resnet18; a file of features is for exuno fewshot eval.",
        )
    near = get_close_matches(prefix, PREFIXES, 1)
    hint = f"Did you mean {near[0]}:{rest}? " if near else ""
    return ExunoError(f"unknown model prefix '{prefix}:' in '{spec}'", hint or forms())


def named(name: str) -> list[str]:
    """Specs that a bare name may stand for: of every library that has it, else those that are near."""
    known = {"exuno": exuno_models(), "timm": functions("timm"), "torchvision": functions("torchvision")}
    if exact := [f"{prefix}:{name}" for prefix, names in known.items() if name in names]:
        return exact
    near = [(prefix, each) for prefix, names in known.items() for each in get_close_matches(name, names, 1, 0.8)]
    return [f"{prefix}:{each}" for prefix, each in near]


@cache
def functions(package: str) -> frozenset[str]:
    """The networks of a library, told from its source: to import it would take ten seconds."""
    return frozenset(_functions(package))


def _functions(package: str) -> Iterator[str]:
    found = find_spec(package)
    if found is None or not found.origin:
        return
    marked = re.compile(r"^@register_model\b.*\n(?:@.*\n)*def ([a-z]\w+)\(", re.MULTILINE)
    for file in (Path(found.origin).parent / "models").rglob("*.py"):
        yield from marked.findall(file.read_text(encoding="utf-8", errors="ignore"))


_fetched: ContextVar[bool] = ContextVar("fetched", default=True)


class NotAtHand(Exception):
    """What cannot be known without fetching; the text names it."""


@contextmanager
def none_fetched() -> Iterator[None]:
    """Meanwhile ``load_model`` gives networks of timm and torchvision random weights, and refuses those of the hub by
    NotAtHand, since only their files tell what they are."""
    with meanwhile(_fetched, False):
        yield


def may_fetch() -> bool:
    """Whether published weights are wanted."""
    return _fetched.get()

"""What other codes wrap around a state dict: dictionaries, prefixes of its names, averages of the weights (EMA), and
counters and metrics beside them."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from exuno.engine.errors import ExunoError, tell
from exuno.models.formats.class_names import class_names
from exuno.models.formats.inert import Array

WRAPPERS = (
    *("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights", "params", "module"),
    *("shadow", "state", "net_state_dict", "network_state_dict", "model_weights", "parameters", "backbone", "encoder"),
)
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "backbone.", "encoder.")
"""Of DataParallel, torch.compile and Lightning, and the usual names of the attribute that holds a network."""
AVERAGE = re.compile(r"(?i)(^|_)(ema|swa|averaged)(_|$)|^averagedmodel$")
"""Names of averages of the weights: ``state_dict_ema``, ``model_ema``, ``ema``, ``params_ema``, ``swa_model``, …"""
BESIDE = re.compile(
    r"(?i)(\w+_)?(criterion|criteria|loss|loss_?fn|loss_?func(tion)?|losses|metrics?|accuracy|accuracies|confmat)|acc"
    r"|(train|val|valid|validation|test|best)_?(acc|top|f1|auroc|auc|prec|err|iou)\w*|top_?[15]|confusion_matrix"
    r"|n_averaged|global_step|step|epoch|iteration|best_score"
)
"""First parts of names that belong to no network."""
COUNTED = ("total_ops", "total_params")
"""Which thop adds to every layer."""
DEEPEST = 8

State = dict[str, Tensor]


class Unwrapped(NamedTuple):
    """One state dict out of what was around it."""

    state: State
    dropped: tuple[str, ...]
    """Names of what was beside it."""
    told: dict[str, Any]
    """Plain values beside it, of any kind."""
    average: bool
    """Whether the weights are an average over the training."""
    class_names: tuple[str, ...] | None = None
    """Names of classes that lie beside it."""


def unwrap(content: object, part: str | None, path: Path) -> Unwrapped:
    """The state dict in the content of a checkpoint.

    Args:
        content: of the file.
        part: ``ema`` for the average of the weights; else those of the network itself, or the average if there are no
            others.
        path: of the file, for the message.

    Raises:
        ExunoError: if there is none, or no average.
    """
    dropped: list[str] = []
    told: dict[str, Any] = {}
    names: tuple[str, ...] | None = None
    average, passed = False, False
    for _ in range(DEEPEST):
        if not isinstance(content, Mapping):
            raise ExunoError(f"{path} holds a {type(content).__name__}, not a state dict", "Save the bare state dict.")
        used, beside = class_names(content) or ("", None)
        names = names or beside
        if (state := tensors(content)) is not None:
            left = (str(key) for key in content if key not in state and key != used)
            found = bare(state, part)
            average, passed = average or found.average, passed or found.told.get("passed", False)
            _check_average(part, average, passed, path)
            return Unwrapped(found.state, (*dropped, *left, *found.dropped), told, average, names)
        key = _inner(content, part)
        if key is None:
            keys = f"its keys are {', '.join(map(str, list(content)[:8]))}" if content else "it is empty"
            raise ExunoError(f"{path} holds no state dict; {keys}", "Save the bare state dict.")
        average = average or bool(AVERAGE.search(key))
        passed = passed or any(name != key for name in _averages(content))
        told |= {str(name): value for name, value in content.items() if not isinstance(value, Mapping)}
        dropped += [str(name) for name in content if name not in (key, used)]
        content = content[key]
    raise ExunoError(f"{path} holds no state dict in {DEEPEST} dictionaries", "Save the bare state dict.")


def _check_average(part: str | None, average: bool, passed: bool, path: Path) -> None:
    if part == "ema" and not average:
        raise ExunoError(f"{path} holds no averaged weights (EMA)", "Leave out #ema.")
    if passed and not average:
        tell(f"{path} holds averaged weights (EMA), too: file:{path}#ema takes them.")


def bare(state: State, part: str | None = None) -> Unwrapped:
    """Names without what all of them begin with (``module.``, ``_orig_mod.``, …, also repeated), without counters and
    metrics, and of the network or its average one. ``told["passed"]`` is whether there was an average that was not
    taken."""
    dropped: dict[str, None] = {}
    average = passed = False
    while True:
        average |= "n_averaged" in state
        kept = {key: value for key, value in state.items() if not _is_beside(key)}
        if not kept:
            break
        dropped |= dict.fromkeys(_name_of_dropped(key) for key in state if key not in kept)
        averaged = {key for key in kept if "." in key and AVERAGE.search(key.partition(".")[0])}
        if averaged and len(averaged) < len(kept):
            passed |= part != "ema"
            others = [key for key in kept if (key in averaged) != (part == "ema")]
            dropped |= dict.fromkeys(key.partition(".")[0] for key in others)
            kept = {key: value for key, value in kept.items() if (key in averaged) == (part == "ema")}
        first = common_prefix(kept)
        if first not in PREFIXES and not AVERAGE.search(first[:-1]):
            state = kept
            break
        average |= bool(AVERAGE.search(first[:-1]))
        state = {key.removeprefix(first): value for key, value in kept.items()}
    return Unwrapped(state, tuple(dropped), {"passed": True} if passed else {}, average)


def stripped(state: State) -> Iterator[State]:
    """The state, and then the state without the first parts of its names as long as all names share them."""
    yield state
    while first := common_prefix(state):
        state = {key.removeprefix(first): value for key, value in state.items()}
        yield state


def common_prefix(state: Mapping[str, Tensor]) -> str:
    """First part of the names, with its dot, if it is that of all; else empty."""
    names = iter(state)
    first, dot, _ = next(names, "").partition(".")
    prefix = first + dot
    return prefix if dot and all(key.startswith(prefix) and len(key) > len(prefix) for key in names) else ""


def tensors(content: object) -> State | None:
    """The tensors of a state dict by their names, NumPy's arrays as such, without a few other values beside them; None
    if this is no state dict."""
    if not isinstance(content, Mapping) or any(isinstance(value, Mapping) and value for value in content.values()):
        return None
    found = {
        key: tensor
        for key, value in content.items()
        if isinstance(key, str) and isinstance(tensor := value.value if isinstance(value, Array) else value, Tensor)
    }
    return found if 2 * len(found) > len(content) else None


def _inner(content: Mapping[Any, Any], part: str | None) -> str | None:
    """The key behind which the weights are."""
    averages = _averages(content)
    if averages and part == "ema":
        return averages[0]
    plain = [key for key in content if key not in averages and isinstance(key, str) and _holds(content[key])]
    known = next((key for key in WRAPPERS if key in plain), None)
    states = [key for key in plain if tensors(content[key]) is not None] or plain
    other = states[0] if len(states) == 1 else None
    empty = next((key for key in WRAPPERS if isinstance(content.get(key), Mapping) and not content[key]), None)
    return known or (averages[0] if averages and other is None else other) or empty


def _averages(content: Mapping[Any, Any]) -> list[str]:
    return [key for key in content if isinstance(key, str) and AVERAGE.search(key) and _holds(content[key])]


def _holds(content: object, depth: int = 0) -> bool:
    """Whether there is a state dict in it, behind at most two other keys."""
    if not isinstance(content, Mapping):
        return False
    return tensors(content) is not None or (
        depth < 2 and any(_holds(value, depth + 1) for key, value in content.items() if isinstance(key, str))
    )


def _is_beside(key: str) -> bool:
    return key.rpartition(".")[2] in COUNTED or BESIDE.fullmatch(key.partition(".")[0]) is not None


def _name_of_dropped(key: str) -> str:
    last = key.rpartition(".")[2]
    return last if last in COUNTED else key.partition(".")[0]

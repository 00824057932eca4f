"""The units of a network: its logits, or the channels of one of its layers."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import torch
from torch import Tensor, nn

from exuno.engine.errors import ExunoError
from exuno.models.card import ModelCard
from exuno.models.classifier import Classifier

FIRST = 10
"""Units that are drawn where none are named."""
NAMED = 40
"""Layers that a message lists, at most."""


@dataclass(frozen=True)
class Layer:
    """Where units are read."""

    module: nn.Module
    shape: tuple[int, ...]
    """Of its output for one picture: maps [1, C, H, W], tokens [1, N, C] or features [1, C]."""
    compared: nn.Module | None
    """Where pictures of one unit are compared by what is in them: the module itself, or the last one with places before
    the logits; None where there is none."""
    bytes: int
    """Of all outputs of the network for one picture."""

    @property
    def units(self) -> int:
        return self.shape[-1] if len(self.shape) == 3 else self.shape[1]


def layer_of(model: Classifier, name: str | None, size: int) -> Layer:
    """The layer of a name as in ``named_modules``, or the logits; an empty picture of ``size`` tells its shape.

    Raises:
        ExunoError: there is no such layer, or it gives no channels.
    """
    modules = {key: module for key, module in model.net.named_modules() if key}
    if name is not None and name not in modules:
        near = get_close_matches(name, modules, 1)
        more = f" and {len(modules) - NAMED} more" if len(modules) > NAMED else ""
        raise ExunoError(
            f"{model.card.arch} has no layer '{name}'",
            (f"Did you mean '{near[0]}'? " if near else "") + f"The layers are: {', '.join([*modules][:NAMED])}{more}.",
        )
    if name is None and model.card.classes == 0:
        raise ExunoError(f"{model.card.arch} has no logits", "Give --layer: the channels of a layer can be drawn.")
    shapes = _shapes(model, size)
    used = 4 * sum(torch.Size(shape).numel() for module, shape in shapes.items() if not [*module.children()])
    if name is None:
        last = next((module for module, shape in reversed(shapes.items()) if _places(shape) > 1), None)
        return Layer(model.net, shapes[model.net], last, used)
    module = modules[name]
    shape = shapes.get(module, ())
    if len(shape) not in (2, 3, 4):
        raise ExunoError(
            f"the layer '{name}' of {model.card.arch} gives no channels",
            "Give a layer of maps [B, C, H, W], tokens [B, N, C] or features [B, C].",
        )
    return Layer(module, shape, module if _places(shape) > 1 else None, used)


def _shapes(model: Classifier, size: int) -> dict[nn.Module, tuple[int, ...]]:
    """Of the outputs of all modules for one picture, in the order in which they are done."""
    found: dict[nn.Module, tuple[int, ...]] = {}

    def note(module: nn.Module, _: object, output: object) -> None:
        if isinstance(output, Tensor):
            found[module] = tuple(output.shape)

    handles = [module.register_forward_hook(note) for module in model.net.modules()]
    try:
        with torch.inference_mode():
            model(torch.full((1, model.card.in_chans, size, size), 0.5, device=model.mean.device))
    finally:
        for handle in handles:
            handle.remove()
    return found


def _places(shape: tuple[int, ...]) -> int:
    """Of maps or tokens; 1 of features."""
    return shape[2] * shape[3] if len(shape) == 4 else shape[1] if len(shape) == 3 else 1


def numbers_of(words: Sequence[str], count: int, names: Sequence[str] | None) -> list[int]:
    """Units by name or number; without words all of up to FIRST, else the first ones.

    Args:
        words: what was asked for.
        count: how many units there are.
        names: of the classes, where the units are logits.

    Raises:
        ExunoError: there is no such unit.
    """
    if not words:
        return list(range(min(FIRST, count)))
    known = {name: number for number, name in reversed([*enumerate(names or ())])}
    found = [known.get(word, int(word) if word.isdecimal() else count) for word in words]
    for word, number in zip(words, found, strict=True):
        if number >= count:
            near = [] if word.isdecimal() else get_close_matches(word, known, 3)
            hint = f"Did you mean {' or '.join(repr(name) for name in near)}? " if near else ""
            raise ExunoError(
                f"there is no unit '{word}'", f"{hint}Give {'names or ' if names else ''}numbers from 0 to {count - 1}."
            )
    return list(dict.fromkeys(found))


def name_of(unit: int, card: ModelCard, layer: str | None) -> str:
    """Of the class behind a logit, else the number."""
    return str(unit) if layer or not card.class_names else card.class_names[unit]

"""A trained network for other classes: the same body, a new random last layer; or the old one in another order."""

from dataclasses import replace

import torch
from torch import nn

from exuno.data.classes import Side, match
from exuno.engine.errors import ExunoError, tell
from exuno.engine.options import ClassOrder
from exuno.models.build import build_net
from exuno.models.classifier import Classifier


def with_new_head(model: Classifier, classes: int) -> Classifier:
    """``model`` with a last layer for ``classes`` classes, drawn from torch's global generator; the rest keeps its
    weights.

    Raises:
        ExunoError: if more than one layer depends on the number of classes.
    """
    card = replace(model.card, classes=classes, class_names=None)
    net = build_net(card)
    head = head_of(model, net if classes != model.card.classes else None)
    own = net.state_dict()
    old = {key: value for key, value in model.net.state_dict().items() if key in own}
    net.load_state_dict({key: value for key, value in old.items() if key.rpartition(".")[0] != head}, strict=False)
    return Classifier(net, replace(card, lineage={**card.lineage, "new_head": head}))


def head_of(model: Classifier, other: nn.Module | None = None) -> str:
    """Name of the one layer whose size is the number of classes.

    Args:
        model: the network.
        other: the same architecture for another number of classes; by default it is built.

    Raises:
        ExunoError: if more than one layer depends on the number of classes.
    """
    card = model.card
    if other is None:
        with torch.random.fork_rng(devices=[]):  # a network that is only looked at draws no numbers
            other = build_net(replace(card, classes=card.classes + 1, class_names=None))
    shapes = {key: value.shape for key, value in model.net.state_dict().items()}
    found = {key.rpartition(".")[0] for key, value in other.state_dict().items() if shapes.get(key) != value.shape}
    if len(found) != 1:
        raise ExunoError(
            f"the head of {card.arch} cannot be replaced: {len(found)} layers depend on the number of classes",
            "Take another architecture.",
        )
    return next(iter(found))


def for_classes(model: Classifier, spec: str, names: tuple[str, ...], order: ClassOrder = "auto") -> Classifier:
    """A trained model that is to be trained on for the classes ``names``, as many as it has: as it is, if it knows
    them or has no names; with its logits in their order, if it knows them in another; else with a new last layer. Its
    classes have these names afterwards. What is done is told.

    Args:
        model: with weights.
        spec: where they come from.
        names: of the classes, in the order of the labels.
        order: how classes are matched; by number, the last layer stays as it is.

    Raises:
        ExunoError: if more than one layer depends on the number of classes, and it does not fit.
    """
    known = model.card.class_names
    if known is not None and known != names:
        try:
            found = match(Side(spec, model.card.classes, known), Side("the data", len(names), names), order)
        except ExunoError:
            tell(
                f"{spec} knows other classes than the data ({', '.join(known[:3])}, …), so it gets a new last layer; "
                "--classes by-number keeps its own"
            )
            model = with_new_head(model, len(names))
        else:
            if found.told:
                tell(found.told)
            model = reordered(model, found.table)
    model.card = replace(model.card, class_names=names)
    return model


def reordered(model: Classifier, table: tuple[int, ...]) -> Classifier:
    """``model``, changed so that its logit i is what its logit ``table[i]`` was; ``table`` [C] is a permutation.

    Raises:
        ExunoError: if more than one layer depends on the number of classes.
    """
    if table != tuple(range(len(table))):
        head, state = head_of(model), model.net.state_dict()
        rows = {key: value for key, value in state.items() if key.rpartition(".")[0] == head}
        new = {key: value[list(table)].clone() for key, value in rows.items() if len(value) == len(table)}
        model.net.load_state_dict(state | new)
        if model.card.class_names:
            model.card = replace(model.card, class_names=tuple(model.card.class_names[i] for i in table))
    return model

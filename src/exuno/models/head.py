"""A trained network for other classes: the same body, a new random last layer; or the old one in another order."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from exuno.data.matching import Side, match
from exuno.engine.errors import ExunoError, tell
from exuno.engine.options import ClassOrder
from exuno.models.build import build_net, last_layer
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


def without_head(model: Classifier) -> Classifier:
    """``model`` without its last layer: its answer is the vector that went into that.

    Raises:
        ExunoError: if more than one layer depends on the number of classes, or the network is built otherwise then.
    """
    card = replace(model.card, classes=0, class_names=None)
    net, state = build_net(card), model.net.state_dict()
    if not net.state_dict().keys() <= state.keys():
        raise ExunoError(f"{card.arch} is another network without its last layer", "Take another architecture.")
    net.load_state_dict({key: state[key] for key in net.state_dict()})
    return Classifier(net, card)


def with_head(model: Classifier, weight: Tensor, bias: Tensor, names: tuple[str, ...]) -> Classifier:
    """A network without a last layer, behind it a linear one.

    Args:
        model: its answer is a vector [B, F].
        weight: [C, F].
        bias: [C].
        names: of the C classes.

    Raises:
        ExunoError: the last layer of this architecture is none that takes these vectors.
    """
    new = with_new_head(model, len(names))
    layer = new.net.get_submodule(new.card.lineage.pop("new_head"))
    if not isinstance(layer, nn.Linear) or layer.weight.shape != weight.shape or layer.bias is None:
        raise ExunoError(
            f"the last layer of {model.card.arch} is not a linear one of its features",
            "Take another student, such as exuno:resnet32.",
        )
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    return Classifier(new.net, replace(new.card, class_names=names))


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
    found = last_layer(model.net, other)
    if found is None:
        raise ExunoError(
            f"the head of {card.arch} cannot be replaced: no single layer depends on the number of classes",
            "Take another architecture.",
        )
    return found


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

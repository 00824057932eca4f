"""A trained network for other classes: the same body, a new random last layer."""

from dataclasses import replace

from exuno.engine.errors import ExunoError
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
    old, own = model.net.state_dict(), net.state_dict()
    kept = {key: value for key, value in old.items() if key in own and own[key].shape == value.shape}
    new = {key.rpartition(".")[0] for key in own if key not in kept}
    if len(new) != 1:
        raise ExunoError(
            f"the head of {card.arch} cannot be replaced: {len(new)} layers depend on the number of classes",
            "Take another architecture.",
        )
    net.load_state_dict(kept, strict=False)
    return Classifier(net, replace(card, lineage={**card.lineage, "new_head": next(iter(new))}))

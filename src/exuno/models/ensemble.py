"""Several models that answer as one: ``--teacher run:A,run:B``."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from exuno.data.matching import Side, match
from exuno.engine.errors import ExunoError, tell
from exuno.engine.options import ClassOrder
from exuno.models.classifier import NAMES, Classifier, fuse_batchnorm
from exuno.models.load import load_model
from exuno.models.names import listed


class Ensemble(Classifier):
    """Classifiers that answer by the mean of their log-probabilities: the geometric mean of their distributions, one of
    the two means that Hinton, Vinyals and Dean (2015, section 1) name for soft targets. It is the one for which it
    does not matter when the temperature comes in: the ensemble's distribution at T is the geometric mean of those of
    its members at T.

    Each member prepares its own input. The card is that of the first member of the most channels, whose classes and
    their order are the ensemble's.

    Args:
        members: two or more, that take the same kind of data.
        tables: for each member, the number of its class that each class of the ensemble is, int64 [M, C].
    """

    tables: Tensor

    def __init__(self, members: Sequence[Classifier], tables: Tensor) -> None:
        card, lineage = widest(members).card, {"members": [each.card.lineage for each in members]}
        super().__init__(nn.ModuleList(members), replace(card, lineage=lineage))
        self.members = tuple(members)
        self.register_buffer("tables", tables)

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels as :meth:`Classifier.forward` -> mean log-probabilities, float32 [B, C], whose softmax is the
        ensemble's distribution."""
        answers = [each(pixels).float().log_softmax(1) for each in self.members]
        matched = [each.index_select(1, table) for each, table in zip(answers, self.tables, strict=True)]
        return torch.stack(matched).mean(0)


def widest(members: Sequence[Classifier]) -> Classifier:
    """The first of the most channels."""
    return max(members, key=lambda each: each.card.in_chans)


@fuse_batchnorm.register
def _(classifier: Ensemble) -> Ensemble:
    """Of each member."""
    return Ensemble([fuse_batchnorm(each) for each in classifier.members], classifier.tables).eval()


def joined(members: Sequence[Classifier], order: ClassOrder = "auto") -> Ensemble:
    """Models as one; how their classes are matched, where their order differs, is told.

    Raises:
        ExunoError: members of other classes, or that take other kinds of data.
    """
    first = members[0]
    for each in members:
        if (each.ndim, each.card.hearing) != (first.ndim, first.card.hearing):
            raise ExunoError(
                f"{first.card.arch} takes {NAMES[first.ndim]} ({first.card.takes}) and {each.card.arch} "
                f"{NAMES[each.ndim]} ({each.card.takes})",
                "Give teachers that take the same kind of data.",
            )
    found = [match(side_of(each), side_of(widest(members)), order) for each in members]
    for each in found:
        if each.told:
            tell(each.told)
    return Ensemble(members, torch.tensor([each.table for each in found]))


def side_of(model: Classifier) -> Side:
    """The classes of a model."""
    return Side(f"the teacher {model.card.arch}", model.card.classes, model.card.class_names)


def load_teacher(spec: str, order: ClassOrder = "auto") -> Classifier:
    """A trained model, or several that answer as one.

    Raises:
        ExunoError: what :func:`load_model` and :func:`joined` raise.
    """
    loaded = [load_model(each, pretrained=True) for each in listed(spec)]
    return loaded[0] if len(loaded) == 1 else joined(loaded, order)

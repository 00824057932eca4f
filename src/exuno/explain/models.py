"""The models that a word looks into."""

from collections.abc import Sequence

from exuno.data.class_match import by_name
from exuno.data.subset import some
from exuno.engine.errors import ExunoError
from exuno.engine.options import ClassOrder
from exuno.engine.tell import tell
from exuno.fewshot.eval_models import names_of_specs
from exuno.models.classifier import NAMES, Classifier
from exuno.models.head import reordered
from exuno.models.load import load_model


def open_models(specs: Sequence[str], side: int | None = None) -> dict[str, Classifier]:
    """Short name -> model, ready to answer, in order.

    Args:
        specs: of models; a run's folder gives its name.
        side: of the images that they are to take; None for their own size.

    Raises:
        ExunoError: for a model that cannot be loaded, or takes clips or recordings.
    """
    size = (side, side) if side else None
    found = {}
    for name, spec in zip(names_of_specs(specs), specs, strict=True):
        model = load_model(spec, input_size=size, pretrained=True).eval()
        if model.ndim != 4:
            raise ExunoError(
                f"{name} ({model.card.arch}) takes {NAMES[model.ndim]}",
                "exuno explain looks into models of single images: give one.",
            )
        found[name] = model
    return found


def in_one_order(
    models: dict[str, Classifier], order: ClassOrder, names: tuple[str, ...] | None = None, whose: str = ""
) -> None:
    """Brings the logits of models into the order of ``names``, classes that are not among them coming last; models
    without names stay as they are. Names are compared as names also where they are numbers.

    Args:
        models: by their short names.
        order: how classes are matched; by-number changes nothing.
        names: of the classes; by default those of the first model that has names.
        whose: these are.

    Raises:
        ExunoError: a model that names other classes.
    """
    for name, model in models.items():
        known = model.card.class_names
        if known is None or order == "by-number":
            continue
        if names is None:
            names, whose = known, name
        table = by_name(known, names)
        if table is None:
            told = f"{name} knows the classes {some(known)}, but {whose} has {some(names)}"
            raise ExunoError(told, "Give models of the same classes, or one at a time; or --classes by-number.")
        if table != tuple(range(len(known))):
            tell(f"the classes of {name} are matched by name with those of {whose}")
            reordered(model, (*table, *(number for number in range(len(known)) if number not in table)))

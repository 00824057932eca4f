"""The models that a word looks into."""

from collections.abc import Sequence

from exuno.engine.errors import ExunoError
from exuno.fewshot.eval_models import names_of_specs
from exuno.models.classifier import NAMES, Classifier
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

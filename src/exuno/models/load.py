"""Model specs: ``PREFIX:NAME`` -> Classifier."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from exuno.engine.errors import ExunoError
from exuno.models.build import build_net, random_card
from exuno.models.classifier import Classifier

FORMS = (
    "exuno:NAME (such as exuno:wrn_40_4), timm:NAME, torchvision:NAME, hf-hub:ORG/NAME, "
    "file:PATH (or file:PATH@ARCH, such as file:r50.pth@torchvision:resnet50), run:RUN_DIR"
)


@dataclass(frozen=True)
class Wish:
    """What the caller asks of a model; None leaves it to the model."""

    classes: int | None = None
    class_names: tuple[str, ...] | None = None
    in_chans: int = 3
    input_size: tuple[int, int] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    new_head: bool = False


def load_model(
    spec: str,
    *,
    classes: int | None = None,
    class_names: Sequence[str] | None = None,
    in_chans: int = 3,
    input_size: tuple[int, int] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    pretrained: bool,
    new_head: bool = False,
) -> Classifier:
    """Build the model that ``spec`` names.

    Args:
        spec: ``exuno:NAME`` (random weights), ``timm:NAME``, ``torchvision:NAME`` (published weights if ``pretrained``, else
            random ones), ``hf-hub:ORG/NAME``, ``file:PATH[@ARCH]``, ``run:RUN_DIR`` (always with weights).
        classes: number of logits that the caller needs.
        class_names: their names.
        in_chans: channels of the images, for random weights.
        input_size: (H, W) of the network's input.
        mean: mean of each channel for pixels in [0, 1]; None takes the model's own.
        std: standard deviation likewise.
        pretrained: whether trained weights are wanted.
        new_head: whether a trained model of another number of classes gets a new, random last layer instead of an error.

    Returns:
        The model in training mode, on the CPU, in channels_last. Random weights come from torch's global generator.

    Raises:
        ExunoError: for a spec, a file or a number of classes that does not fit.
    """
    wish = Wish(
        classes,
        tuple(class_names) if class_names is not None else None,
        in_chans,
        input_size,
        tuple(mean) if mean is not None else None,
        tuple(std) if std is not None else None,
        new_head,
    )
    prefix, colon, name = spec.partition(":")
    if not colon or not name:
        raise ExunoError(f"'{spec}' is no model spec", f"The forms are {FORMS}.")
    if prefix == "exuno":
        return _exuno(spec, wish, pretrained)
    if prefix == "run":
        from exuno.models.files import load_run

        return _fitted(load_run(Path(name)), spec, wish)
    if prefix == "file":
        from exuno.models.files import load_file

        path, _, arch = name.partition("@")
        return _fitted(load_file(Path(path), arch or None), spec, wish)
    raise ExunoError(f"unknown model prefix '{prefix}:' in '{spec}'", f"The forms are {FORMS}.")


def _exuno(spec: str, wish: Wish, pretrained: bool) -> Classifier:
    if pretrained:
        raise ExunoError(
            f"{spec} names an architecture without weights",
            "Give trained ones: run:RUN_DIR or file:PATH; or train them first: exuno teach.",
        )
    if wish.classes is None:
        raise ExunoError(f"the number of classes of {spec} is unknown", "Give the number of classes.")
    size = wish.input_size or (32, 32)
    card = random_card(spec, wish.classes, wish.in_chans, size, wish.mean, wish.std, wish.class_names)
    return Classifier(build_net(card), card)


def _fitted(model: Classifier, spec: str, wish: Wish) -> Classifier:
    """A model with its weights, checked against the wish and given what the caller knows better."""
    card = model.card
    if wish.classes is not None and wish.classes != card.classes:
        raise ExunoError(
            f"{spec} has {card.classes} classes, {wish.classes} are needed", "Give a model trained for these classes."
        )
    card = replace(
        card,
        class_names=wish.class_names or card.class_names,
        mean=wish.mean or card.mean,
        std=wish.std or card.std,
    )
    return Classifier(model.net, card)

"""Model specs: ``PREFIX:NAME`` -> Classifier."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from exuno.engine.errors import ExunoError
from exuno.models.build import build_net, check_fits
from exuno.models.card import Hearing, ModelCard
from exuno.models.classifier import Classifier
from exuno.models.formats.ibot import PARTS
from exuno.models.names import PREFIXES, NotAtHand, embedded, may_fetch, no_model, unknown_prefix
from exuno.models.registry import clip_of, is_own


@dataclass(frozen=True)
class Overrides:
    """What the caller asks of a model; None leaves it to the model."""

    classes: int | None = None
    class_names: tuple[str, ...] | None = None
    in_chans: int = 3
    input_size: tuple[int, int] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    new_head: bool = False
    hearing: Hearing | None = None


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
    hearing: Hearing | None = None,
) -> Classifier:
    """Build the model that ``spec`` names.

    Args:
        spec: ``exuno:NAME`` or ``module:Name`` (random weights), ``timm:NAME``, ``torchvision:NAME`` (published
            weights if ``pretrained``, else random ones), ``hf-hub:ORG/NAME``, ``clip:ARCH/TAG?classes=cat,dog``,
            ``file:PATH[#student|#teacher|#ema][@ARCH]``, ``run:RUN_DIR`` (always with weights), ``features:MODEL``
            (a trained one of these without its last layer: its answer is a vector).
        classes: number of logits that the caller needs; 0 for a network without a last layer.
        class_names: their names.
        in_chans: channels of the images. This and the next three are for a network with random weights (and mean and
            std for a file of weights that carries no card): a trained model keeps its own.
        input_size: (H, W) of the network's input; timm builds trained models for another size, too.
        mean: mean of each channel for pixels in [0, 1].
        std: standard deviation likewise.
        pretrained: whether trained weights are wanted.
        new_head: whether a trained model of another number of classes gets a new, random last layer instead of an
            error.
        hearing: of a network with random weights that is to take recordings: it sees their spectrograms, and
            in_chans, input_size, mean and std do not matter.

    Returns:
        The model in training mode, on the CPU, in channels_last. Random weights come from torch's global generator.

    Raises:
        ExunoError: for a spec, a file or a number of classes that does not fit.
    """
    if hearing:
        in_chans, input_size, mean, std = 1, hearing.input_size, (0.0,), (1.0,)
    wish = Overrides(
        classes,
        tuple(class_names) if class_names is not None else None,
        in_chans,
        input_size,
        tuple(mean) if mean is not None else None,
        tuple(std) if std is not None else None,
        new_head,
        hearing,
    )
    if (inner := embedded(spec)) is not None:
        return _embedding(inner, spec, wish, pretrained)
    prefix, colon, name = spec.partition(":")
    if not colon or not name:
        raise no_model(spec)
    if prefix == "exuno" or (prefix not in PREFIXES and is_own(spec)):
        return _exuno(spec, wish, pretrained)
    if prefix == "timm":
        return _timm(spec, name, wish, pretrained)
    if prefix == "torchvision":
        return _torchvision(spec, name, wish, pretrained)
    if prefix == "hf-hub":
        if not may_fetch():
            raise NotAtHand(f"whether {spec} is there, and fits")
        from exuno.models.hub import load_hub

        return _fitted(load_hub(name), spec, wish)
    if prefix == "clip":
        from exuno.models.clip import load_clip

        return _fitted(load_clip(spec), spec, wish)
    if prefix == "run":
        from exuno.models.files import load_run

        return _fitted(load_run(Path(name)), spec, wish)
    if prefix == "file":
        from exuno.models.files import load_file

        path, part, arch = split_file(name)
        return _fitted(load_file(path, arch, wish.mean, wish.std, part), spec, wish)
    raise unknown_prefix(spec)


def split_file(name: str) -> tuple[Path, str | None, str | None]:
    """Path, part and architecture of ``PATH[#student|#teacher|#ema][@ARCH]``."""
    path, at, arch = name.rpartition("@")
    if not at or "/" in arch or Path(name).exists():  # an @ of the path; no architecture has a slash
        path, arch = name, ""
    stem, _, part = path.rpartition("#")
    if stem and part in (*PARTS, "ema"):
        return Path(stem), part, arch or None
    return Path(path), None, arch or None


def _exuno(spec: str, wish: Overrides, pretrained: bool) -> Classifier:
    if pretrained:
        raise ExunoError(
            f"{spec} names an architecture without weights",
            "Give trained ones: run:RUN_DIR or file:PATH; or train them first: exuno teach.",
        )
    clip = clip_of(spec)
    side = clip[1] if clip else 32
    classes, size, chans = _needed(spec, wish.classes), wish.input_size or (side, side), wish.in_chans
    middle = (0.5,) * chans
    card = ModelCard(
        spec,
        classes,
        chans,
        size,
        wish.mean or middle,
        wish.std or middle,
        wish.class_names,
        frames=clip[0] if clip else None,
        hearing=wish.hearing,
    )
    return Classifier(build_net(card), card)


def _timm(spec: str, name: str, wish: Overrides, pretrained: bool) -> Classifier:
    from exuno.models.foreign import load_timm, timm_card

    if pretrained:
        card = timm_card(name, None, 3, wish.input_size, None)
        check_fits(card)
        net = load_timm(name, card) if may_fetch() else build_net(card)
        return _fitted(Classifier(net, replace(card, lineage={"weights": spec})), spec, wish)
    card = timm_card(name, _needed(spec, wish.classes), wish.in_chans, wish.input_size, wish.class_names)
    return _random(card, wish)


def _torchvision(spec: str, name: str, wish: Overrides, pretrained: bool) -> Classifier:
    from exuno.models.foreign import load_torchvision, torchvision_card

    name, _, weights = name.partition("@")
    if pretrained:
        if may_fetch():
            net, card = load_torchvision(name, weights)
        else:
            card = torchvision_card(name, None, None, None)
            net = build_net(card)
        return _fitted(Classifier(net, card), spec, wish)
    card = torchvision_card(name, _needed(spec, wish.classes), wish.input_size, wish.class_names)
    return _random(card, wish)


def _embedding(spec: str, said: str, wish: Overrides, pretrained: bool) -> Classifier:
    if not pretrained or wish.classes:
        raise ExunoError(f"{said} answers with features and does not learn", f"To train it on, give {spec}.")
    if spec.startswith("clip:"):
        from exuno.models.clip import load_clip

        model = load_clip(spec, named=False)
    else:
        model = load_model(spec, input_size=wish.input_size, mean=wish.mean, std=wish.std, pretrained=True)
    if not model.card.classes:
        return model
    from exuno.models.head import without_head

    return without_head(model)


def _random(card: ModelCard, wish: Overrides) -> Classifier:
    if wish.hearing:
        blank = ((0.0,) * card.in_chans, (1.0,) * card.in_chans)
        card = replace(card, mean=blank[0], std=blank[1], hearing=wish.hearing)
    elif len(wish.mean or ()) == card.in_chans == len(wish.std or ()):
        card = replace(card, mean=wish.mean, std=wish.std)
    return Classifier(build_net(card), card)


def _needed(spec: str, classes: int | None) -> int:
    if classes is None:
        raise ExunoError(f"the number of classes of {spec} is unknown", "Give labelled data or the number of classes.")
    return classes


def _fitted(model: Classifier, spec: str, wish: Overrides) -> Classifier:
    """A trained model, checked against the number of classes that the caller needs."""
    have = model.card.classes
    if wish.classes is not None and wish.classes != have:
        if not wish.new_head:
            raise ExunoError(
                f"{spec} has {have} classes, {wish.classes} are needed",
                "Give a model that was trained for these classes, or data of the model's own.",
            )
        from exuno.models.head import with_new_head, without_head

        model = with_new_head(model, wish.classes) if wish.classes else without_head(model)
    if model.card.class_names is None and wish.class_names is not None:
        model.card = replace(model.card, class_names=wish.class_names)
    return model

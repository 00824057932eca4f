"""Networks and published weights of other libraries: timm, torchvision (images and clips), the Hugging Face hub."""

import re
from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

from torch import nn

from exuno.data.constants import IMAGENET
from exuno.engine.errors import ExunoError, first_line
from exuno.models.card import OPTIONS, ModelCard

FRAMES = 16
"""Frames of a clip: the networks with positions are made for so many, the others were trained on them or take any."""


def video_names() -> list[str]:
    """Names of torchvision's networks for clips."""
    import torchvision

    return torchvision.models.list_models(module=torchvision.models.video)


def build_video(name: str, classes: int, options: dict[str, Any]) -> nn.Module:
    """A network of torchvision for clips [B, 3, T, H, W], with random weights."""
    import torchvision

    return torchvision.models.get_model(name, weights=None, num_classes=classes, **options)


def video_card(
    name: str, classes: int | None, size: tuple[int, int] | None, class_names: tuple[str, ...] | None
) -> ModelCard:
    """The card of one of them, with the frame size, mean and std of its published weights; it takes RGB.

    MViT and S3D need frames of 224 pixels, to which clips are resized, whatever ``size`` is; the others take any.
    """
    import torchvision

    weights = torchvision.models.get_model_weights(name)["DEFAULT"]
    transform = weights.transforms()
    own = (transform.crop_size[0], transform.crop_size[-1])
    fitted = own if size is None or name.startswith(("mvit", "s3d")) else size
    mean, std = tuple(transform.mean), tuple(transform.std)
    return ModelCard(
        f"torchvision:{name}", 400 if classes is None else classes, 3, fitted, mean, std, class_names, frames=FRAMES
    )


def build_timm(name: str, classes: int, in_chans: int, options: dict[str, Any]) -> nn.Module:
    """A network of timm with random weights. Raises ExunoError for an unknown name."""
    import timm

    _timm_config(name)
    try:
        return timm.create_model(name, num_classes=classes, in_chans=in_chans, **options)
    except Exception as error:  # each network checks its options in its own way
        if set(options) <= set(SIZES):  # a size that does not fit: exuno.models.build finds another
            raise
        raise _cannot_be_built(f"timm:{name}", options, error) from error


def timm_card(
    name: str, classes: int | None, in_chans: int, size: tuple[int, int] | None, class_names: tuple[str, ...] | None
) -> ModelCard:
    """The card of a model of timm, with the input size, mean and std of its published weights where ``size`` is
    None."""
    config = _timm_config(name)
    own = (config.input_size[1], config.input_size[2])
    # Networks with position embeddings are built for one size; the others take any.
    options = {"img_size": list(size)} if size and size != own and config.fixed_input_size else {}
    mean, std = (config.mean, config.std) if in_chans == 3 else ((0.5,) * in_chans, (0.5,) * in_chans)
    return ModelCard(
        f"timm:{name}",
        config.num_classes if classes is None else classes,
        in_chans,
        size or own,
        mean,
        std,
        class_names,
        options,
    )


def load_timm(name: str, card: ModelCard) -> nn.Module:
    """A model of timm with its published weights (downloaded once by timm from the Hugging Face hub)."""
    import timm

    try:
        return timm.create_model(name, pretrained=True, **card.options)
    except Exception as error:  # no network, no such weights, no room: each library on the way has its own exceptions
        raise ExunoError(
            f"the published weights of timm:{name} cannot be loaded: {first_line(error)}",
            f"With a network: python -c \"import timm; timm.create_model('{name}', pretrained=True)\" "
            "fetches them into the Hugging Face cache (HF_HOME), which can be copied to this machine.",
        ) from error


def _timm_config(name: str) -> Any:
    import timm

    if not timm.is_model(name):
        raise ExunoError(f"timm has no model '{name}'", suggestion("timm", name, timm.list_models()))
    try:
        config = timm.get_pretrained_cfg(name)
    except RuntimeError as error:
        raise ExunoError(f"timm:{name}: {first_line(error)}", "timm.list_pretrained() lists the weights.") from error
    if config is None:
        raise ExunoError(f"timm knows no configuration of '{name}'", "Take another model of timm.")
    return config


def build_torchvision(name: str, classes: int, options: dict[str, Any]) -> nn.Module:
    """A classification network of torchvision, for images or clips, with random weights. Raises ExunoError for an
    unknown name."""
    import torchvision

    if name in video_names():
        return build_video(name, classes, options)
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise ExunoError(
            f"torchvision has no model '{name}'", suggestion("torchvision", name, [*known, *video_names()])
        )
    if name in ("googlenet", "inception_v3"):
        raise ExunoError(f"torchvision:{name} has auxiliary outputs, which exuno does not train", "Take it from timm.")
    try:
        return torchvision.models.get_model(name, weights=None, num_classes=classes, **options)
    except Exception as error:
        if set(options) <= set(SIZES):
            raise
        raise _cannot_be_built(f"torchvision:{name}", options, error) from error


def _cannot_be_built(arch: str, options: dict[str, Any], error: Exception) -> ExunoError:
    given = "&".join(f"{key}={value}" for key, value in options.items())
    return ExunoError(
        f"{arch} cannot be built{' with ' + given if given else ''}: {first_line(error)}",
        "Leave out what it does not take, or give other values." if given else "Take another architecture.",
    )


SIZES = ("img_size", "image_size", "input_size")
"""Options that say the size of the images."""


def resized(card: ModelCard, size: tuple[int, int] | None) -> ModelCard:
    """The card of the same network for images of another size; None gives that of its published weights."""
    prefix, _, name = card.arch.partition(":")
    if prefix == "timm":
        other = timm_card(name, card.classes, card.in_chans, size, None)
    elif prefix == "torchvision":
        other = torchvision_card(name, card.classes, size, None)
    else:
        return replace(card, input_size=size or card.input_size)
    kept = {key: value for key, value in card.options.items() if key not in SIZES}
    return replace(card, input_size=other.input_size, options={**kept, **other.options})


def split_options(arch: str) -> tuple[str, dict[str, Any]]:
    """Name and typed options of ``PREFIX:NAME?KEY=VALUE&KEY=VALUE``; values are whole numbers, numbers, true or false,
    or words.

    Raises:
        ExunoError: for an option that no model card may have, such as weights to download.
    """
    name, mark, text = arch.partition("?")
    options: dict[str, Any] = {}
    for part in text.split("&") if mark else ():
        key, equals, value = part.partition("=")
        if not equals or not value or key in options:
            raise ExunoError(f"'?{text}' of @{arch} is no list of options", f"The form is @{name}?img_size=518.")
        if key not in (*OPTIONS, "num_classes", "in_chans"):
            raise ExunoError(
                f"'{key}' is no option that @{arch} may have",
                f"These are: num_classes, in_chans, {', '.join(sorted(OPTIONS))}.",
            )
        options[key] = _typed(value)
        whole = isinstance(options[key], int) and not isinstance(options[key], bool)
        if key in ("num_classes", "in_chans") and not whole:
            raise ExunoError(f"{key}={value} of @{arch} is no whole number", f"Give one: {key}=10.")
        if isinstance(options[key], str) and not re.fullmatch(r"\w{1,40}", value):
            raise ExunoError(
                f"{key}={value} of @{arch} is no number and no word", "Give a number, true, false or a word."
            )
    return name, options


def _typed(value: str) -> int | float | bool | str:
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


def torchvision_card(
    name: str, classes: int | None, size: tuple[int, int] | None, class_names: tuple[str, ...] | None
) -> ModelCard:
    """The card of a network of torchvision; they all take RGB."""
    if name in video_names():
        return video_card(name, classes, size, class_names)
    own = (224, 224)
    fixed = name.startswith(("vit_", "maxvit"))
    options: dict[str, Any] = {}
    if size and size != own and fixed:
        options = {"image_size": size[0]} if name.startswith("vit_") else {"input_size": list(size)}
    mean, std = IMAGENET
    return ModelCard(
        f"torchvision:{name}", 1000 if classes is None else classes, 3, size or own, mean, std, class_names, options
    )


def load_torchvision(name: str, weights: str) -> tuple[nn.Module, ModelCard]:
    """A network of torchvision with published weights.

    Args:
        name: such as ``resnet50``.
        weights: such as ``IMAGENET1K_V1``; empty for torchvision's default.
    """
    import torchvision

    build_torchvision(name, 1000, {})
    choices = torchvision.models.get_model_weights(name)
    if weights and weights not in choices.__members__:
        raise ExunoError(f"torchvision:{name} has no weights '{weights}'", f"It has {', '.join(choices.__members__)}.")
    chosen = choices[weights or "DEFAULT"]
    try:
        net = torchvision.models.get_model(name, weights=chosen)
    except Exception as error:  # urllib, ssl, torch.hub's hash check, a full disk
        raise ExunoError(
            f"the published weights of torchvision:{name} cannot be loaded: {first_line(error)}",
            f"Fetch {chosen.url} and put it into the folder that torch.hub.get_dir() names, under checkpoints.",
        ) from error
    transform, names = chosen.transforms(), tuple(chosen.meta["categories"])
    side = transform.crop_size[0]
    # What the default weights of an architecture take is not always what these do.
    card = replace(
        torchvision_card(name, len(names), None, names),
        input_size=(side, side),
        mean=tuple(transform.mean),
        std=tuple(transform.std),
        lineage={"weights": chosen.url},
    )
    return net, card


def suggestion(prefix: str, name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, 3)
    return f"Did you mean {' or '.join(f'{prefix}:{n}' for n in near)}?" if near else f"See {prefix}'s list of models."

"""exuno's own networks by name, ``exuno:NAME``; each family registers itself beside its definition. No torch."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from difflib import get_close_matches
from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING

from exuno import registry
from exuno.engine.errors import ExunoError
from exuno.engine.meanwhile import meanwhile
from exuno.models.card import MOST_OPTION
from exuno.registry import Entry, Registry

if TYPE_CHECKING:
    from torch import nn

networks = Registry("network of exuno", "exuno:", "exuno.models.zoo")
"""Families of networks. Facts: ``pattern``, a regular expression for its names; ``usual``, the usual ones, with spaces;
``form``, the pattern in words, for messages. What is decorated is a function ``(name, match, classes, in_chans,
input_size) -> nn.Module``; ``match`` is that of the pattern."""


def exuno_models() -> tuple[str, ...]:
    """The usual names. Any ``wrn_DEPTH_WIDTH``, ``resnetDEPTH`` and ``convnet_DEPTH_WIDTH`` can be built; with ``_tf``
    at its end a wide ResNet pads, normalises and starts as Keras's does, which the CIFAR networks of the single-image
    paper are.

    A ConvNet has instance normalisation unless ``-none``, ``-batch``, ``-layer`` or ``-group`` follows, and one width
    unless ``-doubling`` comes last. (PoDD's names: convnet2 is convnet-none, convnetw convnet-doubling, convnetw2
    convnet-batch-doubling, convnet4 convnet_4_128, convnetw4 convnet_4_128-doubling.)

    A vision transformer is ``vit_SIZE_PATCH``, the size being tiny, small or base, or ``vit_WIDTH_DEPTH_HEADS_PATCH``;
    with ``_conv`` behind it, convolutions embed its patches.

    A video network is ``x3d_SIZE``, the size being xs, s or m, with ``_wWIDTH_dDEPTH`` for other factors than 2 and
    2.2: the expanded student of the single-image paper is ``x3d_xs_w5_d3``.

    ``resnet18_cifar`` (34, 50, 101, 152) and ``vgg16_cifar`` (11, 13, 19) are kuangliu's networks for CIFAR,
    ``resnetDEPTHxWIDTH`` RepDistiller's, with a width of 1, 2 or 4.

    A MobileNet is ``mobilenet_vVERSION_PERCENT``, the version being 1 or 2, with so many percent of its channels.

    ``alexnet_bn`` is the AlexNet with batch normalisation of self-supervised learning, for 224 pixels.
    """
    return tuple(name for entry in networks.entries.values() for name in entry.facts["usual"].split())


def family_of(name: str) -> tuple[Entry, re.Match[str]]:
    """The family of a name, and what its pattern found in it. Raises ExunoError if there is none."""
    for entry in networks.entries.values():
        if match := re.fullmatch(entry.facts["pattern"], name):
            return entry, match
    raise unknown(name)


def clip_of(arch: str) -> tuple[int, int] | None:
    """Frames and side of the clips that a network of exuno is made for; None if it takes single images."""
    prefix, _, name = arch.partition(":")
    if prefix != "exuno":
        return None
    entry, match = family_of(name)
    clips = getattr(import_module(entry.module), "CLIPS", None)
    return clips and clips[match[1]]


def build_exuno(name: str, classes: int, in_chans: int, input_size: tuple[int, int]) -> "nn.Module":
    """A network of exuno with random weights.

    Args:
        name: the part of the spec after ``exuno:``.
        classes: number of logits.
        in_chans: channels of the input.
        input_size: (H, W) of the input in pixels.

    Raises:
        ExunoError: for an unknown name (with the nearest known one), or a depth that the family does not have.
    """
    entry, match = family_of(name)
    return entry.load()(name, match, classes, in_chans, input_size)


_known_only: ContextVar[bool] = ContextVar("known_only", default=False)


@contextmanager
def known_only() -> Iterator[None]:
    """Meanwhile, ``module:Name`` names no network: what is read comes from strangers."""
    with meanwhile(_known_only, True):
        yield


def only_known() -> bool:
    """Whether what is read comes from strangers."""
    return _known_only.get()


def is_own(spec: str) -> bool:
    """Whether a model spec is ``module:Name`` of a module that Python finds."""
    return not only_known() and registry.is_own(spec)


def build_own(spec: str, classes: int, in_chans: int, input_size: tuple[int, int]) -> "nn.Module":
    """The network ``module:Name``, a subclass of ``nn.Module`` that is called with those of the keywords
    ``num_classes`` (or ``classes``), ``in_chans`` and ``input_size`` that it takes.

    Raises:
        ExunoError: there is no such class, or it cannot be made so.
    """
    from torch import nn

    module, _, name = spec.partition(":")
    kind = getattr(import_module(module), name, None)
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise ExunoError(f"{spec} is no class of networks", f"Let {module} define class {name}(torch.nn.Module).")
    given = {"num_classes": classes, "classes": classes, "in_chans": in_chans, "input_size": input_size}
    takes = signature(kind).parameters
    try:
        return kind(**{key: value for key, value in given.items() if key in takes})
    except TypeError as error:
        raise ExunoError(
            f"{spec} cannot be made: {error}", "Let it take num_classes, in_chans and input_size, or none of them."
        ) from None


def unknown(name: str) -> ExunoError:
    """What is wrong with a name that no family has, with the nearest known one."""
    usual = exuno_models()
    near = get_close_matches(name, usual, 1)
    forms = ", ".join(entry.facts["form"] for entry in networks.entries.values())
    return ExunoError(
        f"exuno has no model '{name}'",
        f"Did you mean exuno:{near[0]}?" if near else f"The families are {forms}; the usual ones: {', '.join(usual)}.",
    )


def check_known(name: str, what: str, value: int, known: Iterable[int]) -> None:
    """Raises ExunoError for a value that a family does not have."""
    if value not in known:
        raise ExunoError(
            f"exuno:{name} has a {what} of {value}", f"There are networks of {', '.join(map(str, known))}."
        )


def check_depth(name: str, depth: int, offset: int) -> None:
    """Raises ExunoError for a depth that is not 6n + ``offset``."""
    check_positive(name, depth=depth)
    if depth < 6 + offset or (depth - offset) % 6:
        below = max(1, (depth - offset) // 6) * 6 + offset
        raise ExunoError(
            f"exuno:{name} cannot be built: the depth {depth} is not 6n + {offset}",
            f"Take a depth of {below} or {below + 6}"
            + (
                "; for ImageNet networks, torchvision:" + name
                if name in ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
                else ""
            )
            + ".",
        )


def check_positive(name: str, **sizes: int) -> None:
    """Raises ExunoError for sizes below 1, or so large that no memory holds the network."""
    for what, size in sizes.items():
        if not 1 <= size <= MOST_OPTION:
            raise ExunoError(f"exuno:{name} has a {what} of {size}", f"Give a {what} from 1 to {MOST_OPTION:,}.")

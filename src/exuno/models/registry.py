"""The names of exuno's own networks, ``exuno:NAME``, and how each is built."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING

from exuno.engine.errors import ExunoError
from exuno.models.card import MOST_OPTION

if TYPE_CHECKING:
    from torch import nn

COMMON = (
    *(f"wrn_{depth}_{width}" for depth in (16, 28, 40) for width in (1, 2, 4, 10)),
    *("wrn_16_4_tf", "wrn_40_4_tf"),
    *(f"resnet{depth}" for depth in (20, 32, 44, 56, 110)),
    "convnet",
    "convnet_2_64",
    "convnet_4_128",
    "convnet-none",
    "convnet-doubling",
    "convnet-batch-doubling",
    *(f"vit_{size}_{patch}" for size in ("tiny", "small", "base") for patch in (8, 16)),
    *("x3d_xs", "x3d_s", "x3d_m", "x3d_xs_w5_d3"),
    *("mobilenet_v1_025", "mobilenet_v2_100"),
    *("resnet18_cifar", "resnet50_cifar", "resnet8x4", "resnet32x4", "vgg16_cifar"),
    "alexnet_bn",
)
X3D = r"x3d_(xs|s|m)(?:_w(\d+(?:\.\d+)?)_d(\d+(?:\.\d+)?))?"
VIT = r"vit_(?:(tiny|small|base)|(\d+)_(\d+)_(\d+))_(\d+)"
WRN = r"wrn_(\d+)_(\d+)(_tf)?"
RESNET = r"resnet(\d+)"
MOBILENET = r"mobilenet_v([12])_(\d{2,3})"
CONVNET = r"convnet(?:_(\d+)_(\d+))?(?:-(none|batch|layer|group))?(-doubling)?"
CIFAR = r"(resnet|vgg)(\d+)_cifar"
WIDE = r"resnet(\d+)x(\d+)"
ALEXNET = "alexnet_bn"
FAMILIES = (WRN, RESNET, CIFAR, WIDE, CONVNET, VIT, X3D, MOBILENET, ALEXNET)


def exuno_models() -> tuple[str, ...]:
    """The usual names. Any ``wrn_DEPTH_WIDTH``, ``resnetDEPTH`` and ``convnet_DEPTH_WIDTH`` can be built; with ``_tf``
    at its end a wide ResNet pads, normalises and starts as Keras's does, which the CIFAR networks of the single-image
    paper are.

    A ConvNet has instance normalisation unless ``-none``, ``-batch``, ``-layer`` or ``-group`` follows, and one width
    unless ``-doubling`` comes last. (PoDD's names: convnet2 is convnet-none, convnetw convnet-doubling, convnetw2
    convnet-batch-doubling, convnet4 convnet_4_128, convnetw4 convnet_4_128-doubling.)

    A vision transformer is ``vit_SIZE_PATCH``, the size being tiny, small or base, or ``vit_WIDTH_DEPTH_HEADS_PATCH``.

    A video network is ``x3d_SIZE``, the size being xs, s or m, with ``_wWIDTH_dDEPTH`` for other factors than 2 and
    2.2: the expanded student of the single-image paper is ``x3d_xs_w5_d3``.

    ``resnet18_cifar`` (34, 50, 101, 152) and ``vgg16_cifar`` (11, 13, 19) are kuangliu's networks for CIFAR,
    ``resnetDEPTHxWIDTH`` RepDistiller's, with a width of 1, 2 or 4.

    A MobileNet is ``mobilenet_vVERSION_PERCENT``, the version being 1 or 2, with so many percent of its channels.

    ``alexnet_bn`` is the AlexNet with batch normalisation of self-supervised learning, for 224 pixels.
    """
    return COMMON


def clip_of(arch: str) -> tuple[int, int] | None:
    """Frames and side of the clips that a network of exuno is made for; None if it takes single images."""
    match = re.fullmatch(f"exuno:{X3D}", arch)
    if not match:
        return None
    from exuno.models.zoo.x3d import CLIPS

    return CLIPS[match[1]]


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
    if match := re.fullmatch(WRN, name):
        from exuno.models.zoo.wide_resnet import WideResNet, WideResNetTF

        depth, width = int(match[1]), int(match[2])
        _check_depth(name, depth, 4)
        _check_positive(name, width=width)
        if match[3] and width == 1:
            raise ExunoError(
                f"exuno:{name} cannot be built: Keras's network of width 1 has another first block",
                f"Take a width of 2 or more, or exuno:{name.removesuffix('_tf')}.",
            )
        return (WideResNetTF if match[3] else WideResNet)(depth, width, classes, in_chans)
    if match := re.fullmatch(RESNET, name):
        from exuno.models.zoo.cifar import CifarResNet

        _check_depth(name, int(match[1]), 2)
        return CifarResNet(int(match[1]), classes, in_chans)
    if match := re.fullmatch(CIFAR, name):
        return _cifar(name, match[1], int(match[2]), classes, in_chans)
    if match := re.fullmatch(WIDE, name):
        from exuno.models.zoo.cifar import STEMS, resnet_wide

        depth, width = int(match[1]), int(match[2])
        _check_depth(name, depth, 2)
        _check_known(name, "width", width, STEMS)
        return resnet_wide(depth, width, classes, in_chans)
    if match := re.fullmatch(CONVNET, name):
        from exuno.models.zoo.convnet import ConvNet

        depth, width = int(match[1] or 3), int(match[2] or 128)
        _check_positive(name, depth=depth, width=width)
        return ConvNet(depth, width, classes, in_chans, input_size, match[3] or "instance", doubling=bool(match[4]))
    if match := re.fullmatch(VIT, name):
        from exuno.models.zoo.vit import SIZES, Vit

        width, depth, heads = SIZES[match[1]] if match[1] else (int(match[i]) for i in (2, 3, 4))
        patch = int(match[5])
        _check_positive(name, width=width, depth=depth, heads=heads, patch=patch)
        _check_vit(name, width, heads, patch, input_size)
        return Vit(width, depth, heads, patch, classes, in_chans, input_size)
    if match := re.fullmatch(X3D, name):
        from exuno.models.zoo.x3d import CLIPS, DEPTH, WIDTH
        from exuno.models.zoo.x3d import X3D as Network

        width, depth = float(match[2] or WIDTH), float(match[3] or DEPTH)
        if not (0.2 <= width <= 20 and 0.2 <= depth <= 20):
            raise ExunoError(f"exuno:{name} has factors of {width:g} and {depth:g}", "Give factors from 0.2 to 20.")
        return Network(classes, in_chans, CLIPS[match[1]][0], input_size, width, depth)
    if match := re.fullmatch(MOBILENET, name):
        from exuno.models.zoo.mobilenet import MobileNet

        _check_positive(name, width=int(match[2]))
        return MobileNet(int(match[1]), int(match[2]), classes, in_chans)
    if name == ALEXNET:
        from exuno.models.zoo.alexnet import AlexNet

        return AlexNet(classes, in_chans, input_size)
    raise unknown(name)


def check_name(name: str) -> None:
    """Raises ExunoError if no family of exuno has a network of this name; builds nothing."""
    if not any(re.fullmatch(family, name) for family in FAMILIES):
        raise unknown(name)


def unknown(name: str) -> ExunoError:
    """What is wrong with a name that no family has, with the nearest known one."""
    near = get_close_matches(name, COMMON, 1)
    return ExunoError(
        f"exuno has no model '{name}'",
        f"Did you mean exuno:{near[0]}?"
        if near
        else "The families are wrn_DEPTH_WIDTH (with _tf for Keras's), resnetDEPTH, resnetDEPTH_cifar, "
        + "resnetDEPTHxWIDTH, vgg16_cifar, vit_SIZE_PATCH or "
        + "vit_WIDTH_DEPTH_HEADS_PATCH, x3d_SIZE (with _wWIDTH_dDEPTH for other factors), "
        + "mobilenet_v1_PERCENT or mobilenet_v2_PERCENT, alexnet_bn, and "
        + "convnet_DEPTH_WIDTH (with -none, -batch, -layer or -group for another normalisation, then -doubling for "
        + "widths that double); the usual ones: "
        + f"{', '.join(COMMON)}.",
    )


def _cifar(name: str, family: str, depth: int, classes: int, in_chans: int) -> "nn.Module":
    from exuno.models.zoo.cifar import BLOCKS, VGG, CifarVGG, resnet_cifar

    _check_known(name, "depth", depth, VGG if family == "vgg" else BLOCKS)
    return (CifarVGG if family == "vgg" else resnet_cifar)(depth, classes, in_chans)


def _check_known(name: str, what: str, value: int, known: Iterable[int]) -> None:
    if value not in known:
        raise ExunoError(
            f"exuno:{name} has a {what} of {value}", f"There are networks of {', '.join(map(str, known))}."
        )


def _check_depth(name: str, depth: int, offset: int) -> None:
    _check_positive(name, depth=depth)
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


def _check_positive(name: str, **sizes: int) -> None:
    for what, size in sizes.items():
        if not 1 <= size <= MOST_OPTION:
            raise ExunoError(f"exuno:{name} has a {what} of {size}", f"Give a {what} from 1 to {MOST_OPTION:,}.")


def _check_vit(name: str, width: int, heads: int, patch: int, size: tuple[int, int]) -> None:
    if width % heads:
        raise ExunoError(f"exuno:{name}: a width of {width} cannot be shared by {heads} heads", "Take a multiple.")
    if size[0] % patch or size[1] % patch:
        raise ExunoError(
            f"exuno:{name}: images of {size[1]}x{size[0]} pixels cannot be cut into patches of {patch}",
            "Take a size that is a multiple of the patch, or another patch.",
        )

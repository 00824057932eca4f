"""Foreign files of weights: which architecture is it? Told from the names and shapes of the tensors.

Files of DINOv2 (Oquab et al., TMLR 2024; with registers: Darcet et al., ICLR 2024), brought to timm's names.

They have LayerScale (``ls1.gamma``), a mask token that no result depends on, perhaps registers (``register_tokens``)
and blocks in chunks (``blocks.CHUNK.BLOCK``, blocks counted through); the largest has SwiGLU (``mlp.w12``, ``mlp.w3``).
With registers timm keeps the position of [CLS] inside its token.
"""

import re
from dataclasses import replace
from math import isqrt
from pathlib import Path

from exuno.data.constants import CIFAR, CIFAR10_CLASSES, CIFAR100, IMAGENET
from exuno.engine.errors import ExunoError
from exuno.models.build import build_net
from exuno.models.card import ModelCard
from exuno.models.foreign import timm_card
from exuno.models.formats.ibot import is_vit, vit_card
from exuno.models.formats.weights import State
from exuno.models.strict import fitting
from exuno.models.zoo.cifar import BLOCKS, STEMS, VGG, CifarVGG
from exuno.models.zoo.mobilenet import MEAN, name_of
from exuno.models.zoo.x3d import CLIPS, DEPTH, WIDTH, factors_of

RESNETS: dict[tuple[bool, tuple[int, ...]], str] = {
    (False, (2, 2, 2, 2)): "resnet18",
    (False, (3, 4, 6, 3)): "resnet34",
    (True, (3, 4, 6, 3)): "resnet50",
    (True, (3, 4, 23, 3)): "resnet101",
    (True, (3, 8, 36, 3)): "resnet152",
}
"""Whether blocks are bottlenecks, and how many there are in each group -> name."""


def torchvision_of(state: State) -> tuple[str, int] | None:
    """Name and number of classes of a network of torchvision; None if it is another.

    The students and teachers of the papers are told: ResNets, MobileNetV2 and EfficientNet-B0.
    """
    if "fc.weight" in state and "layer1.0.conv2.weight" in state:
        blocks = tuple(
            len({match[1] for key in state if (match := re.match(rf"layer{group}\.(\d+)\.", key))})
            for group in (1, 2, 3, 4)
        )
        name = RESNETS.get(("layer1.0.conv3.weight" in state, blocks))
        if name and tuple(state["layer1.0.conv2.weight"].shape[:2]) == (64, 64):  # neither wide nor with groups
            return name, len(state["fc.weight"])
    if "classifier.1.weight" in state and state["classifier.1.weight"].ndim == 2:
        for name, key, shape in (
            ("mobilenet_v2", "features.18.0.weight", (1280, 320, 1, 1)),
            ("efficientnet_b0", "features.8.0.weight", (1280, 320, 1, 1)),
        ):
            deeper = "features.1.1.block.0.0.weight" in state  # EfficientNet-B1
            if key in state and tuple(state[key].shape) == shape and not deeper:
                return name, len(state["classifier.1.weight"])
    return None


SIZES = {(384, 12): "small", (768, 12): "base", (1024, 24): "large", (1536, 40): "giant"}
"""Width and depth -> name."""
NEEDED = ("cls_token", "pos_embed", "patch_embed.proj.weight", "norm.weight")


def is_dinov2(state: State) -> bool:
    """Whether these are weights of DINOv2, in its own names or timm's."""
    return all(key in state for key in NEEDED) and any(
        re.fullmatch(r"blocks\.0\.(0\.)?ls1\.gamma", key) for key in state
    )


def to_timm(state: State) -> tuple[State, list[str]]:
    """The weights in timm's names, and the names of what was dropped."""
    found: State = {}
    for key, value in state.items():
        key = re.sub(r"^blocks\.\d+\.(\d+)\.", r"blocks.\1.", key)
        found[key.replace(".mlp.w12.", ".mlp.fc1.").replace(".mlp.w3.", ".mlp.fc2.")] = value
    dropped = [key for key in ("mask_token",) if found.pop(key, None) is not None]
    if (registers := found.pop("register_tokens", None)) is not None:
        found["reg_token"] = registers
        found["cls_token"] = found["cls_token"] + found["pos_embed"][:, :1]
        found["pos_embed"] = found["pos_embed"][:, 1:]
    return found, dropped


def dinov2_card(state: State, path: Path) -> ModelCard:
    """The card of weights in timm's names.

    Raises:
        ExunoError: if it is none of the four published sizes.
    """
    width, in_chans, patch, _ = state["patch_embed.proj.weight"].shape
    depth = len({match[1] for key in state if (match := re.match(r"blocks\.(\d+)\.", key))})
    registers = "reg_token" in state
    patches = state["pos_embed"].shape[1] - (not registers)
    name, side = SIZES.get((width, depth)), isqrt(max(patches, 0))
    if name is None or side**2 != patches or not side or (patch, in_chans) != (14, 3):
        raise ExunoError(
            f"{path} is a transformer with LayerScale of width {width}, depth {depth}, patches of {patch} and "
            f"{patches} positions, which DINOv2 has not published",
            f"Name its architecture: file:{path}@timm:NAME.",
        )
    size = (side * patch, side * patch)
    return timm_card(f"vit_{name}_patch14_{'reg4_' if registers else ''}dinov2", None, 3, size, None)


HEADS = ("linear.weight", "fc.weight", "classifier.weight")


def recognise(state: State, path: Path) -> ModelCard:
    """The card of a state dict that carries none.

    Recognised are exuno's own networks: CIFAR ResNets (whose names are those in circulation), CIFAR's networks of
    kuangliu and RepDistiller, wide ResNets, ConvNets, vision transformers (in timm's names or iBOT's), X3D (in
    pytorchvideo's) MobileNets (TensorFlow's) and the AlexNet with batch normalisation of
    the single-image checkpoints; of timm DINOv2's transformers; and of torchvision ResNets,
    MobileNetV2 and EfficientNet-B0. Mean and std are ImageNet's for a transformer and a ResNet, as the latter's
    published CIFAR weights expect, and for kuangliu and RepDistiller those of their codes; ten classes of a network
    for CIFAR are taken to be CIFAR-10's. X3D-XS, S and M differ in their clips only, which a file does not tell: XS,
    unless named.

    Raises:
        ExunoError: if the architecture is another one.
    """
    if is_dinov2(state):
        return dinov2_card(state, path)
    if is_vit(state):
        return vit_card(state, path)
    if factors := factors_of(state):
        return x3d_card(state, factors)
    if name := name_of(state):
        return mobilenet_card(state, name, path)
    if card := alexnet_card(state):
        return card
    if known := torchvision_of(state):
        from exuno.models.foreign import torchvision_card

        return torchvision_card(*known, None, None)
    for probe in (_cifar_resnet, _projected_resnet, _vgg, _wide_resnet, _convnet):
        found = probe(state)
        if found is not None:
            arch, in_chans, size = found
            head = next(key for key in HEADS if key in state)
            return plain_card(arch, len(state[head]), in_chans, size)
    keys = ", ".join(list(state)[:4])
    raise ExunoError(
        f"the architecture of {path} is not recognised; its first keys are {keys}",
        f"Name it: file:{path}@torchvision:resnet50, or @timm:NAME.",
    )


def plain_card(arch: str, classes: int, in_chans: int, size: tuple[int, int]) -> ModelCard:
    """The card of one of exuno's networks from a foreign file."""
    known = arch.startswith(("exuno:resnet", "exuno:vgg")) and in_chans == 3
    mean, std = IMAGENET if known else ((0.5,) * in_chans, (0.5,) * in_chans)
    if known and re.search(r"_cifar$|x\d+$", arch):
        mean, std = CIFAR100 if "x" in arch.removeprefix("exuno:") and classes != 10 else CIFAR
    names = CIFAR10_CLASSES if known and classes == 10 else None
    return ModelCard(arch, classes, in_chans, size, mean, std, names)


def alexnet_card(state: State) -> ModelCard | None:
    """The card of the AlexNet with batch normalisation of the published single-image checkpoints; None for others.

    Its first linear layer tells the input's area; 224 pixels, as published, where that is 6 by 6 positions."""
    needed = ("features.0.weight", "features.1.running_mean", "features.14.weight", "classifier.1.weight")
    if any(key not in state for key in (*needed, "top_layer.weight")):
        return None
    first, last, hidden = state["features.0.weight"], state["features.14.weight"], state["classifier.1.weight"]
    if first.shape[0] != 96 or first.shape[2:] != (11, 11) or hidden.shape[1] != len(last) * 36:
        return None
    chans = first.shape[1]
    mean, std = IMAGENET if chans == 3 else ((0.5,) * chans, (0.5,) * chans)
    return ModelCard("exuno:alexnet_bn", len(state["top_layer.weight"]), chans, (224, 224), mean, std)


def x3d_card(state: State, factors: tuple[float, float], size: str = "xs") -> ModelCard:
    """The card of an X3D with pytorchvideo's mean and std."""
    width, depth = factors
    suffix = "" if factors == (WIDTH, DEPTH) else f"_w{width:g}_d{depth:g}"
    frames, side = CLIPS[size]
    classes, chans = len(state["blocks.5.proj.weight"]), state["blocks.0.conv.conv_t.weight"].shape[1]
    arch, middle = f"exuno:x3d_{size}{suffix}", ((0.45,) * chans, (0.225,) * chans)
    return ModelCard(arch, classes, chans, (side, side), *middle, frames=frames)


def mobilenet_card(state: State, name: str, path: Path) -> ModelCard:
    """The card of a MobileNet of TensorFlow. The side of its input is in the name of every published file, and nowhere
    else: 224 unless the name says another."""
    named = re.findall(r"(?<!\d)(96|128|160|192|224)(?!\d)", path.stem)
    side, chans = int(named[-1]) if named else 224, state["stem.weight"].shape[1]
    classes = len(state["classifier.weight"])
    return ModelCard(f"exuno:{name}", classes, chans, (side, side), (MEAN,) * chans, (MEAN,) * chans)


def _cifar_resnet(state: State) -> tuple[str, int, tuple[int, int]] | None:
    blocks = [_count(state, rf"layer{group}\.(\d+)\.conv1\.weight") for group in (1, 2, 3)]
    needed = ("conv1.weight", "bn1.weight", "linear.weight", "linear.bias")
    if not blocks[0] or len(set(blocks)) > 1 or any(key not in state for key in needed):
        return None
    if state["linear.weight"].shape[1:] != (64,) or any("shortcut" in key or "downsample" in key for key in state):
        return None  # wider, or with the 1x1 convolutions of option B
    return f"exuno:resnet{6 * blocks[0] + 2}", state["conv1.weight"].shape[1], (32, 32)


def _projected_resnet(state: State) -> tuple[str, int, tuple[int, int]] | None:
    """Of kuangliu (four groups, ``shortcut`` and ``linear``) or RepDistiller (three, ``downsample`` and ``fc``)."""
    blocks = tuple(_count(state, rf"layer{group}\.(\d+)\.conv1\.weight") for group in (1, 2, 3, 4))
    if any(key not in state for key in ("conv1.weight", "bn1.weight", "layer1.0.conv2.weight")) or not all(blocks[:3]):
        return None
    stem, in_chans, *kernel = state["conv1.weight"].shape
    if kernel != [3, 3]:
        return None
    if "linear.weight" in state and "layer2.0.shortcut.1.weight" in state and stem == 64:
        deep = "layer1.0.conv3.weight" in state
        depth = next((depth for depth, each in BLOCKS.items() if each == blocks and deep == (depth >= 50)), None)
        return (f"exuno:resnet{depth}_cifar", in_chans, (32, 32)) if depth else None
    if "fc.weight" in state and "layer2.0.downsample.1.weight" in state and blocks[1:] == (*blocks[:2], 0):
        width = len(state["layer1.0.conv1.weight"]) // 16
        fits = STEMS.get(width) == stem and "layer1.0.conv3.weight" not in state
        return (f"exuno:resnet{6 * blocks[0] + 2}x{width}", in_chans, (32, 32)) if fits else None
    return None


def _vgg(state: State) -> tuple[str, int, tuple[int, int]] | None:
    """Of kuangliu: VGG with batch normalisation and one linear layer."""
    if (
        "classifier.weight" not in state
        or state["classifier.weight"].ndim != 2
        or "features.1.running_mean" not in state
    ):
        return None
    found = {key: value.shape for key, value in state.items() if key.startswith("features.") and value.ndim == 4}
    for depth in VGG:
        own = CifarVGG(depth, 1, state["features.0.weight"].shape[1]).state_dict()
        if found == {key: value.shape for key, value in own.items() if value.ndim == 4}:
            return f"exuno:vgg{depth}_cifar", state["features.0.weight"].shape[1], (32, 32)
    return None


def _wide_resnet(state: State) -> tuple[str, int, tuple[int, int]] | None:
    blocks = [_count(state, rf"group{group}\.(\d+)\.conv1\.weight") for group in (1, 2, 3)]
    if not blocks[0] or len(set(blocks)) > 1 or "linear.weight" not in state or "conv1.weight" not in state:
        return None
    width = state["linear.weight"].shape[1] // 64
    return f"exuno:wrn_{6 * blocks[0] + 4}_{width}", state["conv1.weight"].shape[1], (32, 32)


def _convnet(state: State) -> tuple[str, int, tuple[int, int]] | None:
    depth = _count(state, r"blocks\.(\d+)\.0\.weight")
    if not depth or "linear.weight" not in state:
        return None
    first = state["blocks.0.0.weight"]
    if first.ndim != 4:
        return None
    width, last = first.shape[0], state[f"blocks.{depth - 1}.0.weight"].shape[0]
    # The linear layer tells the input's area; that it is square is a guess.
    side = isqrt(state["linear.weight"].shape[1] // last) << depth
    norm = state.get("blocks.0.1.weight")
    kind = "-none" if norm is None else "-layer" if norm.ndim == 3 else ""  # group is shaped as instance: a guess, too
    kind = "-batch" if "blocks.0.1.running_mean" in state else kind
    doubling = "-doubling" if last > width else ""
    return f"exuno:convnet_{depth}_{width}{kind}{doubling}", first.shape[1], (side, side)


def _count(state: State, pattern: str) -> int:
    numbers = {int(match[1]) for key in state if (match := re.fullmatch(pattern, key))}
    return len(numbers) if numbers == set(range(len(numbers))) else 0


def described(arch: str, state: State, path: Path) -> ModelCard:
    """The card of a state dict whose architecture the user named; the number of classes is read from its last layer.

    Args:
        arch: ``exuno:NAME``, ``timm:NAME`` or ``torchvision:NAME``, the latter two also with options:
            ``timm:vit_small_patch14_dinov2?img_size=224``.

    Raises:
        ExunoError: for an architecture of unknown form, and options that none may have.
    """
    prefix, _, name = arch.partition(":")
    if prefix == "exuno":
        if arch.startswith("exuno:vit") and is_vit(state):
            return vit_card(state, path, arch)
        card = _own(state, path, arch)
        if card.frames and (named := re.match("exuno:x3d_(s|m)", arch)) and (factors := factors_of(state)):
            card = x3d_card(state, factors, named[1])
        full = re.sub(r"^exuno:convnet(?!_)", "exuno:convnet_3_128", arch)
        if card.arch != full.replace("-group", ""):
            raise ExunoError(f"the weights of {path} are those of {card.arch}, not of {arch}", f"Leave out @{arch}.")
        return replace(card, arch=full)
    if prefix not in ("timm", "torchvision"):
        raise ExunoError(f"unknown architecture '@{arch}'", "The forms are @exuno:NAME, @timm:NAME, @torchvision:NAME.")
    from exuno.models.foreign import split_options, timm_card, torchvision_card

    named, options = split_options(arch)
    name = named.partition(":")[2]
    classes, chans = options.pop("num_classes", None), options.pop("in_chans", 3)
    side = options.get("img_size", options.get("image_size", options.get("input_size")))
    size = (side, side) if isinstance(side, int) and not isinstance(side, bool) and side > 0 else None
    if prefix == "timm":
        card = timm_card(name, None, chans, size, None)
    elif chans != 3:
        raise ExunoError(f"@{arch}: networks of torchvision take 3 channels", "Leave out in_chans.")
    else:
        card = torchvision_card(name, None, size, None)
    card = replace(card, options=card.options | options)
    if classes is not None:
        return replace(card, classes=classes)
    return replace(card, classes=_rows_of_head(state, card) or card.classes)


def _own(state: State, path: Path, arch: str) -> ModelCard:
    """The card of one of exuno's networks, which are all told from their weights."""
    try:
        return recognise(state, path)
    except ExunoError as error:
        raise ExunoError(
            f"the weights of {path} are not those of {arch}: {error.what}",
            f"Name an architecture of another library: file:{path}@timm:NAME or @torchvision:NAME.",
        ) from error


def _rows_of_head(state: State, card: ModelCard) -> int | None:
    """Classes of ``state``: rows of the last layer of the architecture (files may order layers by name)."""
    own = build_net(card).state_dict()
    state = fitting(state, own)
    heads = [key for key, value in own.items() if key.endswith("weight") and len(value) == card.classes]
    return len(state[heads[-1]]) if heads and heads[-1] in state else None

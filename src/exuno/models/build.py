"""Architectures with random weights, from a card, and whether a network takes images of a size.

Networks with poolings, windows or position embeddings take some sizes only, and each library says so in its own way,
often deep inside the first step. So the network is built and run once on nothing: on torch's meta device, which knows
shapes and no numbers. exuno's own networks run on two black images instead, since that device takes seconds to import,
which timm and torchvision have imported anyway.
"""

from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from exuno.engine.errors import ExunoError, tell
from exuno.engine.system import memory
from exuno.engine.untrusted import PARAMETERS
from exuno.models.card import Hearing, ModelCard
from exuno.models.registry import build_exuno, build_own, is_own


def build_net(card: ModelCard) -> nn.Module:
    """The network of ``card.arch`` with random weights (drawn from torch's global generator: seed it before), which
    takes what the card says.

    Raises:
        ExunoError: for an unknown prefix or name, and a network that cannot take images of the card's size.
    """

    check_fits(card)
    net = built(card)
    if card.arch.startswith("exuno:") or is_own(card.arch):
        check_fits(card, net)
    return net


def outline(card: ModelCard) -> nn.Module:
    """The network without memory for its weights, which draws nothing: names, shapes and structure."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        return built(card)


def built(card: ModelCard) -> nn.Module:
    """As :func:`build_net`, without trying the network."""
    prefix, _, name = card.arch.partition(":")
    if not card.classes and not card.arch.startswith(HEADLESS):
        return _without_last(card)
    if prefix == "exuno":
        return build_exuno(name, card.classes, card.in_chans, card.input_size)
    if prefix == "timm":
        from exuno.models.foreign import build_timm

        return build_timm(name, card.classes, card.in_chans, card.options)
    if prefix == "torchvision":
        from exuno.models.foreign import build_torchvision

        return build_torchvision(name, card.classes, card.options)
    if prefix == "clip":
        from exuno.models.clip import build_clip

        return build_clip(name, card.classes)
    if is_own(card.arch):
        return build_own(card.arch, card.classes, card.in_chans, card.input_size)
    raise ExunoError(
        f"unknown architecture '{card.arch}'",
        "Architectures are exuno:NAME, timm:NAME, torchvision:NAME, or module:Name of a module that Python finds "
        "(PYTHONPATH).",
    )


HEADLESS = ("timm:", "clip:", "exuno:vit_")
"""Networks that leave out their last layer themselves where no classes are asked for."""


def _without_last(card: ModelCard) -> nn.Module:
    """The network with nothing in the place of its last layer, so that its answer is what would go into that."""
    one, two = replace(card, classes=1), replace(card, classes=2)
    net, other = built(one), outline(two) if card.arch.startswith("torchvision:") else _unused(two)
    layer = last_layer(net, other)
    if layer is None and is_own(card.arch):  # it never had one
        return net
    if layer is None:
        raise ExunoError(f"{card.arch} has no one last layer that could be left out", "Take another architecture.")
    net.set_submodule(layer, nn.Identity())
    return net


def last_layer(net: nn.Module, other: nn.Module) -> str | None:
    """Name of the one layer whose size is the number of classes.

    Args:
        net: a network.
        other: the same for another number of classes.

    Returns:
        None if none depends on it, or more than one.
    """
    shapes = {key: value.shape for key, value in net.state_dict().items()}
    found = {key.rpartition(".")[0] for key, value in other.state_dict().items() if shapes.get(key) != value.shape}
    return next(iter(found)) if len(found) == 1 else None


BATCH = 2
MULTIPLES = (8, 14, 16, 28, 32)
USUAL = (32, 48, 64, 96, 112, 128, 160, 192, 224, 240, 256, 288, 299, 320, 384, 448, 512)
MOST_TRIALS = 12
MOST_CHEAP = 1 << 20
"""Pixels of an image (or all frames) that exuno's networks are tried on for real."""


class Misfit(Exception):
    """Why a network does not take what it is given."""


def check_fits(card: ModelCard, net: nn.Module | None = None) -> None:
    """Raises ExunoError if the network of a card cannot take images of its size, or answers otherwise than by one
    row of logits for each.

    Args:
        card: of the network.
        net: the network, for one of exuno's own, once it is built; without it, it is only told whether it can be.
    """
    options = tuple(sorted((key, repr(value)) for key, value in card.options.items()))
    shape = (card.arch, card.classes, card.in_chans, card.input_size, card.frames, options)
    if shape in _fitting:
        return
    try:
        _try(card, net)
    except Misfit as error:
        advice = _advice(card)
        if advice is None and not _is_cheap(card):  # not even its own size: perhaps a network that the device defeats
            with suppress(Misfit):
                _run(card, _unused(card), "cpu")
                _fitting.add(shape)
                return
        raise ExunoError(f"{card.arch} cannot take {_what(card)}: {error}", advice or NONE_WORKS) from error
    if net is not None or not _is_cheap(card):
        _fitting.add(shape)
        _tell_unseen(card)


_fitting: set[Any] = set()
"""What was found to fit in this process: a training of posters builds the same network many times."""
NONE_WORKS = "Take another network, such as timm:resnet18, which takes any size."


def _is_cheap(card: ModelCard) -> bool:
    """Whether the network is run for real."""
    height, width = card.input_size
    return (card.arch.startswith("exuno:") or is_own(card.arch)) and height * width * (card.frames or 1) <= MOST_CHEAP


def _try(card: ModelCard, net: nn.Module | None = None) -> None:
    """One batch through the network. Raises Misfit; ExunoError where the architecture itself is none."""
    height, width = card.input_size
    if min(height, width) < 1:
        raise Misfit("a side of less than a pixel")
    pixels = height * width * (card.frames or 1) * card.in_chans * 4
    if pixels > memory():
        raise Misfit(f"one alone needs {_bytes(pixels)}, and this machine has {_bytes(memory())}")
    if net is not None:
        _run(card, net, "cpu")
        return
    try:
        sketch = outline(card)
    except ExunoError:
        raise
    except Exception as error:  # each library, and each network in it, has its own
        raise Misfit(_reason(error)) from error
    sizes = [value.numel() for value in sketch.state_dict().values()]
    PARAMETERS.check(sum(sizes), card.arch)
    needed = max(sizes, default=0) * 4
    if needed > memory():
        raise Misfit(f"one of its layers has {_bytes(needed)}, and this machine has {_bytes(memory())}")
    if not _is_cheap(card):
        _run(card, sketch, "meta")


def _run(card: ModelCard, net: nn.Module, device: str) -> None:
    """Runs the network as in a test, and, where its weights are nobody's, as in training, where auxiliary outputs
    come. Raises Misfit."""
    training = net.training
    try:
        _check_answer(_answer(net.eval(), card, device), card)
        if device == "meta":
            _check_answer(_answer(net.train(), card, device), card)
    except (ExunoError, Misfit):
        raise
    except Exception as error:
        raise Misfit(_reason(error)) from error
    finally:
        net.train(training)


def _unused(card: ModelCard) -> nn.Module:
    """The network itself, to be thrown away; the generator stays where it is."""
    with torch.random.fork_rng(devices=[]):
        return built(card)


def _answer(net: nn.Module, card: ModelCard, device: str) -> Any:
    """What it says of black images. Raises Misfit if one activation of one of them is larger than the memory."""

    def watch(_: nn.Module, __: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.numel() * 4 // BATCH > memory():
            size = _bytes(output.numel() * 4 // BATCH)
            raise Misfit(f"one alone needs {size} in one of its layers, and this machine has {_bytes(memory())}")

    hooks = [] if device == "cpu" else [module.register_forward_hook(watch) for module in net.modules()]
    frames = (card.frames,) if card.frames else ()
    with torch.no_grad():
        answer = net(torch.zeros(BATCH, card.in_chans, *frames, *card.input_size, device=device))
    for hook in hooks:
        hook.remove()
    return answer


def _check_answer(answer: Any, card: ModelCard) -> None:
    if not isinstance(answer, Tensor):
        raise ExunoError(
            f"{card.arch} answers with a {type(answer).__name__}, not with one tensor of logits",
            "Take a classification network without auxiliary outputs.",
        )
    wanted = (BATCH, card.classes) if card.classes else (BATCH, answer.shape[-1])
    if tuple(answer.shape) != wanted:
        there = "x".join(map(str, answer.shape[1:])) or "no"
        raise ExunoError(
            f"{card.arch} answers an image with {there} numbers in the place of {card.classes or 'a row of'} "
            f"{'logits' if card.classes else 'features'}",
            "Take a classification network.",
        )


def _reason(error: Exception) -> str:
    """The first line of a library's words."""
    text = (str(error).strip().splitlines() or [""])[0].partition(" (Could this error")[0].rstrip(".!")
    return (text if len(text) <= 160 else text[:157] + "…") or type(error).__name__


def _what(card: ModelCard) -> str:
    height, width = card.input_size
    if card.hearing:
        return f"spectrograms of {height} mel bands and {width} columns"
    return f"{'clips' if card.frames else 'images'} of {width}x{height} pixels"


def _advice(card: ModelCard) -> str | None:
    """What to do: a size that works; None if none is found."""
    if card.hearing:
        return _advice_on_hearing(card, card.hearing)
    size = next(
        (size for size in _candidates(max(card.input_size), _own_side(card)) if works(card, (size, size))), None
    )
    return None if size is None else f"It takes {size}x{size}: --size {size} (in Python input_size=({size}, {size}))."


def _candidates(side: int, own: int | None) -> list[int]:
    """Sides to try: from the wanted one upwards, then downwards."""
    near = {-(-side // step) * step for step in MULTIPLES} | {side // step * step for step in MULTIPLES}
    every = sorted({*USUAL, *near, *([own] if own else [])} - {0, side})
    upwards = [each for each in every if each > side][:MOST_TRIALS]
    return [*upwards, *([own] if own and own > side else []), *[each for each in every if each < side][::-1]]


def _own_side(card: ModelCard) -> int | None:
    """The side of the images that the published weights take."""
    from exuno.models.foreign import resized

    try:
        return max(resized(replace(card, options={}), None).input_size) if ":" in card.arch else None
    except ExunoError:
        return None


def works(card: ModelCard, size: tuple[int, int]) -> bool:
    """Whether the network of a card takes another size."""
    from exuno.models.foreign import resized

    other = resized(card, size)
    try:
        _try(other)
        if _is_cheap(other):
            _try(other, _unused(other))
    except (Misfit, ExunoError):
        return False
    return True


def _advice_on_hearing(card: ModelCard, hearing: Hearing) -> str | None:
    """Bands, and if need be seconds, with which the network of a card works; None if none is found."""
    own = _own_side(card)
    hop = max(1, round(hearing.sound.hop * hearing.rate))
    for mels in dict.fromkeys((*((own,) if own else ()), 64, 128, 224)):
        for columns in (card.input_size[1], mels):
            length = hearing.length if columns == card.input_size[1] else (columns - 1) * hop
            seconds = float(f"{length / hearing.rate:.6g}")
            heard = replace(hearing, length=round(seconds * hearing.rate), sound=replace(hearing.sound, mels=mels))
            if works(replace(card, hearing=None), heard.input_size):
                more = f" --mel.seconds {seconds:g}" if length != hearing.length else ""
                return f"It takes {mels} bands and {heard.input_size[1]} columns: --mel.mels {mels}{more}."
    return None


def _tell_unseen(card: ModelCard) -> None:
    """Tells of pixels that a network with patches never looks at."""
    if not card.options or card.hearing or card.arch.startswith("exuno:"):
        return
    embed: Any = getattr(outline(card), "patch_embed", None)
    patch = getattr(embed, "patch_size", None)
    patch = patch[0] if isinstance(patch, tuple | list) and patch else patch
    if not isinstance(patch, int) or patch < 2 or getattr(embed, "dynamic_img_pad", False):
        return
    rest = max(side % patch for side in card.input_size)
    if rest and card.input_size[0] // patch == getattr(embed, "grid_size", (0, 0))[0]:
        side = max(card.input_size)
        tell(
            f"{card.arch} cuts images of {side} pixels into patches of {patch} and leaves out the last {rest}: "
            f"--size {side - rest} or {side - rest + patch} uses all"
        )


def _bytes(count: int) -> str:
    return f"{count / 2**30:,.0f} GiB" if count >= 2**30 else f"{count / 2**20:,.0f} MiB"

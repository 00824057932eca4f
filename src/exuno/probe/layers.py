"""The layers of a network, and the pooling of their activations to about as many numbers each."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_max_pool2d, max_pool2d

from exuno.engine.errors import ExunoError
from exuno.models.classifier import Classifier, fuse_batchnorm

ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.GELU, nn.SiLU, nn.Hardswish, nn.ELU, nn.Tanh)
MOST = 8
"""Activations beyond which the blocks of a network are its layers."""


@dataclass(frozen=True)
class Pooling:
    """Max pooling with stride = kernel, or, without a kernel, adaptive to ``side``."""

    side: tuple[int, int]
    kernel: int | None
    padding: int = 0

    def __call__(self, maps: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, h, w]"""
        if self.kernel is None:
            return adaptive_max_pool2d(maps, self.side)
        return max_pool2d(maps, self.kernel, self.kernel, self.padding)


@dataclass(frozen=True)
class Layer:
    """A module of a network that is probed."""

    name: str
    """Of the module."""
    channels: int
    pooling: Pooling

    @property
    def numbers(self) -> int:
        """Of its pooled activations."""
        return self.channels * self.pooling.side[0] * self.pooling.side[1]


def pooling_of(channels: int, height: int, width: int, numbers: int) -> Pooling:
    """The pooling of maps [C, H, W] to at most about ``numbers``: the smallest kernel, with the smallest padding, that
    leaves a square of side floor(sqrt(numbers / C)). For the five convolutions of AlexNet and 9,600 numbers these are
    the kernels 6, 4, 3, 3, 2 and paddings 3, 0, 1, 1, 0 of Zhang, Isola and Efros (CVPR 2017) and
    yukimasano/linear-probes.
    """
    side = max(1, int((numbers / channels) ** 0.5))
    if height == width and height > side:
        for kernel in range(2, height + 1):
            for padding in range(kernel // 2 + 1):
                if (height + 2 * padding - kernel) // kernel + 1 == side:
                    return Pooling((side, side), kernel, padding)
    if 1 in (height, width):  # tokens, or single vectors
        longest = max(1, min(max(height, width), numbers // channels))
        return Pooling((min(height, longest), min(width, longest)), None)
    return Pooling((min(height, side), min(width, side)), None)


def as_maps(output: object) -> Tensor | None:
    """The output of a module as maps [B, C, H, W]: tokens [B, N, D] are [B, D, N, 1]; None for anything else."""
    if not isinstance(output, Tensor) or output.ndim not in (3, 4):
        return None
    return output if output.ndim == 4 else output.transpose(1, 2).unsqueeze(3)


def layers_of(model: Classifier, size: tuple[int, int], numbers: int, names: Sequence[str] = ()) -> list[Layer]:
    """The layers that are probed, in the order in which they work.

    Args:
        model: the network.
        size: (H, W) of the images.
        numbers: see :func:`pooling_of`.
        names: of modules; without any, the activations behind convolutions, or, where these are more than eight, the
            blocks: what the network is made of, lists of blocks opened.

    Raises:
        ExunoError: a module that there is not, or that gives no maps; a network without any.
    """
    modules = dict(model.net.named_modules())
    if missing := [name for name in names if name not in modules]:
        raise ExunoError(
            f"{model.card.arch} has no module '{missing[0]}'", f"It has {', '.join(list(modules)[1:12])}, …"
        )
    shapes: dict[str, tuple[int, int, int]] = {}

    def note(name: str, output: object) -> None:
        maps = as_maps(output)
        if maps is not None:
            shapes[name] = (maps.shape[1], maps.shape[2], maps.shape[3])

    handles = [
        module.register_forward_hook(lambda _, __, output, name=name: note(name, output))
        for name, module in modules.items()
        if name
    ]
    training = model.training
    try:
        with torch.inference_mode():
            model.eval()(torch.zeros(1, model.card.in_chans, *size, device=model.mean.device))
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    chosen = list(names)
    if not chosen:
        chosen = [name for name in shapes if isinstance(modules[name], ACTIVATIONS)]
        if not 1 <= len(chosen) <= MOST:
            chosen = [name for name in shapes if _is_block(name, modules)]
    if bare := [name for name in chosen if name not in shapes]:
        raise ExunoError(f"module '{bare[0]}' of {model.card.arch} gives no maps of activations", "Name another.")
    if not chosen:
        raise ExunoError(f"{model.card.arch} has no layers that could be told by themselves", "Name --layers.")
    return [Layer(name, shapes[name][0], pooling_of(*shapes[name], numbers)) for name in chosen]


def _is_block(name: str, modules: dict[str, nn.Module]) -> bool:
    """Whether a module is a child of the network, or of a list of blocks in it, and has weights of its own."""
    parent, _, _ = name.rpartition(".")
    listed = (nn.Sequential, nn.ModuleList)
    if parent and ("." in parent or not isinstance(modules[parent], listed)):
        return False
    if not parent and isinstance(modules[name], listed):
        return False
    return any(weight.ndim > 1 for weight in modules[name].parameters())


@torch.no_grad()
def absorbed(model: Classifier, layers: Sequence[Layer]) -> Classifier:
    """A copy of the network with its batch norms inside the convolutions before them, as the published probes have it;
    the network itself where its layers would not be the same any more.

    Args:
        model: ready to answer.
        layers: that are probed.
    """
    drawn = torch.Generator().manual_seed(0)
    images = torch.rand(2, model.card.in_chans, *model.card.input_size, generator=drawn).to(model.mean.device)
    with suppress(Exception):  # whatever tracing stumbles over, and layers that are gone
        found = fuse_batchnorm(model)
        pairs = zip(activations(found, layers, images), activations(model, layers, images), strict=True)
        if all((one - other).abs().max() <= 1e-3 * other.abs().max() for one, other in pairs):
            return found
    return model


class _Seen(Exception):
    """The last layer that is asked for has answered."""


@torch.no_grad()
def activations(model: Classifier, layers: Sequence[Layer], images: Tensor) -> list[Tensor]:
    """The pooled activations of each layer, [B, C, h, w], of images [B, C, H, W] in [0, 1]: one pass, which ends at the
    last of them.

    Args:
        model: the network, in the mode in which it is to answer.
        layers: in the order in which they work, see :func:`layers_of`.
        images: see above.
    """
    found: dict[str, Tensor] = {}

    def keep(layer: Layer, output: object) -> None:
        maps = as_maps(output)
        assert maps is not None
        found[layer.name] = layer.pooling(maps)
        if len(found) == len(layers):
            raise _Seen

    modules = dict(model.net.named_modules())
    handles = [
        modules[layer.name].register_forward_hook(lambda _, __, output, layer=layer: keep(layer, output))
        for layer in layers
    ]
    try:
        with suppress(_Seen):
            model(images)
    finally:
        for handle in handles:
            handle.remove()
    return [found[layer.name] for layer in layers]

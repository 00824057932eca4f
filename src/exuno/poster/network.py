"""Networks with fresh weights, and as functions of their parameters."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call

from exuno.engine.errors import ExunoError
from exuno.models.zoo.convnet import ConvNet, HalvingPool
from exuno.poster.block import norm_relu_pool

Function = Callable[[Sequence[Tensor], Tensor], Tensor]
"""(parameters, images [B, C, h, w]) -> logits [B, classes]."""


def as_function(net: nn.Module) -> tuple[list[Tensor], Function]:
    """The trainable parameters of a network, and the network as a function of them.

    A ConvNet with instance normalisation takes the block that is cheap to differentiate twice. Its convolutions lose
    their bias: the normalisation removes it, so that its gradient is rounding noise, which Adam would blow up.
    """
    if isinstance(net, ConvNet) and _is_plain(net):
        parameters = [p for block in net.blocks for p in (block[0].weight, block[1].weight, block[1].bias)]  # pyright: ignore
        return [p.detach() for p in (*parameters, net.linear.weight, net.linear.bias)], _convnet
    named = {name: p.detach() for name, p in net.named_parameters() if p.requires_grad}
    names = tuple(named)

    def call(parameters: Sequence[Tensor], images: Tensor) -> Tensor:
        return functional_call(net, dict(zip(names, parameters, strict=True)), (images,))

    return list(named.values()), call


def is_pure(function: Function) -> bool:
    """Whether a network of :func:`as_function` depends on its parameters alone, and is one function for all of them."""
    return function is _convnet


def _is_plain(net: ConvNet) -> bool:
    """Whether every block is convolution, instance normalisation, ReLU, average pooling."""
    kinds = (nn.Conv2d, nn.GroupNorm, nn.ReLU, HalvingPool)
    return all(
        tuple(map(type, block)) == kinds and block[1].num_groups == block[1].num_channels  # pyright: ignore
        for block in net.blocks
    )


def _convnet(parameters: Sequence[Tensor], images: Tensor) -> Tensor:
    *blocks, weight, bias = parameters
    x = images
    for i in range(0, len(blocks), 3):
        x = norm_relu_pool(nn.functional.conv2d(x, blocks[i], padding=1), blocks[i + 1], blocks[i + 2])
    return nn.functional.linear(x.flatten(1), weight, bias)


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Within it, torch's generators start from ``seed``; after it, they are as they were before."""
    cuda = [device] if device is not None and device.type == "cuda" else []
    with torch.random.fork_rng(cuda):
        torch.default_generator.manual_seed(seed)
        if cuda:
            with torch.cuda.device(cuda[0]):
                torch.cuda.manual_seed(seed)
        yield


def fresh_network(spec: str, classes: int, channels: int, image: tuple[int, int], seed: int) -> nn.Module:
    """A network with random weights for images of the distilled space; the generators of torch stay as they are.

    Args:
        spec: exuno:NAME, timm:NAME or torchvision:NAME.
        classes: number of logits.
        channels: of the images; a network that takes only RGB gets gray ones three times.
        image: (h, w) of the images.
        seed: the weights are a function of it.

    Returns:
        The network on the CPU: images [B, C, h, w], normalised as they are -> logits [B, K].

    Raises:
        ExunoError: a spec of trained weights, or one that does not fit.
    """
    from exuno.models.load import load_model

    if spec.partition(":")[0] not in ("exuno", "timm", "torchvision"):
        raise ExunoError(
            f"'{spec}' names no network with random weights",
            "A poster trains from scratch: give exuno:NAME, timm:NAME or torchvision:NAME.",
        )
    with seeded(seed):
        model = load_model(spec, classes=classes, in_chans=channels, input_size=image, pretrained=False)
    net = model.net.to(memory_format=torch.contiguous_format)  # faster for small patches, equal for large ones
    if model.card.in_chans == channels:
        return net
    if channels == 1:
        return nn.Sequential(Repeat(model.card.in_chans), net)
    raise ExunoError(f"{spec} takes {model.card.in_chans} channels, not {channels}", "Take another network.")


class Repeat(nn.Module):
    """One channel -> ``channels`` equal ones."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        return x.expand(-1, self.channels, -1, -1)

"""A network as a function of its parameters, which the inner loop updates without touching the module."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn
from torch.func import functional_call

from exuno.models.convnet import ConvNet
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
    kinds = (nn.Conv2d, nn.GroupNorm, nn.ReLU, nn.AvgPool2d)
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

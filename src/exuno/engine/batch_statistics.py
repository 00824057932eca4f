"""Batch normalisation whose statistics are those of the whole batch where several processes share it.

torch's SyncBatchNorm computes the same on CUDA alone; this is plain tensor arithmetic, so that it is the same on a
processor, and several processes train to the weights of one.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from exuno.engine.errors import ExunoError

PLAIN = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class _Sum(torch.autograd.Function):
    """The sum over all processes of a tensor that each of them has. So is its gradient: what one process has is in the
    losses of all."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)
        return total


def _over_all(x: Tensor) -> Tensor:
    summed: Any = _Sum.apply(x)
    return summed


class SharedStatistics(_BatchNorm):
    """In a training, mean and variance are those of all processes' samples (Ioffe and Szegedy, ICML 2015, over the
    batch as a whole); all of them must take the step. In a test as ever."""

    def forward(self, input: Tensor) -> Tensor:
        """[N, C, …] -> [N, C, …]; computed in float32."""
        if not self.training:
            return super().forward(input)
        x = input.float()
        axes = [axis for axis in range(x.ndim) if axis != 1]
        shape = [1, -1, *[1] * (x.ndim - 2)]
        here = x.new_full((1,), x.numel() / x.shape[1])
        *sums, n = _over_all(torch.cat([x.sum(axes), here])).split([x.shape[1], 1])
        mean = sums[0] / n
        centred = x - mean.view(shape)
        variance = _over_all(centred.square().sum(axes)) / n  # in a second pass: squares less squares lose digits
        self._follow(mean.detach(), variance.detach() * (n / (n - 1)).detach())
        found = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            found = found * self.weight.float().view(shape) + self.bias.float().view(shape)
        return found.to(input.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        """Moves the running statistics; all processes do so alike."""
        if not self.track_running_stats or self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share: Any = self.momentum
        if share is None:  # stays on the device: a number would wait for it
            share = self.num_batches_tracked.reciprocal().to(self.running_mean.dtype)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_(variance.to(self.running_var.dtype), share)


def _and_act(self: Any, input: Tensor) -> Tensor:
    """Of timm's layers that normalise and activate."""
    return self.act(self.drop(SharedStatistics.forward(self, input)))


def share_statistics(module: nn.Module) -> int:
    """Has all batch normalisation within ``module`` take the statistics of all processes; weights, names and whoever
    holds a layer stay as they are, for each changes its class in place.

    Returns:
        The number of such layers.

    Raises:
        ExunoError: a layer of another library, of which it is not known what it does with the statistics.
    """
    layers = [each for each in module.modules() if isinstance(each, _BatchNorm)]
    for layer in layers:
        layer.__class__ = _shared(type(layer))
    return len(layers)


def _shared(kind: type[_BatchNorm]) -> type[_BatchNorm]:
    """The class of a layer, with the statistics of all processes: what stands between ``kind`` and _BatchNorm in the
    order of its bases."""
    if issubclass(kind, SharedStatistics | nn.SyncBatchNorm):
        return kind
    name = f"{kind.__module__}.{kind.__qualname__}"
    if kind in PLAIN or (issubclass(kind, PLAIN) and kind.__module__.startswith("exuno.")):
        content: dict[str, Any] = {}
    elif name == "timm.layers.norm_act.BatchNormAct2d":
        content = {"forward": _and_act}
    else:
        raise ExunoError(f"--sync-batchnorm does not know the layer {name}", "Leave it out, or take another network.")
    return type(f"Shared{kind.__name__}", (kind, SharedStatistics), content)

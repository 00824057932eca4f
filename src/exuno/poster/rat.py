"""RaT-BPTT: the loss on real images of a network trained on the poster, differentiated through the last steps of that
training, at a random moment of it (Feng, Vedantam and Kempe, arXiv 2311.07025, algorithm 1)."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from exuno.data import rng
from exuno.engine.errors import ExunoError
from exuno.poster.bench import Bench
from exuno.poster.inner import make_inner
from exuno.poster.network import as_function
from exuno.poster.unroll import Training, unroll

PIECE = 250  # real images at a time: memory for the outer loss is that of so many


def rat_bptt(bench: Bench, images: Tensor, labels: Tensor, real: Tensor, classes: Tensor, number: int) -> Tensor:
    """See :class:`exuno.poster.bench.Algorithm`."""
    return _Meta.apply(images, labels, bench, real, classes, number)  # pyright: ignore[reportReturnType]


class _Meta(Function):
    """The gradient is taken in the forward pass, so that no graph of the inner training outlives it."""

    @staticmethod
    def forward(
        ctx: Any, images: Tensor, labels: Tensor, bench: Bench, real: Tensor, classes: Tensor, number: int
    ) -> Tensor:
        options = bench.unroll
        sources = [images.detach().requires_grad_(), labels.detach().requires_grad_(ctx.needs_input_grad[1])]
        wanted = [source for source in sources if source.requires_grad]
        net = bench.fresh(number).train()
        parameters, network = as_function(net)

        def batch(step: int) -> tuple[Tensor, Tensor]:
            return bench.batch(sources[0], sources[1], number * options.total + step)

        def outer(trained: Sequence[Tensor]) -> Tensor:
            value = torch.zeros((), device=real.device, dtype=real.dtype)
            for x, y in zip(real.split(PIECE), classes.split(PIECE), strict=True):
                loss = F.cross_entropy(network(trained, x), y, reduction="sum") / len(real)
                loss.backward(inputs=list(trained))
                value += loss.detach()
            return value

        training = Training(network, [p.shape for p in parameters], make_inner(bench.inner), batch)
        before = warm_up(options.least, options.total - options.window, bench.seed, number)
        loss, found = unroll(training, parameters, before, options.window, outer, wanted, options.backend)
        ctx.save_for_backward(*found)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        by_images, *by_labels = (grad * found for found in ctx.saved_tensors)
        return by_images, (by_labels or [None])[0], None, None, None, None


def warm_up(least: int, most: int, seed: int, number: int) -> int:
    """Steps before the window, uniform on {least, …, most}."""
    if not 0 <= least <= most:
        raise ExunoError(f"--unroll.least {least} leaves no room before the window", f"Give 0 to {most}.")
    draw = rng.uniforms(seed, "poster/before", [number], 1)[0, 0]
    return least + int(draw * (most - least + 1))

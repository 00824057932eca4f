"""RaT-BPTT: the loss on real images of a network trained on the poster, differentiated through the last steps of that
training, at a random moment of it (Feng, Vedantam and Kempe, arXiv 2311.07025, algorithm 1)."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from exuno.data import rng
from exuno.engine.errors import ExunoError
from exuno.poster.context import InnerLoopContext, Pieces
from exuno.poster.network import as_function
from exuno.poster.options import algorithms
from exuno.poster.unroll import Training, precomputed_grad, unroll

PIECE = 250  # real images at a time on a processor, whose memory for the outer loss is that of so many


@algorithms.register("rat-bptt", window=True, inner=True)
def rat_bptt(
    context: InnerLoopContext, images: Tensor, labels: Tensor, real: Tensor, classes: Tensor, number: int
) -> Tensor:
    """See :class:`exuno.poster.context.Algorithm`."""
    options = context.unroll
    before = burn_in(options.least, options.total - options.window, context.seed, number)
    net = context.fresh(number).train()
    _, network = as_function(net)
    # Statistics of a batch are those of the whole batch.
    whole = any(isinstance(module, _BatchNorm) for module in net.modules())

    def loss_in(piece: int, trained: Sequence[Tensor]) -> Tensor:
        value = torch.zeros((), device=real.device, dtype=real.dtype)
        with context.noise(net, number, options.total):
            for x, y in zip(real.split(piece), classes.split(piece), strict=True):
                loss = F.cross_entropy(network(trained, x), y, reduction="sum") / len(real)
                loss.backward(inputs=list(trained))
                value += loss.detach()
        return value

    def outer(trained: Sequence[Tensor]) -> Tensor:
        return loss_in(len(real), trained) if whole else in_pieces(context.pieces, loss_in, trained, len(real))

    def work(images: Tensor, labels: Tensor, wanted: Sequence[Tensor]) -> tuple[Tensor, Sequence[Tensor]]:
        parameters, _, training = context.training(net, images, labels, number, number * options.total)
        start, window = before, options.window
        if options.adapt:
            norms = gradient_norms(training, parameters, options.total)
            window = adapted_window(norms, before, options.window, options.adapt)
            start = min(before, options.total - window)
        return unroll(training, parameters, start, window, outer, wanted, options.backend)

    return precomputed_grad(images, labels, work)


def gradient_norms(training: Training, parameters: Sequence[Tensor], steps: int) -> list[float]:
    """The norm of the inner gradient at each of the first ``steps`` steps of a training, which is taken for it."""
    state = training.optimizer.begin(torch.cat([p.detach().reshape(-1) for p in parameters]))
    norms = []
    for step in range(steps):
        gradient = training.gradient(state[0], step, False).flat()
        norms.append(gradient.norm())
        state = training.optimizer.step(state, gradient, training.optimizer.rate(step))
    return torch.stack(norms).tolist()


def adapted_window(norms: Sequence[float], start: int, window: int, adapt: int) -> int:
    """The length of a window by how much the inner gradient changes at its start, ``window - adapt`` to ``window +
    adapt``: W - d + floor(2 d r / T), where r is the number of the T steps at which the norm changes less (AT-BPTT: Li
    et al., arXiv 2510.04838, as the published code has it in the first of its three stages).

    There another network tells the norms; here it is the training itself that the window lies in. The start stays
    uniform, as in RaT-BPTT.

    Args:
        norms: of the inner gradient, one for each step.
        start: of the window.
        window: W.
        adapt: d.
    """
    changes = [0.0, *(abs(after - before) for before, after in pairwise(norms))]
    less = sum(change < changes[start] for change in changes)
    return window - adapt + 2 * adapt * less // len(changes)


def burn_in(least: int, most: int, seed: int, number: int) -> int:
    """Steps before the window, uniform on {least, …, most}."""
    if not 0 <= least <= most:
        raise ExunoError(f"--unroll.least {least} leaves no room before the window", f"Give 0 to {most}.")
    draw = rng.uniforms(seed, "poster/before", [number], 1)[0, 0]
    return least + int(draw * (most - least + 1))


def in_pieces(
    pieces: Pieces, loss: Callable[[int, Sequence[Tensor]], Tensor], trained: Sequence[Tensor], count: int
) -> Tensor:
    """The outer loss in pieces of the real images: on a GPU as large as its memory allows, which is found out once.

    Args:
        pieces: what is known of their size.
        loss: (size of a piece, parameters) -> the loss, detached; adds to the gradients of the parameters.
        trained: the parameters.
        count: real images.
    """
    size = pieces.size or (PIECE if trained[0].device.type == "cpu" else count)
    while True:
        try:
            value = loss(size, trained)
        except torch.OutOfMemoryError:
            if size == 1:
                raise
            size = (size + 1) // 2
            for parameter in trained:
                parameter.grad = None
        else:
            pieces.size = None if trained[0].device.type == "cpu" else size
            return value

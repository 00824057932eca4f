"""Gradient matching (Zhao, Mopuri and Bilen, "Dataset Condensation with Gradient Matching", ICLR 2021): at a random
moment of a training on the poster, its patches are to ask for the same change of weights as real images do."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from exuno.poster.algorithms.rat_bptt import burn_in
from exuno.poster.context import InnerLoopContext
from exuno.poster.network import Function
from exuno.poster.options import algorithms
from exuno.poster.unroll import precomputed_grad


@algorithms.register("gm", inner=True)
def gradient_matching(
    context: InnerLoopContext, images: Tensor, labels: Tensor, real: Tensor, classes: Tensor, number: int
) -> Tensor:
    """See :class:`exuno.poster.context.Algorithm`; equation 9 of the paper, summed over the classes of the real batch.

    The loss of a patch is split into its classes, sum over c of y_c (-log p_c), and the part of class c is matched with
    the real images of c, so that hard labels give the paper's classes.
    """
    options = context.unroll
    before = burn_in(options.least, options.total, context.seed, number)
    net = context.fresh(number).train()
    first = number * (options.total + 1)

    def work(images: Tensor, labels: Tensor, wanted: Sequence[Tensor]) -> tuple[Tensor, Sequence[Tensor]]:
        parameters, network, training = context.training(net, images, labels, number, first)
        start = training.optimizer.begin(torch.cat([p.reshape(-1) for p in parameters]))
        weights = training.leaves(training.walk(start, range(before))[0])
        with torch.enable_grad():
            patches, soft = context.batch(images, labels, first + options.total)
            told = F.log_softmax(network(weights, patches), 1)
            return match(network, weights, told, soft, real, classes, wanted)

    return precomputed_grad(images, labels, work)


def match(
    network: Function,
    weights: Sequence[Tensor],
    told: Tensor,
    soft: Tensor,
    real: Tensor,
    classes: Tensor,
    wanted: Sequence[Tensor],
) -> tuple[Tensor, list[Tensor]]:
    """The distance of the gradients, one class after the other so that one graph is held at a time.

    Args:
        network: logits as a function of the weights.
        weights: leaves.
        told: its log probabilities for the patches, [B, K], with a graph.
        soft: labels of the patches [B, K].
        real: images [N, C, h, w].
        classes: their labels, int64 [N].
        wanted: what to differentiate by.

    Returns:
        The sum over classes, detached, and its gradients.
    """
    loss, totals = told.new_zeros(()), [torch.zeros_like(source) for source in wanted]
    real, classes = real[order := classes.argsort(stable=True)], classes[order]
    # All that the host has to know of the batch, in one read.
    each = (classes[:, None] == torch.arange(soft.shape[1], device=classes.device)).sum(0)
    counts, shown = torch.stack([each, soft.sum(0) > 0]).tolist()
    parts = zip(counts, shown, real.split(counts), classes.split(counts), strict=True)
    for label, (count, there, images, its) in enumerate(parts):
        if not (count and there):
            continue
        share = soft[:, label]
        goal = F.cross_entropy(network(weights, images), its)
        target = torch.autograd.grad(goal, weights, materialize_grads=True)
        part = -(share * told[:, label]).sum() / share.sum()
        found = torch.autograd.grad(part, weights, create_graph=True, materialize_grads=True)
        piece = distance(found, target)
        loss += piece.detach()
        grads = torch.autograd.grad(piece, wanted, retain_graph=True, materialize_grads=True) if wanted else ()
        for total, grad in zip(totals, grads, strict=True):
            total += grad
    return loss, totals


def distance(found: Sequence[Tensor], target: Sequence[Tensor]) -> Tensor:
    """Sum over layers and their outputs of 1 - cosine (equation 10); vectors of one number an output are left out."""
    total = found[0].new_zeros(())
    for a, b in zip(found, target, strict=True):
        if a.ndim > 1:
            total = total + (1 - F.cosine_similarity(a.flatten(1), b.flatten(1), dim=1, eps=1e-6)).sum()
    return total

"""Gradient matching (Zhao, Mopuri and Bilen, "Dataset Condensation with Gradient Matching", ICLR 2021): at a random
moment of a training on the poster, its patches are to ask for the same change of weights as real images do."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from exuno.poster.bench import Bench
from exuno.poster.inner import make_inner
from exuno.poster.network import as_function
from exuno.poster.rat import warm_up
from exuno.poster.unroll import Training


def gradient_matching(
    bench: Bench, images: Tensor, labels: Tensor, real: Tensor, classes: Tensor, number: int
) -> Tensor:
    """See :class:`exuno.poster.bench.Algorithm`; equation 9 of the paper, summed over the classes of the real batch.

    The loss of a patch is split into its classes, sum over c of y_c (-log p_c), and the part of class c is matched with
    the real images of c, so that hard labels give the paper's classes.
    """
    options = bench.unroll
    parameters, network = as_function(bench.fresh(number).train())

    def batch(step: int) -> tuple[Tensor, Tensor]:
        return bench.batch(images.detach(), labels.detach(), number * (options.total + 1) + step)

    training = Training(network, [p.shape for p in parameters], make_inner(bench.inner), batch)
    start = training.optimizer.begin(torch.cat([p.reshape(-1) for p in parameters]))
    before = warm_up(options.least, options.total, bench.seed, number)
    weights = training.leaves(training.walk(start, range(before))[0])
    patches, soft = bench.batch(images, labels, number * (options.total + 1) + options.total)
    told = F.log_softmax(network(weights, patches), 1)
    loss = torch.zeros((), device=images.device)
    for label in classes.unique().tolist():
        share = soft[:, label]
        if share.sum() <= 0:
            continue
        its = classes == label
        wanted = F.cross_entropy(network(weights, real[its]), classes[its])
        target = torch.autograd.grad(wanted, weights, materialize_grads=True)
        part = -(share * told[:, label]).sum() / share.sum()
        found = torch.autograd.grad(part, weights, create_graph=True, materialize_grads=True)
        loss = loss + distance(found, target)
    return loss


def distance(found: Sequence[Tensor], target: Sequence[Tensor]) -> Tensor:
    """Sum over layers and their outputs of 1 - cosine (equation 10); vectors of one number an output are left out."""
    total = found[0].new_zeros(())
    for a, b in zip(found, target, strict=True):
        if a.ndim > 1:
            total = total + (1 - F.cosine_similarity(a.flatten(1), b.flatten(1), dim=1, eps=1e-6)).sum()
    return total

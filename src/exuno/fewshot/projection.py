"""The projection head of DINO and iBOT: tokens -> outputs that student and teacher compare."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exuno.fewshot.options import Head, Mode


class Prototypes(nn.Module):
    """Last layer: one direction for each output, with a length of its own (weight normalisation, Salimans and Kingma,
    2016).

    Args:
        width: of the input.
        outputs: number of outputs.
        unit_norm: keep the length 1.
        init: ``paper`` or ``reference``, see :class:`Head`.
    """

    def __init__(self, width: int, outputs: int, unit_norm: bool, init: Mode = "paper") -> None:
        super().__init__()
        self.direction = nn.Parameter(torch.empty(outputs, width))
        if init == "reference":
            nn.init.uniform_(self.direction, -(width**-0.5), width**-0.5)
        else:
            nn.init.trunc_normal_(self.direction, std=0.02)
        self.length = nn.Parameter(torch.ones(outputs, 1), requires_grad=not unit_norm)

    def forward(self, x: Tensor) -> Tensor:
        """[..., width] -> [..., outputs]."""
        return F.linear(x, self.length * F.normalize(self.direction, dim=1))


class TokenNorm(nn.BatchNorm1d):
    """Batch normalisation over the tokens at hand, [..., width], also in a test: [CLS] and patch tokens come apart, and
    no running mean would fit both."""

    def __init__(self, width: int) -> None:
        super().__init__(width, track_running_stats=False)

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.flatten(0, -2)).view_as(input)


class Projection(nn.Module):
    """Perceptron, L2 norm, prototypes; [CLS] and patch tokens share all but perhaps the last layer.

    Args:
        width: of a token.
        options: see :class:`Head`.
    """

    def __init__(self, width: int, options: Head) -> None:
        super().__init__()
        sides = [width, *[options.hidden] * (options.layers - 1), options.bottleneck]
        layers: list[nn.Module] = []
        for number, (before, after) in enumerate(pairwise(sides), 1):
            linear = nn.Linear(before, after)
            nn.init.trunc_normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)
            layers.append(linear)
            if number < options.layers:
                layers += [TokenNorm(after), nn.GELU()] if options.norm == "batch" else [nn.GELU()]
        self.perceptron = nn.Sequential(*layers)
        self.last = Prototypes(options.bottleneck, options.outputs, options.unit_norm, options.init)
        self.last_patch = None
        if not options.shared:
            self.last_patch = Prototypes(options.bottleneck, options.patch_outputs, options.unit_norm, options.init)

    @property
    def outputs(self) -> tuple[int, int]:
        """Outputs of a [CLS] and of a patch token."""
        return len(self.last.length), len((self.last_patch or self.last).length)

    def bottleneck(self, tokens: Tensor) -> Tensor:
        """[..., width] -> unit vectors [..., bottleneck]."""
        return F.normalize(self.perceptron(tokens), dim=-1)

    def forward(self, tokens: Tensor) -> Tensor:
        """[CLS] tokens [..., width] -> outputs [..., K]."""
        return self.last(self.bottleneck(tokens))

    def patches(self, tokens: Tensor) -> Tensor:
        """Patch tokens [..., width] -> outputs [..., K]."""
        return (self.last_patch or self.last)(self.bottleneck(tokens))

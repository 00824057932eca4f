"""X3D (Feichtenhofer, CVPR 2020, arXiv 2004.04730), parameters named as in pytorchvideo, so that its published
checkpoints load as they are.

The plan and its numbers are those of pytorchvideo's ``create_x3d``, from which the single-image code of Asano and Saeed
(arXiv 2112.00725) takes teacher and student; the student is "expanded" by a width factor of 5 and a depth factor of 3.
"""

import math
import re

import torch
from torch import Tensor, nn

from exuno.engine.errors import ExunoError
from exuno.models.registry import networks

CLIPS = {"xs": (4, 160), "s": (13, 160), "m": (16, 224)}
"""Size -> frames and side of the clips that it was published for."""
WIDTH, DEPTH = 2.0, 2.2
"""Factors of all three published sizes, which differ in their clips only."""
STEM, DEPTHS, INNER, SQUEEZE, HEAD = 12, (1, 2, 5, 3), 2.25, 0.0625, 2048


def round_width(width: float, factor: float, divisor: int = 8) -> int:
    """``width * factor`` as a multiple of 8, at least 8 and at least 0.9 of what was asked for."""
    width *= factor
    rounded = max(divisor, int(width + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * width else rounded


def stage_widths() -> list[int]:
    """Widths of the four stages before the width factor."""
    widths = [STEM]
    while len(widths) < len(DEPTHS):
        widths.append(round_width(widths[-1], 2.0))
    return widths


class X3D(nn.Module):
    """A network for clips: [B, in_chans, T, H, W] -> logits [B, classes].

    Args:
        classes: number of logits.
        in_chans: channels of the input.
        frames: T of the clips that it is made for; the last pooling spans them.
        size: (H, W) of the frames, of which the last pooling spans a 32nd. A larger input gives the mean of the logits
            over all places of that pooling, as published; a smaller one is pooled whole.
        width_factor: multiplies the channels.
        depth_factor: multiplies the blocks of each stage.
        dropout: before the last layer (published: 0.5 in training, 0 for distilled students).
    """

    def __init__(
        self,
        classes: int,
        in_chans: int,
        frames: int,
        size: tuple[int, int],
        width_factor: float = WIDTH,
        depth_factor: float = DEPTH,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        wide = round_width(STEM, width_factor)
        blocks: list[nn.Module] = [_Stem(in_chans, wide)]
        inner = 0
        for base, depth in zip(stage_widths(), DEPTHS, strict=True):
            out = round_width(base, width_factor)
            inner = int(INNER * out)
            blocks.append(_Stage(math.ceil(depth_factor * depth), wide, inner, out))
            wide = out
        pool = (frames, *(math.ceil(side / 32) for side in size))
        head = _Head(wide, inner, classes, pool, dropout)
        self.blocks = nn.ModuleList([*blocks, head])
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.normal_(head.proj.weight, std=0.01)
        nn.init.zeros_(head.proj.bias)

    def forward(self, clips: Tensor) -> Tensor:
        for block in self.blocks:
            clips = block(clips)
        return clips


class _Convolutions(nn.Module):
    """The stem's two convolutions. Their names are exchanged, as in every published checkpoint: ``conv_t`` is the one
    over rows and columns."""

    def __init__(self, in_chans: int, wide: int) -> None:
        super().__init__()
        self.conv_t = nn.Conv3d(in_chans, wide, (1, 3, 3), (1, 2, 2), (0, 1, 1), bias=False)
        self.conv_xy = nn.Conv3d(wide, wide, (5, 1, 1), 1, (2, 0, 0), groups=wide, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_xy(self.conv_t(x))


class _Stem(nn.Module):
    def __init__(self, in_chans: int, wide: int) -> None:
        super().__init__()
        self.conv, self.norm = _Convolutions(in_chans, wide), nn.BatchNorm3d(wide)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x)).relu()


class _SqueezeExcitation(nn.Module):
    """Scales each channel by what the means of all channels say (Hu, Shen and Sun, CVPR 2018)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        few = round_width(channels, SQUEEZE)
        self.block = nn.Sequential(nn.Conv3d(channels, few, 1), nn.ReLU(), nn.Conv3d(few, channels, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return x * self.block(x.mean((2, 3, 4), keepdim=True))


class _Bottleneck(nn.Module):
    def __init__(self, into: int, inner: int, out: int, stride: int, squeeze: bool) -> None:
        super().__init__()
        self.conv_a, self.norm_a = nn.Conv3d(into, inner, 1, bias=False), nn.BatchNorm3d(inner)
        self.conv_b = nn.Conv3d(inner, inner, 3, (1, stride, stride), 1, groups=inner, bias=False)
        self.norm_b = nn.Sequential(nn.BatchNorm3d(inner), _SqueezeExcitation(inner) if squeeze else nn.Identity())
        self.conv_c, self.norm_c = nn.Conv3d(inner, out, 1, bias=False), nn.BatchNorm3d(out)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm_a(self.conv_a(x)).relu()
        x = nn.functional.silu(self.norm_b(self.conv_b(x)))
        return self.norm_c(self.conv_c(x))


class _Block(nn.Module):
    """The shortcut has a convolution where shapes change, and a normalisation only where the channels do."""

    def __init__(self, into: int, inner: int, out: int, stride: int, squeeze: bool) -> None:
        super().__init__()
        changes = into != out or stride > 1
        self.branch1_conv = nn.Conv3d(into, out, 1, (1, stride, stride), bias=False) if changes else None
        self.branch1_norm = nn.BatchNorm3d(out) if into != out else None
        self.branch2 = _Bottleneck(into, inner, out, stride, squeeze)

    def forward(self, x: Tensor) -> Tensor:
        short = x if self.branch1_conv is None else self.branch1_conv(x)
        short = short if self.branch1_norm is None else self.branch1_norm(short)
        return (short + self.branch2(x)).relu()


class _Stage(nn.Module):
    """Every other block, from the first on, has a squeeze and excitation; the first halves rows and columns."""

    def __init__(self, depth: int, into: int, inner: int, out: int) -> None:
        super().__init__()
        self.res_blocks = nn.ModuleList(
            _Block(out if number else into, inner, out, 1 if number else 2, squeeze=number % 2 == 0)
            for number in range(depth)
        )

    def forward(self, x: Tensor) -> Tensor:
        for block in self.res_blocks:
            x = block(x)
        return x


class _Pool(nn.Module):
    """A pooling between two projections."""

    def __init__(self, into: int, inner: int, window: tuple[int, ...]) -> None:
        super().__init__()
        self.window = window
        self.pre_conv, self.pre_norm = nn.Conv3d(into, inner, 1, bias=False), nn.BatchNorm3d(inner)
        self.post_conv = nn.Conv3d(inner, HEAD, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pre_norm(self.pre_conv(x)).relu()
        window = [min(side, have) for side, have in zip(self.window, x.shape[2:], strict=True)]
        return self.post_conv(nn.functional.avg_pool3d(x, window, stride=1)).relu()


class _Head(nn.Module):
    def __init__(self, into: int, inner: int, classes: int, window: tuple[int, ...], dropout: float) -> None:
        super().__init__()
        self.pool, self.dropout, self.proj = _Pool(into, inner, window), nn.Dropout(dropout), nn.Linear(HEAD, classes)

    def forward(self, x: Tensor) -> Tensor:
        places = self.dropout(self.pool(x)).flatten(2).transpose(1, 2)  # [B, places, features]
        return self.proj(places).mean(1)


def factors_of(state: dict[str, torch.Tensor]) -> tuple[float, float] | None:
    """Width and depth factor of a state dict in these names; None where it is no X3D, or no factors give its shape.

    Several factors round to the same network; the published ones are preferred, then whole and half numbers.
    """
    stem = state.get("blocks.0.conv.conv_t.weight")
    if stem is None or "blocks.5.proj.weight" not in state:
        return None
    widths = [state[key].shape[0] for stage in range(1, 5) if (key := _last_norm(stage)) in state]
    depths = [_depth(state, stage) for stage in range(1, 5)]
    tried = [*(number / 2 for number in range(1, 21)), *(number / 10 for number in range(2, 101))]
    width = next((w for w in (WIDTH, 5.0, *tried) if [round_width(b, w) for b in stage_widths()] == widths), None)
    depth = next((d for d in (DEPTH, 3.0, *tried) if [math.ceil(d * n) for n in DEPTHS] == depths), None)
    return None if width is None or depth is None or stem.shape[0] != round_width(STEM, width) else (width, depth)


def _last_norm(stage: int) -> str:
    return f"blocks.{stage}.res_blocks.0.branch2.norm_c.weight"


def _depth(state: dict[str, torch.Tensor], stage: int) -> int:
    start = f"blocks.{stage}.res_blocks."
    return len({key[len(start) :].split(".")[0] for key in state if key.startswith(start)})


@networks.register(
    "x3d",
    pattern=r"x3d_(xs|s|m)(?:_w(\d+(?:\.\d+)?)_d(\d+(?:\.\d+)?))?",
    usual="x3d_xs x3d_s x3d_m x3d_xs_w5_d3",
    form="x3d_SIZE (with _wWIDTH_dDEPTH for other factors)",
)
def build_x3d(name: str, match: re.Match[str], classes: int, in_chans: int, input_size: tuple[int, int]) -> nn.Module:
    """Of a size, with the factors of the paper or others."""
    width, depth = float(match[2] or WIDTH), float(match[3] or DEPTH)
    if not (0.2 <= width <= 20 and 0.2 <= depth <= 20):
        raise ExunoError(f"exuno:{name} has factors of {width:g} and {depth:g}", "Give factors from 0.2 to 20.")
    return X3D(classes, in_chans, CLIPS[match[1]][0], input_size, width, depth)

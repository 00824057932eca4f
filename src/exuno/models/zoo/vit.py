"""Vision transformers that can be masked and read out: timm's network with a mask token."""

import re
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from timm.layers.drop import DropPath
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from exuno.engine.errors import ExunoError
from exuno.models.registry import check_positive, networks

SIZES = {"tiny": (192, 12, 3), "small": (384, 12, 6), "base": (768, 12, 12)}
"""Width, depth and heads of the usual sizes (Touvron et al., ICML 2021)."""


class Reading(NamedTuple):
    """What a transformer says of B images of P patches."""

    cls: Tensor
    """[CLS] token after the last norm, [B, D]."""
    patches: Tensor
    """Patch tokens after the last norm, [B, P, D], row by row."""
    attention: Tensor
    """Attention of [CLS] to the patches in the last block, [B, heads, P]; the share that [CLS] pays itself is missing
    from the sum of 1."""
    levels: tuple[Tensor, ...]
    """[CLS] tokens after each of the last blocks that were asked for, through the last norm, [B, D] each; the last of
    them is ``cls``."""

    @property
    def weights(self) -> Tensor:
        """Weights of the patches by that attention, the mean over the heads, float32 [B, P] that sum to 1."""
        mean = self.attention.float().mean(1)
        return mean / mean.sum(1, keepdim=True)


def convolutional_stem(in_chans: int, width: int, patch: int) -> nn.Sequential:
    """Embedding of patches by overlapping convolutions (Xiao et al., "Early Convolutions Help Transformers See Better",
    NeurIPS 2021): of 3x3 pixels with stride 2 until one position is left of a patch, each twice as wide as the one
    before it, and one of 1x1 without an activation. In place of their batch normalisation all values of an image are
    normalised together, so that its tokens do not depend on other images.

    Args:
        in_chans: channels of the input.
        width: of a token.
        patch: side of a patch in pixels, a power of two from 2.
    """
    count = patch.bit_length() - 1
    layers: list[nn.Module] = []
    for number in range(count):
        channels = max(8, width >> (count - 1 - number))
        layers += [
            nn.Conv2d(in_chans, channels, 3, stride=2, padding=1, bias=False),
            nn.GroupNorm(1, channels),
            nn.ReLU(inplace=True),
        ]
        in_chans = channels
    return nn.Sequential(*layers, nn.Conv2d(in_chans, width, 1))


class Vit(VisionTransformer):
    """timm's vision transformer for images of any multiple of the patch size, with a mask token (Zhou et al., iBOT,
    ICLR 2022). For other image sizes, position embeddings are resampled as the published codes of DINO, iBOT and SMKD
    do: bicubic, by a factor a tenth of a patch too large.

    Args:
        width: of a token.
        depth: number of blocks.
        heads: of the attention.
        patch: side of a patch in pixels.
        classes: number of logits; 0 gives a network whose output is the [CLS] token.
        in_chans: channels of the input.
        input_size: (H, W) at which the position embeddings are stored.
        convolutions: whether patches are embedded by :func:`convolutional_stem`.
    """

    def __init__(
        self,
        width: int,
        depth: int,
        heads: int,
        patch: int,
        classes: int,
        in_chans: int,
        input_size: tuple[int, int],
        convolutions: bool = False,
    ) -> None:
        super().__init__(
            img_size=input_size,
            patch_size=patch,
            in_chans=in_chans,
            num_classes=classes,
            embed_dim=width,
            depth=depth,
            num_heads=heads,
            dynamic_img_size=True,
        )
        self.overlapping = convolutions
        if convolutions:
            self.patch_embed.proj = convolutional_stem(in_chans, width, patch)
        # Learns in few-shot training only; elsewhere several processes would wait for its gradient.
        self.mask_token = nn.Parameter(torch.zeros(1, 1, 1, width), requires_grad=False)

    def set_drop_path(self, rate: float) -> None:
        """Stochastic depth (Huang et al., ECCV 2016), from 0 in the first block to ``rate`` in the last."""
        for number, block in enumerate(self.blocks):
            share = rate * number / max(1, len(self.blocks) - 1)
            block.drop_path1 = DropPath(share) if share else nn.Identity()
            block.drop_path2 = DropPath(share) if share else nn.Identity()

    def tokens(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalised images [B, C, H, W] -> tokens [B, 1 + P, D] after the last norm, [CLS] first.

        Args:
            x: images.
            mask: bool [B, P]; the embedding of a masked patch is replaced by the mask token.
        """
        return self.norm(self.blocks(self._embedded(x, mask)))

    def read(self, x: Tensor, mask: Tensor | None = None, blocks: int = 1) -> Reading:
        """Tokens and the attention of the last block, and the [CLS] tokens of so many; see :class:`Reading`."""
        before = self.blocks[:-blocks](self._embedded(x, mask))
        levels = []
        for block in self.blocks[-blocks:-1]:
            before = block(before)
            levels.append(self.norm(before[:, 0]))
        last: Any = self.blocks[-1]
        tokens = self.norm(last(before))
        attention = last.attn
        batch, count, _ = before.shape
        joint = attention.qkv(last.norm1(before)).view(batch, count, 3, attention.num_heads, -1)
        query, keys = joint[:, 0, 0], joint[:, :, 1]
        shares = torch.einsum("bhd,bnhd->bhn", query * attention.scale, keys).softmax(-1)
        return Reading(tokens[:, 0], tokens[:, 1:], shares[:, :, 1:], (*levels, tokens[:, 0]))

    def _pos_embed(self, x: Tensor) -> Tensor:
        """Patch embeddings [B, h, w, D] -> tokens [B, 1 + h w, D], [CLS] first, with their positions."""
        assert self.cls_token is not None
        batch, height, width, _ = x.shape
        tokens = torch.cat([self.cls_token.expand(batch, -1, -1), x.flatten(1, 2)], 1)
        return tokens + self.positions(height, width)

    def positions(self, height: int, width: int) -> Tensor:
        """Position embeddings of so many patches, [1, 1 + height * width, D]."""
        assert self.pos_embed is not None
        rows, columns = self.patch_embed.grid_size
        if (height, width) == (rows, columns):
            return self.pos_embed
        stored = self.pos_embed[:, 1:].float().view(1, rows, columns, -1).permute(0, 3, 1, 2)
        factor = ((height + 0.1) / rows, (width + 0.1) / columns)
        there = F.interpolate(stored, scale_factor=factor, mode="bicubic").permute(0, 2, 3, 1)
        return torch.cat([self.pos_embed[:, :1], there.reshape(1, height * width, -1).to(self.pos_embed)], 1)

    def store_size(self, size: tuple[int, int]) -> None:
        """Keep the position embeddings for images of ``size`` from now on."""
        patch = self.patch_embed.patch_size
        with torch.no_grad():
            resampled = self.positions(size[0] // patch[0], size[1] // patch[1]).clone()
        self.pos_embed = nn.Parameter(resampled)
        self.patch_embed.set_input_size(size)

    def _embedded(self, x: Tensor, mask: Tensor | None) -> Tensor:
        if mask is not None and self.overlapping:  # else its neighbours would see into a masked patch
            down, across = self.patch_embed.patch_size
            rows, columns = x.shape[2] // down, x.shape[3] // across
            hidden = F.interpolate(mask.view(-1, 1, rows, columns).to(x.dtype), size=x.shape[2:])
            x = x * (1 - hidden)
        patches = self.patch_embed(x)
        if mask is not None:
            patches = torch.where(mask.view(*patches.shape[:3], 1), self.mask_token.to(patches.dtype), patches)
        return self.norm_pre(self._pos_embed(patches))


@networks.register(
    "vit",
    pattern=r"vit_(?:(tiny|small|base)|(\d+)_(\d+)_(\d+))_(\d+)(_conv)?",
    usual="vit_tiny_8 vit_tiny_16 vit_small_8 vit_small_16 vit_base_8 vit_base_16",
    form="vit_SIZE_PATCH or vit_WIDTH_DEPTH_HEADS_PATCH, with _conv behind it for patches embedded by convolutions",
)
def build_vit(name: str, match: re.Match[str], classes: int, in_chans: int, input_size: tuple[int, int]) -> nn.Module:
    """Of a usual size, or any width, depth and heads."""
    width, depth, heads = SIZES[match[1]] if match[1] else (int(match[i]) for i in (2, 3, 4))
    patch, size = int(match[5]), input_size
    check_positive(name, width=width, depth=depth, heads=heads, patch=patch)
    if width % heads:
        raise ExunoError(f"exuno:{name}: a width of {width} cannot be shared by {heads} heads", "Take a multiple.")
    if size[0] % patch or size[1] % patch:
        raise ExunoError(
            f"exuno:{name}: images of {size[1]}x{size[0]} pixels cannot be cut into patches of {patch}",
            "Take a size that is a multiple of the patch, or another patch.",
        )
    if match[6] and (patch < 2 or patch & (patch - 1)):
        raise ExunoError(
            f"exuno:{name}: convolutions of stride 2 embed patches of 2, 4, 8, 16 … pixels, not of {patch}",
            "Take such a patch, or leave out _conv.",
        )
    return Vit(width, depth, heads, patch, classes, in_chans, input_size, convolutions=bool(match[6]))

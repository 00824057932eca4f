"""Vision transformers that can be masked and read out: timm's network with a mask token."""

from typing import Any, NamedTuple

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

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


class Vit(VisionTransformer):
    """timm's vision transformer for images of any multiple of the patch size, with a mask token (Zhou et al., iBOT,
    ICLR 2022). Position embeddings are resampled for other image sizes, bicubic with antialiasing.

    Args:
        width: of a token.
        depth: number of blocks.
        heads: of the attention.
        patch: side of a patch in pixels.
        classes: number of logits; 0 gives a network whose output is the [CLS] token.
        in_chans: channels of the input.
        input_size: (H, W) at which the position embeddings are stored.
        drop_path: rate of the stochastic depth in the last block; it rises linearly from 0 in the first.
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
        drop_path: float = 0.0,
    ) -> None:
        super().__init__(
            img_size=input_size,
            patch_size=patch,
            in_chans=in_chans,
            num_classes=classes,
            embed_dim=width,
            depth=depth,
            num_heads=heads,
            drop_path_rate=drop_path,
            dynamic_img_size=True,
        )
        self.mask_token = nn.Parameter(torch.zeros(1, 1, 1, width))

    def tokens(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalised images [B, C, H, W] -> tokens [B, 1 + P, D] after the last norm, [CLS] first.

        Args:
            x: images.
            mask: bool [B, P]; the embedding of a masked patch is replaced by the mask token.
        """
        return self.norm(self.blocks(self._embedded(x, mask)))

    def read(self, x: Tensor, mask: Tensor | None = None) -> Reading:
        """Tokens and the attention of the last block; see :class:`Reading`."""
        before = self.blocks[:-1](self._embedded(x, mask))
        last: Any = self.blocks[-1]
        tokens = self.norm(last(before))
        attention = last.attn
        batch, count, _ = before.shape
        joint = attention.qkv(last.norm1(before)).view(batch, count, 3, attention.num_heads, -1)
        query, keys = joint[:, 0, 0], joint[:, :, 1]
        shares = torch.einsum("bhd,bnhd->bhn", query * attention.scale, keys).softmax(-1)
        return Reading(tokens[:, 0], tokens[:, 1:], shares[:, :, 1:])

    def _embedded(self, x: Tensor, mask: Tensor | None) -> Tensor:
        patches = self.patch_embed(x)
        if mask is not None:
            patches = torch.where(mask.view(*patches.shape[:3], 1), self.mask_token.to(patches.dtype), patches)
        return self.norm_pre(self._pos_embed(patches))

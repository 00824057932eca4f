"""Where a vision transformer looks: the attention of [CLS] to the patches in one block, drawn over the images."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from exuno.engine.errors import ExunoError
from exuno.features.extract import check_size, normalised
from exuno.models.classifier import Classifier, match_channels

HEAT = ((0.00, 0.02, 0.15), (0.33, 0.06, 0.43), (0.73, 0.21, 0.33), (0.98, 0.56, 0.04), (0.99, 1.00, 0.64))
"""RGB colours of attention 0, 1/4, 1/2, 3/4 and 1: dark blue, purple, red, orange, pale yellow."""
IMAGE = 0.45
"""Share of the image, in gray, under the colours."""


def check_attention(model: Classifier, block: int = -1) -> None:
    """Raises ExunoError unless the network is a transformer of timm or exuno with a [CLS] token and such a block."""
    net: Any = model.net
    parts = getattr(getattr(getattr(net, "blocks", None), "0", None), "attn", None)
    if not all(hasattr(parts, name) for name in ("qkv", "q_norm", "k_norm", "num_heads", "scale")):
        raise ExunoError(
            f"{model.card.arch} has no attention to draw",
            "Give a vision transformer of exuno or timm: run:RUN_DIR, or timm:NAME such as timm:vit_small_patch16_224.",
        )
    if getattr(net, "cls_token", None) is None or getattr(net, "rope", None) is not None:
        raise ExunoError(
            f"{model.card.arch} has no [CLS] token, or turns its tokens by their places",
            "Give one that has a [CLS] token and learned positions, such as timm:vit_small_patch16_224.",
        )
    depth = len(net.blocks)
    if not -depth <= block < depth:
        raise ExunoError(f"--block is {block}, but {model.card.arch} has {depth}", f"Give 0 to {depth - 1}.")


def cls_attention(net: Any, x: Tensor, block: int = -1) -> Tensor:
    """The attention that [CLS] pays all tokens in a block: [B, heads, N]; each row sums to 1.

    Args:
        net: a vision transformer in the form of timm.
        x: normalised images [B, C, H, W].
        block: its number.
    """
    entering: list[Tensor] = []
    layer = net.blocks[block].attn
    handle = layer.register_forward_pre_hook(lambda _, inputs: entering.append(inputs[0]))
    try:
        net.forward_features(x)
    finally:
        handle.remove()
    (tokens,) = entering
    joint = layer.qkv(tokens).view(*tokens.shape[:2], 3, layer.num_heads, -1)
    query, keys = layer.q_norm(joint[:, 0, 0]), layer.k_norm(joint[:, :, 1])
    return torch.einsum("bhd,bnhd->bhn", query * layer.scale, keys).softmax(-1)


@torch.inference_mode()
def attention(model: Classifier, pixels: Tensor, block: int = -1) -> Tensor:
    """Of [CLS] to the patches, row by row: [B, heads, rows, columns]; what it pays itself and other tokens without a
    place is missing from the sum of 1.

    Args:
        model: a transformer with its card.
        pixels: float [B, C, H, W] in [0, 1], where the model is; H and W multiples of its patch.
        block: number of the block.

    Raises:
        ExunoError: for another network, or a size that it does not take.
    """
    check_attention(model, block)
    size = (pixels.shape[2], pixels.shape[3])
    check_size(model, size)
    net: Any = model.net
    try:
        shares = cls_attention(net, normalised(model, pixels), block).float()
    except AssertionError as error:  # timm's networks are built for one size
        height, width = model.card.input_size
        raise ExunoError(
            f"{model.card.arch} does not take images of {size[1]}x{size[0]} pixels",
            f"Leave out --size: the model was made for {width}x{height}.",
        ) from error
    patch = net.patch_embed.patch_size
    return shares[:, :, net.num_prefix_tokens :].unflatten(2, (size[0] // patch[0], size[1] // patch[1]))


def overlay(pixels: Tensor, maps: Tensor) -> NDArray[np.uint8]:
    """Images, and over them the attention of all heads together and of each.

    Every map is spread from 0 to its own largest value.

    Args:
        pixels: float [B, C, H, W] in [0, 1].
        maps: of :func:`attention`, [B, heads, rows, columns].

    Returns:
        uint8 [B, 2 + heads, H, W, 3]: the image, the mean over the heads, head by head.
    """
    maps = torch.cat([maps.mean(1, keepdim=True), maps], 1)
    maps = maps / maps.amax((2, 3), keepdim=True).clamp_min(1e-12)
    maps = interpolate(maps, pixels.shape[2:], mode="bilinear", align_corners=False).clamp(0, 1)
    gray = match_channels(pixels, 1)[:, :, None]
    images = match_channels(pixels, 3)[:, None]
    drawn = torch.cat([images, IMAGE * gray + (1 - IMAGE) * heat(maps)], 1)
    return drawn.mul(255).round().clamp(0, 255).to(torch.uint8).permute(0, 1, 3, 4, 2).contiguous().cpu().numpy()


def heat(values: Tensor) -> Tensor:
    """Values [B, M, H, W] in [0, 1] -> colours [B, M, 3, H, W] in [0, 1], between those of HEAT."""
    colours = values.new_tensor(HEAT)
    place = values * (len(HEAT) - 1)
    below = place.floor().long().clamp(max=len(HEAT) - 2)
    share = (place - below).unsqueeze(-1)
    return ((1 - share) * colours[below] + share * colours[below + 1]).movedim(-1, 2)

"""Files of DINOv2 (Oquab et al., TMLR 2024; with registers: Darcet et al., ICLR 2024), brought to timm's names.

They have LayerScale (``ls1.gamma``), a mask token that no result depends on, perhaps registers (``register_tokens``)
and blocks in chunks (``blocks.CHUNK.BLOCK``, blocks counted through); the largest has SwiGLU (``mlp.w12``, ``mlp.w3``).
With registers timm keeps the position of [CLS] inside its token.
"""

import re
from math import isqrt
from pathlib import Path

from torch import Tensor

from exuno.engine.errors import ExunoError
from exuno.models.card import ModelCard
from exuno.models.foreign import timm_card

SIZES = {(384, 12): "small", (768, 12): "base", (1024, 24): "large", (1536, 40): "giant"}
"""Width and depth -> name."""
NEEDED = ("cls_token", "pos_embed", "patch_embed.proj.weight", "norm.weight")

State = dict[str, Tensor]


def is_dinov2(state: State) -> bool:
    """Whether these are weights of DINOv2, in its own names or timm's."""
    return all(key in state for key in NEEDED) and any(
        re.fullmatch(r"blocks\.0\.(0\.)?ls1\.gamma", key) for key in state
    )


def to_timm(state: State) -> tuple[State, list[str]]:
    """The weights in timm's names, and the names of what was dropped."""
    found: State = {}
    for key, value in state.items():
        key = re.sub(r"^blocks\.\d+\.(\d+)\.", r"blocks.\1.", key)
        found[key.replace(".mlp.w12.", ".mlp.fc1.").replace(".mlp.w3.", ".mlp.fc2.")] = value
    dropped = [key for key in ("mask_token",) if found.pop(key, None) is not None]
    if (registers := found.pop("register_tokens", None)) is not None:
        found["reg_token"] = registers
        found["cls_token"] = found["cls_token"] + found["pos_embed"][:, :1]
        found["pos_embed"] = found["pos_embed"][:, 1:]
    return found, dropped


def dinov2_card(state: State, path: Path) -> ModelCard:
    """The card of weights in timm's names.

    Raises:
        ExunoError: if it is none of the four published sizes.
    """
    width, in_chans, patch, _ = state["patch_embed.proj.weight"].shape
    depth = len({match[1] for key in state if (match := re.match(r"blocks\.(\d+)\.", key))})
    registers = "reg_token" in state
    patches = state["pos_embed"].shape[1] - (not registers)
    name, side = SIZES.get((width, depth)), isqrt(max(patches, 0))
    if name is None or side**2 != patches or not side or (patch, in_chans) != (14, 3):
        raise ExunoError(
            f"{path} is a transformer with LayerScale of width {width}, depth {depth}, patches of {patch} and "
            f"{patches} positions, which DINOv2 has not published",
            f"Name its architecture: file:{path}@timm:NAME.",
        )
    size = (side * patch, side * patch)
    return timm_card(f"vit_{name}_patch14_{'reg4_' if registers else ''}dinov2", None, 3, size, None)

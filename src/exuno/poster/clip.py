"""What class names mean to CLIP ViT-B/32: Radford et al., "Learning Transferable Visual Models From Natural Language
Supervision" (ICML 2021). Needs the extra ``exuno[clip]`` and, once, the weights."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from exuno.engine.errors import ExunoError

MODEL = "ViT-B-32-quickgelu"  # the activation that OpenAI's weights were trained with
END = 49407


def name_features(names: Sequence[str]) -> NDArray[np.float32]:
    """The text embedding of each name, as the published PoCO takes it: float32 [K, 77 * 512].

    Raises:
        ExunoError: without open_clip, or if its weights cannot be had.
    """
    try:
        import open_clip  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ExunoError(
            "--order clip needs open_clip, which is not installed", "pip install 'exuno[clip]', or --order features."
        ) from error
    try:
        model = open_clip.create_model(MODEL, pretrained="openai")
    except Exception as error:  # no network, or what the cache holds is broken
        raise ExunoError(
            f"the CLIP weights cannot be had: {next(iter(str(error).splitlines()), type(error).__name__)}",
            "Check the network, or take --order features, which needs no download.",
        ) from error
    return hidden_states(model.eval(), tokens(names)).flatten(1).numpy()


def tokens(names: Sequence[str]) -> Tensor:
    """Names, underscores as spaces, in tokens: int64 [K, 77].

    open_clip pads with 0, the published code with the end token. Embedding all positions as that does, the padding
    is part of what is compared, so it is the end token here too.
    """
    import open_clip  # pyright: ignore[reportMissingImports]

    found = open_clip.get_tokenizer(MODEL)([name.replace("_", " ") for name in names])
    ended = (found == END).cumsum(1) > 0
    return found.masked_fill(ended, END)


@torch.inference_mode()
def hidden_states(model: nn.Module, text: Tensor) -> Tensor:
    """The states of all tokens behind the last layer norm of a CLIP's text side, [K, T, width], for text int64 [K, T].

    64 names at a time.
    """
    clip: Any = model  # a plain Module for the type checker, which does not know CLIP's parts
    found: list[Tensor] = []
    handle = clip.ln_final.register_forward_hook(lambda _module, _given, states: found.append(states))
    try:
        for part in text.split(64):
            clip.encode_text(part)
    finally:
        handle.remove()
    return torch.cat(found).clone()

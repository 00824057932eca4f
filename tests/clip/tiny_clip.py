"""A vision-language model with random weights that is small enough for a test, as open_clip keeps models in folders."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

VISION = {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8}
TEXT = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
SEEN = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.2]}


def write_tiny(folder: Path, open_clip: Any, scale: float = 100.0, **config: Any) -> Path:
    """Writes configuration and weights.

    Args:
        folder: is made.
        open_clip: the library.
        scale: by which its cosines are multiplied; 100 is that of the published models.
        config: further fields of the model's configuration.

    Returns:
        The folder.
    """
    config = {"embed_dim": 16, "vision_cfg": VISION, "text_cfg": TEXT, **config}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = open_clip.CLIP(**config)
    with torch.no_grad():
        model.logit_scale.fill_(torch.tensor(scale).log().item())
    folder.mkdir(parents=True)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": SEEN}))
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder

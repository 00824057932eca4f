"""``torch.hub.load("PATH/TO/exuno", "model", "run:DIR", source="local")``: models of exuno from a checkout."""

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

dependencies = ["torch", "torchvision", "timm", "safetensors", "huggingface_hub"]

if find_spec("exuno") is None:
    sys.path.insert(0, str(Path(__file__).parent / "src"))


def model(spec: str, pretrained: bool = True, **wish: Any) -> Any:
    """The model of a spec (run:DIR, file:PATH, hf-hub:ORG/NAME, timm:NAME, torchvision:NAME, exuno:NAME), in
    evaluation mode if it is trained: pixels in [0, 1] in, logits out. ``wish`` goes to exuno.models.load.load_model."""
    from exuno.models.load import load_model

    found = load_model(spec, pretrained=pretrained, **wish)
    return found.eval() if pretrained else found

"""Writing a model: ``model.safetensors`` (weights, with the card in its metadata) and ``model.json`` (the card)."""

import hashlib
from pathlib import Path

import torch
from safetensors.torch import save
from torch import nn

from exuno.engine.errors import ExunoError
from exuno.engine.files import atomic
from exuno.engine.sealed import seal_tensors
from exuno.models.classifier import Classifier
from exuno.models.names import WEIGHTS
from exuno.models.weights import CARD


def weights_sha256(module: nn.Module) -> str:
    """SHA-256 of the names, shapes and values of all parameters and buffers, hexadecimal."""
    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def save_model(classifier: Classifier, folder: Path) -> Path:
    """Write the network's weights and card into ``folder``; each file appears whole or not at all.

    Returns:
        The path of the weights.

    Raises:
        ExunoError: if the folder cannot be written.
    """
    text = classifier.card.to_json()
    # Clones, because tied parameters share memory and safetensors stores each tensor by itself.
    state = {key: value.detach().cpu().contiguous().clone() for key, value in classifier.net.state_dict().items()}
    try:
        with atomic(folder / WEIGHTS) as temporary:
            temporary.write_bytes(seal_tensors(save(state), {CARD: text}))
        with atomic(folder / CARD) as temporary:
            temporary.write_bytes(text.encode())
    except OSError as error:
        raise ExunoError(
            f"cannot write the model to {folder}: {error.strerror or error}", "Free or choose a folder."
        ) from error
    return folder / WEIGHTS

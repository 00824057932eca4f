"""Writing a model: ``model.safetensors`` (weights, with the card in its metadata) and ``model.json`` (the card)."""

from pathlib import Path

from safetensors.torch import save

from exuno.engine.errors import ExunoError
from exuno.engine.files import atomic
from exuno.models.classifier import Classifier
from exuno.models.names import WEIGHTS

CARD = "model.json"


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
            temporary.write_bytes(save(state, {"model.json": text}))
        with atomic(folder / CARD) as temporary:
            temporary.write_bytes(text.encode())
    except OSError as error:
        raise ExunoError(
            f"cannot write the model to {folder}: {error.strerror or error}", "Free or choose a folder."
        ) from error
    return folder / WEIGHTS

"""``hf-hub:ORG/NAME``: a model of exuno on the Hugging Face hub, or one in timm's format."""

from pathlib import Path
from typing import Any

from torch import nn

from exuno.engine.errors import ExunoError, first_line
from exuno.models.card import ModelCard
from exuno.models.classifier import Classifier
from exuno.models.files import WEIGHTS, load_file
from exuno.models.formats.weights import CARD
from exuno.models.registry import known_only


def load_hub(repo: str) -> Classifier:
    """Fetch (or take from the cache) and load a model of the hub.

    Raises:
        ExunoError: if it cannot be fetched, or is in neither format.
    """
    import huggingface_hub
    from huggingface_hub.errors import EntryNotFoundError

    if repo.count("/") != 1:
        raise ExunoError(f"'{repo}' is no repository of the hub", "Give hf-hub:ORG/NAME.")
    try:
        huggingface_hub.hf_hub_download(repo, CARD)
        weights = Path(huggingface_hub.hf_hub_download(repo, WEIGHTS))
        with known_only():  # a card from elsewhere names no module to import
            return load_file(weights)
    except ExunoError:
        raise
    except EntryNotFoundError:  # the repository has no card of exuno, or without a network the cache has none
        net, card = _timm_format(repo)
        return Classifier(net, card)
    except Exception as error:  # no network, no such repository, no access
        raise _unreachable(repo, error) from error


def _timm_format(repo: str) -> tuple[nn.Module, ModelCard]:
    import timm
    from timm.data.config import resolve_model_data_config

    net: Any  # a plain Module for the type checker, which does not know timm's attributes
    try:
        net = timm.create_model(f"hf-hub:{repo}", pretrained=True)
    except Exception as error:
        raise _unreachable(repo, error) from error
    config = resolve_model_data_config(net)
    chans, height, width = config["input_size"]
    # The architecture alone rebuilds the network from a saved file; the repository only gave the weights.
    arch = f"timm:{net.pretrained_cfg['architecture']}"
    names = net.pretrained_cfg.get("label_names")
    card = ModelCard(
        arch,
        net.num_classes,
        chans,
        (height, width),
        tuple(config["mean"]),
        tuple(config["std"]),
        tuple(names) if names and len(names) == net.num_classes else None,
        lineage={"hub": repo},
    )
    return net, card


def _unreachable(repo: str, error: Exception) -> ExunoError:
    return ExunoError(
        f"hf-hub:{repo} cannot be loaded: {first_line(error)}",
        f"Check the name and the network; hf download {repo} fetches it into the cache.",
    )

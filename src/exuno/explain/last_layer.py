"""The last layer of a network: the weights and biases that turn penultimate features into logits."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from exuno.engine.errors import ExunoError
from exuno.features.extract import normalised
from exuno.models.classifier import Classifier

TOLERANCE = 1e-2
"""Largest difference of logits that rounding explains, relative to the largest logit."""


@dataclass(frozen=True)
class LastLayer:
    """logits = features · weightᵀ + bias."""

    weight: NDArray[np.float64]
    """[C, F]"""
    bias: NDArray[np.float64]
    """[C]"""

    @property
    def span(self) -> NDArray[np.float64]:
        """An orthonormal basis [F, R] of the differences of the class weights, R at most C - 1: what is at right angles
        to it adds the same to all logits."""
        differences = self.weight - self.weight.mean(0)
        _, size, directions = np.linalg.svd(differences, full_matrices=False)
        return directions[size > 1e-6 * size.max()].T

    def logits(self, features: NDArray[Any]) -> NDArray[np.float64]:
        """Features [N, F] -> logits [N, C]."""
        return features @ self.weight.T + self.bias


def last_layer(model: Classifier) -> LastLayer:
    """The layer that timm calls the classifier, else the last linear layer of a network.

    Raises:
        ExunoError: there is none, or it is not linear, or does not give the logits.
    """
    net: Any = model.net
    if hasattr(net, "get_classifier"):
        layer = net.get_classifier()
    else:
        layer = next((each for each in reversed([*net.modules()]) if isinstance(each, nn.Linear)), None)
    if not isinstance(layer, nn.Linear) or layer.out_features != model.card.classes:
        raise _not_linear(model)
    weight = layer.weight.detach().cpu().double().numpy()
    bias = np.zeros(len(weight)) if layer.bias is None else layer.bias.detach().cpu().double().numpy()
    return LastLayer(weight, bias)


def check_logits(model: Classifier, layer: LastLayer, images: Tensor, features: Tensor) -> None:
    """Raises ExunoError unless the layer makes of features [B, F] the logits that the network has for images
    [B, C, H, W], pixels in [0, 1]: then something else stands between the two."""
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        wanted = model.net(normalised(model, images.to(model.mean.device))).double().cpu().numpy()
    model.train(was_training)
    if features.shape[1] != layer.weight.shape[1]:
        raise _not_linear(model)
    if np.abs(layer.logits(features.numpy()) - wanted).max() > TOLERANCE * np.abs(wanted).max():
        raise _not_linear(model)


def _not_linear(model: Classifier) -> ExunoError:
    return ExunoError(
        f"the logits of {model.card.arch} are not a linear layer of its last features",
        "Take a network that ends in one linear layer.",
    )

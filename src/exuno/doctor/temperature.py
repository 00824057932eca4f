"""The temperature that makes a model's confidence honest, and how far from honest it is. NumPy only."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exuno.metrics import predict, softmax

COLDEST, HOTTEST = 1e-2, 1e2
HALVINGS = 24  # of the range of log T: to a millionth


def nll(logits: ArrayLike, labels: ArrayLike, temperature: float = 1.0) -> NDArray[np.float64]:
    """-log of the probability of the true class under softmax(logits / T), in nats, float64 [N]."""
    z = np.asarray(logits, np.float64) / temperature
    z = z - z.max(1, keepdims=True)
    return np.log(np.exp(z).sum(1)) - z[np.arange(len(z)), np.asarray(labels, np.int64)]


class Fitted(NamedTuple):
    """The temperature with the least NLL, and whether it lies inside the range that was searched."""

    temperature: float
    inside: bool


def best_temperature(logits: ArrayLike, labels: ArrayLike) -> Fitted:
    """T with the least mean NLL of softmax(logits / T): temperature scaling of Guo et al., ICML 2017, section 4.2.

    The mean NLL is convex in b = 1 / T, and its derivative there is mean(E_p[z] - z_true), which rises with b: its zero
    is found by halving log T between 0.01 and 100. Where every answer is right the best T is 0, and where the answers
    are worse than guessing it is infinite: then the end of the range is returned, and ``inside`` is False.

    Args:
        logits: [N, C]; finite.
        labels: [N], in [0, C).
    """
    z = np.asarray(logits, np.float64)
    z = z - z.max(1, keepdims=True)
    own = float(z[np.arange(len(z)), np.asarray(labels, np.int64)].mean())

    def slope(log_t: float) -> float:
        p = np.exp(z / np.exp(log_t))
        return float(((p * z).sum(1) / p.sum(1)).mean()) - own

    cold, hot = float(np.log(COLDEST)), float(np.log(HOTTEST))
    if slope(cold) <= 0:
        return Fitted(COLDEST, False)
    if slope(hot) >= 0:
        return Fitted(HOTTEST, False)
    for _ in range(HALVINGS):
        middle = (cold + hot) / 2
        cold, hot = (middle, hot) if slope(middle) > 0 else (cold, middle)
    return Fitted(float(np.exp((cold + hot) / 2)), True)


def overconfidence(logits: ArrayLike, labels: ArrayLike) -> NDArray[np.float64]:
    """Confidence minus success of each sample, float64 [N]: the mean is above 0 where a model promises too much."""
    right = predict(logits) == np.asarray(labels, np.int64)
    return softmax(np.asarray(logits, np.float64)).max(1).astype(np.float64) - right

"""How well clusters agree with classes: normalised mutual information and the adjusted Rand index. NumPy only."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def contingency(labels: ArrayLike, clusters: ArrayLike) -> NDArray[np.float64]:
    """Counts [classes, clusters] of samples, empty ones left out."""
    _, rows = np.unique(np.asarray(labels), return_inverse=True)
    _, columns = np.unique(np.asarray(clusters), return_inverse=True)
    table = np.zeros((rows.max() + 1, columns.max() + 1))
    np.add.at(table, (rows, columns), 1)
    return table


def nmi(labels: ArrayLike, clusters: ArrayLike) -> float:
    """Mutual information over the mean of both entropies, in [0, 1] (Strehl and Ghosh, JMLR 2002, arithmetic mean as in
    scikit-learn). One class in one cluster counts as 1.

    Args:
        labels: class of each sample, [N].
        clusters: its cluster, [N].
    """
    joint = contingency(labels, clusters) / np.size(labels)
    rows, columns = joint.sum(1), joint.sum(0)
    both = joint > 0
    mutual = (joint[both] * np.log(joint[both] / np.outer(rows, columns)[both])).sum()
    entropies = -(rows * np.log(rows)).sum() - (columns * np.log(columns)).sum()
    return float(max(0.0, 2 * mutual / entropies)) if entropies > 0 else 1.0


def ari(labels: ArrayLike, clusters: ArrayLike) -> float:
    """Share of pairs on which both agree, 0 at chance and 1 if they are the same (Hubert and Arabie, 1985)."""

    def pairs(counts: NDArray[np.float64]) -> float:
        return float((counts * (counts - 1) / 2).sum())

    table = contingency(labels, clusters)
    together, rows, columns = pairs(table), pairs(table.sum(1)), pairs(table.sum(0))
    chance = rows * columns / max(1.0, pairs(np.array([table.sum()])))
    most = (rows + columns) / 2
    return (together - chance) / (most - chance) if most > chance else 1.0

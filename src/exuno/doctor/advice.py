"""The temperature of distillation that a teacher's answers speak for. No torch."""

from collections.abc import Mapping
from typing import NamedTuple

TEMPERATURES = (1.0, 2.0, 4.0, 8.0, 16.0)
ENOUGH = 0.5
"""Mean relative entropy of the answers at which the classes beside the first are heard."""
PAPERS = 8.0
"""Of Asano and Saeed (arXiv 2112.00725), for CIFAR and ImageNet."""


class Advice(NamedTuple):
    """A temperature, and why."""

    temperature: float
    reason: str


def advise(entropies: Mapping[float, float], smoothed: bool | None) -> Advice:
    """The temperature to distil with.

    A smoothed teacher: 1, because at higher temperatures the student learns to spread over similar classes (systematic
    diffusion: Chandrasegaran et al., ICML 2022). A plain one: the least of 1, 2, 4 and 8 at which its answers to the
    patches have half of the largest entropy, else 8, which the single-image papers use.

    Args:
        entropies: mean relative entropy of the answers over patches of the source at the temperatures.
        smoothed: whether the teacher looks label-smoothed; None if that is not known, which counts as no.
    """
    if smoothed:
        why = "it looks label-smoothed, and above T = 1 the student of such a teacher spreads over similar classes"
        return Advice(1.0, f"{why}; --loss.standardise, which takes the teacher's scale away, is the other way out")
    usable = [t for t in TEMPERATURES if t <= PAPERS]
    fit = next((t for t in usable if entropies[t] >= ENOUGH), None)
    if fit is None:
        return Advice(
            PAPERS, f"even there its answers to the patches are sharp (relative entropy {entropies[PAPERS]:.2f})"
        )
    low = "at T = 1 already" if fit == 1 else f"{entropies[1.0]:.2f} at T = 1"
    return Advice(
        fit, f"its answers to the patches reach half of the largest entropy there ({entropies[fit]:.2f}; {low})"
    )

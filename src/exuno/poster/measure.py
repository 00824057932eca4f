"""The final measurement: fresh networks on the poster, real images at the same number of pixels, other networks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from exuno.data.poster import Poster
from exuno.engine.progress import ProgressBar
from exuno.metrics import mean_interval
from exuno.poster.baselines import baselines
from exuno.poster.fresh import fresh_network
from exuno.poster.options import Proof
from exuno.poster.protocol import Proven, prove
from exuno.poster.recipe import Recipe
from exuno.poster.sets import Set
from exuno.poster.tables import Table, accuracy_table, ledger_table

Curves = NDArray[np.float64]
"""Accuracies [networks, S] after each of S numbers of steps, as fractions."""


@dataclass(frozen=True)
class Measured:
    """What a poster is worth. Accuracies are fractions; "chosen" is the number of steps of its protocol."""

    steps: tuple[int, ...]
    """S numbers of training steps."""
    chosen: int
    """The one among them that counts."""
    poster: Curves
    """The poster's own network."""
    real: dict[str, Curves]
    """Baseline of real images -> its networks, one for each draw."""
    others: dict[str, Curves]
    """Other model spec -> its networks on the poster."""
    logits: NDArray[np.float32]
    """Answers of one network, the one whose accuracy is nearest to the mean, to the test images [N, K]."""
    tables: list[Table]
    """Every number of steps, for terminal and page."""

    @property
    def metrics(self) -> dict[str, float]:
        """``poster/top1``: mean over the networks at the chosen steps."""
        return {"poster/top1": float(self.counted("poster", self.poster).mean())}

    @property
    def baselines(self) -> dict[str, float]:
        """``NAME/top1`` of each baseline, at the steps that suit it best on the test set: in its favour."""
        return {f"{name}/top1": float(self.counted(name, each).mean()) for name, each in self.real.items()}

    @property
    def architectures(self) -> dict[str, float]:
        """``SPEC/top1`` of each other network at the chosen steps."""
        return {f"{name}/top1": float(self.counted(name, each).mean()) for name, each in self.others.items()}

    def counted(self, name: str, curves: Curves) -> NDArray[np.float64]:
        """The accuracies [networks] that count."""
        return curves[:, curves.mean(0).argmax() if name in self.real else self.steps.index(self.chosen)]

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """95 % Student t intervals of all these means, over networks, cut to [0, 1]; none of a single network."""
        found = {}
        for name, each in ({"poster": self.poster} | self.real | self.others).items():
            if len(each) > 1:
                low, high = mean_interval(self.counted(name, each))
                found[f"{name}/top1"] = (max(0.0, low), min(1.0, high))
        return found


def measure(
    poster: Poster,
    test: Set,
    train: Set,
    proof: Proof,
    seed: int,
    device: torch.device,
    archs: Sequence[str] = (),
    *,
    quiet: bool = False,
) -> Measured:
    """Test a poster as it is on disk, rounded to 8 bits.

    Args:
        poster: with its protocol.
        test: what the networks are tested on.
        train: real images for the baselines.
        proof: networks, steps (those of the protocol are added) and draws of each baseline.
        seed: everything is a function of it.
        device: where to train.
        archs: model specs of other networks to train on the poster.
        quiet: no progress bar.

    Raises:
        ExunoError: a protocol or a network that makes no sense.
    """
    recipe = Recipe.of(poster.protocol)
    steps = tuple(sorted({*proof.steps, recipe.steps}))
    patches = poster.patches()
    draws = [baselines(*train, poster.classes, poster.layout.pixels, seed + draw) for draw in range(proof.baselines)]
    networks = proof.networks * (1 + len(archs)) + sum(map(len, draws))
    with ProgressBar("networks", networks * steps[-1], "steps", quiet=quiet) as bar:

        def run(images: Set, spec: str, networks: int, seed: int, keep: int | None = None) -> Proven:
            def nets(own: int) -> torch.nn.Module:
                return fresh_network(spec, poster.classes, len(poster.pixels), poster.layout.image, own)

            return prove(*images, nets, recipe.inner, {"test": test}, steps, networks, seed, device, bar, keep)

        own = run(patches, recipe.model, proof.networks, seed, recipe.steps)
        found = [
            {name: run(real, recipe.model, 1, seed + i) for name, real in draw.items()} for i, draw in enumerate(draws)
        ]
        others = {arch: run(patches, arch, proof.networks, seed).accuracies["test"] for arch in archs}
    curves = own.accuracies["test"]
    names = draws[0] if draws else {}
    real = {name: np.concatenate([each[name].accuracies["test"] for each in found]) for name in names}
    rows = {f"poster, {len(patches[0])} patches": curves}
    rows |= {f"{name}, {len(names[name][0])}": each for name, each in real.items()}
    tables = [accuracy_table("Test accuracy, percent", "trained on", rows, steps, recipe.steps)]
    if archs:
        title = "Other networks on the poster, percent"
        tables.append(accuracy_table(title, "network", {recipe.model: curves, **others}, steps, recipe.steps))
    tables.append(ledger_table(poster))
    at = curves[:, steps.index(recipe.steps)]
    assert own.logits is not None
    nearest = own.logits[int(np.abs(at - at.mean()).argmin())]
    return Measured(steps, recipe.steps, curves, real, others, nearest, tables)

"""A poster measured: on the way, at the end, and as tables."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NotRequired, TypedDict

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor, nn

from exuno.data import rng
from exuno.data.poster.format import Poster
from exuno.data.poster.ledger import byte_breakdown
from exuno.data.poster.picture import png
from exuno.engine.files import atomic
from exuno.engine.progress import ProgressBar
from exuno.engine.training import Evaluator
from exuno.metrics import mean_interval
from exuno.poster.baselines import baselines
from exuno.poster.context import InnerLoopContext
from exuno.poster.method import Distiller
from exuno.poster.network import fresh_network
from exuno.poster.options import Evaluation
from exuno.poster.protocol import Recipe, Tested, train_and_test
from exuno.poster.real import Set

Quantize = Callable[[Tensor, Tensor], Poster]
"""Pixels [C, H, W] and labels (of patches, or the array) -> the poster as it is stored, rounded."""


def validate(
    held: Set, context: InnerLoopContext, quantize: Quantize, steps: Sequence[int], networks: int, frames: Path | None
) -> Evaluator:
    """An evaluator of the loop that yields ``held/top1``, the mean accuracy of fresh networks on held-out data.

    Args:
        held: images and labels of the distilled space.
        context: networks and inner options.
        quantize: see :data:`Quantize`.
        steps: training steps after which they are tested; the most accurate of them counts.
        networks: how many.
        frames: folder for a picture of each poster that was judged; None for no pictures.
    """

    def run(method: nn.Module, accelerator: Accelerator) -> Iterator[tuple[str, float]]:
        assert isinstance(method, Distiller)
        if accelerator.is_main_process:
            poster = quantize(method.pixels, method.labels)
            if frames:
                save_frame(poster, frames, method.done)
            best = float(score(poster, held, context, steps, networks, accelerator.device).max())
            method.update_best(best)
            yield "held/top1", best

    return run


def score(
    poster: Poster, held: Set, context: InnerLoopContext, steps: Sequence[int], networks: int, device: torch.device
) -> np.ndarray:
    """Mean accuracy on held-out data after each number of steps; not of the networks of the test at the end."""
    images, labels = poster.patches()
    seed = rng.seed_of(context.seed, "poster/judge")
    proven = train_and_test(
        images, labels, context.network, context.inner, {"held": held}, steps, networks, seed, device
    )
    return proven.accuracies["held"].mean(0)


def save_frame(poster: Poster, frames: Path, done: int) -> None:
    """Writes a poster as ``frames/STEPS.png``."""
    with atomic(frames / f"{done:09d}.png") as temporary:
        temporary.write_bytes(png(poster.shown))


PARTS = {
    "pixels": "pixels",
    "palette": "colours of the palette",
    "labels": "labels",
    "order": "order of the classes",
    "normalisation": "normalisation",
    "whitening": "whitening matrix",
    "total": "all of these",
    "coded": "pixels and labels, entropy-coded",
    "png": "the pixels as PNG",
}


class Table(TypedDict):
    """All strings; every row as long as the head; ``note``, a sentence on it."""

    title: str
    head: list[str]
    rows: list[list[str]]
    note: NotRequired[str]


def accuracy_table(
    title: str, first: str, curves: Mapping[str, NDArray[np.float64]], steps: Sequence[int], chosen: int
) -> Table:
    """Mean accuracy in percent with the half width of its 95 % Student t interval.

    Args:
        title: of the table; the number of steps that counts is marked by ``*``.
        first: head of the first column.
        curves: name of a row -> accuracies [networks, S], fractions.
        steps: S numbers of training steps.
        chosen: the one that counts.
    """
    head = [first, "networks", *(f"{count:,} steps" + " *" * (count == chosen) for count in steps)]
    rows = [[name, str(len(each)), *(_cell(column) for column in each.T)] for name, each in curves.items()]
    return Table(title=f"{title} (* steps chosen on held-out data)", head=head, rows=rows)


def _cell(values: NDArray[np.float64]) -> str:
    mean = f"{100 * values.mean():.1f}"
    if len(values) == 1:
        return mean
    low, high = mean_interval(values)
    return f"{mean} ± {50 * (high - low):.1f}"


def byte_table(poster: Poster) -> Table:
    """What it takes to learn from the poster, in bytes."""
    spent = byte_breakdown(poster)
    bits = {"pixels": poster.bits, "labels": poster.label_bits}
    names = {part: f"{text}, {bits[part]} bits" if part in bits else text for part, text in PARTS.items()}
    rows = [[text, f"{spent[part]:,}"] for part, text in names.items() if spent[part]]
    return Table(
        title=f"Bytes, at {poster.ipc:.3g} images per class", head=["part", "bytes"], rows=rows, note=spent["code"]
    )


def plain(table: Table) -> str:
    """The table as lines of text: the first column to the left, the others to the right."""
    lines = [table["head"], *table["rows"]]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = [
        "  ".join(
            f"{cell:{'<' if i == 0 else '>'}{width}}" for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    note = [table["note"]] if "note" in table else []
    return "\n".join([table["title"], *(line.rstrip() for line in text), *note])


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
    proof: Evaluation,
    seed: int,
    device: torch.device,
    archs: Sequence[str] = (),
    *,
    quiet: bool = False,
) -> Measured:
    """Test a poster as it is on disk, rounded to its bits.

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

        def run(images: Set, spec: str, networks: int, seed: int, keep: int | None = None) -> Tested:
            def nets(own: int) -> torch.nn.Module:
                return fresh_network(spec, poster.classes, poster.channels, poster.layout.image, own)

            return train_and_test(*images, nets, recipe.inner, {"test": test}, steps, networks, seed, device, bar, keep)

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
    tables.append(byte_table(poster))
    at = curves[:, steps.index(recipe.steps)]
    assert own.logits is not None
    nearest = own.logits[int(np.abs(at - at.mean()).argmin())]
    return Measured(steps, recipe.steps, curves, real, others, nearest, tables)

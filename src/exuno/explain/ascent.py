"""Activation maximisation: one picture for each unit, all of them in one batch (Olah, Mordvintsev, Schubert:
Feature Visualization, Distill 2017).

Pictures as spectra: what is optimised is the Fourier transform of a picture in decorrelated colours (Olah,
Mordvintsev, Schubert: Feature Visualization, Distill 2017, doi 10.23915/distill.00007).

N pictures of C channels and S x S pixels; their spectra are float32 [N, C, S, S // 2 + 1, 2], real and imaginary part.

Pictures moved a little before each step, so that no unit can be maximised by single pixels: pad, jitter, scale,
rotate, jitter (the transformations of Distill 2017), composed to one map and one interpolation.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exuno.data import rng
from exuno.explain.options import Objective
from exuno.explain.units import Layer
from exuno.models.classifier import Classifier

STREAM = "explain neurons"
START = 0.01
"""Standard deviation of a spectrum at the start."""
LOUDNESS = 4.0
"""What the pictures are divided by, so that a step of the optimizer is small before the sigmoid."""
COLOURS = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))
"""A root of the covariance of RGB values in ImageNet, as Lucid states it: row for row what red, green and blue are made
of. The columns are brightness, and the two directions in which colours differ."""


def start(seed: int, pictures: Sequence[int], channels: int, size: int) -> Tensor:
    """Spectra of noise; that of a picture depends on the seed and its number alone."""
    shape = (channels, size, size // 2 + 1, 2)
    drawn = [rng.generator(seed, f"{STREAM}, start", number).normal(0, START, shape) for number in pictures]
    return torch.from_numpy(np.stack(drawn)).float()


def envelope(size: int, device: torch.device | None = None) -> Tensor:
    """What a spectrum of noise is multiplied by to have the amplitudes of natural pictures, 1 / frequency: [S, S // 2 +
    1]. The mean counts as the lowest frequency."""
    rows, columns = torch.fft.fftfreq(size, device=device), torch.fft.rfftfreq(size, device=device)
    frequency = (rows[:, None] ** 2 + columns**2).sqrt()
    return 1 / frequency.clamp_min(1 / size)


def correlation(device: torch.device | None = None) -> Tensor:
    """Decorrelated colours -> RGB before the sigmoid, [3, 3]; the longest column has length 1."""
    matrix = torch.tensor(COLOURS, device=device)
    return matrix / matrix.norm(dim=0).max()


def pixels(spectra: Tensor) -> Tensor:
    """Spectra -> pictures [N, C, S, S] in (0, 1). Gray ones have no colours to decorrelate."""
    size = spectra.shape[2]
    scaled = torch.view_as_complex(spectra.contiguous()) * envelope(size, spectra.device)
    waves = torch.fft.irfft2(scaled, s=(size, size), norm="ortho") / LOUDNESS
    if waves.shape[1] == 3:
        waves = torch.einsum("rc,nchw->nrhw", correlation(spectra.device), waves)
    return waves.sigmoid()


SCALE, ROTATION = 0.25, 15.0
"""Largest change of scale, as a fraction; largest rotation, in degrees."""
JITTER = (1 / 12, 1 / 32)
"""Largest shift before and after these, as fractions of the side, but at least JITTER_PIXELS."""
JITTER_PIXELS = (1.0, 0.5)
PAD = 0.5
"""Gray value around a picture."""


def draw(seed: int, pictures: Sequence[int], step: int, size: int) -> Tensor:
    """Maps from the place in a view to the place in its picture, both from -1 to 1: [N, 2, 3]. The draws of a picture
    depend on the seed, its number and the step alone."""
    values = torch.from_numpy(rng.uniforms(seed, f"{STREAM}, view", pictures, 6, first=6 * step)).float() * 2 - 1
    first, second = (2 * max(share, least / size) for share, least in zip(JITTER, JITTER_PIXELS, strict=True))
    angle = values[:, 0] * torch.pi * ROTATION / 180
    turned = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(-1, 2, 2)
    linear = turned / (1 + SCALE * values[:, 1]).view(-1, 1, 1)
    shift = linear @ (second * values[:, 2:4, None]) + first * values[:, 4:6, None]
    return torch.cat([linear, shift], 2)


def view(images: Tensor, maps: Tensor) -> Tensor:
    """Pictures [N, C, S, S] as the maps [N, 2, 3] show them, of the same size; gray where a picture ends."""
    grid = F.affine_grid(maps, list(images.shape), align_corners=False)
    return F.grid_sample(images - PAD, grid, mode="bilinear", padding_mode="zeros", align_corners=False) + PAD


RATE = 0.05
"""Learning rate of Adam."""
ROOM = 2**29
"""Bytes for which pictures share a batch; beyond the caches of a processor more do not help."""
COPIES = 12
"""Of a picture in a step: spectrum, gradient, moments of Adam, waves, colours, view, and what their gradients need."""
MOST = 4096
"""Pictures that a unit can have: the numbers of pictures are unit * MOST + picture."""
Advance = Callable[[int], None]


@dataclass(frozen=True)
class Recipe:
    """How pictures are made."""

    size: int
    """Side in pixels."""
    steps: int
    pictures: int = 1
    """Of each unit."""
    diversity: float = 0.0
    """Weight of the similarity of the pictures of a unit."""
    objective: Objective = "channel"
    seed: int = 0


@dataclass(frozen=True)
class Drawn:
    """N = units x pictures pictures, those of a unit one after another."""

    images: Tensor
    """[N, C, S, S] in [0, 1], on the CPU."""
    before: Tensor
    """Activation of the unit at the start, without transformations, [N]."""
    activation: Tensor
    """At the end, likewise, [N]."""
    course: Tensor
    """Activation in each step, as transformed, [steps, N]."""


def activations(output: Tensor, units: Tensor, objective: Objective) -> Tensor:
    """Of unit n in output n: the mean over all places, or, ``neuron``, the place in the middle of a map.

    Args:
        output: maps [N, C, H, W], tokens [N, P, C] or features [N, C].
        units: numbers of channels, int64 [N].
        objective: which of the two.

    Returns:
        [N]
    """
    own = channels_first(output)[torch.arange(len(units), device=units.device), units]
    if objective == "channel":
        return own.mean(1)
    height, width = output.shape[2:]
    return own[:, height // 2 * width + width // 2]


def channels_first(output: Tensor) -> Tensor:
    """Maps, tokens or features -> [N, C, P], P places."""
    return output.transpose(1, 2) if output.ndim == 3 else output.flatten(2) if output.ndim == 4 else output[..., None]


def similarity(output: Tensor, pictures: int) -> Tensor:
    """How alike the pictures of each unit are: the cosines of their Gram matrices (Gatys, Ecker, Bethge, CVPR 2016),
    summed over all ordered pairs of a unit and divided by their number K, as in Distill 2017; summed over the units.

    Args:
        output: of a layer, for units x K pictures.
        pictures: K.
    """
    features = channels_first(output).unflatten(0, (-1, pictures))
    if features.shape[2] > features.shape[3]:  # <F Fᵀ, G Gᵀ> = |Fᵀ G|², the smaller product where channels are many
        cross = torch.einsum("ukcp,ulcq->uklpq", features, features).pow(2).sum((3, 4))
    else:
        grams = (features @ features.transpose(2, 3)).flatten(2)
        cross = grams @ grams.transpose(1, 2)
    length = cross.diagonal(dim1=1, dim2=2).clamp_min(1e-12).sqrt()
    cosines = cross / (length[:, :, None] * length[:, None])
    return (cosines.sum() - cosines.diagonal(dim1=1, dim2=2).sum()) / pictures


@contextmanager
def capture(*modules: nn.Module | None) -> Iterator[dict[nn.Module, Tensor]]:
    """What the modules gave in the last pass; copies, because the next layer may work in place."""
    seen: dict[nn.Module, Tensor] = {}
    found = dict.fromkeys(module for module in modules if module is not None)
    handles = [
        module.register_forward_hook(lambda module, _, output: seen.__setitem__(module, output.clone()))
        for module in found
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def maximise(
    model: Classifier, layer: Layer, units: Sequence[int], recipe: Recipe, progress: Advance | None = None
) -> Drawn:
    """Pictures of units, in as few batches as fit the room. A picture depends on the seed, its unit, its number and, if
    they are to differ, the other pictures of its unit, not on what else is in the batch.

    Args:
        model: in test mode, its parameters without gradients, where it is to compute.
        layer: of the units.
        units: their numbers.
        recipe: how.
        progress: called with the number of pictures that went a step further.
    """
    picture = 4 * COPIES * model.card.in_chans * recipe.size**2
    together = max(1, ROOM // ((2 * layer.bytes + picture) * recipe.pictures))
    chunks = [units[first : first + together] for first in range(0, len(units), together)]
    found = [_maximise(model, layer, chunk, recipe, progress) for chunk in chunks]
    images, before, after = (
        torch.cat([getattr(each, name) for each in found]) for name in ("images", "before", "activation")
    )
    return Drawn(images, before, after, torch.cat([each.course for each in found], 1))


def _maximise(model: Classifier, layer: Layer, units: Sequence[int], recipe: Recipe, progress: Advance | None) -> Drawn:
    device = model.mean.device
    numbers = [unit * MOST + picture for unit in units for picture in range(recipe.pictures)]
    wanted = torch.tensor(units, device=device).repeat_interleave(recipe.pictures)
    spectra = start(recipe.seed, numbers, model.card.in_chans, recipe.size).to(device).requires_grad_()
    optim = torch.optim.Adam([spectra], RATE)
    course = torch.zeros(recipe.steps, len(numbers))
    diverse = layer.compared if recipe.diversity else None
    with capture(layer.module, diverse) as seen:

        def plain() -> tuple[Tensor, Tensor]:
            with torch.no_grad():
                images = pixels(spectra)
                model(images)
            return images.cpu(), activations(seen[layer.module], wanted, recipe.objective).cpu()

        before = plain()[1]
        for step in range(recipe.steps):
            maps = draw(recipe.seed, numbers, step, recipe.size).to(device)
            model(view(pixels(spectra), maps))
            reached = activations(seen[layer.module], wanted, recipe.objective)
            loss = -reached.sum()
            if diverse is not None:
                loss = loss + recipe.diversity * similarity(seen[diverse], recipe.pictures)
            optim.zero_grad()
            loss.backward()
            optim.step()
            course[step] = reached.detach().cpu()
            if progress:
                progress(len(numbers))
        images, after = plain()
    return Drawn(images, before, after, course)

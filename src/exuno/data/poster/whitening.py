"""ZCA whitening of images, regularised, as Nguyen, Chen and Lee (ICLR 2021) and PoDD (arXiv 2403.12040) prepare their
data; and one that needs no data, from the spectrum of natural images."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exuno.engine.errors import ExunoError

CHUNK = 1024  # images at a time
RANGE = 4.0  # standard deviations that a picture of an image without its contrast shows
OPPONENTS = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])
"""Axes of colour: light, red against blue, both against green (Ruderman, Cronin and Chiao, J. Opt. Soc. Am. A 1998)."""
SHARES = (0.53, 0.43, 0.04)
"""Variance along each, of patches of 32 pixels less their mean and divided by their norm: medians over the colour
photographs that come with scikit-image."""


@dataclass(frozen=True, eq=False)
class Whitening:
    """A fitted whitening.

    Raises:
        ExunoError: the matrix is not that of images of ``shape``, or holds infinite numbers or NaN.
    """

    matrix: Tensor
    """(C + r m I)^(-1/2), symmetric, float32 [D, D] with D = channels x height x width."""
    shape: tuple[int, int, int]
    """(C, h, w) of the images."""
    formula: bool = False
    """Whether it is that of :func:`by_spectrum`, which anybody can compute, so that nobody needs to store it."""

    def __post_init__(self) -> None:
        side = self.shape[0] * self.shape[1] * self.shape[2]
        if tuple(self.matrix.shape) != (side, side) or self.matrix.dtype != torch.float32:
            raise ExunoError(
                f"a whitening matrix of {list(self.matrix.shape)} ({self.matrix.dtype}) for images of {self.shape}",
                f"It must be float32 [{side}, {side}].",
            )
        if not self.matrix.isfinite().all():
            raise ExunoError("a whitening matrix holds infinite numbers or NaN", "Fit it anew.")

    @property
    def content(self) -> bytes:
        """What a digest of it takes: of a formula the last bits may differ from machine to machine."""
        return b"spectrum" if self.formula else self.matrix.numpy().tobytes()

    @cached_property
    def inverse_matrix(self) -> Tensor:
        """(C + r m I)^(1/2), float32 [D, D]."""
        return torch.linalg.inv(self.matrix.double()).float()

    def apply(self, images: Tensor) -> Tensor:
        """Whiten images.

        Args:
            images: uint8, or float on any scale, [B, C, h, w]: each image's own mean and norm are taken out.

        Returns:
            float32 [B, C, h, w] on the same device; about 1 in standard deviation on images like those of the fit.
        """
        self._check(images)
        matrix = self.matrix.to(images.device)
        parts = [standardise(part.flatten(1).float()) @ matrix for part in images.split(CHUNK)]
        return torch.cat(parts).view(images.shape) if parts else images.float()

    def inverse(self, images: Tensor) -> Tensor:
        """Undo :meth:`apply` up to each image's own mean and norm: float [B, C, h, w] -> float32 of mean 0, norm 1."""
        self._check(images)
        matrix = self.inverse_matrix.to(images.device)
        return (images.flatten(1).float() @ matrix).view(images.shape)

    def picture(self, images: Tensor) -> Tensor:
        """Whitened images [B, C, h, w] as pictures in [0, 1]: unwhitened, each with its own contrast around gray.

        The range is four standard deviations of the image to either side.
        """
        plain = self.inverse(images)
        deviation = plain.flatten(1).std(1, correction=0).clamp(min=1e-12).view(-1, 1, 1, 1)
        return (0.5 + plain / (2 * RANGE * deviation)).clamp(0, 1)

    def _check(self, images: Tensor) -> None:
        if tuple(images.shape[1:]) != self.shape:
            raise ExunoError(
                f"images of {'x'.join(map(str, images.shape[1:]))} for a whitening of {'x'.join(map(str, self.shape))}",
                "Bring them to that size and number of channels first.",
            )


def standardise(flat: Tensor) -> Tensor:
    """Rows [N, D] less their own mean, divided by their own norm; a constant row becomes 0."""
    scale = flat.abs().amax(1, keepdim=True)
    centred = flat - flat.mean(1, keepdim=True)
    norm = centred.norm(dim=1, keepdim=True)
    constant = norm <= 1e-6 * scale * flat.shape[1] ** 0.5  # what rounding leaves of a constant image
    return torch.where(constant, 0.0, centred / norm.where(~constant, 1.0))


def fit(images: Tensor, regularisation: float = 0.1) -> Whitening:
    """Fit a whitening to training images.

    With X the images as rows, each less its own mean and divided by its own norm, C = X^T X / N and m the mean of C's
    eigenvalues, it is multiplication by (C + r m I)^(-1/2). Computed in float64, a chunk of images at a time.

    Args:
        images: uint8, or float on any scale, [N, C, h, w].
        regularisation: r > 0.

    Raises:
        ExunoError: no images, images that are all constant, or r out of range.
    """
    if regularisation <= 0:
        raise ExunoError(f"a ZCA regularisation of {regularisation}", "Give a positive number; 0.1 is usual.")
    if images.ndim != 4 or not len(images):
        raise ExunoError(f"images of shape {list(images.shape)} cannot be whitened", "Give at least one image.")
    channels, height, width = images.shape[1:]
    side = channels * height * width
    covariance = torch.zeros(side, side, dtype=torch.float64)
    for part in images.split(CHUNK):
        rows = standardise(part.flatten(1).double())
        covariance.addmm_(rows.T, rows)
    covariance /= len(images)
    values, vectors = torch.linalg.eigh(covariance)
    mean = values.mean()
    if mean <= 0:
        raise ExunoError("every image is of one colour, so there is nothing to whiten", "Leave out --zca.")
    roots = (values.clamp(min=0) + regularisation * mean).rsqrt()
    return Whitening((vectors * roots @ vectors.T).float(), (channels, height, width))


@lru_cache(maxsize=4)
def by_spectrum(shape: tuple[int, int, int], regularisation: float = 0.1) -> Whitening:
    """The whitening of natural images of a size: nothing is fitted, so it takes no bytes.

    Their power falls with the square of the frequency (Field, J. Opt. Soc. Am. A 1987): the component (u, v) of a
    discrete cosine transform (DCT-II), in half periods an image, has the variance 1 / (1 + u^2 + v^2), times the share
    of its axis of colour; the mean of an image has none, since :func:`standardise` takes it out. They add up to the
    norm 1 of an image, and take the place of the eigenvalues in :func:`fit`.

    Args:
        shape: (C, h, w) of the images, C = 1 or 3.
        regularisation: r > 0.
    """
    channels, height, width = shape
    power = 1 / (1 + np.arange(height)[:, None] ** 2 + np.arange(width) ** 2)
    shares, colours = (np.array(SHARES), OPPONENTS) if channels == 3 else (np.ones(1), np.ones((1, 1)))
    values = []
    for number, share in enumerate(shares):
        own = power.copy()
        own[0, 0] *= number > 0
        values.append(share * own / max(own.sum(), np.finfo(float).tiny))
    spectrum = np.concatenate([each.ravel() for each in values])
    vectors = np.kron(colours.T, np.kron(_cosines(height), _cosines(width)))  # each column a component
    roots = (spectrum + regularisation * spectrum.mean()) ** -0.5
    return Whitening(torch.from_numpy((vectors * roots) @ vectors.T).float(), shape, formula=True)


def _cosines(side: int) -> NDArray[np.float64]:
    """The orthonormal basis of the DCT-II, [side, side], a component a column."""
    basis = np.cos(np.pi / side * (np.arange(side)[:, None] + 0.5) * np.arange(side))
    return basis / np.linalg.norm(basis, axis=0)

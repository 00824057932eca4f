"""ZCA whitening of images, regularised, as Nguyen, Chen and Lee (ICLR 2021) and PoDD (arXiv 2403.12040) prepare their
data."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from exuno.engine.errors import ExunoError

CHUNK = 1024  # images at a time
RANGE = 4.0  # standard deviations that a picture of an image without its contrast shows


@dataclass(frozen=True, eq=False)
class Whitening:
    """A fitted whitening.

    Raises:
        ExunoError: the matrix is not that of images of ``shape``.
    """

    matrix: Tensor
    """(C + r m I)^(-1/2), symmetric, float32 [D, D] with D = channels x height x width."""
    shape: tuple[int, int, int]
    """(C, h, w) of the images."""

    def __post_init__(self) -> None:
        side = self.shape[0] * self.shape[1] * self.shape[2]
        if tuple(self.matrix.shape) != (side, side) or self.matrix.dtype != torch.float32:
            raise ExunoError(
                f"a whitening matrix of {list(self.matrix.shape)} ({self.matrix.dtype}) for images of {self.shape}",
                f"It must be float32 [{side}, {side}].",
            )

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

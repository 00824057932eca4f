"""A network with all it takes to feed it: pixels in, logits out; and a copy with its batch norms fused."""

import copy
from collections.abc import Sequence
from contextlib import suppress
from functools import singledispatch
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from exuno.data.audio.mel import LogMel
from exuno.data.base import modality
from exuno.data.constants import LUMA
from exuno.engine.errors import ExunoError
from exuno.engine.options import MelSpec
from exuno.models.card import Hearing, ModelCard


def match_channels(pixels: Tensor, channels: int) -> Tensor:
    """Bring [B, C, H, W] or [B, C, T, H, W] to 1 or 3 channels: gray is repeated, RGB becomes its ITU-R 601 luma."""
    have = pixels.shape[1]
    if have == channels:
        return pixels
    if have == 1:
        return pixels.expand(-1, channels, *pixels.shape[2:])
    if have == 3 and channels == 1:
        red, green, blue = pixels.split(1, 1)
        return red * LUMA[0] + green * LUMA[1] + blue * LUMA[2]
    raise ExunoError(f"images of {have} channels for a model of {channels}", "Give gray or RGB images.")


def subsample(clips: Tensor, frames: int) -> Tensor:
    """``frames`` of the T frames of clips [B, C, T, H, W], evenly spread from first to last; too few are repeated.

    The same ones as pytorchvideo's ``UniformTemporalSubsample``.
    """
    have = clips.shape[2]
    if have == frames:
        return clips
    return clips.index_select(2, torch.linspace(0, have - 1, frames, device=clips.device).clamp(0, have - 1).long())


def fitted(recordings: Tensor, length: int) -> Tensor:
    """The middle ``length`` samples of recordings [B, 1, S], or all of them with silence around."""
    have = recordings.shape[-1]
    before = (length + have) // 2 - have  # half of what is lacking; a negative number is not halved: ONNX rounds it up
    return pad(recordings, (before, length - have - before)) if _differ((have,), (length,)) else recordings


def _differ(sides: Sequence[int], wanted: Sequence[int]) -> bool:
    """Whether an input has other sides than wanted. Sides that a trace leaves free do: it takes one way for all sizes,
    and to bring an input to the size that it has already changes nothing."""
    return any(isinstance(side, torch.SymInt) for side in sides) or tuple(sides) != tuple(wanted)


def hearing_of(data: Any, size: tuple[int, int], sound: MelSpec) -> Hearing | None:
    """How a new model for ``data`` hears; None unless they are recordings. ``size`` is (1, samples)."""
    return Hearing(data.rate, size[1], sound) if modality(data) == "recording" else None


def fastest_layout(net: nn.Module, clips: bool) -> torch.memory_format:
    """How the network's tensors should lie: channels last, but not where groups of channels are normalised. For them
    torch's kernel on the CPU takes up to ten times as long in that layout, and that on a GPU copies first."""
    grouped = nn.GroupNorm | nn.InstanceNorm2d | nn.InstanceNorm3d
    if any(isinstance(module, grouped) for module in net.modules()):
        return torch.contiguous_format
    return torch.channels_last_3d if clips else torch.channels_last


NAMES = {3: "recordings", 4: "single images", 5: "clips"}


class Classifier(nn.Module):
    """``net`` behind its own preprocessing, so that models of different input sizes and normalisations take the same
    pixels.

    Args:
        net: normalised input [B, in_chans, H, W], or clips [B, in_chans, T, H, W] -> logits [B, classes]. With
            ``card.hearing``, its images are spectrograms.
        card: what the network is and expects.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, net: nn.Module, card: ModelCard) -> None:
        super().__init__()
        self.layout = fastest_layout(net, clips=bool(card.frames))
        try:
            self.net = net.to(memory_format=self.layout)  # type: ignore[call-overload]
        except RuntimeError as error:  # weights of two axes to slide along where there should be three
            raise ExunoError(
                f"{card.arch} is no network of clips, and its card says that it takes {card.frames} frames",
                "Give a network of clips, such as exuno:x3d_xs.",
            ) from error
        self.card = card
        self.ear = LogMel(card.hearing.rate, card.hearing.sound) if card.hearing else None
        # Not persistent: they are in the card, and the state dict stays that of the network alone.
        self.register_buffer("mean", torch.tensor(card.mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(card.std).view(1, -1, 1, 1), persistent=False)

    def prepare(self, pixels: Tensor) -> Tensor:
        """Pixels [B, C, H, W] in [0, 1] -> the network's normalised input [B, in_chans, *input_size]; of a model for
        clips [B, C, T, H, W] -> [B, in_chans, frames, *input_size]; of a model for recordings [B, 1, S] at its rate ->
        [B, in_chans, mels, columns].

        Raises:
            ExunoError: images for a model of clips, or any such pair.
        """
        if pixels.ndim != self.ndim:
            raise ExunoError(
                f"{self.card.arch} takes {NAMES[self.ndim]}, and was given {NAMES.get(pixels.ndim, 'something else')}",
                "Give a model that fits the data.",
            )
        if self.ear is not None and self.card.hearing:
            pixels = self.ear(fitted(pixels, self.card.hearing.length))
        if self.card.frames:
            clips = subsample(pixels, self.card.frames)
            images = self._images(clips.transpose(1, 2).flatten(0, 1))
            images = images.unflatten(0, (-1, self.card.frames)).transpose(1, 2)  # -1: a batch that ONNX leaves free
            return images.contiguous(memory_format=self.layout)
        return self._images(pixels).contiguous(memory_format=self.layout)

    def _images(self, pixels: Tensor) -> Tensor:
        x = match_channels(pixels, self.card.in_chans)
        if _differ(x.shape[-2:], self.card.input_size):
            x = interpolate(x, self.card.input_size, mode="bilinear", antialias=True, align_corners=False)
        return (x - self.mean) / self.std

    @property
    def ndim(self) -> int:
        """Axes of a batch that it takes: 4 for images, 5 for clips, 3 for recordings."""
        return 5 if self.card.frames else 3 if self.card.hearing else 4

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels, float [B, C, H, W] in [0, 1], C = 1 or 3, any H and W -> logits [B, classes]; of a model for clips
        [B, C, T, H, W], any T; for recordings [B, 1, S], any S."""
        return self.net(self.prepare(pixels))


@singledispatch
def fuse_batchnorm(classifier: Classifier) -> Classifier:
    """A copy of ``classifier`` for inference; its logits are the same up to rounding.

    A frozen batch normalisation is an affine map of each channel, so the convolution before it can carry it (Jacob et
    al., CVPR 2018, section 3.2). On a CPU this saves a quarter of a ResNet-56's time. A network whose graph torch.fx
    cannot trace is left as it is.
    """
    net = copy.deepcopy(classifier.net).eval()
    if any(isinstance(module, nn.BatchNorm2d) for module in net.modules()):
        from torch.fx.experimental.optimization import fuse

        with suppress(Exception):  # whatever tracing stumbles over, the network itself still answers
            folded = fuse(net)
            net = folded if _same(folded, net, classifier.card) else net
    copied = Classifier(net, classifier.card).eval().requires_grad_(False)
    return copied.to(next(iter(classifier.buffers())).device)


@torch.no_grad()
def _same(folded: nn.Module, net: nn.Module, card: ModelCard) -> bool:
    """Whether both answer alike: a convolution that is used twice would be folded twice."""
    x = torch.rand(2, card.in_chans, *card.input_size, generator=torch.Generator().manual_seed(0))
    x = x.to(next(net.parameters()).device)
    expected = net(x)
    return bool((folded(x) - expected).abs().max() <= 1e-3 * expected.abs().max())

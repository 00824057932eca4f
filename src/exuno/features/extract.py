"""Any model as a feature extractor, and the images that features are taken from.

A vision transformer of exuno gives what SMKD compares (Lin et al., CVPR 2023): its [CLS] token joined with the mean of
its patch tokens, weighted by the attention that [CLS] pays them in the last block; both of length 1. Any other network
gives the input of its last layer, as it is. [CLS] tokens of several last blocks may be joined (the linear protocol of
DINO: Caron et al., ICCV 2021), and features of several views of an image averaged.
"""

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from exuno.data.base import Data, Images, Positions, classes_of
from exuno.data.images.corners import views_of
from exuno.data.images.resize import prepare
from exuno.data.loader import IN_ORDER, Loader
from exuno.data.subset import SubsetData, labels_of, names_of
from exuno.engine.errors import ExunoError
from exuno.features import Count, FeatureName
from exuno.models.classifier import NAMES, Classifier, match_channels

Advance = Callable[[int], None]
ROOM = 2**22
"""Pixels (height times width) of a batch."""
MOST = 500
"""Images of a batch."""
RAW = 32
"""Side of the raw pixels of larger images."""


class Crops:
    """A labelled data set whose images are resized, bicubic with antialiasing, and cropped to their centre.

    Args:
        data: the images.
        size: (H, W) of the crop.
        short: the short side before the crop; the crop is never larger than the resized image.
    """

    def __init__(self, data: Any, size: tuple[int, int], short: int) -> None:
        self.data, self.image_size, self.short = data, size, short
        self.name: str = data.name

    def __len__(self) -> int:
        return len(self.data)

    def fetch(self, positions: Positions) -> tuple[Tensor, Tensor]:
        """Images [B, C, H, W] of the data's type and class labels int64 [B] at B positions."""
        images, labels = self.data.fetch(positions)
        return crops(images, self.image_size, self.short), classes_of(labels)

    def batches(self, workers: int = 0) -> Loader:
        """All images in their order."""
        size = max(1, min(MOST, ROOM // (self.image_size[0] * self.image_size[1])))
        return Loader(self, size, None, size=self.image_size, workers=workers, **IN_ORDER)


def crops(images: Images, size: tuple[int, int], short: int) -> Tensor:
    """Images [B, C, h, w], or a list of such of varying size, with ``short`` as short side, cut to (H, W)."""
    return prepare(images, size, short, "bicubic")


def short_side(data: Any, size: tuple[int, int], asked: int | None = None, views: Count = 1) -> int:
    """The short side before the centre crop: what was asked for, else 8/7 of ``size`` where images are larger than that
    (256 for 224), else ``size``; for views of the corners 8/7 of it in any case, one pixel more at least."""
    if asked is not None:
        return asked
    if views >= 5:
        return max(round(min(size) * 8 / 7), min(size) + 1)
    larger = getattr(data, "resize", None) is not None or min(data.image_size) > min(size)
    return round(min(size) * 8 / 7) if larger else min(size)


def frame_of(size: tuple[int, int], short: int, views: Count) -> tuple[int, int]:
    """(H, W) of what is cut out of an image, of which views of ``size`` are taken: the size itself, or with corners as
    much more of both sides as ``short`` is longer than the shorter one."""
    more = short - min(size) if views >= 5 else 0
    return size[0] + more, size[1] + more


def raw_size(data: Any) -> tuple[int, int]:
    """(H, W) at which raw pixels are compared: that of the data, at most 32 x 32, which is where pixels do best."""
    size = tuple(data.image_size)
    return (size[0], size[1]) if max(size) <= RAW and getattr(data, "resize", None) is None else (RAW, RAW)


def raw_pixels(
    data: Any, size: tuple[int, int], short: int, workers: int = 0, progress: Advance | None = None
) -> tuple[Tensor, Tensor]:
    """Pixels in [0, 1] of N images, float32 [N, C H W], and labels int64 [N]."""
    found, labels = [], []
    for batch in Crops(data, size, short).batches(workers).epoch(0):
        found.append(batch["images"].flatten(1).float())
        labels.append(batch["labels"])
        if progress:
            progress(len(batch["labels"]))
    return torch.cat(found), torch.cat(labels)


def few_of_each(data: Data, count: int) -> SubsetData:
    """The first ``count`` images of each class: what a smoke run measures."""
    labels = labels_of(data)
    found = [np.flatnonzero(labels == label)[:count] for label in np.unique(labels)]
    chosen = np.sort(np.concatenate(found)).astype(np.int64)
    return SubsetData(data.name, [data], np.zeros_like(chosen), chosen, labels[chosen], names_of(data))


Reader = Callable[[Tensor], Tensor]
TOKENS = ("cls+patch", "cls", "patch")
_HOOKED = Lock()


def extract(
    model: Classifier,
    data: Any,
    *,
    features: FeatureName = "auto",
    blocks: int = 1,
    views: Count = 1,
    size: tuple[int, int] | None = None,
    resize: int | None = None,
    device: torch.device | None = None,
    workers: int = 0,
    progress: Advance | None = None,
) -> tuple[Tensor, Tensor]:
    """Features of all images of a data set, in its order.

    Args:
        model: the network; its card knows mean and std. Batch norms and dropout are those of a test.
        data: N labelled images.
        features: which; see :func:`kind_of`.
        blocks: last blocks of a transformer whose [CLS] tokens are joined.
        views: of each image, over which its features are averaged; see ``data.images.corners``.
        size: (H, W) at which the network sees them; default: the input size of its card.
        resize: short side before the centre crop; default: :func:`short_side`.
        device: where to compute; default: where the model is.
        workers: processes that decode images.
        progress: called with the number of images done.

    Returns:
        Features float32 [N, F] and labels int64 [N], on the CPU.

    Raises:
        ExunoError: features that the network does not have, a size that it does not take, or one that takes no images.
    """
    check_images(model)
    kind, shape = kind_of(model, features), size or model.card.input_size
    check_size(model, shape)
    read, was_training = reader(model, kind, blocks), model.training
    short = short_side(data, shape, resize, views)
    if device is not None:
        model.to(device)
    model.eval()
    found, labels = [], []
    try:
        for batch in Crops(data, frame_of(shape, short, views), short).batches(workers).epoch(0):
            found.append(features_of(model, read, [batch["images"]], shape, views).cpu())
            labels.append(batch["labels"])
            if progress:
                progress(len(batch["labels"]))
    finally:
        if was_training:
            model.train()
    return torch.cat(found), torch.cat(labels)


def check_images(model: Classifier) -> None:
    """Raises ExunoError for a model of recordings or clips."""
    if model.ndim != 4:
        raise ExunoError(
            f"{model.card.arch} takes {NAMES[model.ndim]}", "Features are of single images: give such a model."
        )


@torch.inference_mode()
def features_of(
    model: Classifier, read: "Reader", groups: Sequence[Tensor], size: tuple[int, int], views: Count = 1
) -> Tensor:
    """Features float32 [N, F], where the model is.

    Args:
        model: in test mode.
        read: see :func:`reader`.
        groups: pixels [b, C, H, W] in [0, 1] of one size, see :func:`frame_of`; gray ones and those in colour apart.
        size: of a view, (h, w).
        views: of each image.

    Raises:
        ExunoError: a size that the network does not take.
    """
    x = torch.cat([normalised(model, pixels.to(model.mean.device)) for pixels in groups])
    found = [_told(read, view, model).float() for view in views_of(x, size, views)]
    return torch.stack(found).mean(0) if views > 1 else found[0]


def normalised(model: Classifier, pixels: Tensor) -> Tensor:
    """Pixels [B, C, H, W] in [0, 1] -> the network's input at the size they have."""
    x = match_channels(pixels, model.card.in_chans)
    return ((x - model.mean) / model.std).contiguous(memory_format=torch.channels_last)


def is_transformer(model: Classifier) -> bool:
    """Whether it is a vision transformer of exuno, by its card; asking the class of its network would load timm and
    torchvision, which takes longer than the features of a small network."""
    return model.card.arch.startswith("exuno:vit_")


def kind_of(model: Classifier, features: FeatureName) -> FeatureName:
    """Which features ``auto`` stands for: cls+patch of a transformer of exuno, last of any other network.

    Raises:
        ExunoError: features of tokens, and another network.
    """
    transformer = is_transformer(model)
    if features == "auto":
        return "cls+patch" if transformer else "last"
    if features in TOKENS and not transformer:
        raise ExunoError(
            f"{model.card.arch} is no vision transformer of exuno and has no features '{features}'",
            "Give --features auto, which takes of each model what it has, or --features last.",
        )
    return features


def check_short(size: tuple[int, int], asked: int | None, views: Count = 1) -> None:
    """Raises ExunoError unless the short side that is asked for leaves room for views of (H, W) pixels."""
    least = min(size) + (views >= 5)
    if asked is not None and asked < least:
        why = f", so that --views {views} finds corners" if views >= 5 else ", which is cut out of it"
        raise ExunoError(f"--resize is {asked}", f"Give at least {least}{why}.")


def check_size(model: Classifier, size: tuple[int, int]) -> None:
    """Raises ExunoError if the patches of a transformer do not fill images of (H, W) pixels."""
    if is_transformer(model):
        net: Any = model.net
        patch = net.patch_embed.patch_size[0]
        if size[0] % patch or size[1] % patch:
            raise ExunoError(
                f"images of {size[1]}x{size[0]} pixels cannot be cut into the patches of {patch} of {model.card.arch}",
                "Give --size, a multiple of the patch.",
            )


def check_blocks(model: Classifier, kind: FeatureName, blocks: int) -> None:
    """Raises ExunoError unless a model has so many blocks whose [CLS] tokens can be joined to features of a kind."""
    if blocks == 1:
        return
    if kind not in ("cls+patch", "cls"):
        raise ExunoError(
            f"--blocks {blocks} joins [CLS] tokens, which the features '{kind}' of {model.card.arch} do not have",
            "Leave out --blocks, or take --features cls of a vision transformer of exuno.",
        )
    net: Any = model.net
    if blocks > len(net.blocks):
        raise ExunoError(f"--blocks is {blocks}, but {model.card.arch} has {len(net.blocks)}", "Give as many at most.")


def reader(model: Classifier, kind: FeatureName, blocks: int = 1) -> Reader:
    """The function normalised images [B, C, H, W] -> features [B, F] of a kind, with the [CLS] tokens of so many last
    blocks.

    Raises:
        ExunoError: more blocks than there are, or features without a [CLS] token.
    """
    check_blocks(model, kind, blocks)
    net: Any = model.net
    if kind in TOKENS:
        return lambda x: _tokens(net, x, kind, blocks)
    if hasattr(net, "forward_features") and hasattr(net, "forward_head"):  # the way of timm
        return lambda x: net.forward_head(net.forward_features(x), pre_logits=True).flatten(1)
    if model.card.classes == 0:
        return lambda x: net(x).flatten(1)
    layers = [layer for layer in net.modules() if isinstance(layer, nn.Linear)]
    if layers:
        return lambda x: _entering(net, layers[-1], x)
    raise ExunoError(f"{model.card.arch} has no linear layer whose input could be taken", "Take another network.")


def _tokens(net: Any, x: Tensor, kind: FeatureName, blocks: int) -> Tensor:
    reading = net.read(x, blocks=blocks)
    patch = normalize(torch.einsum("bp,bpd->bd", reading.weights, reading.patches), dim=1)
    cls = torch.cat([normalize(level, dim=1) for level in reading.levels], 1)
    return {"cls+patch": torch.cat([cls, patch], 1), "cls": cls, "patch": patch}[kind]


def _entering(net: nn.Module, layer: nn.Module, x: Tensor) -> Tensor:
    """What enters a layer, flattened; one thread after another, since a hook hears of every pass."""
    seen: list[Tensor] = []
    with _HOOKED:
        handle = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        try:
            net(x)
        finally:
            handle.remove()
    return seen[-1].flatten(1)


def _told(read: Reader, x: Tensor, model: Classifier) -> Tensor:
    """Features; a network that takes one size only gets a sentence instead of torch's message."""
    size = (x.shape[2], x.shape[3])
    if size == model.card.input_size:
        return read(x)
    try:
        return read(x)
    except (RuntimeError, AssertionError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        height, width = model.card.input_size
        raise ExunoError(
            f"{model.card.arch} does not take images of {size[1]}x{size[0]} pixels",
            f"Leave out --size: the model was made for {width}x{height}.",
        ) from error

"""Networks with fresh weights for the images that a poster is distilled from, whatever library they come from."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from exuno.engine.errors import ExunoError


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Within it, torch's generators start from ``seed``; after it, they are as they were before."""
    cuda = [device] if device is not None and device.type == "cuda" else []
    with torch.random.fork_rng(cuda):
        torch.default_generator.manual_seed(seed)
        if cuda:
            with torch.cuda.device(cuda[0]):
                torch.cuda.manual_seed(seed)
        yield


def fresh_network(spec: str, classes: int, channels: int, image: tuple[int, int], seed: int) -> nn.Module:
    """A network with random weights for images of the distilled space; the generators of torch stay as they are.

    Args:
        spec: exuno:NAME, timm:NAME or torchvision:NAME.
        classes: number of logits.
        channels: of the images; a network that takes only RGB gets gray ones three times.
        image: (h, w) of the images.
        seed: the weights are a function of it.

    Returns:
        The network on the CPU: images [B, C, h, w], normalised as they are -> logits [B, K].

    Raises:
        ExunoError: a spec of trained weights, or one that does not fit.
    """
    from exuno.models.load import load_model

    if spec.partition(":")[0] not in ("exuno", "timm", "torchvision"):
        raise ExunoError(
            f"'{spec}' names no network with random weights",
            "A poster trains from scratch: give exuno:NAME, timm:NAME or torchvision:NAME.",
        )
    with seeded(seed):
        model = load_model(spec, classes=classes, in_chans=channels, input_size=image, pretrained=False)
    net = model.net.to(memory_format=torch.contiguous_format)  # faster for small patches, equal for large ones
    if model.card.in_chans == channels:
        return net
    if channels == 1:
        return nn.Sequential(Repeat(model.card.in_chans), net)
    raise ExunoError(f"{spec} takes {model.card.in_chans} channels, not {channels}", "Take another network.")


class Repeat(nn.Module):
    """One channel -> ``channels`` equal ones."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        return x.expand(-1, self.channels, -1, -1)

"""Networks of torchvision that published checkpoints hold, told from the names and shapes of their weights."""

import re

from torch import Tensor

RESNETS: dict[tuple[bool, tuple[int, ...]], str] = {
    (False, (2, 2, 2, 2)): "resnet18",
    (False, (3, 4, 6, 3)): "resnet34",
    (True, (3, 4, 6, 3)): "resnet50",
    (True, (3, 4, 23, 3)): "resnet101",
    (True, (3, 8, 36, 3)): "resnet152",
}
"""Whether blocks are bottlenecks, and how many there are in each group -> name."""

State = dict[str, Tensor]


def torchvision_of(state: State) -> tuple[str, int] | None:
    """Name and number of classes of a network of torchvision; None if it is another.

    The students and teachers of the papers are told: ResNets, MobileNetV2 and EfficientNet-B0.
    """
    if "fc.weight" in state and "layer1.0.conv2.weight" in state:
        blocks = tuple(
            len({match[1] for key in state if (match := re.match(rf"layer{group}\.(\d+)\.", key))})
            for group in (1, 2, 3, 4)
        )
        name = RESNETS.get(("layer1.0.conv3.weight" in state, blocks))
        if name and tuple(state["layer1.0.conv2.weight"].shape[:2]) == (64, 64):  # neither wide nor with groups
            return name, len(state["fc.weight"])
    if "classifier.1.weight" in state and state["classifier.1.weight"].ndim == 2:
        for name, key, shape in (
            ("mobilenet_v2", "features.18.0.weight", (1280, 320, 1, 1)),
            ("efficientnet_b0", "features.8.0.weight", (1280, 320, 1, 1)),
        ):
            deeper = "features.1.1.block.0.0.weight" in state  # EfficientNet-B1
            if key in state and tuple(state[key].shape) == shape and not deeper:
                return name, len(state["classifier.1.weight"])
    return None

"""Putting weights into a network: all of them, or an error that says what does not fit."""

from torch import nn

from exuno.engine.errors import ExunoError
from exuno.models.weights import State

SHOWN = 4


def load_strictly(net: nn.Module, state: State, arch: str, source: str) -> None:
    """Load ``state`` into ``net``; both must have the same keys and shapes.

    Args:
        net: the network of architecture ``arch``.
        state: weights.
        arch: what the network is, for the message.
        source: where the weights come from, for the message (path, and architecture if recognised).

    Raises:
        ExunoError: naming the first keys and shapes that differ. The network is then unchanged.
    """
    own = net.state_dict()
    # Checkpoints from before torch 0.4.1 lack this counter, which no result depends on.
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    extra = [key for key in state if key not in own]
    shapes = [
        f"{key} is {tuple(state[key].shape)} in the file, {tuple(own[key].shape)} in the model"
        for key in own
        if key in state and own[key].shape != state[key].shape
    ]
    if missing or extra or shapes:
        parts = [f"missing {_some(missing)}"] if missing else []
        parts += [f"unknown {_some(extra)}"] if extra else []
        parts += [_some(shapes)] if shapes else []
        raise ExunoError(
            f"the weights of {source} do not fit {arch}: {'; '.join(parts)}",
            "Name the architecture that they belong to: file:PATH@ARCH.",
        )
    net.load_state_dict(state, strict=False)


def _some(items: list[str]) -> str:
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(items[:SHOWN]) + more

"""A verb in somebody else's program is done as by its command: one at a time, and with torch as it is at the start.

Weights are drawn from torch's generator, which all threads of a process share, and a program may have changed how torch
computes: both would give other weights than the same words on a command line, and nobody would be told. No torch,
unless the program has imported it.
"""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import RLock

from exuno.engine.errors import tell_anew

_working = RLock()


@contextmanager
def alone() -> Iterator[None]:
    """Waits until no other thread is in here; within, gradients are on, numbers are float32 and nothing is cast by
    itself. At the end all is as the program had it. What an earlier call has told, such as test images among those of a
    source, is told again."""
    with _working, ExitStack() as stack:
        tell_anew()
        if "torch" in sys.modules:
            import torch

            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.enable_grad())
            if (kind := torch.get_default_dtype()) != torch.float32:
                torch.set_default_dtype(torch.float32)
                stack.callback(torch.set_default_dtype, kind)
            if torch.get_default_device().type != "cpu":
                stack.enter_context(torch.device("cpu"))
            for device in ("cpu", "cuda"):
                if torch.is_autocast_enabled(device):
                    stack.enter_context(torch.autocast(device, enabled=False))
        yield

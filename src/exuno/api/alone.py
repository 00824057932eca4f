"""A verb in somebody else's program is done as by its command: one at a time, and with torch as it is at the start.

Weights are drawn from torch's generator, which all threads of a process share, and a program may have changed how torch
computes: both would give other weights than the same words on a command line, and nobody would be told. The verb seeds
the generators in its turn, and a program that draws from them would draw the same numbers after each. No torch, unless
the program has imported it.
"""

import os
import random
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import RLock

from exuno.engine.errors import tell, tell_anew

_working = RLock()


def _anew() -> None:
    """Of a process that was forked: the thread that was in here is not in it, and would never leave."""
    global _working
    _working = RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_anew)


@contextmanager
def alone() -> Iterator[None]:
    """Waits until no other thread is in here, and says so; within, gradients are on, numbers are float32 and nothing is
    cast by itself. At the end all this is as the program had it, and so are the generators of Python, NumPy and torch.
    What an earlier call has told, such as test images among those of a source, is told again."""
    if _working.acquire(blocking=False):
        _working.release()
    else:
        tell("exuno: waits for the verb that another thread has called.")
    with _working, ExitStack() as stack:
        tell_anew()
        stack.callback(random.setstate, random.getstate())
        if "numpy" in sys.modules:
            import numpy as np

            stack.callback(np.random.set_state, np.random.get_state())  # noqa: NPY002
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
            gpus = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
            stack.enter_context(torch.random.fork_rng(gpus))
        yield

"""torch.compile for plain trainings: forward and backward pass of a method become a few fused kernels.

It gains little where steps are recorded (``engine/graph.py``): WRN-40-4 → WRN-16-4 on one H100 went from 30,500 to
31,500 images/s, after 34 s of compiling. So ``auto`` compiles only what is not recorded, on a GPU, and only where
enough of the run is left to repay that at so small a gain; else the user asks for it.

A method is compiled in place and as one graph: names of weights, checkpoints and evaluations do not know of it, and
nothing has been computed where compiling fails, so that the training goes on as it was.
"""

import logging
import os
import time
import warnings
from collections.abc import Callable
from typing import Literal, TypeVar

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from exuno.engine import checkpoint
from exuno.engine.errors import ExunoError, first_line
from exuno.engine.graph import Recordings
from exuno.engine.method import Method, TrainState

BACKEND = "inductor"
WATCHED = (10, 30)
"""Steps between which the training is timed before ``auto`` decides: by the first, libraries have chosen."""
REPAYS = 20 * 60.0
"""Seconds of training that half a minute of compiling is worth, at the gain of 3 % that was measured."""

CHATTY = ("torch._dynamo", "torch._inductor", "torch._functorch", "torch.utils.cpp_extension")
"""What has things to say while it compiles that are of no use to who trains."""

T = TypeVar("T")


def hush() -> None:
    """Keeps them off the screen, unless torch's own TORCH_LOGS asks for them."""
    warnings.filterwarnings("ignore", category=UserWarning, module=r"torch\._(dynamo|inductor|functorch)")
    if "TORCH_LOGS" not in os.environ:
        for name in CHATTY:
            logging.getLogger(name).setLevel(logging.ERROR)


class Compilation:
    """Decides whether the steps of a training are compiled, and from when on.

    Args:
        asked: ``--compile``.
        method: what learns, wrapped by Accelerate or not.
        accelerator: devices and processes.
        recordings: of the same training.
        deterministic: whether the run has to give the same bits again, which a choice by the clock would not.
        tell: is given one line.
    """

    def __init__(
        self,
        asked: Literal["auto", "on", "off"],
        method: Method,
        accelerator: Accelerator,
        recordings: Recordings,
        deterministic: bool,
        tell: Callable[[str], None],
    ) -> None:
        self.method, self.accelerator, self.recordings, self.tell = method, accelerator, recordings, tell
        self.made = False
        """Whether compiled steps have been taken."""
        self.tried = False
        self.steps, self.since = 0, 0.0
        self.watching = asked == "auto" and accelerator.device.type == "cuda" and not deterministic
        if asked == "on":
            self._begin()

    def consider(self, at: TrainState, wait: Callable[[], object]) -> None:
        """Asked before every step, at ``at``; ``wait`` returns when all work is done."""
        if not self.watching:
            return
        first, last = WATCHED
        if self.steps == first:
            wait()
            self.since = time.perf_counter()
        if self.steps == last:
            self.watching = False
            if why := self._not_worth_it(at, wait):
                self.tell(f"exuno: steps are not compiled ({why})")
            else:
                self._begin()
        self.steps += 1

    def _not_worth_it(self, at: TrainState, wait: Callable[[], object]) -> str:
        """Why a training is not to be compiled; empty if it is."""
        if self.recordings.made:
            return "they are recorded, which gains the same; --compile on does both"
        if not self.method.compilable:
            return "this method is not one graph"
        wait()
        left = [(time.perf_counter() - self.since) / (WATCHED[1] - WATCHED[0]) * (at.total - at.step)]
        if self.accelerator.num_processes > 1:
            broadcast_object_list(left)  # all do as the first
        return "" if left[0] >= REPAYS else f"{left[0] / 60:.0f} minutes are left, which would not repay it"

    def _begin(self) -> None:
        if not self.method.compilable:
            self.tell("exuno: steps are not compiled (this method is not one graph)")
            return
        import torch._inductor.config  # a second or two, which who compiles nothing need not wait for

        torch._dynamo.reset()  # of other trainings in this process, which count towards a limit
        hush()
        torch._inductor.config.fallback_random = True  # dropout and noise as in steps that are not compiled
        self.method.compile(backend=BACKEND, fullgraph=True, dynamic=False)
        self.tried = True

    def __call__(self, work: Callable[[], T], undo: Callable[[], None]) -> T:
        """Does the forward and backward pass of a step; where compiling fails, as if nobody had asked for it.

        Args:
            work: the pass.
            undo: drops its gradients.
        """
        if not self.tried or self.made:
            return work()
        numbers, started = checkpoint.rng_state(), time.perf_counter()
        buffers = [(buffer, buffer.clone()) for buffer in self.method.buffers()]
        try:
            out = work()
        except (ExunoError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # whatever cannot be compiled can still be done
            self.tried, self.method._compiled_call_impl = False, None
            undo()
            for buffer, before in buffers:
                buffer.copy_(before)
            checkpoint.set_rng_state(numbers)
            self.tell(f"exuno: steps are not compiled ({first_line(error)})")
            return work()
        self.made = True
        self.tell(f"exuno: steps are compiled (torch.compile, {time.perf_counter() - started:.0f} s)")
        return out

"""The one training loop. It knows steps, devices, checkpoints and clocks; it knows no paper."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from accelerate import Accelerator

from exuno.engine.devices import active_settings
from exuno.engine.method import Batch, Method, TrainState
from exuno.engine.options import Optim
from exuno.engine.progress import ProgressBar
from exuno.engine.run import Run
from exuno.engine.stop import deferred, ending
from exuno.engine.system import peak_memory
from exuno.engine.training import Evaluator, Training

LOG_POINTS = 200


class Batches(Protocol):
    """Where training batches come from; the same batches for the same epoch, whenever asked."""

    batch_size: int

    def __len__(self) -> int: ...
    def epoch(self, epoch: int, start_batch: int = 0) -> Iterator[Batch]: ...


@dataclass(frozen=True)
class Result:
    """What a training cost."""

    steps: int
    images: int
    wall_seconds: float
    peak_memory_bytes: int
    device: str
    precision: str
    """Of the forward pass, as it was taken: no (float32), tf32, bf16 or fp16."""
    deterministic: bool
    """Whether all algorithms were such that give the same bits every time."""
    recorded: bool
    """Whether steps were recorded and replayed."""
    compiled: bool
    """Whether steps were compiled."""


def fit(
    method: Method,
    batches: Batches,
    *,
    optim: Optim,
    steps: int,
    run: Run,
    accelerator: Accelerator,
    evaluators: Sequence[Evaluator] = (),
    evaluations: int = 10,
    title: str = "training",
    oom_hint: str = "Lower --batch-size, or give --precision bf16.",
) -> Result:
    """Trains ``method`` for ``steps`` optimizer steps, continuing from the newest checkpoint of ``run``.

    A run that was killed and continued ends with the same weights, bit for bit, as one that was not. One that is told
    to stop (``engine.stop``) writes a checkpoint after the step at hand.

    Args:
        method: see :class:`Method`.
        batches: see :class:`Batches`.
        optim: optimizer and learning-rate schedule.
        steps: total number of optimizer steps.
        run: the run directory; gets checkpoints and metrics.jsonl.
        accelerator: devices and precision.
        evaluators: each yields (name, value) and is called ``evaluations`` times, evenly spread, and at the end.
        evaluations: see above.
        title: what the progress bar says.
        oom_hint: what to do where memory does not suffice.

    Raises:
        ExunoError: the loss is not finite any more, or the device is out of memory.
        Stopped: the process was told to; KeyboardInterrupt, by Ctrl-C.
    """
    training = Training(method, optim, run, accelerator, oom_hint)
    per_epoch, size = len(batches), batches.batch_size
    log_every = max(1, steps // LOG_POINTS)
    evaluate_every = max(1, math.ceil(steps / max(1, evaluations)))
    started = training.step
    with (
        deferred(),
        ProgressBar(title, steps * size, "samples", started * size, not accelerator.is_main_process) as bar,
    ):
        while training.step < steps:
            epoch, first = divmod(training.step, per_epoch)
            for batch in batches.epoch(epoch, first):
                at = TrainState(training.step, steps, per_epoch)
                training.advance(batch, at)
                step, note = training.step, None
                if step % log_every == 0 or step == steps:
                    note = f"loss {training.log(at):.4g}"
                bar.advance(size, note)
                wish = training.wishes()
                evaluation = step % evaluate_every == 0 or step == steps
                if evaluation:
                    training.evaluate(evaluators, at)
                if evaluation or wish.save or wish.stop:
                    training.save()
                if wish.stop:
                    raise ending()
                if step == steps:
                    break
    device = accelerator.device
    memory = torch.cuda.max_memory_allocated() if device.type == "cuda" else peak_memory()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    way, recorded = active_settings(accelerator), training.recordings.made > 0 or method.records
    how = (way.precision, way.deterministic, recorded, training.compilation.made)
    return Result(steps, steps * size, training.clock(), memory, name, *how)

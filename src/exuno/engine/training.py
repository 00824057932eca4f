"""A training at one moment: what moves from step to step, and what a checkpoint holds of it."""

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn

from exuno.engine import checkpoint
from exuno.engine.devices import share_buffers
from exuno.engine.errors import ExunoError
from exuno.engine.graph import CudaRecorder, Recorder, Recordings, Replay
from exuno.engine.method import Batch, Method, Numbers
from exuno.engine.numbers import Table
from exuno.engine.optim import Rates, make_optimizer
from exuno.engine.options import Optim, RunOptions
from exuno.engine.run import Run, Stopwatch
from exuno.engine.schedule import Progress
from exuno.engine.step import Step
from exuno.engine.tell import tell

CHECKPOINT_SECONDS = 60.0
Evaluator = Callable[[nn.Module, Accelerator], Iterable[tuple[str, float]]]


def recorder_for(options: RunOptions, accelerator: Accelerator) -> Recorder | None:
    """What records the steps of a run: CUDA graphs for one process on one GPU, unless the run does without. A scaler
    reads from the device after every step, and several processes meet within one."""
    single = accelerator.num_processes == 1 and accelerator.scaler is None
    return CudaRecorder() if accelerator.device.type == "cuda" and single and options.graphs else None


class Training:
    """A training that can be stopped after any step and go on bit by bit.

    Args:
        method: what learns.
        optim: optimizer and schedules.
        run: the run directory; the training goes on from its newest checkpoint.
        accelerator: devices and precision.
        thrift: what to do where memory does not suffice.
    """

    def __init__(self, method: Method, optim: Optim, run: Run, accelerator: Accelerator, thrift: str) -> None:
        self.thrift = thrift
        self.method, self.optim, self.run, self.accelerator = method, optim, run, accelerator
        method.to(accelerator.device)
        groups = method.parameter_groups(optim)
        decaying = [number for number, group in enumerate(groups) if "weight_decay" not in group]
        optimizer = make_optimizer(groups, optim, accelerator.device)
        state = checkpoint.to_continue(run.checkpoints, run.options.resume)
        if state:
            checkpoint.restore_weights(method, state, run.checkpoints)
        self.module, self.optimizer = accelerator.prepare(method, optimizer)
        self.step = 0
        self.clock = Stopwatch(state["seconds"] if state else 0.0)
        if state:
            self.step = state["step"]
            self.optimizer.load_state_dict(state["optimizer"])
            if accelerator.scaler:
                accelerator.scaler.load_state_dict(state["scaler"])
        recorder = recorder_for(run.options, accelerator) if method.recordable else None
        self.rates = Rates(optimizer, optim, decaying, recorded=recorder is not None)
        self.table = Table(accelerator.device)
        self.work = Step(method, self.module, self.optimizer, self.rates, optim, accelerator)
        self.recordings = Recordings(recorder, tell)
        self.steps = Replay(self.work, self.recordings, accelerator.device, self.work.clear)
        if state:
            self.work.meter.restore(state["meter"], accelerator.device)
            # Another number of processes cannot go on bit by bit, but it can go on.
            checkpoint.set_rng_state(state["rng"][min(accelerator.process_index, len(state["rng"]) - 1)])
        run.cut_metrics(state["metrics_bytes"] if state else 0)
        self.saved = self.clock()
        self.module.train()

    def advance(self, batch: Batch, at: Progress) -> None:
        """One optimizer step; nothing waits for it."""
        try:
            values = self.table.write({**self.rates.numbers(at), **self.method.numbers(at)})
            numbers = Numbers(values, self.method.phase(at))
            self.rates.place(numbers)
            self.steps(batch, numbers)
        except torch.OutOfMemoryError as error:
            raise ExunoError(
                f"the memory of {self.accelerator.device} does not hold this batch", self.thrift
            ) from error
        self.work.meter.count += 1
        self.step += 1

    def log(self, at: Progress) -> float:
        """Writes the means since the last line; returns that of the loss."""
        means = self.work.meter.pop()
        self.check(means["train/loss"])
        self.run.log({**self._when(at), "lr": self.rates.rate(at), **means})
        return means["train/loss"]

    def evaluate(self, evaluators: Sequence[Evaluator], at: Progress) -> None:
        """Asks every evaluator and writes what they say."""
        share_buffers(self.method)
        self.module.eval()
        metrics = {name: value for each in evaluators for name, value in each(self.method, self.accelerator)}
        self.module.train()
        if metrics:
            self.run.log({**self._when(at), **metrics})

    def _when(self, at: Progress) -> dict[str, float]:
        return {"step": self.step, "epoch": self.step / at.per_epoch, "time": self.clock()}

    def save_is_due(self, every: int) -> bool:
        """Whether the last checkpoint is old. Saving is collective, so processes must agree; they ask each other at
        log points only."""
        due = self.clock() - self.saved > CHECKPOINT_SECONDS
        if self.accelerator.num_processes == 1:
            return due
        if self.step % every:
            return False
        votes = self.accelerator.reduce(torch.tensor(float(due), device=self.accelerator.device))
        assert isinstance(votes, Tensor)
        return votes.item() > 0

    def save(self) -> None:
        """Writes a checkpoint, unless the loss says that the weights are spoilt."""
        self.check(self.work.loss.item())
        rng = gather_object([checkpoint.rng_state()])
        scaler = self.accelerator.scaler
        if self.accelerator.is_main_process:
            self.run.check_there()
            content = {
                "step": self.step,
                "method": self.method.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "scaler": scaler.state_dict() if scaler else None,
                "meter": self.work.meter.state(),
                "rng": rng,
                "metrics_bytes": self.run.metrics_bytes,
                "seconds": self.clock(),
            }
            checkpoint.save(self.run.checkpoints, self.step, content)
        self.saved = self.clock()

    def check(self, loss: float) -> None:
        """Raises ExunoError for a loss that is not finite, or what the method finds."""
        self.method.check(self.step)
        if not math.isfinite(loss):
            raise ExunoError(
                f"the loss became {loss} by step {self.step}",
                f"Lower --optim.lr or set --optim.clip 1; the last good checkpoint is in {self.run.checkpoints}.",
            )

"""A training at one moment, one optimizer step as work for the device alone, and the means of what steps report."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn

from exuno.engine import checkpoint
from exuno.engine.ballot import Ballot, Wishes
from exuno.engine.batch_statistics import share_statistics
from exuno.engine.compiling import Compilation
from exuno.engine.devices import active_settings, share_buffers
from exuno.engine.errors import ExunoError, tell
from exuno.engine.graph import CudaRecorder, Recorder, Recordings, Replay
from exuno.engine.method import Batch, Method, Numbers, StepOutput, Table, TrainState
from exuno.engine.optim import Rates, make_optimizer
from exuno.engine.options import Optim, RunOptions
from exuno.engine.run import Run, Stopwatch
from exuno.engine.stop import told


class Meter:
    """Means of the logs since the last log line, summed on the device so that no step waits for the host.

    The sums are changed in place, so that a recorded step adds to them; who counts is the host.
    """

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ()
        self.sums: Tensor | None = None
        self.count = 0

    def add(self, logs: Mapping[str, Tensor]) -> None:
        """Adds the detached scalars of one step, always of the same names; whoever calls raises ``count``."""
        values = torch.stack([value.float() for value in logs.values()])
        if self.sums is None:
            self.names, self.sums = tuple(logs), torch.zeros_like(values)
        assert tuple(logs) == self.names
        self.sums += values

    def pop(self) -> dict[str, float]:
        """The means, in one read from the device, and begins anew."""
        assert self.sums is not None
        means = dict(zip(self.names, (self.sums / self.count).tolist(), strict=True))
        self.sums.zero_()
        self.count = 0
        return means

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        sums = {} if self.sums is None else dict(zip(self.names, self.sums.clone().unbind(), strict=True))
        return {"sums": sums if self.count else {}, "count": self.count}

    def restore(self, state: dict[str, Any], device: torch.device) -> None:
        """From a checkpoint."""
        self.count = state["count"]
        if state["sums"]:
            self.names = tuple(state["sums"])
            self.sums = torch.stack([value.float() for value in state["sums"].values()]).to(device)


class Step:
    """Forward, backward, clipping, optimizer, and what the method does before and after it.

    Args:
        method: what learns.
        module: the method as Accelerate has wrapped it.
        optimizer: likewise, where gradients are scaled.
        rates: its learning rates and weight decay.
        optim: how gradients are clipped.
        accelerator: of the backward pass.
        compilation: who does forward and backward pass; default: just so.
    """

    def __init__(
        self,
        method: Method,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        rates: Rates,
        optim: Optim,
        accelerator: Accelerator,
        compilation: Compilation | None = None,
    ) -> None:
        self.compilation = compilation
        self.method, self.module, self.optimizer, self.rates = method, module, optimizer, rates
        self.optim, self.accelerator = optim, accelerator
        self.meter = Meter()
        self.loss = torch.zeros((), device=accelerator.device)
        """Of the last step."""

    def __call__(self, batch: Batch, numbers: Numbers) -> None:
        """Changes weights, the state of the optimizer, the meter and ``loss``, all in place.

        Args:
            batch: on the device.
            numbers: of the method and of the rates.
        """

        def passes() -> StepOutput:
            out = self.module(batch, numbers)
            scaler = self.accelerator.scaler
            (scaler.scale(out.loss) if scaler else out.loss).backward()
            return out

        out = self.compilation(passes, self.clear) if self.compilation else passes()
        if self.optim.clip is not None:
            self._clip(self.optim.clip)
        self.method.before_step(numbers)
        self.rates.decay(numbers)
        self.optimizer.step()
        self.clear()
        self.method.after_step(numbers)
        loss = out.loss.detach()
        self.loss.copy_(loss)
        self.meter.add({"train/loss": loss, **out.logs})

    def clear(self) -> None:
        """Drops the gradients."""
        self.optimizer.zero_grad(set_to_none=True)

    def _clip(self, largest: float) -> None:
        self.accelerator.unscale_gradients()
        parameters = [p for p in self.method.parameters() if p.grad is not None]
        if not self.optim.clip_each:
            torch.nn.utils.clip_grad_norm_(parameters, largest)
            return
        for parameter in parameters:
            torch.nn.utils.clip_grad_norm_(parameter, largest)


def prepare(
    method: Method, optimizer: torch.optim.Optimizer, accelerator: Accelerator
) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Both as a :class:`Step` wants them. Accelerate's optimizer, each call of which looks for packages on the disk, is
    for gradients that are scaled."""
    module, wrapped = accelerator.prepare(method, optimizer)
    return module, wrapped if accelerator.scaler else optimizer


CHECKPOINT_SECONDS = 60.0
Evaluator = Callable[[nn.Module, Accelerator], Iterable[tuple[str, float]]]


def recorder_for(options: RunOptions, accelerator: Accelerator) -> Recorder | None:
    """What records the steps of a run: CUDA graphs for one process on one GPU, unless the run does without. A scaler
    reads from the device after every step, and several processes meet within one."""
    single = accelerator.num_processes == 1 and accelerator.scaler is None
    return CudaRecorder() if accelerator.device.type == "cuda" and single and options.graphs else None


def synchronise(method: Method, processes: int) -> None:
    """``--sync-batchnorm``; where it has no effect, that is told."""
    if processes == 1:
        tell("--sync-batchnorm has no effect: there is one process")
    elif not share_statistics(method):
        tell("--sync-batchnorm has no effect: nothing here has batch normalisation")


class Training:
    """A training that can be stopped after any step and go on bit by bit.

    Args:
        method: what learns.
        optim: optimizer and schedules.
        run: the run directory; the training goes on from its newest checkpoint.
        accelerator: devices and precision.
        oom_hint: what to do where memory does not suffice.
    """

    def __init__(self, method: Method, optim: Optim, run: Run, accelerator: Accelerator, oom_hint: str) -> None:
        self.oom_hint = oom_hint
        self.method, self.optim, self.run, self.accelerator = method, optim, run, accelerator
        method.to(accelerator.device)
        groups = method.parameter_groups(optim)
        decaying = [number for number, group in enumerate(groups) if "weight_decay" not in group]
        optimizer = make_optimizer(groups, optim, accelerator.device)
        state = checkpoint.to_continue(run.checkpoints, run.options.resume)
        if state:
            checkpoint.restore_weights(method, state, run.checkpoints)
        if run.options.sync_batchnorm:
            synchronise(method, accelerator.num_processes)
        self.module, self.optimizer = prepare(method, optimizer, accelerator)
        self.step = 0
        self.clock = Stopwatch(state["seconds"] if state else 0.0)
        if state:
            self.step = state["step"]
            with checkpoint.restoring(run.checkpoints):
                self.optimizer.load_state_dict(state["optimizer"])
                if accelerator.scaler:
                    accelerator.scaler.load_state_dict(state["scaler"])
        recorder = recorder_for(run.options, accelerator) if method.recordable else None
        self.rates = Rates(optimizer, optim, decaying, recorded=recorder is not None)
        self.table = Table(accelerator.device)
        self.recordings = Recordings(recorder, tell)
        fixed = active_settings(accelerator).deterministic
        asked = run.options.compile
        self.compilation = Compilation(asked, method, accelerator, self.recordings, fixed, tell)
        self.work = Step(method, self.module, self.optimizer, self.rates, optim, accelerator, self.compilation)
        self.steps = Replay(self.work, self.recordings, accelerator.device, self.work.clear)
        if state:
            # On another number of processes what torch's generators draw (dropout) is other, and the order of sums; all
            # else is the same (with batch statistics, under --sync-batchnorm).
            with checkpoint.restoring(run.checkpoints):
                self.work.meter.restore(state["meter"], accelerator.device)
                checkpoint.set_rng_state(state["rng"][min(accelerator.process_index, len(state["rng"]) - 1)])
        run.cut_metrics(state["metrics_bytes"] if state else 0)
        self.saved = self.clock()
        self.ballot = Ballot(accelerator.num_processes)
        self.module.train()

    def advance(self, batch: Batch, at: TrainState) -> None:
        """One optimizer step; nothing waits for it."""
        try:
            self.compilation.consider(at, lambda: self.work.loss.item())
            values = self.table.write({**self.rates.numbers(at), **self.method.numbers(at)})
            numbers = Numbers(values, self.method.phase(at))
            self.rates.place(numbers)
            self.steps(batch, numbers)
        except torch.OutOfMemoryError as error:
            raise ExunoError(
                f"the memory of {self.accelerator.device} does not hold this batch", self.oom_hint
            ) from error
        self.work.meter.count += 1
        self.step += 1

    def log(self, at: TrainState) -> float:
        """Writes the means since the last line; returns that of the loss."""
        means = self.work.meter.pop()
        self.check(means["train/loss"])
        self.run.log({**self._when(at), "lr": self.rates.rate(at), **means})
        return means["train/loss"]

    def evaluate(self, evaluators: Sequence[Evaluator], at: TrainState) -> None:
        """Asks every evaluator and writes what they say."""
        share_buffers(self.method)
        self.module.eval()
        metrics = {name: value for each in evaluators for name, value in each(self.method, self.accelerator)}
        self.module.train()
        if metrics:
            self.run.log({**self._when(at), **metrics})

    def _when(self, at: TrainState) -> dict[str, float]:
        return {"step": self.step, "epoch": self.step / at.per_epoch, "time": self.clock()}

    def wishes(self) -> Wishes:
        """What is to be done after this step; all processes say the same."""
        return self.ballot(Wishes(self.clock() - self.saved > CHECKPOINT_SECONDS, told()))

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
        self.accelerator.wait_for_everyone()  # so that none ends, and is missed, before the file is there
        self.ballot.annul()
        self.saved = self.clock()

    def check(self, loss: float) -> None:
        """Raises ExunoError for a loss that is not finite, or what the method finds."""
        self.method.check(self.step)
        if not math.isfinite(loss):
            raise ExunoError(
                f"the loss became {loss} by step {self.step}",
                f"Lower --optim.lr or set --optim.clip 1; the last good checkpoint is in {self.run.checkpoints}.",
            )

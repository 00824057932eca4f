"""The one training loop. It knows steps, devices, checkpoints and clocks; it knows no paper."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn

from exuno.engine import checkpoint
from exuno.engine.devices import share_buffers
from exuno.engine.errors import ExunoError
from exuno.engine.meter import Meter
from exuno.engine.optim import make_optimizer
from exuno.engine.options import Optim
from exuno.engine.progress import ProgressBar, peak_memory
from exuno.engine.run import Run, Stopwatch
from exuno.engine.schedule import Progress, cosine, learning_rate

Batch = Mapping[str, Tensor]
LOG_POINTS = 200
CHECKPOINT_SECONDS = 60.0


@dataclass(frozen=True)
class StepOutput:
    """What one training step returns: ``loss``, a scalar with a graph, and ``logs``, detached scalars."""

    loss: Tensor
    logs: dict[str, Tensor]


class Method(Protocol):
    """A module that knows the paper and not the loop. Its training step is its ``forward``, so that DDP sees it.

    ``before_step`` finds the gradients of all processes averaged. A parameter group may have a ``scale`` of its own, by
    which the learning rate is multiplied, and a ``weight_decay`` of its own, which no schedule changes.
    """

    def __call__(self, batch: Batch, at: Progress) -> StepOutput: ...
    def parameter_groups(self, optim: Optim) -> list[dict[str, Any]]: ...
    def before_step(self, at: Progress) -> None: ...
    def after_step(self, at: Progress) -> None: ...


class Batches(Protocol):
    """Where training batches come from; the same batches for the same epoch, whenever asked."""

    batch_size: int

    def __len__(self) -> int: ...
    def epoch(self, epoch: int, start_batch: int = 0) -> Iterator[Batch]: ...


Evaluator = Callable[[nn.Module, Accelerator], Iterable[tuple[str, float]]]


@dataclass(frozen=True)
class Result:
    """What a training cost."""

    steps: int
    images: int
    wall_seconds: float
    peak_memory_bytes: int
    device: str


def fit(
    method: nn.Module,
    batches: Batches,
    *,
    optim: Optim,
    steps: int,
    run: Run,
    accelerator: Accelerator,
    evaluators: Sequence[Evaluator] = (),
    evaluations: int = 10,
    title: str = "training",
    thrift: str = "Lower --batch-size, or give --precision bf16.",
) -> Result:
    """Trains ``method`` for ``steps`` optimizer steps, continuing from the newest checkpoint of ``run``.

    A run that was killed and continued ends with the same weights, bit for bit, as one that was not.

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
        thrift: what to do where memory does not suffice.

    Raises:
        ExunoError: the loss is not finite any more, or the device is out of memory.
    """
    training = Training(method, optim, run, accelerator, thrift)
    rate, per_epoch, size = learning_rate(optim), len(batches), batches.batch_size
    log_every = max(1, steps // LOG_POINTS)
    evaluate_every = max(1, math.ceil(steps / max(1, evaluations)))
    started = training.step
    with ProgressBar(title, steps * size, "samples", started * size, not accelerator.is_main_process) as bar:
        while training.step < steps:
            epoch, first = divmod(training.step, per_epoch)
            for batch in batches.epoch(epoch, first):
                at = Progress(training.step, steps, per_epoch)
                lr = rate(at)
                loss = training.advance(batch, at, lr)
                bar.advance(size, f"loss {loss.item():.4g}" if bar.due() else None)
                step = training.step
                if step % log_every == 0 or step == steps:
                    training.log(at, lr)
                if step % evaluate_every == 0 or step == steps:
                    training.evaluate(evaluators, at)
                    training.save(loss)
                elif training.save_is_due(log_every):
                    training.save(loss)
                if step == steps:
                    break
    device = accelerator.device
    memory = torch.cuda.max_memory_allocated() if device.type == "cuda" else peak_memory()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return Result(steps, steps * size, training.clock(), memory, name)


class Training:
    """A training at one moment: what moves from step to step, and what a checkpoint holds of it."""

    def __init__(self, method: nn.Module, optim: Optim, run: Run, accelerator: Accelerator, thrift: str) -> None:
        self.thrift = thrift
        self.method, self.optim, self.run, self.accelerator = method, optim, run, accelerator
        method.to(accelerator.device)
        groups = method.parameter_groups(optim)  # pyright: ignore[reportCallIssue]
        self.decaying = [number for number, group in enumerate(groups) if "weight_decay" not in group]
        optimizer = make_optimizer(groups, optim, accelerator.device)
        state = checkpoint.to_continue(run.checkpoints, run.options.resume)
        if state:
            checkpoint.restore_weights(method, state, run.checkpoints)
        self.module, self.optimizer = accelerator.prepare(method, optimizer)
        self.step, self.meter = 0, Meter()
        self.clock = Stopwatch(state["seconds"] if state else 0.0)
        if state:
            self.step = state["step"]
            self.optimizer.load_state_dict(state["optimizer"])
            if accelerator.scaler:
                accelerator.scaler.load_state_dict(state["scaler"])
            self.meter.restore(state["meter"], accelerator.device)
            # Another number of processes cannot go on bit by bit, but it can go on.
            checkpoint.set_rng_state(state["rng"][min(accelerator.process_index, len(state["rng"]) - 1)])
        run.cut_metrics(state["metrics_bytes"] if state else 0)
        self.saved = self.clock()
        self.module.train()

    def advance(self, batch: Batch, at: Progress, lr: float) -> Tensor:
        """One optimizer step; returns the loss, a scalar on the device."""
        device = self.accelerator.device
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group.get("scale", 1.0)
        if (end := self.optim.weight_decay_end) is not None:
            for number in self.decaying:
                decay = cosine(self.optim.weight_decay, end, at.fraction)
                self.optimizer.param_groups[number]["weight_decay"] = decay
        try:
            out: StepOutput = self.module({name: x.to(device, non_blocking=True) for name, x in batch.items()}, at)
            self.accelerator.backward(out.loss)
        except torch.OutOfMemoryError as error:
            raise ExunoError(f"the memory of {device} does not hold this batch", self.thrift) from error
        if self.optim.clip is not None:
            self._clip(self.optim.clip)
        self.method.before_step(at)  # pyright: ignore[reportCallIssue]
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.method.after_step(at)  # pyright: ignore[reportCallIssue]
        self.step += 1
        loss = out.loss.detach()
        self.meter.add({"train/loss": loss, **out.logs})
        return loss

    def _clip(self, largest: float) -> None:
        self.accelerator.unscale_gradients()
        parameters = [p for p in self.method.parameters() if p.grad is not None]
        if not self.optim.clip_each:
            torch.nn.utils.clip_grad_norm_(parameters, largest)
            return
        for parameter in parameters:
            torch.nn.utils.clip_grad_norm_(parameter, largest)

    def log(self, at: Progress, lr: float) -> None:
        """Writes the means since the last line."""
        means = self.meter.pop()
        self.check(means["train/loss"])
        self.run.log({**self._when(at), "lr": lr, **means})

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

    def save(self, loss: Tensor) -> None:
        """Writes a checkpoint, unless the loss says that the weights are spoilt."""
        self.check(loss.item())
        rng = gather_object([checkpoint.rng_state()])
        scaler = self.accelerator.scaler
        if self.accelerator.is_main_process:
            self.run.check_there()
            content = {
                "step": self.step,
                "method": self.method.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "scaler": scaler.state_dict() if scaler else None,
                "meter": self.meter.state(),
                "rng": rng,
                "metrics_bytes": self.run.metrics_bytes,
                "seconds": self.clock(),
            }
            checkpoint.save(self.run.checkpoints, self.step, content)
        self.saved = self.clock()

    def check(self, loss: float) -> None:
        """Raises ExunoError for a loss that is not finite."""
        if not math.isfinite(loss):
            raise ExunoError(
                f"the loss became {loss} by step {self.step}",
                f"Lower --optim.lr or set --optim.clip 1; the last good checkpoint is in {self.run.checkpoints}.",
            )

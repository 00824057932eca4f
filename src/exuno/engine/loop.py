"""The one training loop. It knows steps, devices, checkpoints and clocks; it knows no paper."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import gather_object
from torch import Tensor, nn

from exuno.engine import checkpoint
from exuno.engine.errors import ExunoError
from exuno.engine.optim import make_optimizer
from exuno.engine.options import Optim, RunOptions
from exuno.engine.progress import ProgressBar, peak_memory
from exuno.engine.run import Run, Stopwatch
from exuno.engine.schedule import Progress, learning_rate

Batch = Mapping[str, Tensor]
LOG_POINTS = 200
CHECKPOINT_SECONDS = 60.0


@dataclass(frozen=True)
class StepOutput:
    """What one training step returns: ``loss``, a scalar with a graph, and ``logs``, detached scalars."""

    loss: Tensor
    logs: dict[str, Tensor]


class Method(Protocol):
    """A module that knows the paper and not the loop. Its training step is its ``forward``, so that DDP sees it."""

    def __call__(self, batch: Batch, at: Progress) -> StepOutput: ...
    def parameter_groups(self, optim: Optim) -> list[dict[str, Any]]: ...
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


def make_accelerator(options: RunOptions) -> Accelerator:
    """Devices, precision and processes, by Hugging Face Accelerate.

    Raises:
        ExunoError: half precision without a GPU.
    """
    torch.backends.cudnn.benchmark = False  # the same seed gives the same weights
    torch.backends.cudnn.deterministic = True
    cpu = options.devices == "cpu" or not torch.cuda.is_available()
    if cpu and options.precision == "fp16":
        raise ExunoError("--precision fp16 needs a GPU", "Leave it out, or take bf16.")
    # Accelerate keeps one state a process; a second run in it may want another precision or device.
    AcceleratorState._reset_state(reset_partial_state=not dist.is_initialized())
    return Accelerator(mixed_precision=options.precision, cpu=cpu)


class Meter:
    """Means of the logs since the last log line, summed on the device so that no step waits for the host."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.count = 0

    def add(self, logs: Mapping[str, Tensor]) -> None:
        for name, value in logs.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.count += 1

    def means(self) -> dict[str, float]:
        return {name: (total / self.count).item() for name, total in self.sums.items()}

    def state(self) -> dict[str, Any]:
        return {"sums": self.sums, "count": self.count}

    def restore(self, state: dict[str, Any], device: torch.device) -> None:
        self.sums = {name: value.to(device) for name, value in state["sums"].items()}
        self.count = state["count"]


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

    Raises:
        ExunoError: the loss is not finite any more.
    """
    device = accelerator.device
    method.to(device)
    optimizer = make_optimizer(method.parameter_groups(optim), optim, device)  # pyright: ignore[reportCallIssue]
    state = _resume(run)
    if state:
        method.load_state_dict(state["method"])
    module, optimizer = accelerator.prepare(method, optimizer)
    meter, start = Meter(), 0
    if state:
        start = state["step"]
        optimizer.load_state_dict(state["optimizer"])
        if accelerator.scaler:
            accelerator.scaler.load_state_dict(state["scaler"])
        meter.restore(state["meter"], device)
        checkpoint.set_rng_state(state["rng"][accelerator.process_index])
    if accelerator.is_main_process and run.metrics.exists():
        with run.metrics.open("r+b") as file:  # lines after the checkpoint will be written again
            file.truncate(state["metrics_bytes"] if state else 0)
    clock = Stopwatch(state["seconds"] if state else 0.0)
    rate, per_epoch = learning_rate(optim), len(batches)
    log_every = max(1, steps // LOG_POINTS)
    evaluate_every = max(1, math.ceil(steps / max(1, evaluations)))
    metrics: dict[str, float] = state["evaluated"] if state else {}
    saved = clock()

    def save(step: int) -> None:
        nonlocal saved
        rng = gather_object([checkpoint.rng_state()])
        if accelerator.is_main_process:
            content = {
                "step": step,
                "method": method.state_dict(),
                "optimizer": optimizer.state_dict(),
                "scaler": accelerator.scaler.state_dict() if accelerator.scaler else None,
                "meter": meter.state(),
                "rng": rng,
                "metrics_bytes": run.metrics.stat().st_size if run.metrics.exists() else 0,
                "evaluated": metrics,
                "seconds": clock(),
            }
            checkpoint.save(run.checkpoints, step, content)
        saved = clock()

    module.train()
    step = start
    quiet = not accelerator.is_main_process
    with ProgressBar(title, steps * batches.batch_size, "images", start * batches.batch_size, quiet) as bar:
        while step < steps:
            epoch, first = divmod(step, per_epoch)
            for batch in batches.epoch(epoch, first):
                at = Progress(step, steps, per_epoch)
                lr = rate(at)
                for group in optimizer.param_groups:
                    group["lr"] = lr * group.get("lr_scale", 1.0)
                batch = {name: value.to(device, non_blocking=True) for name, value in batch.items()}
                out: StepOutput = module(batch, at)
                accelerator.backward(out.loss)
                if optim.clip is not None:
                    accelerator.clip_grad_norm_(method.parameters(), optim.clip)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                method.after_step(at)  # pyright: ignore[reportCallIssue]
                meter.add({"train/loss": out.loss.detach(), **out.logs})
                step += 1
                note = f"loss {out.loss.item():.4g}" if bar.due() else None
                bar.advance(batches.batch_size, note)
                if step % log_every == 0 or step == steps:
                    means = meter.means()
                    _finite(means["train/loss"], step, run)
                    run.log({"step": step, "epoch": step / per_epoch, "time": clock(), "lr": lr, **means})
                    meter = Meter()
                if step % evaluate_every == 0 or step == steps:
                    module.eval()
                    metrics = {name: value for each in evaluators for name, value in each(method, accelerator)}
                    module.train()
                    if metrics:
                        run.log({"step": step, "epoch": step / per_epoch, "time": clock(), **metrics})
                    save(step)
                elif _agreed(clock() - saved > CHECKPOINT_SECONDS, accelerator, step, log_every):
                    _finite(out.loss.item(), step, run)
                    save(step)
                if step == steps:
                    break
    memory = torch.cuda.max_memory_allocated() if device.type == "cuda" else peak_memory()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return Result(steps, steps * batches.batch_size, clock(), memory, name)


def _agreed(due: bool, accelerator: Accelerator, step: int, every: int) -> bool:
    """Whether to save now: saving is collective, so processes must agree; they ask each other at log points only."""
    if accelerator.num_processes == 1:
        return due
    if step % every:
        return False
    votes = accelerator.reduce(torch.tensor(float(due), device=accelerator.device))
    assert isinstance(votes, Tensor)
    return votes.item() > 0


def _resume(run: Run) -> dict[str, Any] | None:
    choice = run.options.resume
    if choice == "never":
        return None
    if choice == "auto":
        return checkpoint.latest(run.checkpoints)
    return checkpoint.load(Path(choice))


def _finite(loss: float, step: int, run: Run) -> None:
    if not math.isfinite(loss):
        raise ExunoError(
            f"the loss became {loss} by step {step}",
            f"Lower --optim.lr or set --optim.clip 1; the last good checkpoint is in {run.checkpoints}.",
        )

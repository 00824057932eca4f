"""How fast a training would be here: a second of it, for ``--dry-run``."""

import time
from collections.abc import Callable
from typing import Protocol

import torch
from accelerate import Accelerator

from exuno.engine.graph import WARM, Recordings, Replay
from exuno.engine.loop import Batches
from exuno.engine.method import Batch, Method, Numbers, Table, TrainState
from exuno.engine.optim import Rates, make_optimizer
from exuno.engine.options import Optim, RunOptions
from exuno.engine.progress import ESTIMATES, clock
from exuno.engine.training import Step, prepare, recorder_for

SECONDS = 1.0
FEW, ENOUGH = 4, 0.25
"""Samples of the first step on a processor, and seconds of a step that tells the rate; a shorter one is repeated with
four times as many. What a sample takes there hardly depends on the batch, but for small networks."""


class Loads(Batches, Protocol):
    """Batches at which one can have a look."""

    def first(self) -> Batch:
        """One like those of an epoch, without what an epoch begins with."""
        ...


def tell_rate(
    make: Callable[[], Method],
    batches: Loads,
    batch_size: int,
    samples: float,
    optim: Optim,
    options: RunOptions,
    accelerator: Accelerator,
) -> None:
    """Prints how long a training would take on the device at hand; nothing that a GPU's memory does not hold, and on a
    processor nothing of a method whose steps take the same time for few samples: one of a poster's may take minutes.

    Args:
        make: the method; it is spoilt.
        batches: of any size.
        batch_size: samples of a step of this process.
        samples: that the training sees.
        optim: optimizer and schedules.
        options: how the run is executed.
        accelerator: devices and precision.
    """
    method, on_cpu = make(), accelerator.device.type == "cpu"
    if on_cpu and not method.by_sample:
        return
    batch = batches.first()
    count, seconds = (min(FEW, batch_size), 0.0) if on_cpu else (batch_size, SECONDS)
    try:
        rate = samples_per_second(method, enlarged(batch, count), optim, options, accelerator, seconds)
        while count < batch_size and count < rate * ENOUGH:
            count = min(4 * count, batch_size)
            rate = samples_per_second(make(), enlarged(batch, count), optim, options, accelerator, seconds)
    except torch.OutOfMemoryError:
        print(f"# the memory of {accelerator.device} does not hold a batch of {batch_size}")
        return
    if (found := ESTIMATES.get()) is not None:
        found.append(samples / rate)
    print(f"# {rate:,.0f} samples/s in a probe of its steps on {accelerator.device}: about {clock(samples / rate)}")


def enlarged(batch: Batch, count: int) -> dict[str, torch.Tensor]:
    """A batch of ``count`` samples made of those of another, again and again."""
    have = len(next(iter(batch.values())))
    place = torch.arange(count) % have
    return {name: x.index_select(0, place.to(x.device)) for name, x in batch.items()}


def samples_per_second(
    method: Method,
    batch: Batch,
    optim: Optim,
    options: RunOptions,
    accelerator: Accelerator,
    seconds: float = SECONDS,
) -> float:
    """The rate of steps on one batch, recorded ones where those of the training would be; loading is not in it."""
    device = accelerator.device
    optimizer = make_optimizer(method.to(device).parameter_groups(optim), optim, device)
    module, wrapped = prepare(method, optimizer, accelerator)
    recorder = recorder_for(options, accelerator) if method.recordable else None
    rates, table = Rates(optimizer, optim, (), recorder is not None), Table(device)
    step = Step(method, module.train(), wrapped, rates, optim, accelerator)
    steps = Replay(step, Recordings(recorder, lambda line: None), device, step.clear)
    there = {name: x.to(device) for name, x in batch.items()}
    warm = WARM if recorder is not None or device.type != "cpu" else 0

    def once(number: int) -> None:
        at = TrainState(number, 2**20, 2**20)
        values = table.write({**rates.numbers(at), **method.numbers(at)})
        numbers = Numbers(values, method.phase(at))
        rates.place(numbers)
        steps(there, numbers)

    for number in range(warm + 1):
        once(number)
    step.loss.item()  # all is done
    done, started = 0, time.perf_counter()
    while (spent := time.perf_counter() - started) < seconds or not done:
        once(warm + 1 + done)
        done += 1
        if done % 4 == 0:
            step.loss.item()
    step.loss.item()
    return done * len(next(iter(batch.values()))) / max(spent, time.perf_counter() - started)

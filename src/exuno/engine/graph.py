"""Recorded steps: the work of a step is recorded once and replayed, so that the host starts it with one call.

A GPU takes some microseconds to start each of the hundreds of kernels of a step; small networks wait for nothing else.
A CUDA graph starts them all together. It repeats the same kernels on the same memory, so a batch is copied to where the
recorded one lay, and what changes from step to step is in tensors (see :class:`exuno.engine.method.Method`).

Recording does no work, and the steps before it are real ones. So where it fails, the training stands where it stood,
and goes on step by step.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

import torch
from torch import Tensor

from exuno.engine.errors import first_line
from exuno.engine.method import Batch, Numbers

WARM = 3
"""Steps of a phase before it is recorded: libraries choose their algorithms, optimizers make their state."""
Work = Callable[[Batch, Numbers], None]


class Recorder(Protocol):
    """What can record work on a device and replay it."""

    def __call__(self, work: Callable[[], None]) -> Callable[[], None]:
        """Records ``work``, which changes tensors in place, without doing it; returns what does it."""
        ...

    def aside(self) -> AbstractContextManager[None]:
        """Where work has to be done that is recorded later."""
        ...


class CudaRecorder:
    """CUDA graphs. Random numbers go on from replay to replay, as they do from step to step.

    All graphs of a recorder share their memory: nothing of one is read after it but what it wrote to tensors from
    outside.
    """

    def __init__(self) -> None:
        self.stream, self.pool = torch.cuda.Stream(), torch.cuda.graph_pool_handle()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """A stream of its own: what autograd remembers of streams has to be the same when it is recorded."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            yield
        torch.cuda.current_stream().wait_stream(self.stream)

    def __call__(self, work: Callable[[], None]) -> Callable[[], None]:
        before, graph = torch.cuda.get_rng_state(), torch.cuda.CUDAGraph()
        try:
            # Other threads, such as one that pins memory, may go on while this one records.
            with torch.cuda.graph(graph, pool=self.pool, stream=self.stream, capture_error_mode="thread_local"):
                work()
        except BaseException:
            torch.cuda.set_rng_state(before)
            raise
        return graph.replay


class Recordings:
    """Who records, until a recording fails; then nobody.

    Args:
        recorder: None never records.
        tell: is given one line when the first recording is made, or fails.
    """

    def __init__(self, recorder: Recorder | None, tell: Callable[[str], None]) -> None:
        self.recorder, self.tell, self.made = recorder, tell, 0

    def record(self, work: Callable[[], None]) -> Callable[[], None] | None:
        """Records work; None if it cannot be recorded."""
        if self.recorder is None:
            return None
        try:
            replay = self.recorder(work)
        except Exception as error:  # whatever cannot be recorded can still be done
            self.recorder, self.made = None, 0
            self.tell(f"exuno: steps are not recorded ({first_line(error)}): each is started kernel by kernel")
            return None
        self.made += 1
        if self.made == 1:
            self.tell("exuno: steps are recorded and replayed (CUDA graphs)")
        return replay


class Repeat:
    """The same work on the same memory, again and again: done for some times, then recorded and replayed.

    Args:
        work: reads and changes tensors that stay; reads nothing back from the device.
        recordings: who records.
        undo: puts right on the host what a failed recording left behind.
    """

    def __init__(
        self, work: Callable[[], None], recordings: Recordings, undo: Callable[[], None] = lambda: None
    ) -> None:
        self.work, self.recordings, self.undo = work, recordings, undo
        self.times = 0
        self.replay: Callable[[], None] | None = None

    def __call__(self) -> None:
        """Once."""
        recorder = self.recordings.recorder
        if self.replay is None and recorder is not None:
            if self.times < WARM:
                self.times += 1
                with recorder.aside():
                    self.work()
                return
            self.replay = self.recordings.record(self.work)
            if self.replay is None:
                self.undo()
        (self.replay or self.work)()


class Replay:
    """Does the steps of a training, recorded ones where it can.

    One recording is held at a time, that of the current phase, for the shapes of its first batch; a batch of other
    shapes is done without.

    Args:
        work: one step; reads nothing back from the device.
        recordings: who records.
        device: where batches have to be.
        undo: see :class:`Repeat`.
    """

    def __init__(self, work: Work, recordings: Recordings, device: torch.device, undo: Callable[[], None]) -> None:
        self.work, self.recordings, self.device, self.undo = work, recordings, device, undo
        self.phase: Hashable = None
        self.shapes: object = None
        self.batch: dict[str, Tensor] = {}
        self.repeat: Repeat | None = None

    def __call__(self, batch: Batch, numbers: Numbers) -> None:
        """One step.

        Args:
            batch: on any device.
            numbers: scalars on the device, the same tensors at every step.
        """
        recorder, shapes = self.recordings.recorder, shapes_of(batch)
        if recorder is None:
            self.repeat = None
        elif numbers.phase != self.phase or self.repeat is None:
            self.repeat = None  # its memory is free before that of the next is asked for
            self.phase, self.shapes = numbers.phase, shapes
            there = {name: torch.empty(x.shape, dtype=x.dtype, device=self.device) for name, x in batch.items()}
            self.batch, work = there, self.work
            self.repeat = Repeat(lambda: work(there, numbers), self.recordings, self.undo)
        if self.repeat is not None and shapes == self.shapes:
            for name, x in batch.items():
                self.batch[name].copy_(x, non_blocking=True)
            self.repeat()
            return
        with recorder.aside() if recorder is not None else nullcontext():
            self.work({name: x.to(self.device, non_blocking=True) for name, x in batch.items()}, numbers)


def shapes_of(batch: Mapping[str, Tensor]) -> tuple[tuple[str, torch.Size, torch.dtype], ...]:
    """What a recording has to know of a batch."""
    return tuple((name, x.shape, x.dtype) for name, x in batch.items())

"""Recorded steps: the work of a step is recorded once and replayed, so that the host starts it with one call.

A GPU takes some microseconds to start each of the hundreds of kernels of a step; small networks wait for nothing else.
A CUDA graph starts them all together. It repeats the same kernels on the same memory, so a batch is copied to where the
recorded one lay, and what changes from step to step is in tensors (see :class:`exuno.engine.method.Method`).

Recording does no work, and the steps before it are real ones. So where it fails, the training stands where it stood,
and goes on step by step.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import torch
from torch import Tensor

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
    """CUDA graphs. Random numbers go on from replay to replay, as they do from step to step."""

    def __init__(self) -> None:
        self.stream = torch.cuda.Stream()

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
            with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
                work()
        except BaseException:
            torch.cuda.set_rng_state(before)
            raise
        return graph.replay


class Replay:
    """Does steps, recorded ones where it can.

    One recording is held at a time, that of the current phase, for the shapes of its first batches; a batch of other
    shapes is done without.

    Args:
        work: one step; reads nothing back from the device.
        recorder: records it; None never does.
        device: where batches have to be.
        undo: puts right on the host what a failed recording left behind.
        tell: is given one line whenever the way changes.
    """

    def __init__(
        self,
        work: Work,
        recorder: Recorder | None,
        device: torch.device,
        undo: Callable[[], None],
        tell: Callable[[str], None],
    ) -> None:
        self.work, self.recorder, self.device, self.undo, self.tell = work, recorder, device, undo, tell
        self.phase: Hashable = None
        self.shapes: object = None
        self.warm = 0
        self.batch: dict[str, Tensor] = {}
        self.replay: Callable[[], None] | None = None

    def __call__(self, batch: Batch, numbers: Numbers) -> None:
        """One step.

        Args:
            batch: on any device.
            numbers: scalars on the device, the same tensors at every step.
        """
        if self.recorder is None:
            self.work(self._there(batch), numbers)
            return
        shapes = shapes_of(batch)
        if numbers.phase != self.phase or self.shapes is None:
            self.phase, self.shapes, self.warm = numbers.phase, shapes, 0
            self.replay = None  # its memory is free before that of the next is asked for
        if shapes == self.shapes and self.warm >= WARM and self.replay is None:
            self._record(self.recorder, batch, numbers)
        if shapes == self.shapes and self.replay is not None:
            for name, x in batch.items():
                self.batch[name].copy_(x, non_blocking=True)
            self.replay()
        elif self.recorder is None:  # the recording has just failed
            self.work(self._there(batch), numbers)
        else:
            with self.recorder.aside():
                self.work(self._there(batch), numbers)
            self.warm += shapes == self.shapes

    def _there(self, batch: Batch) -> dict[str, Tensor]:
        return {name: x.to(self.device, non_blocking=True) for name, x in batch.items()}

    def _record(self, recorder: Recorder, batch: Batch, numbers: Numbers) -> None:
        self.batch = {name: torch.empty(x.shape, dtype=x.dtype, device=self.device) for name, x in batch.items()}
        for name, x in batch.items():
            self.batch[name].copy_(x, non_blocking=True)
        try:
            self.replay = recorder(lambda: self.work(self.batch, numbers))
        except Exception as error:  # whatever cannot be recorded can still be done
            self.undo()
            self.recorder, self.batch = None, {}
            self.tell(f"exuno: steps are not recorded ({reason(error)}): each is started kernel by kernel")
        else:
            self.tell("exuno: steps are recorded and replayed (CUDA graphs)")


def reason(error: Exception) -> str:
    """The first line of an error, without what only programmers need."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def shapes_of(batch: Mapping[str, Tensor]) -> tuple[tuple[str, torch.Size, torch.dtype], ...]:
    """What a recording has to know of a batch."""
    return tuple((name, x.shape, x.dtype) for name, x in batch.items())

"""Cells as jobs of Slurm, through submitit. Every machine of it must have exuno installed and see the folder of the
study under the same path."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from exuno.engine.errors import ExunoError
from exuno.engine.stop import REQUEUE
from exuno.study.local import Need, gpus, room
from exuno.study.worker import STOPPED, Job, Outcome, run_cell_in

TRIES = 3
"""Jobs that a cell gets where they are lost without an answer: preempted, cancelled, killed for memory."""
LIMITS = 100
"""Jobs that a cell may use up to their last minute."""
WARNED = 120
"""Seconds before its time is over in which a job is told."""
POLL = 0.2
ALL = 10**6
"""Jobs at a time, where Slurm alone decides."""
TAKEN = 300.0
"""Seconds after which a job that was preempted, and that Slurm has not queued again, is lost."""


class Task:
    """What a job does: one cell. submitit pickles it, and calls it once more in a job that is queued again."""

    def __call__(self, job: Job, folder: str) -> Outcome:
        """Carries out a cell, which goes on from its checkpoint; queues the job again where Slurm says that its time is
        over (SIGUSR2), and ends with ``REQUEUE`` where it was told to stop by another signal.

        Returns:
            What became of it.
        """
        over: list[int] = []
        again: Any = signal.getsignal(signal.SIGUSR2)  # of submitit

        def tell(number: int, frame: object) -> None:
            over.append(number)
            os.kill(os.getpid(), signal.SIGUSR1)  # which ends it after its step

        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # submitit would not hear it
        signal.signal(signal.SIGUSR2, tell)
        outcome = run_cell_in(job, folder)
        if outcome.unfinished:
            if over:
                again(signal.SIGUSR2, None)
            raise SystemExit(REQUEUE)
        return outcome

    def checkpoint(self, job: Job, folder: str) -> Any:
        """What submitit is to do in the next job: the same, for all that counts is in the run directory of the cell."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, job, folder)


class OnSlurm:
    """A launcher: each cell is a job of Slurm, which finds it a machine.

    Args:
        partition: ``auto`` is the default one of the cluster; ``local`` are processes of this machine.
        slots: jobs at a time; 0: all, or as many as this machine has room for.
        need: of a cell. It takes a GPU for each of its processes, unless it is on the CPU.
        folder: for what submitit writes.
        minutes: that a job asks for.

    Raises:
        ExunoError: submitit is not installed, or this machine knows no Slurm.
    """

    def __init__(self, partition: str, slots: int, need: Need, folder: Path, minutes: int) -> None:
        try:
            import submitit
            from submitit.core.utils import FailedJobError
        except ImportError as error:
            raise ExunoError("--slurm needs the package submitit", "pip install 'exuno[slurm]'") from error
        self.need, self.here, self.free = need, partition == "local", []
        if self.here:
            self.executor: Any = submitit.LocalExecutor(folder, max_num_timeout=LIMITS)
            self.executor.update_parameters(timeout_min=minutes, signal_delay_s=WARNED)
            self.slots = slots or room(need)
            count = 0 if need.on_cpu else gpus()
            self.free = [number % count for number in range(self.slots * need.processes)] if count else []
        else:
            if submitit.SlurmExecutor.affinity() < 0:
                raise ExunoError(
                    f"--slurm {partition}: there is no Slurm on this machine (no command srun)",
                    "Start the study on a login node of the cluster, or try it here with --slurm local.",
                )
            self.executor = submitit.SlurmExecutor(folder, max_num_timeout=LIMITS)
            asked: dict[str, Any] = {"cpus_per_task": need.threads * need.processes, "signal_delay_s": WARNED}
            asked |= {} if partition == "auto" else {"partition": partition}
            asked |= {} if need.on_cpu else {"gpus_per_node": need.processes}
            self.executor.update_parameters(time=minutes, job_name="exuno", **asked)
            self.slots = slots or ALL
        self.refused: type[Exception] = FailedJobError
        self.running: dict[str, tuple[Any, Job, list[int]]] = {}
        self.tries: dict[str, int] = {}
        self.taken: dict[str, float] = {}

    def submit(self, job: Job) -> None:
        """Hands a job to the cluster."""
        mine, self.free = self.free[: self.need.processes], self.free[self.need.processes :]
        if mine:
            self.executor.update_parameters(gpus_per_node=len(mine), visible_gpus=tuple(mine))
        try:
            with environment(OMP_NUM_THREADS=str(self.need.threads)):
                sent = self.executor.submit(Task(), job, str(Path.cwd()))
        except self.refused as error:
            raise ExunoError(
                f"Slurm has refused a job: {str(error).strip().splitlines()[-1]}",
                "Give --slurm a partition that there is (sinfo lists them), and fewer --threads, --devices or minutes.",
            ) from error
        self.running[job.name] = (sent, job, mine)

    def wait(self) -> list[Outcome]:
        """Blocks until a job has come to an end; one that was lost is tried again."""
        while not (found := [outcome for name in list(self.running) if (outcome := self._look(name))]):
            time.sleep(POLL)
        return found

    def close(self) -> None:
        """Cancels the jobs that still wait or run."""
        for sent, _, _ in self.running.values():
            sent.cancel(check=False)
        for sent, _, _ in self.running.values():
            if self.here:
                sent.wait()

    def _look(self, name: str) -> Outcome | None:
        """What became of a cell, None while it waits or runs."""
        sent, job, mine = self.running[name]
        state: str = sent.state
        taken = self._was_taken(name, state)
        if not taken and not sent.done():
            return None
        del self.running[name]
        self.free += mine
        if not taken and sent.exception() is None:
            return sent.result()
        self.tries[name] = self.tries.get(name, 0) + 1
        if self.tries[name] < TRIES:
            self.submit(job)
            return None
        if state.split()[0] in ("PREEMPTED", "CANCELLED"):
            return Outcome(name, STOPPED, 0.0)
        return Outcome(name, f"its job was lost {TRIES} times (last: {state}); see {sent.paths.stderr}", 0.0)

    def _was_taken(self, name: str, state: str) -> bool:
        """Whether a job was preempted for good; of most, Slurm makes a new one by itself."""
        if state != "PREEMPTED":
            self.taken.pop(name, None)
            return False
        return time.monotonic() - self.taken.setdefault(name, time.monotonic()) > TAKEN


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """These variables for whatever is started within."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value

"""Cells in processes of this machine."""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass

from exuno.engine.system import available_cores, refuse_on_windows
from exuno.study.worker import Job, Outcome

TRIES = 2  # a worker that dies under a cell may have been unlucky once, as when memory ran out


@dataclass(frozen=True)
class Need:
    """What one cell takes."""

    processes: int
    """Of its own (``--devices N``)."""
    threads: int
    """Of each of them."""
    on_cpu: bool
    """Whether GPUs are left alone."""


def gpus() -> int:
    """GPUs that this process may use."""
    import torch

    return torch.cuda.device_count()


def room(need: Need) -> int:
    """Cells that this machine has room for at a time, by its GPUs, or else by its cores; at least one."""
    if not need.on_cpu and (count := gpus()):
        return max(1, count // need.processes)
    return max(1, available_cores() // (need.threads * need.processes))


class Local:
    """A launcher: so many worker processes, started when they are needed, replaced when they die.

    Args:
        slots: worker processes.
        need: of a cell. Where there are GPUs, each worker sees as many as a cell has processes.
    """

    def __init__(self, slots: int, need: Need) -> None:
        refuse_on_windows("exuno study in processes of this machine")
        self.slots, self.need, self.gpus = slots, need, 0 if need.on_cpu else gpus()
        self.select = selectors.DefaultSelector()
        self.idle: list[tuple[int, subprocess.Popen[str]]] = []
        self.numbers = list(range(slots))
        self.deaths: dict[str, int] = {}

    def submit(self, job: Job) -> None:
        """Hands a job to a free worker; there must be a free slot."""
        number, worker = self._worker()
        assert worker.stdin
        assert worker.stdout
        self.select.register(worker.stdout, selectors.EVENT_READ, (number, worker, job))
        with contextlib.suppress(BrokenPipeError):  # it died since its last cell: ``wait`` finds its output closed
            worker.stdin.write(json.dumps(asdict(job)) + "\n")
            worker.stdin.flush()

    def wait(self) -> list[Outcome]:
        """Blocks until a job has come to an end; a job whose worker died is tried once more."""
        found: list[Outcome] = []
        while not found:
            for key, _ in self.select.select():
                number, worker, job = key.data
                line = worker.stdout.readline()
                self.select.unregister(worker.stdout)
                if line.endswith("\n"):
                    outcome = Outcome(**json.loads(line))
                    found.append(outcome)
                    if outcome.broken:
                        self._bury(number, worker)
                    else:
                        self.idle.append((number, worker))
                    continue
                code = self._bury(number, worker)
                self.deaths[job.name] = self.deaths.get(job.name, 0) + 1
                if self.deaths[job.name] < TRIES:
                    self.submit(job)
                else:
                    found.append(
                        Outcome(job.name, f"its process died {TRIES} times ({_death(code)}); see its log", 0.0)
                    )
        return found

    def close(self) -> None:
        """Ends all workers, whatever they are doing."""
        workers = [worker for _, worker in self.idle]
        workers += [key.data[1] for key in list(self.select.get_map().values())]
        for worker in workers:
            if worker.stdin:
                worker.stdin.close()  # which ends the worker and all that it has started
        for worker in workers:
            worker.wait()
        self.select.close()

    def _worker(self) -> tuple[int, subprocess.Popen[str]]:
        """One that waits, or a new one."""
        while self.idle:
            number, worker = self.idle.pop()
            if worker.poll() is None:
                return number, worker
            self._bury(number, worker)
        return self._start()

    def _bury(self, number: int, worker: subprocess.Popen[str]) -> int:
        """Ends what a worker may have started, and returns its exit code."""
        if worker.stdin:
            with contextlib.suppress(BrokenPipeError):
                worker.stdin.close()
        code = worker.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
        self.numbers.append(number)
        return code

    def _start(self) -> tuple[int, subprocess.Popen[str]]:
        number = self.numbers.pop(0)
        environment = {**os.environ, "OMP_NUM_THREADS": str(self.need.threads)}
        if self.gpus:
            visible = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(self.gpus)))).split(",")
            first, count = number * self.need.processes, self.need.processes
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(visible[(first + i) % len(visible)] for i in range(count))
        worker = subprocess.Popen(
            [sys.executable, "-m", "exuno.study.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,  # so that it can end with all that it has started
        )
        return number, worker


def _death(code: int) -> str:
    """``-9`` -> ``SIGKILL``; memory that ran out looks like that."""
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"

"""Cells in processes of this machine."""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from exuno.study.worker import Job, Outcome

TRIES = 2  # a worker that dies under a cell may have been unlucky once, as when memory ran out


def gpus() -> int:
    """GPUs that this process may use, without asking CUDA, which would keep memory on each."""
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return len([one for one in visible.split(",") if one.strip() not in ("", "-1")])
    folder = Path("/proc/driver/nvidia/gpus")
    return len(list(folder.iterdir())) if folder.is_dir() else 0


def room(threads: int, on_cpu: bool) -> int:
    """Cells that this machine should run at a time: one for each GPU, or one for each ``threads`` cores."""
    if not on_cpu and (count := gpus()):
        return count
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // threads)


class Local:
    """A launcher: so many worker processes, started when they are needed, replaced when they die.

    Args:
        slots: processes.
        threads: of each.
        on_cpu: whether GPUs are left alone; otherwise the processes take turns in seeing one each.
    """

    def __init__(self, slots: int, threads: int, on_cpu: bool) -> None:
        self.slots, self.threads, self.gpus = slots, threads, 0 if on_cpu else gpus()
        self.select = selectors.DefaultSelector()
        self.idle: list[tuple[int, subprocess.Popen[str]]] = []
        self.numbers = list(range(slots))
        self.deaths: dict[str, int] = {}

    def submit(self, job: Job) -> None:
        """Hands a job to a free worker; there must be a free slot."""
        number, worker = self.idle.pop() if self.idle else self._start()
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
                    self.idle.append((number, worker))
                    found.append(Outcome(**json.loads(line)))
                    continue
                code = worker.wait()
                self.numbers.append(number)
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

    def _start(self) -> tuple[int, subprocess.Popen[str]]:
        number = self.numbers.pop(0)
        environment = {**os.environ, "OMP_NUM_THREADS": str(self.threads)}
        if self.gpus:
            visible = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(self.gpus)))).split(",")
            environment["CUDA_VISIBLE_DEVICES"] = visible[number % len(visible)]
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

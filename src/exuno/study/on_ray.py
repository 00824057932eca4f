"""Cells on a Ray cluster. Every machine of it must have exuno installed and see the folder of the study."""

import logging
import os
from pathlib import Path
from typing import Any

from exuno.engine.errors import ExunoError
from exuno.study.worker import Job, Outcome, carry_out


def _task(job: Job, folder: str) -> Outcome:
    os.chdir(folder)  # run directories and data may be named relative to where the study was started
    return carry_out(job)


class OnRay:
    """A launcher: each cell is a task of Ray, which finds it a machine.

    Args:
        address: ``local`` starts a cluster in this machine, ``auto`` finds the one that runs here; or its address.
        slots: cells at a time in a local cluster; 0 leaves it to the cores.
        threads: cores of each cell.
        on_cpu: whether GPUs are left alone; otherwise each cell takes one, where the cluster has any.

    Raises:
        ExunoError: Ray is not installed, or there is no cluster at the address.
    """

    def __init__(self, address: str, slots: int, threads: int, on_cpu: bool) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
        except ImportError as error:
            raise ExunoError("--ray needs the package ray", "pip install 'exuno[ray]'") from error
        self.ray: Any = ray
        local: dict[str, Any] = {"num_cpus": slots * threads or None, "include_dashboard": False}
        variables = {"OMP_NUM_THREADS": str(threads)}
        if path := os.environ.get("PYTHONPATH"):
            variables["PYTHONPATH"] = path
        try:
            ray.init(
                address=address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                runtime_env={"env_vars": variables},
                **(local if address == "local" else {}),
            )
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise ExunoError(
                f"there is no Ray cluster at '{address}': {str(error).splitlines()[0]}",
                "Start one with ray start --head, or give --ray local.",
            ) from error
        there = ray.cluster_resources()
        gpus = 0 if on_cpu else int(there.get("GPU", 0))
        self.task = ray.remote(num_cpus=threads, num_gpus=1 if gpus else 0, max_retries=1)(_task)
        self.slots = gpus or max(1, int(there.get("CPU", 1)) // threads)
        self.running: dict[Any, Job] = {}

    def submit(self, job: Job) -> None:
        """Hands a job to the cluster."""
        self.running[self.task.remote(job, str(Path.cwd()))] = job

    def wait(self) -> list[Outcome]:
        """Blocks until a job has come to an end; Ray itself tries one whose worker died once more."""
        ready, _ = self.ray.wait(list(self.running), num_returns=1)
        return [self._outcome(one) for one in ready]

    def _outcome(self, reference: Any) -> Outcome:
        job = self.running.pop(reference)
        try:
            return self.ray.get(reference)
        except self.ray.exceptions.RayError as error:
            said = str(error).strip().splitlines()
            return Outcome(job.name, f"Ray lost it twice ({type(error).__name__}: {said[0] if said else ''})", 0.0)

    def close(self) -> None:
        """Ends the tasks that still run, and leaves the cluster."""
        for reference in self.running:
            self.ray.cancel(reference, force=True)
        self.ray.shutdown()

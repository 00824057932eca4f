"""Cells on a Ray cluster. Every machine of it must have exuno installed and see the folder of the study."""

import logging
import os
from pathlib import Path
from typing import Any

from exuno.engine.errors import ExunoError
from exuno.study.local import Need
from exuno.study.worker import Job, Outcome, run_cell_in


class OnRay:
    """A launcher: each cell is a task of Ray, which finds it a machine.

    Args:
        address: ``local`` starts a cluster in this machine, ``auto`` finds the one that runs here; or its address.
        slots: cells at a time in a local cluster.
        need: of a cell. It takes a GPU for each of its processes, where the cluster has any.

    Raises:
        ExunoError: Ray is not installed, there is no cluster at the address, or no machine of it has room for a cell.
    """

    def __init__(self, address: str, slots: int, need: Need) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        if address == "local":  # its servers then listen to this machine alone, as they do on macOS and Windows
            os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        try:
            import ray
        except ImportError as error:
            raise ExunoError("--ray needs the package ray", "pip install 'exuno[ray]'") from error
        self.ray: Any = ray
        local: dict[str, Any] = {"num_cpus": slots * need.threads * need.processes, "include_dashboard": False}
        variables = {"OMP_NUM_THREADS": str(need.threads)}
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
        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        gpus = 0 if need.on_cpu or not any(one.get("GPU") for one in machines) else need.processes
        cores = need.threads * need.processes
        rooms = [
            min(int(one.get("CPU", 0)) // cores, int(one.get("GPU", 0)) // gpus if gpus else 10**6) for one in machines
        ]
        if not sum(rooms):
            ray.shutdown()
            asked = f"{cores} cores" + (f" and {gpus} GPUs" if gpus else "")
            raise ExunoError(
                f"a cell takes {asked}, which no machine of the Ray cluster has", "Lower --threads or --devices."
            )
        self.task = ray.remote(num_cpus=cores, num_gpus=gpus, max_retries=1)(run_cell_in)
        self.slots = sum(rooms)
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
        except self.ray.exceptions.RayTaskError as error:
            return Outcome(job.name, f"{type(error.cause).__name__}: {error.cause}", 0.0)
        except self.ray.exceptions.RayError as error:
            return Outcome(job.name, f"Ray lost its process twice ({type(error).__name__}); its log may say more", 0.0)

    def close(self) -> None:
        """Ends the tasks that still run, and leaves the cluster."""
        for reference in self.running:
            self.ray.cancel(reference, force=True)
        self.ray.shutdown()

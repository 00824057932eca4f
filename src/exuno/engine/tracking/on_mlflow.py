"""MLflow: the server or the database of ``MLFLOW_TRACKING_URI``, else MLflow's own default, ``mlflow.db`` here."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from exuno.engine.configuration import flatten
from exuno.engine.errors import ExunoError, first_line
from exuno.engine.options import trackers
from exuno.engine.tracking import Sink, identity_of, numbers_of

TAG = "exuno.run"
"""Of a run of MLflow: which run directory it belongs to."""
LONGEST = 6000
"""Letters of a parameter that MLflow takes."""


@trackers.register("mlflow", needs=("mlflow", "sqlalchemy", "alembic"), install="pip install 'exuno[mlflow]'")
@contextmanager
def mlflow(folder: Path, config: dict[str, Any]) -> Iterator[Sink]:
    from mlflow import MlflowClient
    from mlflow.entities import Metric
    from mlflow.exceptions import MlflowException

    try:
        client = MlflowClient()
        run = _begun(client, folder, config)
    except (MlflowException, OSError) as error:
        raise ExunoError(
            f"--track mlflow: {first_line(error)}", "Check MLFLOW_TRACKING_URI, and the server behind it."
        ) from error

    def send(values: dict[str, Any]) -> None:
        now, step = round(1000 * time.time()), values["step"]
        metrics = [Metric(name, float(value), now, step) for name, value in numbers_of(values).items()]
        client.log_batch(run, metrics=metrics)

    yield send
    client.set_terminated(run, "FINISHED" if (folder / "result.json").is_file() else "KILLED")


def _begun(client: Any, folder: Path, config: dict[str, Any]) -> str:
    """The run of MLflow that belongs to a run directory; a new one, with the configuration, where there is none."""
    there = client.get_experiment_by_name("exuno")
    experiment = there.experiment_id if there else client.create_experiment("exuno")
    known = client.search_runs([experiment], f"tags.`{TAG}` = '{identity_of(folder)}'", max_results=1)
    if known:
        client.update_run(known[0].info.run_id, status="RUNNING")
        return known[0].info.run_id
    run = client.create_run(experiment, run_name=str(folder), tags={TAG: identity_of(folder)}).info.run_id
    for name, value in flatten(config).items():
        client.log_param(run, name, str(value)[:LONGEST])
    return run

"""What every word does around its work: the run directory, the table, the page."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from exuno.engine.devices import make_accelerator, measuring
from exuno.engine.options import RunOptions
from exuno.engine.progress import peak_memory
from exuno.engine.run import Run, check_folder, default_folder, open_run
from exuno.explain.options import Execution
from exuno.fewshot.tables import show
from exuno.report.page import write_report


def carry_out(
    word: str,
    values: dict[str, Any],
    execution: Execution,
    about: dict[str, Any],
    inputs: Mapping[str, str],
    replay: list[str],
    work: Callable[[Run, torch.device], dict[str, Any]],
) -> Run:
    """Calls ``work(run, device)`` in the run directory of a configuration and prints the first of its tables; a
    finished run is only shown again, and for a dry run the folder is looked at and nothing done.

    Args:
        word: of ``exuno explain``.
        values: the resolved configuration.
        execution: its part that says where and how.
        about: summary and paper.
        inputs: sha256 of what the configuration names.
        replay: the command that repeats it.
        work: draws and measures; returns the content of result.json, ``tables`` among it.

    Raises:
        ExunoError: anything the user can put right.
    """
    started = time.monotonic()
    options = RunOptions(run_dir=execution.run_dir, devices=execution.devices, no_images=execution.no_images)
    if execution.dry_run:
        folder = execution.run_dir or default_folder(f"explain {word}", None, values)
        planned = Run(folder, f"explain {word}", None, values, about, options, dict(inputs))
        check_folder(planned)
        return planned
    run = open_run(f"explain {word}", None, values, about, options, inputs=dict(inputs), replay=replay)
    try:
        if run.result is not None:
            show(run.result["tables"][:1])
            print(f"Measured before. Look at: {run.dir / 'report.html'}")
            return run
        device = make_accelerator(measuring(options)).device
        content = work(run, device)
        show(content["tables"][:1])
        spent = {"wall_seconds": time.monotonic() - started, "peak_memory_bytes": peak_memory()}
        run.finish(**content, **spent, device=device.type)
        print(f"Look at: {write_report(run.dir)}")
    finally:
        run.close()
    return run

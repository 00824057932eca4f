"""A set that several processes share gives the batches, and the training, of one process.

This file is also what each of the processes runs.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exuno.data import batches
from exuno.data.loader import Loader, rank_slice
from exuno.data.resident import Resident, Shared, exchange

sys.path.insert(0, str(Path(__file__).parent))  # of a process
from test_resident import CASES, CPU, MOVES, SETS, Photographs, same
from test_resident_resume import DATA, train

ENOUGH = 10**6


@given(st.integers(1, 40), st.integers(1, 4), st.randoms())
@settings(max_examples=40, deadline=None)
def test_what_is_given_is_what_is_needed(count: int, world: int, random: Any) -> None:
    batch = np.array(random.sample(range(50), count), np.int64)
    plans = [exchange(batch, rank, world) for rank in range(world)]
    for rank, plan in enumerate(plans):
        assert plan.gets == [other.gives[rank] for other in plans]
        coming = []
        for other, theirs in enumerate(plans):
            start = sum(theirs.gives[:rank])
            coming += [place * world + other for place in theirs.given[start : start + theirs.gives[rank]].tolist()]
        assert np.array(coming, np.int64)[plan.order].tolist() == batch[rank_slice(count, rank, world)].tolist()


@pytest.mark.parametrize("world", [pytest.param(2, marks=pytest.mark.slow), 3])  # three share unevenly
def test_processes_share_a_set(world: int, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(world), "OMP_NUM_THREADS": "1"}
    line = [sys.executable, __file__, str(tmp_path / "shared")]
    processes = [
        subprocess.Popen(line, env=os.environ | shared | {"RANK": str(n), "LOCAL_RANK": str(n)}, stderr=subprocess.PIPE)
        for n in range(world)
    ]
    try:
        for process in processes:
            _, said = process.communicate(timeout=600)
            assert process.returncode == 0, said.decode()[-3000:]
    finally:
        for process in processes:
            process.kill()
    alone = train(tmp_path / "alone", Resident(DATA, 12, MOVES, 3, device=CPU))
    assert (alone - 1).abs().max() > 1e-3, "nothing was learned"
    torch.testing.assert_close(torch.load(tmp_path / "shared/weights.pt"), alone, rtol=1e-6, atol=0)


def work(folder: Path) -> None:
    """Of one process: raises AssertionError where batches differ, and trains."""
    from exuno.engine.devices import make_accelerator
    from exuno.engine.options import RunOptions

    accelerator = make_accelerator(RunOptions(devices="cpu"))
    options: dict[str, Any] = {"rank": accelerator.process_index, "world": accelerator.num_processes}
    for case, drop_last in (("moves", True), ("cropped", False), ("clips", True), ("recordings", False)):
        name, augment, size, tolerance = CASES[case]
        fetched = Loader(SETS[name], 12, augment, 7, size, drop_last=drop_last, **options)
        shared = Shared(SETS[name], 12, augment, 7, size, drop_last=drop_last, device=CPU, **options)
        for epoch, start in ((0, 0), (3, 1)):
            same(shared.epoch(epoch, start), fetched.epoch(epoch, start), tolerance)
        assert len(shared.lying[0]) == len(range(options["rank"], 23, options["world"]))
        if accelerator.is_main_process:  # alone, for a look
            same([shared.first()], [fetched.first()], tolerance)
    soft = [kind(Photographs(soft=True), 12, MOVES, 3, device=CPU, **options) for kind in (Shared, Loader)]
    same(soft[0].epoch(1), soft[1].epoch(1), 0)
    # What does not fit on one of them lies on none.
    assert batches.fits(100, 100 / options["world"], options["world"])
    assert not batches.fits(100, ENOUGH if accelerator.is_main_process else 1, options["world"])
    batches.free_memory = lambda device: ENOUGH
    meta = torch.device("meta")
    assert type(batches.batches(SETS["images"], 12, MOVES, device=meta, **options)) is Shared
    assert type(batches.batches(SETS["images"], 12, None, device=meta, shuffle=False, **options)) is Resident
    weights = train(folder, Shared(DATA, 12, MOVES, 3, device=CPU, **options))
    if accelerator.is_main_process:
        torch.save(weights, folder / "weights.pt")
    accelerator.wait_for_everyone()


if __name__ == "__main__":
    work(Path(sys.argv[1]))

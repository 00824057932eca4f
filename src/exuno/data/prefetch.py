"""Batches on their way to a GPU: one is copied there on a stream of its own while another is used."""

from collections.abc import Iterator

import torch
from torch import Tensor

Batch = dict[str, Tensor]


def ahead(batches: Iterator[Batch], device: torch.device) -> Iterator[Batch]:
    """The batches on ``device``, in their order. Where that is no CUDA device, they pass as they are.

    The copy of the next batch is asked for before this one is handed out. It is asynchronous: from pinned memory, into
    which a batch that is not there yet is brought first.
    """
    return _copied(batches, device) if device.type == "cuda" else batches


def _copied(batches: Iterator[Batch], device: torch.device) -> Iterator[Batch]:
    side = torch.cuda.Stream(device)

    def start() -> tuple[Batch, Batch] | None:
        batch = next(batches, None)
        if batch is None:
            return None
        pinned = {name: x if x.is_cuda or x.is_pinned() else x.pin_memory() for name, x in batch.items()}
        with torch.cuda.stream(side):
            return {name: x.to(device, non_blocking=True) for name, x in pinned.items()}, pinned

    coming = start()
    while coming is not None:
        batch, _ = coming
        current = torch.cuda.current_stream(device)
        current.wait_stream(side)
        for x in batch.values():
            x.record_stream(current)  # its memory is not given away while the training's stream may read it
        following = start()
        yield batch
        coming = following

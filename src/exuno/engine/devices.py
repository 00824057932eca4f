"""Devices, precision and processes, by Hugging Face Accelerate."""

import ctypes
import os
import sys
from datetime import timedelta

import torch
import torch.distributed as dist
from accelerate import Accelerator, InitProcessGroupKwargs
from accelerate.state import AcceleratorState
from torch import nn

from exuno.engine.errors import ExunoError
from exuno.engine.options import RunOptions
from exuno.engine.run import rank

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h


def make_accelerator(options: RunOptions) -> Accelerator:
    """The devices that the options ask for.

    Raises:
        ExunoError: half precision without a GPU, or more processes than GPUs.
    """
    cpu = options.devices.startswith("cpu") or not torch.cuda.is_available()
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", os.environ.get("WORLD_SIZE", "1")))
    if cpu and options.precision == "fp16":
        raise ExunoError("--precision fp16 needs a GPU", "Leave it out, or take bf16.")
    if options.devices.isdigit() and cpu and rank() == 0:
        each = "one process runs" if options.devices == "1" else f"{options.devices} processes run"
        told = f"--devices {options.devices}: there is no GPU that torch can use, so {each} on the processor"
        print(f"{told} (--devices cpu:{options.devices} means that)", file=sys.stderr)
    if not cpu and processes > torch.cuda.device_count():
        raise ExunoError(
            f"{processes} processes were asked for, but this machine has {torch.cuda.device_count()} GPUs",
            f"Give --devices {torch.cuda.device_count()}, or --devices cpu:{processes}.",
        )
    if not cpu:  # the same seed gives the same weights, as far as CUDA's kernels allow
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.backends.cudnn.benchmark = False
    # Accelerate keeps one state a process; a second run in it may want another precision or device.
    AcceleratorState._reset_state(reset_partial_state=not dist.is_initialized())
    # The others wait while the first process measures and writes, which may take longer than NCCL's ten minutes.
    patience = InitProcessGroupKwargs(timeout=timedelta(days=1))
    return Accelerator(mixed_precision=options.precision, cpu=cpu, kwargs_handlers=[patience])


def reuse_memory() -> None:
    """Keeps freed memory in the process instead of handing every large block back to the kernel.

    glibc maps each block of more than 32 MB anew, and the kernel clears it page by page; work that makes and drops such
    blocks all the time, as an unrolled training does, runs a third faster without. No effect elsewhere.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    for parameter in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD):
        mallopt(parameter, 2**31 - 1)


def share_buffers(module: nn.Module) -> None:
    """Gives every process the buffers of the first: the statistics of batch normalisation, before a test."""
    if dist.is_initialized():
        for buffer in module.buffers():
            dist.broadcast(buffer, 0)

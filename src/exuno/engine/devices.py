"""Devices, precision and processes, by Hugging Face Accelerate."""

import os
import sys
import warnings
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Literal

import torch
import torch.distributed as dist
from accelerate import Accelerator, InitProcessGroupKwargs
from accelerate.state import AcceleratorState
from torch import Tensor, nn

from exuno.engine.errors import ExunoError
from exuno.engine.options import RunOptions
from exuno.engine.run import rank
from exuno.engine.system import library_call

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h
LARGEST_BLOCK, OLD_LARGEST = 2**31 - 1, 2**25
"""The largest thresholds that glibc takes, and that of M_MMAP_THRESHOLD in older versions (half of HEAP_MAX_SIZE)."""


def make_accelerator(options: RunOptions) -> Accelerator:
    """The devices that the options ask for, set up for their precision and algorithms; the memory that this process
    frees stays with it from here on (:func:`reuse_memory`).

    Raises:
        ExunoError: a device that is not there, a precision that it has not, or more processes than GPUs.
    """
    kind = device_kind(options)
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", os.environ.get("WORLD_SIZE", "1")))
    if options.precision == "fp16" and kind != "cuda":
        raise ExunoError("--precision fp16 needs a GPU", "Leave it out, or take bf16.")
    if options.devices.isdigit() and kind == "cpu" and rank() == 0:
        each = "one process runs" if options.devices == "1" else f"{options.devices} processes run"
        told = f"--devices {options.devices}: there is no GPU that torch can use, so {each} on the processor"
        print(f"{told} (--devices cpu:{options.devices} means that)", file=sys.stderr)
    if kind == "cuda" and processes > torch.cuda.device_count():
        raise ExunoError(
            f"{processes} processes were asked for, but this machine has {torch.cuda.device_count()} GPUs",
            f"Give --devices {torch.cuda.device_count()}, or --devices cpu:{processes}.",
        )
    reuse_memory()
    way = settings_of(options, kind)
    if kind == "cuda":
        choose_algorithms(way)
    # Accelerate keeps one state a process; a second run in it may want another precision or device.
    AcceleratorState._reset_state(reset_partial_state=not dist.is_initialized())
    # The others wait while the first process measures and writes, which may take longer than NCCL's ten minutes.
    patience = InitProcessGroupKwargs(timeout=timedelta(days=1))
    return Accelerator(mixed_precision=way.autocast, cpu=kind == "cpu", kwargs_handlers=[patience])


def measuring(options: RunOptions) -> RunOptions:
    """The options of what only measures: float32, and the same numbers every time."""
    return replace(options, precision="no", deterministic=True)


def device_kind(options: RunOptions) -> Literal["cpu", "cuda", "mps"]:
    """The kind of device that the options ask for.

    Raises:
        ExunoError: mps where there is none.
    """
    if options.devices == "mps":
        if not torch.backends.mps.is_available():
            raise ExunoError("--devices mps needs a Mac with an Apple GPU, and torch finds none", "Leave it out.")
        return "mps"
    return "cpu" if options.devices.startswith("cpu") or not torch.cuda.is_available() else "cuda"


@dataclass(frozen=True)
class DeviceSettings:
    """How a run computes: what its options ask for, on the device at hand."""

    autocast: Literal["no", "bf16", "fp16"]
    """Precision of the forward pass."""
    tf32: bool
    """Whether float32 products keep ten bits of their factors (NVIDIA's tensor cores)."""
    deterministic: bool
    """Whether the same bits come out every time."""

    @property
    def precision(self) -> str:
        """In one word: no, tf32, bf16 or fp16."""
        return "tf32" if self.tf32 and self.autocast == "no" else self.autocast


def settings_of(options: RunOptions, kind: str) -> DeviceSettings:
    """How ``options`` compute on a kind of device: see :class:`DeviceSettings`."""
    auto, cuda = options.precision == "auto", kind == "cuda"
    half = "bf16" if auto and cuda and torch.cuda.is_bf16_supported(including_emulation=False) else "no"
    asked = options.precision if options.precision != "auto" else half
    return DeviceSettings(asked, auto and cuda and half == "no", options.deterministic or not cuda)


def active_settings(accelerator: Accelerator) -> DeviceSettings:
    """How this process computes."""
    cuda = accelerator.device.type == "cuda"
    half: Any = accelerator.mixed_precision
    return DeviceSettings(
        half,
        cuda and torch.backends.cuda.matmul.allow_tf32,
        not cuda or torch.are_deterministic_algorithms_enabled(),
    )


def choose_algorithms(way: DeviceSettings) -> None:
    """Sets torch's algorithms on CUDA, and keeps to itself what it has to say about them: the run record says it."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = way.tf32
    torch.backends.cudnn.benchmark = not way.deterministic
    torch.backends.cudnn.deterministic = way.deterministic
    if way.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(way.deterministic, warn_only=True)
    # Of operations that have no deterministic form (resampling, pooling of clips, fused attention).
    warnings.filterwarnings("ignore", ".*deterministic.*", UserWarning)


DTYPES = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def dtype_of(precision: str) -> torch.dtype | None:
    """The type that a precision computes in; None for the same as the rest."""
    return DTYPES.get(precision)


def reads_are_free(device: torch.device) -> bool:
    """Whether a value on a device can be read without waiting for all work before it: on a processor only. There,
    what is of unknown size is as large as it is; elsewhere as large as it can be."""
    return device.type == "cpu"


def send(x: Tensor, device: torch.device) -> Tensor:
    """``x`` on a device; the host does not wait for a GPU."""
    if device.type != "cuda" or x.device.type != "cpu":
        return x.to(device)
    return x.pin_memory().to(device, non_blocking=True)  # torch's pool keeps pinned memory until the copy is done


def reuse_memory() -> None:
    """Keeps freed memory in the process instead of handing every large block back to the kernel.

    glibc maps each large block anew and gives free memory back at once, and the kernel clears it page by page: the
    activations of every step. A step of a small network on a CPU, or of an unrolled training, runs a third faster
    without. No effect where another allocator or C library is in its place.
    """
    mallopt = library_call("mallopt")
    if mallopt and any(mallopt(M_MMAP_THRESHOLD, size) for size in (LARGEST_BLOCK, OLD_LARGEST)):
        mallopt(M_TRIM_THRESHOLD, LARGEST_BLOCK)  # alone, it would have glibc map every block of 128 kB or more anew


def share_buffers(module: nn.Module) -> None:
    """Gives every process the buffers of the first: the statistics of batch normalisation, before a test."""
    if dist.is_initialized():
        for buffer in module.buffers():
            dist.broadcast(buffer, 0)

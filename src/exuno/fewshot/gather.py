"""What the processes of a training know together. Without several processes, nothing happens. No gradients pass."""

import torch
import torch.distributed as dist
from torch import Tensor


def gathered(x: Tensor, dim: int = 0) -> Tensor:
    """The rows of all processes joined along ``dim``, in the order of their ranks; all have equally many."""
    if not dist.is_initialized():
        return x
    parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, x.detach().contiguous())
    return torch.cat(parts, dim)


def mean_of_all(x: Tensor) -> Tensor:
    """Mean over the processes."""
    if not dist.is_initialized():
        return x
    total = x.detach().clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()

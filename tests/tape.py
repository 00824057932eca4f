"""A recorder for tests without a GPU: it keeps the operations of a step with the tensors they ran on, as a CUDA graph
keeps kernels and addresses, so that what Python computed while recording is what every replay computes."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Tape(TorchDispatchMode):
    """Records work that changes tensors in place; afterwards these are as they were before."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, Any, Any, Any]] = []
        self.before: dict[int, tuple[Tensor, Tensor]] = {}
        self.recordings = 0

    def aside(self) -> AbstractContextManager[None]:
        return nullcontext()

    def __call__(self, work: Callable[[], None]) -> Callable[[], None]:
        self.operations, self.before = [], {}
        self.recordings += 1
        numbers = torch.get_rng_state()
        try:
            with self:
                work()
        finally:
            for now, then in self.before.values():
                now.copy_(then)
            torch.set_rng_state(numbers)
        operations = self.operations
        return lambda: replay(operations)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        for place, argument in enumerate(func._schema.arguments):
            if argument.alias_info is not None and argument.alias_info.is_write:
                value = args[place] if place < len(args) else kwargs.get(argument.name)
                for tensor in tree_leaves(value):
                    self._keep(tensor)
        out = func(*args, **kwargs)
        self.operations.append((func, args, kwargs, out))
        return out

    def _keep(self, tensor: Any) -> None:
        if not isinstance(tensor, Tensor):
            return
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self.before:
            whole = torch.empty(0, dtype=tensor.dtype).set_(storage)  # pyright: ignore[reportArgumentType]
            self.before[storage.data_ptr()] = whole, whole.clone()


@torch.no_grad()
def replay(operations: list[tuple[Any, Any, Any, Any]]) -> None:
    """The same operations on the same memory."""
    for func, args, kwargs, out in operations:
        for then, now in zip(tree_leaves(out), tree_leaves(func(*args, **kwargs)), strict=True):
            if isinstance(then, Tensor) and then.data_ptr() != now.data_ptr():
                then.copy_(now)


class Eager:
    """Records nothing: a replay is the work itself."""

    def aside(self) -> AbstractContextManager[None]:
        return nullcontext()

    def __call__(self, work: Callable[[], None]) -> Callable[[], None]:
        return work


class Broken(Eager):
    """Fails half way through a recording."""

    def __call__(self, work: Callable[[], None]) -> Callable[[], None]:
        tape = Tape()
        tape(work)
        raise RuntimeError("operation not permitted when stream is capturing\nCUDA kernel errors might …")

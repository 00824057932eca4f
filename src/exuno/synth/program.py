"""Patches that a program draws, ``program:module:name``: shaders, fractals, renderings in the place of a photograph.

A program is a function ``name(indices, seed, size) -> uint8 [N, size, size, 1 or 3]``, in which patch i is a function
of (seed, i) alone, so that no sample depends on a batch, a worker or a process::

    def discs(indices, seed, size):
        radius = 1 + indices % (size // 2)
        y, x = np.mgrid[:size, :size] - size / 2
        return (255 * (x**2 + y**2 < radius[:, None, None] ** 2)).astype(np.uint8)[..., None]
"""

import hashlib
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exuno.data.images.photo import PROGRAM
from exuno.engine.errors import ExunoError
from exuno.registry import Registry

programs = Registry("program", "--source", "exuno.synth.program")


class ProgramSampler:
    """Patches of a program, as a sampler of a photograph gives them.

    Args:
        spec: ``program:module:name``.
        size: side of a patch in pixels.
        seed: of every draw.

    Raises:
        ExunoError: there is no such function, or its patches are none; both when they are asked for.
    """

    def __init__(self, spec: str, size: int, seed: int) -> None:
        self.spec, self.size, self.seed = spec, size, seed

    @cached_property
    def draw(self) -> Any:
        return programs.get(self.spec.removeprefix(PROGRAM))

    def __call__(self, indices: ArrayLike) -> NDArray[np.uint8]:
        """Patches uint8 [N, size, size, 3] with these indices; gray ones three times."""
        indices = np.asarray(indices, np.int64).reshape(-1)
        if not len(indices):
            return np.zeros((0, self.size, self.size, 3), np.uint8)
        found = np.asarray(self.draw(indices, self.seed, self.size))
        shape = (len(indices), self.size, self.size)
        if found.dtype != np.uint8 or found.shape not in ((*shape, 1), (*shape, 3)):
            raise ExunoError(
                f"{self.spec} gave {found.dtype} {list(found.shape)}",
                f"{len(indices)} patches are uint8 {[*shape, 3]}, or 1 in the place of the 3 for gray ones.",
            )
        return np.broadcast_to(found, (*shape, 3))

    def prepare(self) -> None:
        """Import the program now."""
        assert self.draw


def check_program(spec: str) -> None:
    """Raises ExunoError if there is no module of this name; imports nothing."""
    name = spec.removeprefix(PROGRAM)
    if ":" not in name:
        raise ExunoError(f"--source {spec} names no function", "Give program:module:name.")
    programs.check(name)


def program_sha256(spec: str) -> str:
    """The sha256 of the file in which a program stands; what it imports is not looked at."""
    found = find_spec(spec.removeprefix(PROGRAM).partition(":")[0])
    assert found is not None
    return hashlib.sha256(Path(str(found.origin)).read_bytes()).hexdigest()

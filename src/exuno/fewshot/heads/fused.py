"""``prototype`` in one pass by numba: a query is read once, where it lies, and multiplied with prototypes in registers.

Products with five columns are slow in BLAS, and no row is copied for them. Half of the time goes into waiting for rows,
which lie anywhere in a large table, so they are asked for ahead. Importing numba takes as long as very many
episodes; ``prototype`` knows when it pays. The first call on a machine compiles, for 2 s more; later ones load what it
left beside this file.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import torch
from llvmlite import ir  # pyright: ignore[reportMissingImports]
from numba import njit, types  # pyright: ignore[reportMissingImports]
from numba.extending import intrinsic  # pyright: ignore[reportMissingImports]
from numpy.typing import NDArray
from torch import Tensor

from exuno.fewshot.episodes import Ints

# Sums may be reordered, or they would not be vectorised; infinity stays what it is. The threads are Python's.
_OPTIONS = {"cache": True, "nogil": True, "fastmath": {"reassoc", "contract", "nsz"}, "error_model": "numpy"}
_PARTS = 4  # of a thread, so that none waits long for the other
_AHEAD = 8  # rows
_LINE = 16  # numbers that come together from memory


def classify(features: Tensor, support: Tensor, query: Tensor) -> Tensor:
    """Queries that are right, int64 [E]; features float32 [N, D], positions: support [E, n, k], query [E, n, q]."""
    threads, found = torch.get_num_threads(), torch.empty(len(query), dtype=torch.int64)
    step = -(-len(query) // (_PARTS * threads))
    rows, parts = features.detach().numpy(), [[t.numpy() for t in x.split(step)] for x in (support, query, found)]
    list(_pool(os.getpid(), threads).map(_classify, [rows] * len(parts[0]), *parts))
    return found


@cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Threads that wait for the next chunk; those of another process did not survive its fork."""
    return ThreadPoolExecutor(threads)


@intrinsic
def _prefetch(typing: Any, features: Any, row: Any, column: Any) -> tuple[Any, Any]:
    """LLVM's prefetch of one address, to be read, into all caches."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        table = context.make_array(signature.args[0])(context, builder, arguments[0])
        wide = builder.extract_value(table.shape, 1)
        place = builder.gep(table.data, [builder.add(builder.mul(arguments[1], wide), arguments[2])])
        kind, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        form = ir.FunctionType(ir.VoidType(), [kind, number, number, number])
        call = builder.module.declare_intrinsic("llvm.prefetch", [kind], form)
        builder.call(call, [builder.bitcast(place, kind), number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(features, row, column), build


@njit(**_OPTIONS)
def _ask(features: NDArray[np.float32], row: int) -> None:
    for column in range(0, features.shape[1], _LINE):
        _prefetch(features, row, column)  # pyright: ignore[reportCallIssue]  # numba gives the first argument


@njit(**_OPTIONS)
def _classify(features: NDArray[np.float32], support: Ints, query: Ints, found: Ints) -> None:
    way, count = query.shape[1:]
    wide = features.shape[1]
    means = np.empty((way, wide), np.float32)
    for episode in range(len(query)):
        _prototypes(features, support[episode], means)
        flat, right = query[episode].ravel(), 0
        after = support[min(episode + 1, len(query) - 1)].ravel()
        for first in range(0, len(flat), 4):  # four rows share the loads of a prototype, and wait for memory together
            last = len(flat) - 1
            j, k, m = min(first + 1, last), min(first + 2, last), min(first + 3, last)
            a, b, c, d = features[flat[first]], features[flat[j]], features[flat[k]], features[flat[m]]
            best_a = best_b = best_c = best_d = 0
            top_a = top_b = top_c = top_d = np.float32(-np.inf)
            for label in range(way):
                for far in range(first + _AHEAD + label, first + _AHEAD + 4, way):
                    if far < len(flat):
                        _ask(features, flat[far])
                    elif far - len(flat) < len(after):
                        _ask(features, after[far - len(flat)])
                mean = means[label]
                sa = sb = sc = sd = np.float32(0)
                for i in range(wide):
                    sa += a[i] * mean[i]
                    sb += b[i] * mean[i]
                    sc += c[i] * mean[i]
                    sd += d[i] * mean[i]
                if sa > top_a:
                    top_a, best_a = sa, label
                if sb > top_b:
                    top_b, best_b = sb, label
                if sc > top_c:
                    top_c, best_c = sc, label
                if sd > top_d:
                    top_d, best_d = sd, label
            right += best_a == first // count
            right += (j > first) & (best_b == j // count)
            right += (k > j) & (best_c == k // count)
            right += (m > k) & (best_d == m // count)
        found[episode] = right


@njit(**_OPTIONS)
def _prototypes(features: NDArray[np.float32], support: Ints, means: NDArray[np.float32]) -> None:
    """Fills means [n, D]; their length is 1."""
    for label in range(len(support)):
        mean = means[label]
        mean[:] = 0
        for image in support[label]:
            row = features[image]
            for i in range(len(mean)):
                mean[i] += row[i]
        square = np.float32(0)
        for i in range(len(mean)):
            square += mean[i] * mean[i]
        mean /= max(np.sqrt(square), np.float32(1e-30))

"""Pickles of CIFAR are read without pickle: nothing in them is run, built or imported."""

import pickle
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exuno.data.images.cifar import NotPlain, loads, open_cifar
from exuno.engine.errors import ExunoError

PIXELS = np.arange(5 * 3072, dtype=np.uint8).reshape(5, 3072)


class Call:
    """Pickles as a call of ``function``."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


def batch(**more: Any) -> dict[bytes, Any]:
    return {
        b"data": PIXELS,
        b"labels": [0, 1, 2, 3, 4],
        b"filenames": [b"a"],
        **{k.encode(): v for k, v in more.items()},
    }


@pytest.mark.parametrize("protocol", [1, 2, 3, 4])
def test_reads_what_pickle_reads(protocol: int) -> None:
    column_first = np.asfortranarray(PIXELS)
    there = {**batch(), b"long": 2**80, b"text": "é", b"none": None, b"yes": True, b"big": np.array([1, -2], ">i4")}
    found = loads(pickle.dumps({**there, b"column_first": column_first, b"nested": [(1, 2), [3]]}, protocol))
    assert found.keys() == {*there, b"column_first", b"nested"}
    assert np.array_equal(found[b"data"], PIXELS)
    assert np.array_equal(found[b"column_first"], PIXELS)
    assert found[b"big"].tolist() == [1, -2]
    assert found[b"nested"] == [(1, 2), [3]]
    assert all(found[key] == there[key] for key in (b"labels", b"long", b"text", b"none", b"yes"))


def test_reads_strings_of_python_2_as_bytes() -> None:
    assert loads(b"\x80\x02}q\x01(U\x06labelsq\x02]q\x03(K\x05K\x06eu.") == {b"labels": [5, 6]}


@pytest.mark.parametrize(
    "what",
    [
        Call(print, "ran"),
        Call(np.dtype, "O8"),
        Call(np.array, [1]),
        Call(np.dtype, "f4"),
        np.array([None]),
        np.array([1.5]),
        np.zeros(2, [("a", "u1")]),
        Path("x"),
        1.5,
        {1},
        bytearray(b"x"),
        Call(getattr, "x", "y"),
    ],
    ids=lambda what: str(getattr(what, "call", what))[:40],
)
def test_refuses_everything_else(what: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for protocol in (2, 4):
        with pytest.raises(NotPlain):
            loads(pickle.dumps(batch(extra=what), protocol))
    assert capsys.readouterr().out == ""


def test_a_type_with_a_crafted_state_builds_no_object(tmp_path: Path) -> None:
    """numpy.dtype('O8') with a state of its own crashed the process (a segmentation fault), as did calls of numpy."""
    state = b"(K\x03X\x01\x00\x00\x00|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb."
    crafted = b"\x80\x02cnumpy\ndtype\n(X\x02\x00\x00\x00O8K\x00K\x01tR" + state
    with pytest.raises(NotPlain, match="'O8'"):
        loads(crafted)
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "batches.meta"):
        (folder / name).write_bytes(crafted)
    with pytest.raises(ExunoError, match="cannot be read"):
        open_cifar("cifar10", "train", tmp_path)


def test_no_module_is_imported() -> None:
    sys.modules.pop("numpy.f2py", None)
    with pytest.raises(NotPlain, match=r"numpy\.f2py"):
        loads(b"\x80\x02cnumpy.f2py\n_reconstruct\n.")
    assert "numpy.f2py" not in sys.modules


def test_lists_that_hold_each_other_many_times_are_refused() -> None:
    laughs = b"\x80\x02]q\x00" + b"".join(b"]q%c(" % n + b"h%c" % (n - 1) * 50 + b"e" for n in range(1, 9)) + b"."
    with pytest.raises(NotPlain):
        loads(laughs)
    with pytest.raises(NotPlain, match="nested"):
        loads(b"\x80\x02]q\x00h\x00a.")


WHOLE = pickle.dumps(batch(), 2)


@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_damaged_bytes_are_told(changes: list[tuple[int, int]]) -> None:
    content = bytearray(WHOLE)
    for place, value in changes:
        content[place] = value
    with suppress(NotPlain):  # any other exception is a bug
        loads(bytes(content))


@given(st.binary(max_size=200))
def test_any_bytes_are_told(content: bytes) -> None:
    with suppress(NotPlain):  # any other exception is a bug
        loads(content)

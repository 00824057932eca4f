"""Arrays of .npz files: what NumPy writes is read, what a header claims is checked first."""

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, scalar_dtypes

from exuno.engine.errors import ExunoError
from exuno.engine.untrusted import Arrays


def member(header: str, body: bytes = b"") -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + body


def archive(path: Path, content: bytes, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("a.npy", content)
    return path


@given(arrays(scalar_dtypes(), array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)), st.booleans())
def test_reads_what_numpy_writes(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray, packed: bool) -> None:
    path = tmp_path_factory.mktemp("npz") / "a.npz"
    (np.savez_compressed if packed else np.savez)(path, a=array, f=np.asfortranarray(array), text=np.array(["é", "b"]))
    found = Arrays(path)
    assert found.names == ("a", "f", "text")
    for name in ("a", "f"):
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
    assert found["text"].tolist() == ["é", "b"]


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }", "EXUNO_MAX_BYTES"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000,), }", "claims 4,000,000 bytes"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", "another number of bytes"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (-3,), }", "says"),
        ("{'descr': '<f4', 'fortran_order': 3, 'shape': (3,), }", "fortran_order"),
        ("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", "objects"),
        ("{'descr': 'x', 'fortran_order': False, 'shape': (3,), }", "cannot be read"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': 3, }", "cannot be read"),
        ("[[[", "cannot be read"),
    ],
)
def test_a_header_that_lies_is_told(tmp_path: Path, header: str, told: str) -> None:
    with pytest.raises(ExunoError, match=told):
        _ = Arrays(archive(tmp_path / "a.npz", member(header, bytes(20))))["a"]


def test_the_limit_can_be_raised_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "a.npz", a=np.zeros(1000))
    monkeypatch.setenv("EXUNO_MAX_BYTES", "7999")
    with pytest.raises(ExunoError, match="set EXUNO_MAX_BYTES"):
        _ = Arrays(tmp_path / "a.npz")["a"]
    monkeypatch.setenv("EXUNO_MAX_BYTES", "8e3")
    assert Arrays(tmp_path / "a.npz")["a"].shape == (1000,)
    monkeypatch.setenv("EXUNO_MAX_BYTES", "many")
    with pytest.raises(ExunoError, match="not a number"):
        _ = Arrays(tmp_path / "a.npz")["a"]


def test_other_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(ExunoError, match="there is no file"):
        Arrays(tmp_path / "a.npz")
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(ExunoError, match="one array, not several"):
        Arrays(tmp_path / "one.npy")
    whole = io.BytesIO()
    np.savez_compressed(whole, a=np.arange(1000))
    (tmp_path / "cut.npz").write_bytes(whole.getvalue()[:-30])
    with pytest.raises(ExunoError, match="cannot be read"):
        Arrays(tmp_path / "cut.npz")

"""Digests in files: every flipped bit is noticed; files without one are read as before."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save, save_file

from exuno.engine import checkpoint
from exuno.engine.digests import Damaged, seal, seal_tensors, unseal
from exuno.engine.errors import ExunoError
from exuno.models.formats.weights import read_weights

FLIPS = 300


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def bits(content: bytes, count: int = FLIPS) -> list[int]:
    return np.random.default_rng(0).choice(8 * len(content), count, replace=False).tolist()


def test_every_flipped_bit_of_a_checkpoint_is_noticed(tmp_path: Path) -> None:
    path = checkpoint.save(tmp_path, 1, {"step": 1, "method": {"weight": torch.randn(40, 40)}})
    whole = path.read_bytes()
    for bit in bits(whole):
        path.write_bytes(flipped(whole, bit))
        with pytest.raises(ExunoError, match="not a readable checkpoint"):
            checkpoint.load(path)


def test_every_flipped_bit_of_the_seal_is_noticed() -> None:
    whole = b"content" + seal(b"content")
    assert unseal(whole) == b"content"
    for bit in range(8 * len(whole)):
        with pytest.raises(Damaged):
            unseal(flipped(whole, bit))


def test_a_sealed_checkpoint_can_be_read_by_torch_alone(tmp_path: Path) -> None:
    path = checkpoint.save(tmp_path, 7, {"step": 7})
    assert torch.load(path, weights_only=True) == {"step": 7}


def test_a_checkpoint_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    path = tmp_path / "step-000000007.pt"
    torch.save({"step": 7}, path)
    assert checkpoint.load(path) == {"step": 7}


def test_the_checkpoint_before_a_flipped_one_is_taken_and_that_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for step in (1, 2):
        newest = checkpoint.save(tmp_path, step, {"step": step, "weight": torch.zeros(1000)})
    newest.write_bytes(flipped(newest.read_bytes(), 20_000))  # within the weights
    found = checkpoint.latest(tmp_path)
    assert found is not None
    assert found["step"] == 1
    assert "step-000000002.pt" in capsys.readouterr().err


def test_every_flipped_bit_of_weights_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    whole = seal_tensors(save({"weight": torch.randn(30, 30), "bias": torch.zeros(30)}), {"model.json": "{}"})
    path.write_bytes(whole)
    state, metadata = read_weights(path)
    assert set(state) == {"weight", "bias"}
    assert metadata["model.json"] == "{}"
    for bit in bits(whole):
        path.write_bytes(flipped(whole, bit))
        with pytest.raises(ExunoError, match=r"damaged|not a whole safetensors file"):
            read_weights(path)


def test_every_flipped_bit_of_the_header_of_weights_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    whole = seal_tensors(save({"weight": torch.ones(1)}))
    for bit in range(8 * len(whole)):
        path.write_bytes(flipped(whole, bit))
        with pytest.raises(ExunoError):
            read_weights(path)


def test_equal_weights_give_equal_bytes_which_the_library_reads(tmp_path: Path) -> None:
    state = {"a": torch.randn(3, 5), "b": torch.arange(7)}
    whole = seal_tensors(save(state), {"model.json": '{"é": 1}'})
    assert whole == seal_tensors(save(state), {"model.json": '{"é": 1}'})
    (tmp_path / "x.safetensors").write_bytes(whole)
    with safe_open(tmp_path / "x.safetensors", "pt") as file:
        assert file.metadata()["model.json"] == '{"é": 1}'
        assert all(torch.equal(file.get_tensor(name), value) for name, value in state.items())


def test_weights_of_others_need_no_digest(tmp_path: Path) -> None:
    save_file({"weight": torch.ones(2)}, tmp_path / "x.safetensors", {"format": "pt"})
    assert list(read_weights(tmp_path / "x.safetensors")[0]) == ["weight"]

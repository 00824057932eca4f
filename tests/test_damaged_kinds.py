"""Damage that once ended in a traceback, a wait without end, or a wrong result without a word: each kind of it."""

import io
import json
import os
import struct
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save

from exuno.data.classes import read_classes
from exuno.data.holdout import Holdout, recorded
from exuno.data.images.cifar import open_cifar
from exuno.data.open import open_data
from exuno.engine import checkpoint
from exuno.engine.digests import seal_tensors
from exuno.engine.documents import parse_yaml, read_json, read_text
from exuno.engine.errors import ExunoError
from exuno.engine.untrusted import Arrays, read_npy
from exuno.models.card import ModelCard
from exuno.models.formats.tensorflow import _crc32c, _masked, read_bundle
from exuno.models.formats.weights import read_weights
from exuno.poster.algorithms.trajectory_matching import TrajectoryMatching
from exuno.presets import read
from exuno.report import figures
from exuno.report.page import write_report


def png(side: int = 4) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (side, side)).save(out, "PNG")
    return out.getvalue()


def npz(path: Path) -> bytes:
    images = np.zeros((2, 4, 4), np.uint8)
    np.savez(path, test_images=images, test_labels=np.arange(2), class_names=["cat", "dog"])
    return path.read_bytes()


def test_pipes_in_the_place_of_files_are_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "cifar-10-batches-py").mkdir()
    for name in ("d.npz", "t.index", "cifar-10-batches-py/test_batch", "cifar-100-python.tar.gz"):
        os.mkfifo(tmp_path / name)
    calls = (
        lambda: open_data(f"npz:{tmp_path / 'd.npz'}"),
        lambda: read_bundle(tmp_path / "t.index"),
        lambda: open_cifar("cifar10", "test", tmp_path),
        lambda: open_cifar("cifar100", "test", tmp_path),
    )
    for call in calls:
        with pytest.raises(ExunoError, match="is a pipe or device"):
            call()


def test_an_array_whose_name_was_flipped_is_not_passed_over(tmp_path: Path) -> None:
    content = npz(tmp_path / "d.npz")
    place = content.rindex(b"test_labels.npy")  # in the directory at the end
    (tmp_path / "d.npz").write_bytes(content[:place] + b"tesd_labels.npy" + content[place + 15 :])
    with pytest.raises(ExunoError, match="cannot be read"):
        open_data(f"npz:{tmp_path / 'd.npz'}", "test")


def test_two_arrays_of_one_name(tmp_path: Path) -> None:
    npz(tmp_path / "d.npz")
    with zipfile.ZipFile(tmp_path / "d.npz", "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("test_labels.npy", b"")
    with pytest.raises(ExunoError, match="two arrays test_labels"):
        Arrays(tmp_path / "d.npz")


def test_letters_that_there_are_not(tmp_path: Path) -> None:
    text = np.array(["cat", "dog"])
    out = io.BytesIO()
    np.save(out, text)
    assert read_npy(out.getvalue()).tolist() == ["cat", "dog"]
    text.view(np.uint32)[1] = 0x110000
    out = io.BytesIO()
    np.save(out, text)
    with pytest.raises(ValueError, match="no characters of Unicode"):
        read_npy(out.getvalue())
    np.savez(tmp_path / "d.npz", test_images=np.zeros((2, 4, 4), np.uint8), test_labels=[0, 1], class_names=text)
    with pytest.raises(ExunoError, match="no characters of Unicode"):
        open_data(f"npz:{tmp_path / 'd.npz'}", "test")


@pytest.mark.parametrize("text", [np.array("cat"), np.array([["a", "bc"], ["d", "e"]], order="F"), np.array([], "U3")])
def test_text_of_any_form(text: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "t.npy", text)
    np.savez(tmp_path / "d.npz", text=text)
    assert read_npy((tmp_path / "t.npy").read_bytes()).tolist() == text.tolist()
    assert Arrays(tmp_path / "d.npz")["text"].tolist() == text.tolist()


@pytest.mark.parametrize("checksums", [True, False])
def test_a_flipped_bit_in_a_checkpoint_of_torch(checksums: bool, tmp_path: Path) -> None:
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(checksums)
    try:
        torch.save({"w": torch.arange(64.0), "b": torch.ones(3)}, tmp_path / "m.pth")
    finally:
        torch.serialization.set_crc32_options(before)
    assert read_weights(tmp_path / "m.pth")[0]["w"][63] == 63
    content = bytearray((tmp_path / "m.pth").read_bytes())
    content[content.index(struct.pack("<3f", 20, 21, 22)) + 2] ^= 1
    (tmp_path / "m.pth").write_bytes(content)
    if not checksums:  # nothing tells
        assert read_weights(tmp_path / "m.pth")[0]["w"][20] != 20
        return
    with pytest.raises(ExunoError, match="at least one bit has changed"):
        read_weights(tmp_path / "m.pth")


def whole(**other: Any) -> dict[str, Any]:
    told = {"step": 1, "method": {}, "optimizer": {}, "scaler": None, "meter": {"sums": {}, "count": 0}, "rng": [{}]}
    return {**told, "metrics_bytes": 0, "seconds": 1.0, **other}


@pytest.mark.parametrize(
    ("name", "value"), [("meter", None), ("rng", []), ("metrics_bytes", "x"), ("step", -1), ("seconds", [])]
)
def test_a_checkpoint_of_another_form(name: str, value: Any, tmp_path: Path) -> None:
    torch.save(whole(), tmp_path / "step-000000001.pt")
    assert checkpoint.to_continue(tmp_path, "auto") is not None
    torch.save(whole(**{name: value}), tmp_path / "step-000000001.pt")
    with pytest.raises(ExunoError, match="is none of a training, or of another version"):
        checkpoint.to_continue(tmp_path, "auto")
    with pytest.raises(ExunoError, match="TypeError"), checkpoint.restoring(tmp_path):
        checkpoint.set_rng_state({"python": None})


def shard(path: Path, *members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.USTAR_FORMAT) -> bytes:
    with tarfile.open(path, "w", format=form) as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path.read_bytes()


def test_a_member_of_less_than_no_bytes_is_not_read_for_ever(tmp_path: Path) -> None:
    info = tarfile.TarInfo("a.txt")
    head = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    for kind in (b"x", b"L", b"0"):
        head[124:136], head[156:157], head[148:156] = b"\xff" * 10 + b"\xfe\0", kind, b" " * 8
        head[148:156] = b"%06o\0 " % sum(head)
        (tmp_path / "s.tar").write_bytes(bytes(head) + bytes(1024))
        with pytest.raises(ExunoError, match="is not a whole tar file"):
            open_data(f"wds:{tmp_path / 's.tar'}")


def test_members_without_their_zeros(tmp_path: Path) -> None:
    info = tarfile.TarInfo("0.png")
    for told in ("x", "0,4", ""):
        info.pax_headers = {"GNU.sparse.map": told, "GNU.sparse.size": "9"}
        shard(tmp_path / "s.tar", (info, png()), form=tarfile.PAX_FORMAT)
        with pytest.raises(ExunoError, match="is not a whole tar file"):
            open_data(f"wds:{tmp_path / 's.tar'}")


def test_samples_behind_a_header_of_zeros_are_missed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = bytearray(shard(tmp_path / "s.tar", *((tarfile.TarInfo(f"{i}.png"), png()) for i in range(3))))
    second = content.index(b"1.png")
    (tmp_path / "s.tar").write_bytes(content[:second] + bytes(512) + content[second + 512 :])
    with pytest.raises(ExunoError, match="no member and no end"):
        open_data(f"wds:{tmp_path / 's.tar'}")
    (tmp_path / "s.tar").write_bytes(content[:second])
    assert len(open_data(f"wds:{tmp_path / 's.tar'}")) == 1
    assert f"without the mark of an end: {tmp_path / 's.tar'}; where a shard" in capsys.readouterr().err


def test_shards_without_an_end_are_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b", "c", "d"):
        content = shard(tmp_path / f"{name}.tar", (tarfile.TarInfo(f"{name}.png"), png()))
        if name != "a":
            (tmp_path / f"{name}.tar").write_bytes(content[: 512 + -(-len(png()) // 512) * 512])
    assert len(open_data(f"wds:{tmp_path}/{{a,b,c,d}}.tar")) == 4
    [line] = [each for each in capsys.readouterr().err.splitlines() if "the mark of an end" in each]
    assert f"{tmp_path / 'b.tar'}, and 2 more;" in line


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid x\n", "pointer of Git LFS"),
        (b"\n<!DOCTYPE html>\n<html>", "web page"),
        ("cat\ndog\n".encode("utf-16-le"), "zero bytes"),
    ],
)
def test_what_lies_in_the_place_of_a_list(content: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_bytes(content)
    with pytest.raises(ExunoError, match=told):
        read_text(tmp_path / "classes.txt")
    shard(tmp_path / "s.tar", (tarfile.TarInfo("0.png"), png()))
    with pytest.raises(ExunoError, match=told):
        open_data(f"wds:{tmp_path / 's.tar'}")


def test_a_list_of_classes_that_leads_nowhere(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.png").write_bytes(png())
    (tmp_path / "classes.txt").symlink_to("b\na\n")
    shard(tmp_path / "s.tar", (tarfile.TarInfo("0.png"), png()))
    for spec in (f"wds:{tmp_path / 's.tar'}", f"folder:{tmp_path}"):
        with pytest.raises(ExunoError, match=r"classes\.txt' cannot be read"):
            open_data(spec)


def test_a_name_that_stands_twice(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'lr' twice, line 2"):
        parse_yaml("optim:\n  lr: 1\n  lr: 2\n")
    assert parse_yaml("a: &x {b: 1}\nc:\n  <<: *x\n  b: 2\n")["c"] == {"b": 2}
    merged = parse_yaml("a: &x {b: 1}\nc:\n  d: &y {<<: *x, b: 2}\ne: {<<: *y, f: 3}\n")  # e is made before d
    assert merged == {"a": {"b": 1}, "c": {"d": {"b": 2}}, "e": {"b": 2, "f": 3}}
    assert parse_yaml("a: {1: x, '1': y}")["a"] == {1: "x", "1": "y"}
    (tmp_path / "r.json").write_text('{"n": 1, "m": {"x": 1, "x": 2}}')
    with pytest.raises(ExunoError, match="'x' is there twice"):
        read_json(tmp_path / "r.json")
    with pytest.raises(ExunoError, match="'arch' is there twice"):
        ModelCard.from_json('{"arch": "exuno:resnet20", "arch": "exuno:resnet32"}')


@pytest.mark.parametrize("value", ["!!bool x", '!!int ""', "!!timestamp x"])
def test_yaml_whose_tags_do_not_fit(value: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_yaml(f"a: {value}\n")


@pytest.mark.parametrize("loss", ["[1]", "x", "3"])
def test_a_preset_whose_group_is_no_group(loss: str, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(f"verb: distill\nconfig: {{loss: {loss}}}\n")
    assert read("distill", str(tmp_path / "p.yaml")).config["loss"] is not None


@pytest.mark.parametrize(
    "row", ['"step": 1e308, "x": 1', '"step": 1e15, "x": 1', '"step": 2, "x": 1e308', '"step": 2, "x": 1e-320']
)
def test_curves_of_numbers_that_cannot_be_drawn(row: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("verb: teach\nconfig: {data: digits}\n")
    (tmp_path / "metrics.jsonl").write_text(f'{{"step": 1, "x": -1e300}}\n{{{row}}}\n')
    page = write_report(tmp_path).read_text()
    assert 'nan"' not in page
    assert 'inf"' not in page


def test_names_of_classes_are_read_as_before(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_bytes("\ufeffcat\r\ndog\r\n\r\n".encode())
    assert read_classes(tmp_path / "classes.txt") == ("cat", "dog")


def test_a_flipped_bit_in_the_index_of_a_tensorflow_checkpoint(tmp_path: Path) -> None:
    assert _crc32c(b"123456789") == 0xE3069283  # the check value of RFC 3720's polynomial

    def block(*rows: tuple[bytes, bytes]) -> bytes:
        told = b"".join(bytes([0, len(key), len(value)]) + key + value for key, value in rows)
        told += struct.pack("<II", 0, 1)
        return told + b"\0" + struct.pack("<I", _masked(_crc32c(told + b"\0")))

    entry = b"\x08\x01\x12\x04\x12\x02\x08\x02\x20\x04\x28\x08"  # float32 [2], bytes 4 to 12
    rows = block((b"", b"\x08\x01"), (b"w", entry))
    index = block((b"x", bytes([0, len(rows) - 5])))
    place = bytes([0, 0, len(rows), len(index) - 5]).ljust(40, b"\0")
    content = rows + index + place + struct.pack("<Q", 0xDB4775248B80FB57)
    (tmp_path / "t.data-00000-of-00001").write_bytes(struct.pack("<4f", 0, 1, 2, 3))
    (tmp_path / "t.index").write_bytes(content)
    assert read_bundle(tmp_path / "t.index")[0]["w"].tolist() == [1, 2]
    for byte in range(len(rows + index)):
        for bit in range(8):
            flipped = bytearray(content)
            flipped[byte] ^= 1 << bit
            (tmp_path / "t.index").write_bytes(flipped)
            with pytest.raises(ExunoError, match="no whole index"):
                read_bundle(tmp_path / "t.index")


def test_an_expert_that_is_damaged_is_trained_again(tmp_path: Path) -> None:
    options = TrajectoryMatching(expert_epochs=2, latest=1, epochs=1)
    path = tmp_path / "0000.safetensors"
    assert options.stored(path) is None
    content = seal_tensors(save({"epochs": torch.zeros(3, 5)}))
    path.write_bytes(content)
    assert options.stored(path) is not None
    others = (save({"x": torch.zeros(3, 5)}), save({"epochs": torch.zeros(2, 5)}), save({"epochs": torch.zeros(3)}))
    for damaged in (content[:-1] + b"\1", content[:-1], b"", *others):
        path.write_bytes(damaged)
        assert options.stored(path) is None


@pytest.mark.parametrize("listed", ["3", "null", '{"file": "a.png"}', '["a.png"]', "[[", ""])
def test_a_list_of_figures_of_another_form_is_begun_anew(listed: str, tmp_path: Path) -> None:
    (tmp_path / "figures.json").write_text(listed)
    figures.add(tmp_path, "b.png", "B", "")
    assert [each["file"] for each in json.loads((tmp_path / "figures.json").read_text())] == ["b.png"]


def test_a_document_that_is_nested_deeply(tmp_path: Path) -> None:
    for depth, good in ((90, True), (150, False), (900, False), (100_000, False)):
        (tmp_path / "r.json").write_text('{"a": ' + "[" * depth + "]" * depth + "}")
        if good:
            assert list(read_json(tmp_path / "r.json")) == ["a"]
            continue
        with pytest.raises(ExunoError, match="is damaged"):
            read_json(tmp_path / "r.json")
    with pytest.raises(ValueError, match="levels deep"):
        parse_yaml("a: " + "[" * 110 + "]" * 110)


@pytest.mark.parametrize("name", ["classes", "dropped", "filled"])
@pytest.mark.parametrize("value", [[["a"]], [{}], 3, "ab", None])
def test_a_lineage_whose_names_are_none(name: str, value: Any) -> None:
    card = ModelCard("exuno:resnet20", 2, 1, (8, 8), (0.5,), (0.5,), lineage={name: ["a"]})
    assert ModelCard.from_json(card.to_json()).lineage == {name: ["a"]}
    card.lineage[name] = value
    with pytest.raises(ExunoError, match="lineage missing or of another kind"):
        ModelCard.from_json(card.to_json())


@pytest.mark.parametrize(
    ("share", "seed"), [(0.2, [1]), (0.2, "x"), (0.2, True), (1.5, 0), ("0.2", 0), (float("nan"), 0)]
)
def test_a_record_of_what_was_held_out_that_is_none(share: Any, seed: Any) -> None:
    assert recorded({"holdout": 0.2, "holdout_seed": 3}) == Holdout(0.2, 3)
    assert recorded({}) == recorded({"holdout": None}) == Holdout()
    with pytest.raises(ExunoError, match="was held out"):
        recorded({"holdout": share, "holdout_seed": seed})

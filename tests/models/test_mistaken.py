"""Files that are no weights, whatever they are called: one sentence for each, by every reader."""

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save, save_file

from exuno.engine.errors import ExunoError
from exuno.models.load import load_model

PAGE = b"\n<!DOCTYPE html>\n<html><title>Dropbox</title>" + b"<p>\xc3\xa9</p>" * 99
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 12345\n"


def tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo("a.jpg")
        member.size = 4
        archive.addfile(member, io.BytesIO(b"abcd"))
    return file.getvalue()


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, b"\x80\x02.")
    return file.getvalue()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".index", ".pth.tar", ".gz"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (PAGE, r"is a web page, not weights.*dl=1"),
        (LFS, r"is a pointer of Git LFS.*git lfs pull"),
        (b'{"error":\n "not found"}', r"is a text, not weights: '{\"error\": \"not found\"}'"),
        (gzip.compress(b"a", mtime=0), r"is compressed by gzip.*Unpack it"),
        (tar(), "is a tar archive"),
        (zipped("readme.txt", "a/b.npy"), r"is a zip archive of readme.txt, a/b.npy, not of torch"),
        (zipped("m/code/__torch__.py", "m/data.pkl"), "is a TorchScript program"),
    ],
)
def test_what_a_file_is_told(suffix: str, content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / f"w{suffix}").write_bytes(content)
    with pytest.raises(ExunoError, match=f"(?s)w{suffix} {words}"):
        load_model(f"file:{tmp_path}/w{suffix}", pretrained=True)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_checkpoint_that_is_cut_off_or_damaged_anywhere(legacy: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    path, state = tmp_path / "w.pth", {"conv.weight": torch.rand(8, 8), "conv.bias": torch.rand(8)}
    torch.save({"state_dict": state}, path, _use_new_zipfile_serialization=not legacy)
    whole = path.read_bytes()
    changes: list[Callable[[int], bytes]] = [
        lambda at: whole[:at],
        lambda at: whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :],
    ]
    for at in range(0, len(whole), max(1, len(whole) // 60)):
        for change in changes:
            path.write_bytes(change(at))
            with pytest.raises(ExunoError):  # at last because this is no network
                load_model(f"file:{path}", pretrained=True)


def test_contents_without_weights(tmp_path: Path) -> None:
    def told(name: str, content: object) -> str:
        torch.save(content, tmp_path / name)
        with pytest.raises(ExunoError) as caught:
            load_model(f"file:{tmp_path / name}", pretrained=True)
        return str(caught.value)

    assert "holds no state dict; it is empty" in told("a.pth", {"state_dict": {}})
    assert "holds no state dict; its keys are 1" in told("a.pth", {1: torch.ones(2)})
    assert "holds a Tensor, not a state dict" in told("a.pth", torch.ones(2))
    refused = told("a.pth", {"model": torch.nn.Linear(2, 2)})
    assert "it holds torch.nn.modules.linear.Linear, and loading it could run code" in refused
    (tmp_path / "a.safetensors").write_bytes(save({}))
    with pytest.raises(ExunoError, match="holds no weights"):
        load_model(f"file:{tmp_path}/a.safetensors", pretrained=True)


def test_folders_and_paths(tmp_path: Path) -> None:
    (tmp_path / "me@home").mkdir()
    with pytest.raises(ExunoError, match="me@home is a folder"):
        load_model(f"file:{tmp_path}/me@home", pretrained=True)
    model = load_model("exuno:resnet8", classes=3, pretrained=False)
    save_file(
        {key: value.contiguous() for key, value in model.net.state_dict().items()}, tmp_path / "me@home/w.safetensors"
    )
    for spec in (f"file:{tmp_path}/me@home/w.safetensors", f"file:{tmp_path}/me@home/w.safetensors@exuno:resnet8"):
        assert load_model(spec, pretrained=True).card.classes == 3


@pytest.mark.parametrize(
    ("beside", "words"),
    [
        (b"\xff\xfe", "w.json is not JSON"),
        (b'{"labels": ["a"]}', r"w.json is no model card: arch, .*move the file away"),
        (
            b'{"arch": "exuno:resnet8", "classes": "3", "in_chans": 1, "input_size": 8, "mean": [0], "std": [1]}',
            "no model card: classes, input_size missing or of another kind",
        ),
        (
            b'{"arch": "exuno:resnet8", "classes": 3, "in_chans": 1, "input_size": [8, 8], "mean": [0], "std": [1], '
            b'"hearing": {"rate": 3}}',
            "no model card: hearing missing or of another kind",
        ),
    ],
)
def test_another_json_beside_the_weights(beside: bytes, words: str, tmp_path: Path) -> None:
    save_file({"a.weight": torch.ones(2)}, tmp_path / "w.safetensors")
    (tmp_path / "w.json").write_bytes(beside)
    with pytest.raises(ExunoError, match=words):
        load_model(f"file:{tmp_path}/w.safetensors", pretrained=True)

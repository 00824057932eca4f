"""Files of strangers are bounded before they are read."""

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from exuno.engine.documents import parse_yaml, read_bytes, read_text
from exuno.engine.errors import ExunoError, as_mistake
from exuno.engine.untrusted import read_npy
from exuno.models.formats.weights import read_weights
from exuno.models.load import load_model


def test_a_mark_before_a_text_is_no_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes("\ufeffcat\n".encode())
    assert read_text(tmp_path / "t") == "cat\n"


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pth")
    for path in (tmp_path / "pipe.pth", Path("/dev/zero")):
        with pytest.raises(ExunoError, match="is a pipe or device"):
            read_bytes(path)
    with pytest.raises(ExunoError, match="is a pipe or device"):
        read_weights(tmp_path / "pipe.pth")


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000, "no/such", "a\nb", "a\udcff"])
def test_names_that_cannot_be_opened(name: str) -> None:
    with pytest.raises(ExunoError, match="cannot be read"):
        read_bytes(Path(name))


def test_a_text_larger_than_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t").write_text("a" * 100)
    monkeypatch.setenv("EXUNO_MAX_TEXT", "99")
    with pytest.raises(ExunoError, match="EXUNO_MAX_TEXT"):
        read_text(tmp_path / "t")


def test_yaml_that_writes_out_to_too_much() -> None:
    lines = ["a0: &a0 [x, x]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9))]
    with pytest.raises(ValueError, match="aliases"):
        parse_yaml("\n".join(lines))


def test_an_array_that_claims_more_than_it_holds() -> None:
    file = io.BytesIO()
    np.save(file, np.arange(3))
    assert read_npy(file.getvalue()).tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="it holds 24 bytes"):
        read_npy(file.getvalue().replace(b"(3,)", b"(9,)"))
    file = io.BytesIO()
    np.save(file, np.array([{}]), allow_pickle=True)
    with pytest.raises(ValueError, match="objects"):
        read_npy(file.getvalue())


def test_a_checkpoint_that_was_compressed_is_not_unpacked(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(100_000)}, tmp_path / "plain.pth")
    assert read_weights(tmp_path / "plain.pth")[0]["w"].shape == (100_000,)
    with (
        zipfile.ZipFile(tmp_path / "plain.pth") as plain,
        zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for name in plain.namelist():
            bomb.writestr(name, plain.read(name))
    with pytest.raises(ExunoError, match="its members unpack to 40"):
        read_weights(tmp_path / "bomb.pth")


def test_weights_that_repeat_one_number_without_end(tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.zeros(1).expand(10**13)}, tmp_path / "wide.pth")
    with pytest.raises(ExunoError, match="EXUNO_MAX_BYTES"):
        read_weights(tmp_path / "wide.pth")


def test_memory_that_torch_does_not_get_is_told() -> None:
    with pytest.raises(RuntimeError) as error:
        torch.zeros(10**14)
    told = as_mistake(error.value)
    assert told
    assert told.what == "there is not enough memory for 400,000,000,000,000 bytes."


def test_a_torchvision_of_another_torch_is_told() -> None:
    told = as_mistake(RuntimeError("operator torchvision::nms does not exist"))  # what its import says
    assert told
    assert "torchvision was not built for the torch" in told.what


@pytest.mark.parametrize("spec", ["exuno:convnet_2_4", "timm:resnet10t"])
def test_more_parameters_than_the_limit(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXUNO_MAX_PARAMETERS", "100")
    with pytest.raises(ExunoError, match=r"asks for [\d,]+ parameters; at most 100 are taken.*EXUNO_MAX_PARAMETERS"):
        load_model(spec, classes=7, input_size=(32, 32), pretrained=False)


@pytest.mark.parametrize("spec", ["exuno:vit_64_1000000000_1_8", "exuno:wrn_6000000004_1", "exuno:resnet6000000002"])
def test_a_network_of_a_billion_layers_is_not_written_out(spec: str) -> None:
    with pytest.raises(ExunoError, match="Give a depth from 1 to 10,000"):
        load_model(spec, classes=3, input_size=(32, 32), pretrained=False)

"""Files that do not fit: one sentence, and an advice that leads further than back to the same sentence."""

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

from exuno.engine.errors import ExunoError
from exuno.models.files import save_model
from exuno.models.load import load_model


def refused(spec: str) -> ExunoError:
    with pytest.raises(ExunoError) as caught:
        load_model(spec, pretrained=True)
    return caught.value


@pytest.mark.parametrize(
    "state",
    [
        {"layer1.0.conv1.weight": (), "conv1.weight": (), "bn1.weight": (), "linear.weight": (), "linear.bias": ()},
        {f"group{n}.0.conv1.weight": () for n in (1, 2, 3)} | {"conv1.weight": (3,), "linear.weight": ()},
        {"blocks.0.0.weight": (1, 2, 3, 4), "linear.weight": ()},
        {"blocks.0.0.weight": (0, 0, 0, 0), "linear.weight": (0, 0)},
        {"cls_token": (), "pos_embed": (), "patch_embed.proj.weight": (1, 1, 1, 1), "blocks.0.attn.qkv.weight": ()},
        {"cls_token": (), "pos_embed": (), "patch_embed.proj.weight": (), "norm.weight": (), "blocks.0.ls1.gamma": ()},
        {"classifier.weight": (2, 2), "features.1.running_mean": (), "features.0.weight": ()},
        {f"layer{n}.0.conv1.weight": () for n in (1, 2, 3)}
        | {"conv1.weight": (2,), "bn1.weight": (), "layer1.0.conv2.weight": (), "fc.weight": ()},
        {"fc.weight": (), "layer1.0.conv2.weight": (), "conv1.weight": ()},
    ],
)
@pytest.mark.parametrize("wrap", ["", "module.", "x.y."])
def test_names_of_a_known_network_with_other_shapes(
    state: dict[str, tuple[int, ...]], wrap: str, tmp_path: Path
) -> None:
    torch.save({wrap + key: torch.ones(shape) for key, shape in state.items()}, tmp_path / "m.pth")
    assert refused(f"file:{tmp_path / 'm.pth'}").todo


def test_unknown_weights_are_not_to_be_named_in_a_circle(tmp_path: Path) -> None:
    torch.save({"a.weight": torch.ones(1), "b.weight": torch.ones(1)}, tmp_path / "m.pth")
    first = refused(f"file:{tmp_path / 'm.pth'}")
    assert "exuno:" not in first.todo
    for arch in ("exuno:wrn_16_4", "exuno:resnet20"):
        named = refused(f"file:{tmp_path / 'm.pth'}@{arch}")
        assert arch in named.what
        assert "@exuno:" not in named.todo
        assert named.todo != first.todo


def test_a_card_of_another_model_is_not_told_to_name_the_architecture(tmp_path: Path) -> None:
    """Naming it would be answered by "leave it out"."""
    save_model(load_model("exuno:resnet8", pretrained=False, classes=3), tmp_path / "run")
    weights = tmp_path / "run/model.safetensors"
    other = load_model("exuno:resnet14", pretrained=False, classes=3)
    from safetensors.torch import save_file

    save_file({key: value.contiguous() for key, value in other.net.state_dict().items()}, weights)
    found = refused(f"file:{weights}")
    assert "do not fit" in found.what
    assert "@" not in found.todo


def test_a_file_in_place_of_a_run(tmp_path: Path) -> None:
    path = tmp_path / "m.pth"
    torch.save({"a": torch.ones(1)}, path)
    assert refused(f"run:{path}").todo == f"Give it as file:{path}."


def test_tensors_that_hold_no_plain_numbers(tmp_path: Path) -> None:
    sparse: Tensor = torch.eye(3).to_sparse()
    torch.save({"a.weight": sparse, "b": torch.ones(1)}, tmp_path / "m.pth")
    assert re.search(r"a\.weight as a sparse", refused(f"file:{tmp_path / 'm.pth'}").what)

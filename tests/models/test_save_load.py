"""What is saved comes back; what does not fit is told."""

import io
import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from exuno.engine.errors import ExunoError
from exuno.models.classifier import Classifier
from exuno.models.files import save_model
from exuno.models.load import load_model


def small(arch: str = "exuno:resnet8", **wish) -> Classifier:
    values = {"classes": 4, "in_chans": 1, "input_size": (8, 8)} | wish
    return load_model(arch, pretrained=False, **values)


def outputs(model: Classifier) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(torch.linspace(0, 1, 128).view(2, 1, 8, 8))


@pytest.mark.parametrize("arch", ["exuno:resnet8", "exuno:wrn_10_1", "exuno:convnet_2_8"])
@pytest.mark.parametrize("form", ["run:{0}", "file:{0}/model.safetensors", "file:{0}/alone.safetensors"])
def test_round_trip(arch: str, form: str, tmp_path: Path) -> None:
    model = small(arch, class_names=("a", "b", "c", "d"), mean=(0.3,), std=(0.4,))
    model(torch.rand(16, 1, 8, 8))  # moves the running statistics
    save_model(model, tmp_path)
    (tmp_path / "alone.safetensors").write_bytes((tmp_path / "model.safetensors").read_bytes())
    again = load_model(form.format(tmp_path), classes=4, pretrained=True)
    assert torch.equal(outputs(model), outputs(again))
    assert again.card.class_names == ("a", "b", "c", "d")
    assert (again.card.arch, again.card.mean, again.card.std) == (arch, (0.3,), (0.4,))
    assert len(again.card.lineage["sha256"]) == 64


def test_saving_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    save_model(small(), tmp_path)
    second = small()
    save_model(second, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.safetensors"]
    assert torch.equal(outputs(second), outputs(load_model(f"run:{tmp_path}", pretrained=True)))
    assert json.loads((tmp_path / "model.json").read_text())["arch"] == "exuno:resnet8"


def test_saving_onto_a_file(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(ExunoError, match="taken"):
        save_model(small(), tmp_path / "taken")


@pytest.mark.parametrize(
    ("wrap", "suffix"),
    [
        *((wrap, ".pt") for wrap in ("bare", "state_dict", "model", "module", "both")),
        *(("bare", suffix) for suffix in (".th", ".tar", ".safetensors")),
        ("module", ".safetensors"),
    ],
)
@pytest.mark.parametrize("arch", ["exuno:resnet14", "exuno:wrn_16_2", "exuno:convnet_2_8"])
def test_foreign_files_are_recognised(wrap: str, suffix: str, arch: str, tmp_path: Path) -> None:
    model = small(arch)
    state = {key: value.contiguous() for key, value in model.net.state_dict().items()}
    if wrap in ("module", "both"):
        state = {f"module.{key}": value for key, value in state.items()}
    content = {"epoch": 3, "best": 0.5, wrap: state} if wrap in ("state_dict", "model") else state
    content = {"state_dict": state} if wrap == "both" else content
    path = tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(content, path)
    again = load_model(f"file:{path}", classes=4, pretrained=True)
    assert again.card.arch == arch
    assert all(torch.equal(value, again.net.state_dict()[key]) for key, value in model.net.state_dict().items())


@pytest.mark.parametrize("variant", ["-none", "-batch", "-layer", "-doubling", "-none-doubling", "-batch-doubling"])
def test_variants_of_convnets_are_recognised(variant: str, tmp_path: Path) -> None:
    torch.save(small(f"exuno:convnet_2_8{variant}").net.state_dict(), tmp_path / "a.pt")
    assert load_model(f"file:{tmp_path}/a.pt", pretrained=True).card.arch == f"exuno:convnet_2_8{variant}"


def test_four_groups_are_taken_at_the_user_s_word(tmp_path: Path) -> None:
    model = small("exuno:convnet_2_8-group")
    torch.save(model.net.state_dict(), tmp_path / "a.pt")
    again = load_model(f"file:{tmp_path}/a.pt@exuno:convnet_2_8-group", pretrained=True)
    assert again.card.arch == "exuno:convnet_2_8-group"
    pixels = torch.rand(2, 1, 8, 8)
    assert torch.allclose(again.net.eval()(pixels), model.net.eval()(pixels), atol=1e-6)


def test_recognised_cifar_resnets_expect_imagenet_statistics(tmp_path: Path) -> None:
    torch.save(small(classes=10, in_chans=3).net.state_dict(), tmp_path / "a.pt")
    card = load_model(f"file:{tmp_path}/a.pt", pretrained=True).card
    assert card.mean == (0.485, 0.456, 0.406)
    assert card.class_names is not None
    assert card.class_names[0] == "airplane"
    own = load_model(f"file:{tmp_path}/a.pt", mean=(0.1,) * 3, std=(0.2,) * 3, pretrained=True).card
    assert (own.mean, own.std) == ((0.1,) * 3, (0.2,) * 3)


def test_a_trained_model_keeps_its_own_statistics(tmp_path: Path) -> None:
    save_model(small(mean=(0.3,), std=(0.4,)), tmp_path)
    card = load_model(f"run:{tmp_path}", mean=(0.1,), std=(0.1,), input_size=(9, 9), pretrained=True).card
    assert (card.mean, card.std, card.input_size) == ((0.3,), (0.4,), (8, 8))


def test_new_head(tmp_path: Path) -> None:
    model = small("exuno:wrn_10_1")
    save_model(model, tmp_path)
    with pytest.raises(ExunoError, match="has 4 classes, 7 are needed"):
        load_model(f"run:{tmp_path}", classes=7, pretrained=True)
    other = load_model(f"run:{tmp_path}", classes=7, class_names=tuple("abcdefg"), pretrained=True, new_head=True)
    assert outputs(other).shape == (2, 7)
    assert other.card.class_names == tuple("abcdefg")
    assert torch.equal(other.net.get_parameter("conv1.weight"), model.net.get_parameter("conv1.weight"))
    same = load_model(f"run:{tmp_path}", classes=4, pretrained=True, new_head=True)
    assert torch.equal(outputs(same), outputs(model))


class Attack:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return (Path.touch, (self.target,))


@pytest.mark.parametrize("how", ["torch", "plain"])
def test_a_pickle_that_runs_code_is_refused(how: str, tmp_path: Path) -> None:
    target, path = tmp_path / "executed", tmp_path / "evil.pth"
    if how == "torch":
        torch.save({"state_dict": {"w": torch.ones(1)}, "extra": Attack(target)}, path)
    else:
        path.write_bytes(pickle.dumps(Attack(target)))
    with pytest.raises(ExunoError, match=r"evil\.pth was refused.*could run code"):
        load_model(f"file:{path}", pretrained=True)
    assert not target.exists()


def broken(kind: str, folder: Path) -> Path:
    path = folder / f"broken{'.safetensors' if kind.startswith('st') else '.pt'}"
    if kind == "st-short":
        save_file({"w": torch.ones(100)}, path)
        path.write_bytes(path.read_bytes()[:-50])
    elif kind in ("st-noise", "pt-noise"):
        path.write_bytes(bytes(range(256)))
    elif kind == "pt-short":
        buffer = io.BytesIO()
        torch.save({"w": torch.ones(10000)}, buffer)
        path.write_bytes(buffer.getvalue()[:-500])
    elif kind == "pt-number":
        torch.save(3, path)
    elif kind == "pt-config":
        torch.save({"lr": 0.1, "epoch": 3}, path)
    else:
        path.write_bytes(b"")
    return path


@pytest.mark.parametrize(
    "kind", ["st-short", "st-noise", "st-empty", "pt-noise", "pt-short", "pt-number", "pt-config", "pt-empty"]
)
def test_broken_files(kind: str, tmp_path: Path) -> None:
    path = broken(kind, tmp_path)
    with pytest.raises(ExunoError, match=path.name):
        load_model(f"file:{path}", pretrained=True)


def test_mismatches_are_named(tmp_path: Path) -> None:
    model = small()
    save_model(model, tmp_path)
    state = {key: value.contiguous() for key, value in model.net.state_dict().items()}
    state["linear.weight"] = torch.zeros(4, 65)
    state["surplus"] = state.pop("conv1.weight")
    card = (tmp_path / "model.json").read_text()
    save_file(state, tmp_path / "other.safetensors", {"model.json": card})
    with pytest.raises(ExunoError) as caught:
        load_model(f"file:{tmp_path}/other.safetensors", pretrained=True)
    for part in ("missing conv1.weight", "unknown surplus", "(4, 65) in the file, (4, 64)", "exuno:resnet8", "other"):
        assert part in caught.value.what


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("resnet20", "no model spec"),
        ("exuno:", "no model spec"),
        ("kaggle:resnet20", "unknown model prefix 'kaggle:'"),
        ("file:nowhere.pt", "no file nowhere.pt"),
        ("file:{0}", "is a folder"),
        ("file:{0}/weights.h5", "unknown suffix '.h5'"),
        ("file:{0}/strange.pt", "not recognised"),
        ("file:{0}/strange.pt@keras:x", "unknown architecture"),
        ("file:{0}/resnet.pt@exuno:resnet56", "those of exuno:resnet8, not of exuno:resnet56"),
        ("run:{0}", "Give the folder of a finished run"),
        ("run:{0}/nowhere", "no run directory"),
        ("run:{0}/begun", "the run is unfinished"),
        ("run:{0}/measured", "is finished, and made no model. Give the folder of a run that trains"),
        ("run:{0}/distilled", "made no model. It made a poster: give poster:"),
        ("exuno:resnet20", "without weights"),
        ("hf-hub:resnet", "no repository"),
    ],
)
def test_specs_that_do_not_load(spec: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "weights.h5").write_bytes(b"\x89HDF")
    torch.save({"encoder.weight": torch.ones(2, 2)}, tmp_path / "strange.pt")
    torch.save(small().net.state_dict(), tmp_path / "resnet.pt")
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun/config.yaml").write_text("")
    for name in ("measured", "distilled"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text("{}")
    (tmp_path / "distilled/distilled.poster").mkdir()
    with pytest.raises(ExunoError, match=told):
        load_model(spec.format(tmp_path), pretrained=True)


def test_random_weights_need_a_number_of_classes() -> None:
    with pytest.raises(ExunoError, match="number of classes"):
        load_model("exuno:resnet20", pretrained=False)


def test_random_weights_depend_on_torchs_seed() -> None:
    models = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        models.append(outputs(small()))
    assert torch.equal(models[0], models[1])
    assert not torch.equal(models[0], models[2])

"""timm, torchvision and the hub, without a network: weights lie in the libraries' own caches, put there by the test."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from exuno.engine.errors import ExunoError
from exuno.models.files import save_model
from exuno.models.load import load_model

TIMM = "test_resnet"
VISION = "squeezenet1_1"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hugging Face cache, and no network."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def publish(hub: Path, repo: str) -> Path:
    """The folder of a repository in the cache, to put files into."""
    base = hub / f"models--{repo.replace('/', '--')}"
    commit = "0" * 40
    (base / "refs").mkdir(parents=True)
    (base / "refs/main").write_text(commit)
    folder = base / "snapshots" / commit
    folder.mkdir(parents=True)
    return folder


def contiguous(net: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.contiguous() for key, value in net.state_dict().items()}


def test_timm_random_and_saved(tmp_path: Path) -> None:
    model = load_model(
        f"timm:{TIMM}", classes=5, in_chans=1, input_size=(64, 64), mean=(0.1,), std=(0.2,), pretrained=False
    )
    assert model(torch.rand(2, 3, 40, 40)).shape == (2, 5)
    assert (model.card.input_size, model.card.mean) == ((64, 64), (0.1,))
    save_model(model, tmp_path)
    again = load_model(f"run:{tmp_path}", pretrained=True)
    x = torch.rand(2, 1, 64, 64)
    assert torch.equal(model.eval()(x), again.eval()(x))


def test_timm_position_embeddings_follow_the_input_size(tmp_path: Path) -> None:
    model = load_model("timm:test_vit", classes=3, input_size=(64, 64), pretrained=False)
    assert model(torch.rand(1, 3, 64, 64)).shape == (1, 3)
    save_model(model, tmp_path)
    assert load_model(f"run:{tmp_path}", pretrained=True).card.options == {"img_size": [64, 64]}


def test_timm_pretrained(hub: Path) -> None:
    import timm

    torch.manual_seed(1)
    net = timm.create_model(TIMM)
    config = timm.get_pretrained_cfg(TIMM)
    assert config is not None
    save_file(contiguous(net), publish(hub, f"timm/{TIMM}.{config.tag}") / "model.safetensors")
    model = load_model(f"timm:{TIMM}", classes=1000, pretrained=True)
    x = torch.rand(1, 3, *model.card.input_size)
    torch.testing.assert_close(model.eval().net(x), net.eval()(x))
    assert (model.card.mean, model.card.input_size) == (config.mean, config.input_size[1:])
    with pytest.raises(ExunoError, match="1000 classes, 7 are needed"):
        load_model(f"timm:{TIMM}", classes=7, pretrained=True)
    other = load_model(f"timm:{TIMM}", classes=7, pretrained=True, new_head=True)
    assert other(x).shape == (1, 7)
    assert torch.equal(next(other.net.parameters()), next(net.parameters()))


def test_timm_without_network(hub: Path) -> None:
    with pytest.raises(ExunoError, match=r"(?s)cannot be loaded.*timm\.create_model"):
        load_model(f"timm:{TIMM}", pretrained=True)


def test_torchvision_random() -> None:
    model = load_model(f"torchvision:{VISION}", classes=5, in_chans=1, input_size=(64, 64), pretrained=False)
    assert model.card.in_chans == 3
    assert model(torch.rand(2, 1, 30, 30)).shape == (2, 5)


def test_torchvision_pretrained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    weights = torchvision.models.get_model_weights(VISION)["DEFAULT"]
    net = torchvision.models.get_model(VISION)
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    torch.save(net.state_dict(), tmp_path / "hub/checkpoints" / Path(weights.url).name)
    model = load_model(f"torchvision:{VISION}@IMAGENET1K_V1", pretrained=True)
    x = torch.rand(1, 3, 224, 224)
    torch.testing.assert_close(model.eval().net(x), net.eval()(x))
    assert model.card.class_names is not None
    assert model.card.class_names[0] == "tench"
    other = load_model(f"torchvision:{VISION}", classes=7, pretrained=True, new_head=True)
    assert other(x).shape == (1, 7)
    save_model(other, tmp_path / "run")
    assert load_model(f"run:{tmp_path / 'run'}", classes=7, pretrained=True).card.arch == f"torchvision:{VISION}"


def test_torchvision_without_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no route")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)
    with pytest.raises(ExunoError, match=r"no route.*download\.pytorch\.org"):
        load_model(f"torchvision:{VISION}", pretrained=True)


@pytest.mark.parametrize(("arch", "suffix"), [(f"torchvision:{VISION}", ".pth"), (f"timm:{TIMM}", ".safetensors")])
def test_files_of_a_named_architecture(arch: str, suffix: str, tmp_path: Path) -> None:
    model = load_model(arch, classes=6, pretrained=False)
    path = tmp_path / f"w{suffix}"
    if suffix == ".pth":
        torch.save(model.net.state_dict(), path)
    else:
        save_file(contiguous(model.net), path)
    again = load_model(f"file:{path}@{arch}", classes=6, pretrained=True)
    assert all(torch.equal(a, b) for a, b in zip(model.net.parameters(), again.net.parameters(), strict=True))
    with pytest.raises(ExunoError, match="not recognised"):
        load_model(f"file:{path}", pretrained=True)
    with pytest.raises(ExunoError, match="do not fit torchvision:resnet18"):
        load_model(f"file:{path}@torchvision:resnet18", pretrained=True)


def test_hub_in_our_format(hub: Path) -> None:
    model = load_model("exuno:resnet8", classes=4, pretrained=False)
    save_model(model, publish(hub, "org/ours"))
    again = load_model("hf-hub:org/ours", classes=4, pretrained=True)
    x = torch.rand(1, 3, 32, 32)
    assert torch.equal(model.eval()(x), again.eval()(x))


def test_hub_in_timms_format(hub: Path, tmp_path: Path) -> None:
    import timm

    folder = publish(hub, "org/theirs")
    net = timm.create_model(TIMM, num_classes=3)
    save_file(contiguous(net), folder / "model.safetensors")
    config = {
        "architecture": TIMM,
        "num_classes": 3,
        "pretrained_cfg": {"mean": [0.4] * 3, "label_names": ["a", "b", "c"]},
    }
    (folder / "config.json").write_text(json.dumps(config))
    model = load_model("hf-hub:org/theirs", pretrained=True)
    x = torch.rand(1, 3, *model.card.input_size)
    torch.testing.assert_close(model.eval().net(x), net.eval()(x))
    assert (model.card.arch, model.card.class_names) == (f"timm:{TIMM}", ("a", "b", "c"))
    save_model(model, tmp_path / "run")
    assert load_model(f"run:{tmp_path / 'run'}", pretrained=True).card.mean == (0.4,) * 3


def test_hub_without_network(hub: Path) -> None:
    with pytest.raises(ExunoError, match="hf-hub:org/absent cannot be loaded"):
        load_model("hf-hub:org/absent", pretrained=True)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("timm:resnet18x", "Did you mean timm:resnet18"),
        ("torchvision:resnet_50", "Did you mean torchvision:resnet50"),
        ("torchvision:inception_v3", "auxiliary"),
        ("torchvision:resnet50@V9", "It has IMAGENET1K_V1, IMAGENET1K_V2"),
    ],
)
def test_unknown_names(spec: str, told: str) -> None:
    with pytest.raises(ExunoError, match=told):
        load_model(spec, pretrained=True)


def test_torchvision_video_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clips of any length and size; published weights bring their own statistics; a new head; saved and read."""
    import torchvision

    model = load_model("torchvision:mc3_18", classes=3, input_size=(32, 32), pretrained=False)
    assert (model.card.frames, model.card.input_size, model.card.mean[0]) == (16, (32, 32), 0.43216)
    clips = torch.rand(2, 3, 5, 20, 24)
    assert model(clips).shape == (2, 3)
    save_model(model, tmp_path)
    again = load_model(f"run:{tmp_path}", pretrained=True)
    assert torch.equal(model.eval()(clips), again.eval()(clips))
    with pytest.raises(ExunoError, match="takes clips, and was given single images"):
        model(clips[:, :, 0])
    net = torchvision.models.get_model("mc3_18", weights=None)
    weights = torchvision.models.get_model_weights("mc3_18")["DEFAULT"]
    monkeypatch.setattr(type(weights), "get_state_dict", lambda *_, **__: net.state_dict())
    published = load_model("torchvision:mc3_18", classes=3, pretrained=True, new_head=True)
    assert (published.card.classes, published.card.frames, published.card.input_size) == (3, 16, (112, 112))
    assert published.card.lineage["new_head"] == "fc"
    assert torch.equal(published.net.state_dict()["stem.0.weight"], net.state_dict()["stem.0.weight"])


@pytest.mark.parametrize("name", ["r3d_18", "r2plus1d_18", "s3d", "mvit_v2_s", "swin3d_t"])
def test_torchvision_video_cards(name: str) -> None:
    """Built on no memory: names, sizes and frames only."""
    from exuno.models.foreign import build_torchvision, torchvision_card

    card = torchvision_card(name, 7, (96, 96), None)
    side = 224 if name in ("mvit_v2_s", "s3d") else 96
    assert (card.frames, card.input_size, card.classes) == (16, (side, side), 7)
    with torch.device("meta"):
        net = build_torchvision(name, 7, card.options)
        assert net.eval()(torch.empty(1, 3, 16, side, side)).shape == (1, 7)

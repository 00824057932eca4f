"""Checkpoints of iBOT and SMKD, made up in the layout that main_ibot.py and main_smkd.py write, against a transformer
written down here."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from exuno.engine.errors import ExunoError
from exuno.models.load import load_model

WIDTH, DEPTH, HEADS, PATCH, SIDE = 128, 2, 2, 4, 12
State = dict[str, Tensor]


def backbone(seed: int, masked: bool = False, width: int = WIDTH, depth: int = DEPTH) -> State:
    """Random parameters under the names of VisionTransformer in models/vision_transformer.py of both."""
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, (SIDE // PATCH) ** 2 + 1, width),
        "patch_embed.proj.weight": (width, 3, PATCH, PATCH),
        "patch_embed.proj.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
    }
    if masked:
        shapes["masked_embed"] = (1, width)
    for i in range(depth):
        sizes = {"norm1": (), "attn.qkv": (3 * width, width), "attn.proj": (width, width), "norm2": ()}
        sizes |= {"mlp.fc1": (4 * width, width), "mlp.fc2": (width, 4 * width)}
        for name, size in sizes.items():
            shapes[f"blocks.{i}.{name}.weight"] = size or (width,)
            shapes[f"blocks.{i}.{name}.bias"] = size[:1] or (width,)
    random = torch.Generator().manual_seed(seed)
    return {key: 0.2 * torch.randn(shape, generator=random) for key, shape in shapes.items()}


def head() -> State:
    return {"head.mlp.0.weight": torch.ones(8, WIDTH), "head.last_layer.weight_g": torch.ones(8, 1)}


def prefixed(prefix: str, state: State) -> State:
    return {prefix + key: value for key, value in state.items()}


def checkpoint(path: Path, **changes: Any) -> Path:
    args = {"arch": "vit_small", "patch_size": PATCH, "data_path": "/data/mini-imagenet/train", "lr": 5e-4}
    student = prefixed("module.", prefixed("backbone.", backbone(1, masked=True)) | head())
    content = {
        "student": student,
        "teacher": prefixed("backbone.", backbone(2)) | head(),
        "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 1e-3, "params": [0]}]},
        "epoch": 800,
        "args": Namespace(**args | changes.pop("args", {})),
        "ibot_loss": {"center": torch.zeros(1, 8), "center2": torch.zeros(1, 1, 8)},
        "fp16_scaler": {"scale": 65536.0, "_growth_tracker": 0},
    }
    torch.save(content | changes, path)
    return path


def norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    middle = x.mean(-1, keepdim=True)
    return (x - middle) / (((x - middle) ** 2).mean(-1, keepdim=True) + 1e-6).sqrt() * weight + bias


def tokens(state: State, x: Tensor, mask: Tensor | None = None) -> Tensor:
    """Normalised images [B, 3, SIDE, SIDE] -> tokens [B, 1 + P, D] after the last norm, as the papers define them."""
    batch, rows = len(x), SIDE // PATCH
    cut = x.reshape(batch, 3, rows, PATCH, rows, PATCH).permute(0, 2, 4, 1, 3, 5).reshape(batch, rows * rows, -1)
    patches = cut @ state["patch_embed.proj.weight"].reshape(WIDTH, -1).T + state["patch_embed.proj.bias"]
    if mask is not None:
        patches[mask] = state["masked_embed"]
    x = torch.cat([state["cls_token"].expand(batch, -1, -1), patches], 1) + state["pos_embed"]
    for i in range(DEPTH):
        block = {key.removeprefix(f"blocks.{i}."): value for key, value in state.items() if f"blocks.{i}." in key}
        y = norm(x, block["norm1.weight"], block["norm1.bias"]) @ block["attn.qkv.weight"].T + block["attn.qkv.bias"]
        parts = []
        for number in range(HEADS):
            size = WIDTH // HEADS
            query, key, value = (y[..., k * WIDTH + number * size :][..., :size] for k in range(3))
            parts.append((query @ key.transpose(1, 2) / size**0.5).softmax(-1) @ value)
        x = x + torch.cat(parts, -1) @ block["attn.proj.weight"].T + block["attn.proj.bias"]
        y = norm(x, block["norm2.weight"], block["norm2.bias"]) @ block["mlp.fc1.weight"].T + block["mlp.fc1.bias"]
        y = 0.5 * y * (1 + torch.erf(y / 2**0.5))
        x = x + y @ block["mlp.fc2.weight"].T + block["mlp.fc2.bias"]
    return norm(x, state["norm.weight"], state["norm.bias"])


def pixels() -> Tensor:
    return torch.rand((2, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(0))


def load(spec: str) -> Any:
    return load_model(spec, pretrained=True).eval()


@torch.no_grad()
def test_the_teacher_computes_what_its_parameters_say(tmp_path: Path) -> None:
    model = load(f"file:{checkpoint(tmp_path / 'checkpoint.pth')}")
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    normalised = (pixels() - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    expected = tokens(backbone(2), normalised)
    torch.testing.assert_close(model.net.tokens(normalised), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(model(pixels()), expected[:, 0], atol=1e-4, rtol=1e-4)
    card = model.card
    assert (card.arch, card.classes, card.input_size) == (f"exuno:vit_128_2_2_{PATCH}", 0, (SIDE, SIDE))
    assert (card.lineage["part"], card.lineage["epoch"]) == ("teacher", 800)
    assert card.lineage["dropped"] == ["head", "student", "optimizer", "ibot_loss", "fp16_scaler"]
    assert card.lineage["filled"] == ["mask_token (zeros)"]


@torch.no_grad()
def test_the_student_with_its_mask_token(tmp_path: Path) -> None:
    model = load(f"file:{checkpoint(tmp_path / 'checkpoint.pth')}#student")
    mask = torch.zeros(2, 9, dtype=torch.bool)
    mask[0, 4] = mask[1, :3] = True
    x = pixels()
    torch.testing.assert_close(
        model.net.tokens(x, mask), tokens(backbone(1, masked=True), x, mask), atol=1e-4, rtol=1e-4
    )
    assert model.card.lineage["part"] == "student"
    assert "filled" not in model.card.lineage


@pytest.mark.parametrize("source", ["/data/CIFAR-FS/train", "/data/FC100/train"])
def test_cifar_trainings_expect_its_statistics(source: str, tmp_path: Path) -> None:
    card = load(f"file:{checkpoint(tmp_path / 'c.pth', args={'data_path': source})}").card
    assert card.mean == (129.37731888 / 255, 124.10583864 / 255, 112.47758569 / 255)
    assert card.std == (68.20947949 / 255, 65.43124043 / 255, 70.45866994 / 255)


@pytest.mark.parametrize("form", ["wrapped", "flat", "with a head", "with classes"])
def test_bare_backbones(form: str, tmp_path: Path) -> None:
    state = backbone(3)
    content: dict[str, Any] = {
        "wrapped": {"state_dict": state},
        "flat": state,
        "with a head": prefixed("module.backbone.", state) | prefixed("module.", head()),
        "with classes": state | {"head.weight": torch.ones(7, WIDTH), "head.bias": torch.ones(7)},
    }[form]
    torch.save(content, tmp_path / "b.pth")
    model = load(f"file:{tmp_path / 'b.pth'}")
    assert model.card.classes == (7 if form == "with classes" else 0)
    assert model.card.lineage.get("dropped") == (["head"] if form == "with a head" else None)
    assert torch.equal(model.net.pos_embed, state["pos_embed"])
    with pytest.raises(ExunoError, match="holds one network"):
        load(f"file:{tmp_path / 'b.pth'}#teacher")


def test_a_checkpoint_without_the_part(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "c.pth", teacher=None)
    assert load(f"file:{path}").card.lineage["part"] == "student"
    with pytest.raises(ExunoError, match=r"holds no teacher, only student\. Take .*#student"):
        load(f"file:{path}#teacher")


@pytest.mark.parametrize(
    ("arch", "told"),
    [
        ("vit_192_2_3_4", r"cls_token is \(1, 1, 128\) in the file, \(1, 1, 192\) in the model"),
        ("vit_128_3_2_4", r"missing blocks\.2\.norm1\.weight"),
        ("vit_128_1_2_4", r"unknown blocks\.1\.norm1\.weight"),
        ("vit_128_2_2_8", r"patch_embed\.proj\.weight is \(128, 3, 4, 4\) in the file, \(128, 3, 8, 8\) in the model"),
    ],
)
def test_another_architecture_is_refused(arch: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ExunoError, match=told):
        load(f"file:{checkpoint(tmp_path / 'c.pth')}@exuno:{arch}")


def test_unusual_transformers(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "c.pth", teacher=prefixed("backbone.", backbone(2, width=96)))
    with pytest.raises(ExunoError, match=r"width of 96 is no multiple of 64.*@exuno:vit_96_2_HEADS_4"):
        load(f"file:{path}")
    assert load(f"file:{path}@exuno:vit_96_2_3_4").card.arch == "exuno:vit_96_2_3_4"
    scaled = backbone(2) | {"blocks.0.gamma_1": torch.ones(WIDTH)}
    with pytest.raises(ExunoError, match=r"unknown blocks\.0\.gamma_1"):
        load(f"file:{checkpoint(path, teacher=prefixed('backbone.', scaled))}")
    swin = {"backbone.layers.0.weight": torch.ones(2, 2)}
    with pytest.raises(ExunoError, match=r"not recognised; its first keys are layers\.0\.weight"):
        load(f"file:{checkpoint(path, teacher=swin)}")


def test_the_usual_sizes_have_their_names(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "c.pth", teacher=prefixed("backbone.", backbone(2, width=192, depth=12)))
    assert load(f"file:{path}").card.arch == "exuno:vit_tiny_4"


class Attack:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return (Path.touch, (self.target,))


@pytest.mark.parametrize("where", ["args", "beside"])
def test_a_checkpoint_that_runs_code_is_refused(where: str, tmp_path: Path) -> None:
    target = tmp_path / "executed"
    changes: dict[str, Any] = {"args": {"hook": Attack(target)}} if where == "args" else {"extra": Attack(target)}
    with pytest.raises(ExunoError, match=r"c\.pth was refused.*could run code"):
        load(f"file:{checkpoint(tmp_path / 'c.pth', **changes)}")
    assert not target.exists()

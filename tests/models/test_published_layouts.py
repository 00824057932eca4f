"""Every published layout: a made-up checkpoint computes what its parameters say, a wrong one is refused with the first
keys that differ, and one with a pickled surprise is refused without running it.

Nothing here is downloaded. The layouts are those of the codes named in the modules that read them; the order of the
layers in :func:`keras` is that of the published cifar_wrn_40_4.tf.index.
"""

import struct
import sys
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from exuno.engine.errors import ExunoError
from exuno.models.classifier import Classifier
from exuno.models.formats.recognise import torchvision_of
from exuno.models.formats.tensorflow import read_bundle
from exuno.models.load import load_model

Bundle = dict[str, np.ndarray | bytes]


def made(arch: str, seed: int = 0, **wish: Any) -> Classifier:
    """A network whose normalisations are not the identity."""
    torch.manual_seed(seed)
    model = load_model(arch, pretrained=False, **({"classes": 4, "input_size": (8, 8)} | wish))
    for value in model.net.state_dict().values():
        if value.is_floating_point() and value.ndim == 1:
            value.copy_(torch.rand(value.shape) + 0.5)
    return model.eval()


def state_of(model: Classifier, prefix: str = "") -> "OrderedDict[str, Tensor]":
    return OrderedDict((prefix + key, value.contiguous()) for key, value in model.net.state_dict().items())


def lightning(student: str, teacher: str, **wish: Any) -> tuple[Any, Classifier]:
    """As Lightning 1.4.9 writes it; see in1k/distiller.py and video/distiller.py."""
    one, two = made(student, **wish), made(teacher, 1, **wish)
    states = {**state_of(two, "teacher."), **state_of(one, "student.")}
    callbacks = {sys.modules["pytorch_lightning.callbacks.model_checkpoint"].ModelCheckpoint: {"best_model_path": "a"}}
    content = {
        "epoch": 199,
        "global_step": 5,
        "pytorch-lightning_version": "1.4.9",
        "state_dict": OrderedDict(states),
        "callbacks": callbacks,
        "optimizer_states": [{"state": {}, "param_groups": []}],
        "lr_schedulers": [],
    }
    return content, one


def archive(arch: str) -> tuple[Any, Classifier]:
    """As LS-KD's train_teacher.py writes it, and as the option-A ResNets are in circulation."""
    model = made(arch)
    content = {"epoch": 90, "arch": "resnet50", "state_dict": state_of(model, "module."), "best_acc1": torch.ones(())}
    return {**content, "optimizer": {"state": {}, "param_groups": []}, "scaler": {}}, model


def ibot() -> tuple[Any, Classifier]:
    """As main_ibot.py and main_smkd.py write it."""
    model = made("exuno:vit_64_1_1_4", classes=0)
    state = {f"module.backbone.{key}": value for key, value in state_of(model).items() if key != "mask_token"}
    state["module.head.mlp.0.weight"] = torch.rand(3, 64)
    return {"student": state, "teacher": state, "epoch": 3, "args": Namespace(arch="vit_small"), "ibot_loss": {}}, model


LAYOUTS: dict[str, Callable[[], tuple[Any, Classifier]]] = {
    "lightning.ckpt": lambda: lightning("exuno:resnet8", "exuno:resnet14", input_size=(32, 32)),
    "video.ckpt": lambda: lightning("exuno:x3d_xs_w0.5_d1", "exuno:x3d_xs_w1_d1", input_size=(160, 160)),
    "ls_kd.pth.tar": lambda: archive("exuno:resnet8"),
    "optiona.th": lambda: (state_of(made("exuno:resnet8"), "module."), made("exuno:resnet8")),
    "x3d.pyth": lambda: ({"model_state": state_of(m := made("exuno:x3d_xs_w0.5_d1", input_size=(160, 160)))}, m),
    "ibot.pth": ibot,
}
DROPPED = {
    "lightning.ckpt": ["teacher", "global_step", "pytorch-lightning_version", "callbacks"],
    "video.ckpt": ["teacher", "optimizer_states", "lr_schedulers"],
    "ls_kd.pth.tar": ["best_acc1", "optimizer", "scaler"],
    "optiona.th": [],
    "x3d.pyth": [],
    "ibot.pth": ["head", "student", "ibot_loss"],
}


@pytest.fixture(autouse=True)
def pytorch_lightning(monkeypatch: pytest.MonkeyPatch) -> None:
    """A class of Lightning's name, to be pickled by its name; there is none when the files are read."""
    module = ModuleType("pytorch_lightning.callbacks.model_checkpoint")
    module.ModelCheckpoint = type("ModelCheckpoint", (), {"__module__": module.__name__})  # pyright: ignore
    for name in ("pytorch_lightning", "pytorch_lightning.callbacks"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)


def write(name: str, folder: Path, change: Callable[[Any], Any] = lambda content: content) -> tuple[Path, Classifier]:
    content, model = LAYOUTS[name]()
    torch.save(change(content), folder / name)
    for module in [name for name in sys.modules if name.startswith("pytorch_lightning")]:
        del sys.modules[module]
    return folder / name, model


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_checkpoint_computes_what_its_parameters_say(name: str, tmp_path: Path) -> None:
    path, model = write(name, tmp_path)
    again = load_model(f"file:{path}", pretrained=True).eval()
    assert again.card.arch == model.card.arch
    for key, value in model.net.state_dict().items():
        if key != "mask_token":
            assert torch.equal(value, again.net.state_dict()[key]), key
    side, frames = again.card.input_size, again.card.frames
    x = torch.rand(2, 3, frames, *side) if frames else torch.rand(2, 3, *side)
    with torch.no_grad():
        assert torch.equal(again.net(x), model.net(x))
    assert [part for part in again.card.lineage.get("dropped", []) if part in DROPPED[name]] == DROPPED[name]


@pytest.mark.parametrize("name", LAYOUTS)
def test_wrong_keys_are_named(name: str, tmp_path: Path) -> None:
    def swap(content: Any) -> Any:
        states = [content, *(value for value in content.values() if isinstance(value, dict))]
        for state in states:
            for key in [key for key in state if isinstance(key, str) and key.endswith("weight")]:
                if key.removesuffix("weight").rstrip(".").endswith(("bn2", "norm_a", "norm2")):
                    state[key.replace("weight", "wait")] = state.pop(key)
        return content

    path, _ = write(name, tmp_path, swap)
    with pytest.raises(ExunoError) as caught:
        load_model(f"file:{path}", pretrained=True)
    for part in (path.name, "missing", "weight", "unknown", "wait"):
        assert part in caught.value.what


class Attack:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return (Path.touch, (self.target,))


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_surprise_is_refused(name: str, tmp_path: Path) -> None:
    target = tmp_path / "executed"
    path, _ = write(name, tmp_path, lambda content: {**content, "callbacks": Attack(target)})
    with pytest.raises(ExunoError, match=r"was refused.*could run code"):
        load_model(f"file:{path}", pretrained=True)
    assert not target.exists()


def test_the_teacher_of_a_distillation(tmp_path: Path) -> None:
    path, student = write("lightning.ckpt", tmp_path)
    card = load_model(f"file:{path}", pretrained=True).card
    assert (card.lineage["part"], card.lineage["epoch"], card.arch) == ("student", 199, student.card.arch)
    card = load_model(f"file:{path}#teacher", pretrained=True).card
    assert (card.lineage["part"], card.arch) == ("teacher", "exuno:resnet14")
    assert "student" in card.lineage["dropped"]
    torch.save({"state_dict": state_of(student, "student.")}, path)
    with pytest.raises(ExunoError, match="holds no teacher, only student"):
        load_model(f"file:{path}#teacher", pretrained=True)


def test_released_networks_of_torchvision(tmp_path: Path) -> None:
    """R50_from_R18_*.pth, and LS-KD's networks: torchvision's, told from their shapes."""
    import torchvision

    for name in ("resnet18", "resnet34", "resnet50", "resnet101", "mobilenet_v2", "efficientnet_b0"):
        with torch.device("meta"):
            net = torchvision.models.get_model(name, num_classes=37)
        assert torchvision_of(net.state_dict()) == (name, 37)
    for name in ("wide_resnet50_2", "resnext50_32x4d", "mobilenet_v3_small", "efficientnet_b1"):
        with torch.device("meta"):
            net = torchvision.models.get_model(name, num_classes=37)
        assert torchvision_of(net.state_dict()) is None
    model = made("torchvision:resnet18", classes=37, input_size=(224, 224))
    torch.save({"epoch": 3, "arch": "resnet18", "state_dict": state_of(model, "module.")}, tmp_path / "a.pth.tar")
    again = load_model(f"file:{tmp_path}/a.pth.tar", pretrained=True).eval()
    card = again.card
    assert (card.arch, card.classes, card.input_size) == ("torchvision:resnet18", 37, (224, 224))
    assert (card.lineage["published_arch"], card.mean) == ("resnet18", (0.485, 0.456, 0.406))
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(again.net(x), model.net(x))


def keras(blocks: int, width: int, classes: int) -> Bundle:
    """Variables of a Keras WRN, in its order of layers: BN, convolution, BN, (1x1 shortcut,) convolution."""
    random, layers = np.random.default_rng(0), []

    def conv(side: int, inputs: int, outputs: int) -> None:
        layers.append({"kernel": random.normal(size=(side, side, inputs, outputs)) / np.sqrt(side * side * inputs)})

    def norm(channels: int) -> None:
        names = ("gamma", "beta", "moving_mean", "moving_variance")
        # Variances far below Keras's epsilon, so that it matters.
        values = (random.random((4, channels)) + 0.5) * np.array([[1], [0.1], [0.1], [2e-3]])
        layers.append(dict(zip(names, values, strict=True)))

    conv(3, 3, 16)
    inputs = 16
    for outputs in (16 * width, 32 * width, 64 * width):
        for block in range(blocks):
            norm(inputs)
            conv(3, inputs, outputs)
            norm(outputs)
            if block == 0:
                conv(1, inputs, outputs)
            conv(3, outputs, outputs)
            inputs = outputs
    norm(inputs)
    layers.append({"kernel": random.normal(size=(inputs, classes)), "bias": random.normal(size=classes)})
    found: Bundle = {"_CHECKPOINTABLE_OBJECT_GRAPH": b"graph"}
    for number, layer in enumerate(layers):
        for key, value in layer.items():
            name = f"layer_with_weights-{number}/{key}/.ATTRIBUTES/VARIABLE_VALUE"
            found[name] = value.astype(np.float32)
    return found


def varint(number: int) -> bytes:
    found = b""
    while number > 127:
        found, number = found + bytes([number & 127 | 128]), number >> 7
    return found + bytes([number])


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def block(rows: list[tuple[bytes, bytes]]) -> bytes:
    """A block of a LevelDB table whose keys share their beginnings, uncompressed, with an empty checksum."""
    found, before = b"", b""
    for key, value in rows:
        shared = next((i for i, (a, b) in enumerate(zip(before, key, strict=False)) if a != b), len(before))
        found += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        before = key
    return found + struct.pack("<II", 0, 1) + bytes(5)


def write_bundle(variables: Bundle, folder: Path) -> Path:
    """NAME.tf.index and NAME.tf.data-00000-of-00001 as TensorFlow writes them."""
    data, rows = b"", [(b"", field(1, 1))]
    for key in sorted(variables):
        value = variables[key]
        raw = value if isinstance(value, bytes) else value.tobytes()
        shape = b"" if isinstance(value, bytes) else b"".join(field(2, field(1, side)) for side in value.shape)
        kind = 7 if isinstance(value, bytes) else 1
        rows.append((key.encode(), field(1, kind) + field(2, shape) + field(4, len(data)) + field(5, len(raw))))
        data += raw
    half = len(rows) // 2
    table, handles = b"", []
    for part in (rows[:half], rows[half:]):
        packed = block(part)
        handles.append((part[-1][0], varint(len(table)) + varint(len(packed) - 5)))
        table += packed
    index = block(handles)
    footer = varint(0) + varint(0) + varint(len(table)) + varint(len(index) - 5)
    table += index + footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)
    (folder / "wrn.tf.data-00000-of-00001").write_bytes(data)
    (folder / "wrn.tf.index").write_bytes(table)
    return folder / "wrn.tf.index"


def by_hand(variables: Bundle, blocks: int, pixels: Tensor) -> Tensor:
    """The logits of Keras's network, from its variables and the published code's description."""
    numbers = iter(range(1000))

    def get(key: str, number: int) -> Tensor:
        value = variables[f"layer_with_weights-{number}/{key}/.ATTRIBUTES/VARIABLE_VALUE"]
        assert isinstance(value, np.ndarray)
        return torch.from_numpy(value).double()

    def conv(x: Tensor, number: int, stride: int = 1) -> Tensor:
        kernel = get("kernel", number).permute(3, 2, 0, 1)
        if kernel.shape[-1] == 3:
            x = F.pad(x, (0, 1, 0, 1) if stride == 2 else (1, 1, 1, 1))
        return F.conv2d(x, kernel, stride=stride)

    def norm(x: Tensor, number: int) -> Tensor:
        mean, variance, gamma, beta = (get(k, number) for k in ("moving_mean", "moving_variance", "gamma", "beta"))
        shape = (1, -1, 1, 1)
        x = (x - mean.view(shape)) / torch.sqrt(variance.view(shape) + 0.001)
        return torch.relu(x * gamma.view(shape) + beta.view(shape))

    mean, std = torch.tensor([0.4914, 0.4822, 0.4465]).double(), torch.tensor([0.2023, 0.1994, 0.2010]).double()
    x = conv((pixels.double() - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1), next(numbers))
    for group in range(3):
        for index in range(blocks):
            stride = 2 if group and index == 0 else 1
            active = norm(x, next(numbers))
            first = conv(active, next(numbers), stride)
            second = norm(first, next(numbers))
            skip = conv(active, next(numbers), stride) if index == 0 else x
            x = skip + conv(second, next(numbers))
    x, last = norm(x, next(numbers)).mean((2, 3)), next(numbers)
    return x @ get("kernel", last) + get("bias", last)


def test_a_checkpoint_of_tensorflow(tmp_path: Path) -> None:
    variables = keras(2, 2, 10)
    path = write_bundle(variables, tmp_path)
    model = load_model(f"file:{path}", pretrained=True).eval()
    assert (model.card.arch, model.card.lineage["dropped"]) == ("exuno:wrn_16_2_tf", ["_CHECKPOINTABLE_OBJECT_GRAPH"])
    assert model.card.class_names is not None
    assert model.card.class_names[3] == "cat"
    pixels = torch.rand(3, 3, 32, 32)
    with torch.no_grad():
        expected, found = by_hand(variables, 2, pixels), model(pixels)
    assert expected.std() > 0.1
    assert torch.allclose(found.double(), expected, atol=1e-3 * expected.abs().max().item())
    plain = load_model("exuno:wrn_16_2", classes=10, pretrained=False).eval()
    plain.net.load_state_dict(model.net.state_dict())
    with torch.no_grad():  # padding and epsilon matter
        assert not torch.allclose(plain.net(model.prepare(pixels)), found, atol=1e-1 * expected.abs().max().item())


def test_damaged_checkpoints_of_tensorflow(tmp_path: Path) -> None:
    variables = keras(1, 2, 10)
    path = write_bundle(variables, tmp_path)
    data, whole = path.with_name("wrn.tf.data-00000-of-00001"), path.read_bytes()
    assert len(read_bundle(path)[0]) == len(variables) - 1

    def told() -> str:
        with pytest.raises(ExunoError) as caught:
            load_model(f"file:{path}", pretrained=True)
        return str(caught.value)

    values = data.read_bytes()
    data.write_bytes(values[:-8])
    assert "does not hold layer_with_weights-" in told()
    data.unlink()
    assert f"there is no {data}" in told()
    data.write_bytes(values)
    for broken in (whole[:-9], whole[:100], b"\xff" * len(whole), whole[:20] + b"\xff" * 30 + whole[50:]):
        path.write_bytes(broken)
        assert "no whole index of a TensorFlow checkpoint" in told()
    name = "layer_with_weights-5/{}/.ATTRIBUTES/VARIABLE_VALUE"
    variables[name.format("depthwise_kernel")] = variables.pop(name.format("kernel"))
    write_bundle(variables, tmp_path)
    assert "layer_with_weights-5 has depthwise_kernel" in told()
    write_bundle(keras(1, 2, 10), tmp_path)
    with pytest.raises(ExunoError, match="not of exuno:wrn_16_4"):
        load_model(f"file:{path}@exuno:wrn_16_4", pretrained=True)

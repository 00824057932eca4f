"""What other codes wrap around weights: prefixes, dictionaries, averages, metrics, and plain objects beside them."""

import argparse
import datetime
import pathlib
import re
import sys
import zipfile
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from exuno.engine.errors import ExunoError
from exuno.models.classifier import Classifier
from exuno.models.formats.weights import read_contents
from exuno.models.load import load_model

State = dict[str, Tensor]


def network(seed: int = 0) -> State:
    torch.manual_seed(seed)
    net = load_model("exuno:resnet8", pretrained=False, classes=3).net
    return {key: value.contiguous() for key, value in net.state_dict().items()}


def same(model: Classifier, state: State) -> bool:
    own = model.net.state_dict()
    return own.keys() == state.keys() and all(torch.equal(own[key], value) for key, value in state.items())


def loaded(tmp_path: Path, content: Any, after: str = "", name: str = "m.pth") -> Classifier:
    torch.save(content, tmp_path / name)
    return load_model(f"file:{tmp_path / name}{after}", pretrained=True)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("arch", ["", "@exuno:resnet8"])
@pytest.mark.parametrize(
    "prefix",
    [
        *("_orig_mod.", "module.", "model.", "net.", "network.", "backbone.", "encoder.", "student.", "teacher."),
        *("module._orig_mod.module.", "model.net._orig_mod.", "student.module.backbone.", "module.student.model."),
        *("classifier_model.", "my_net.inner.module."),
    ],
)
def test_prefixes_are_stripped(prefix: str, arch: str, suffix: str, tmp_path: Path) -> None:
    state = network()
    path, content = tmp_path / f"m{suffix}", {prefix + key: value for key, value in state.items()}
    if suffix == ".pth":
        torch.save({"state_dict": content}, path)
    else:
        save_file(content, path)
    assert same(load_model(f"file:{path}{arch}", pretrained=True), state)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from(["module", "_orig_mod", "model", "net", "backbone", "x", "my_net"]), max_size=5))
def test_any_prefixes_in_any_order(parts: list[str]) -> None:
    from exuno.models.formats.wrapped import bare, stripped

    state = {"conv.weight": torch.ones(1), "fc.bias": torch.ones(1)}
    content = {".".join([*parts, key]): value for key, value in state.items()}
    assert any(each == state for each in stripped(bare(content).state))


def test_networks_that_begin_with_one_name_are_not_stripped(tmp_path: Path) -> None:
    """All names of X3D begin with ``blocks.``."""
    model = load_model("exuno:x3d_xs_w0.5_d0.5", pretrained=False, classes=3)
    content = {f"module.{key}": value.contiguous() for key, value in model.net.state_dict().items()}
    assert loaded(tmp_path, content).card.arch == model.card.arch


@pytest.mark.parametrize("name", ["m.PTH", "m.PT", "m.Pth", "m.CKPT"])
def test_suffixes_in_capitals(name: str, tmp_path: Path) -> None:
    state = network()
    assert same(loaded(tmp_path, state, name=name), state)


def test_safetensors_in_capitals(tmp_path: Path) -> None:
    state = network()
    save_file(state, tmp_path / "M.SAFETENSORS")
    assert same(load_model(f"file:{tmp_path / 'M.SAFETENSORS'}", pretrained=True), state)


@pytest.mark.parametrize(
    "keys",
    [
        *(["state_dict"], ["model"], ["weights"], ["params"], ["network"], ["net"], ["model_state_dict"]),
        *(["model_state"], ["checkpoint", "model"], ["model", "state_dict"], ["my_own_name"], ["state", "weights"]),
    ],
)
def test_wrappers(keys: list[str], tmp_path: Path) -> None:
    state = network()
    content: Any = state
    for key in reversed(keys):
        content = {"epoch": 7, "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}, key: content}
    model = loaded(tmp_path, content)
    assert same(model, state)
    assert model.card.lineage["epoch"] == 7
    assert "optimizer" in model.card.lineage["dropped"]


def averaged(state: State) -> State:
    """As torch.optim.swa_utils.AveragedModel names it."""
    return {"n_averaged": torch.tensor(3), **{f"module.{key}": value for key, value in state.items()}}


PAIRS: dict[str, Callable[[State, State], Any]] = {
    "timm": lambda plain, mean: {"state_dict": plain, "state_dict_ema": mean, "arch": "x"},
    "torchvision": lambda plain, mean: {"model": plain, "model_ema": averaged(mean), "args": argparse.Namespace(lr=1)},
    "ema": lambda plain, mean: {"model": plain, "ema": mean},
    "ema_state_dict": lambda plain, mean: {"model_state_dict": plain, "ema_state_dict": {"module": mean}},
    "basicsr": lambda plain, mean: {"params": plain, "params_ema": mean},
    "decay": lambda plain, mean: {"net": plain, "ema": {"decay": 0.99, "shadow": mean}},
    "nested": lambda plain, mean: {"checkpoint": {"model": plain, "ema": mean}},
    "side by side": lambda plain, mean: {
        "state_dict": {
            **{f"model.{key}": value for key, value in plain.items()},
            **{f"ema_model.module.{key}": value for key, value in mean.items()},
        }
    },
}


@pytest.mark.parametrize("kind", PAIRS)
def test_averages_are_chosen_by_name(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain, mean = network(0), network(1)
    content = PAIRS[kind](plain, mean)
    chosen = loaded(tmp_path, content, "#ema")
    assert same(chosen, mean)
    assert chosen.card.lineage["part"] == "average (EMA)"
    assert capsys.readouterr().err == ""
    assert same(loaded(tmp_path, content), plain)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"file:{tmp_path / 'm.pth'}#ema" in said


def test_the_only_weights_may_be_an_average(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mean = network(1)
    for content in (averaged(mean), {"model_ema": mean, "epoch": 1}, {"ema": averaged(mean)}):
        for after in ("", "#ema"):
            model = loaded(tmp_path, content, after)
            assert same(model, mean)
            assert model.card.lineage["part"] == "average (EMA)"
    assert capsys.readouterr().err == ""


def test_an_average_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ExunoError, match="no averaged weights"):
        loaded(tmp_path, {"model": network()}, "#ema")


@pytest.mark.parametrize(
    "beside",
    [
        {"class_to_idx": {"cow": 0, "ant": 1, "bee": 2}},
        {"class_to_idx": {"ant": 1, "bee": 2, "cow": 0}},
        {"classes": ["cow", "ant", "bee"]},
        {"idx_to_class": {2: "bee", 0: "cow", 1: "ant"}},
        {"hyper_parameters": {"id2label": {"0": "cow", "1": "ant", "2": "bee"}, "lr": 0.1}},
        {"meta": {"dataset_meta": {"classes": ("cow", "ant", "bee")}}},
    ],
)
def test_names_of_classes_beside_the_weights_are_those_of_the_model(beside: dict[str, Any], tmp_path: Path) -> None:
    card = loaded(tmp_path, {"state_dict": network(), "epoch": 3, **beside}).card
    assert card.class_names == ("cow", "ant", "bee")
    assert not set(beside) & set(card.lineage.get("dropped", []))
    assert loaded(tmp_path, {**network(), "classes": ["cow", "ant", "bee"]}).card.class_names == card.class_names


def test_names_that_do_not_fit_the_weights_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert loaded(tmp_path, {"state_dict": network(), "classes": ["cow", "ant"]}).card.class_names is None
    assert "names 2 classes, and its network has 3" in capsys.readouterr().err
    assert (
        loaded(tmp_path, {"state_dict": network(), "class_to_idx": {"a": 1, "b": 2, "c": 3}}).card.class_names is None
    )
    assert (
        loaded(tmp_path, {"state_dict": network(), "class_to_idx": {"a": 0, "b": 0, "c": 1}}).card.class_names is None
    )
    assert loaded(tmp_path, {"state_dict": network(), "class_to_idx": {"a": [0], "b": {}}}).card.class_names is None
    assert loaded(tmp_path, {"state_dict": network(), "classes": [1, 2, 3]}).card.class_names is None


def test_metrics_and_counters_are_dropped_by_name(tmp_path: Path) -> None:
    state = network()
    extra = {
        **{"n_averaged": torch.tensor(1), "criterion.weight": torch.ones(3), "loss_fn.center": torch.ones(2)},
        **{"train_acc.correct": torch.tensor(1), "val_accuracy.tp": torch.ones(3), "total_ops": torch.ones(1)},
        **{f"model.{key}": torch.ones(1) for key in ("total_ops", "total_params", "layer1.0.conv1.total_ops")},
    }
    content = {f"model.{key}": value for key, value in state.items() if not key.endswith("num_batches_tracked")} | extra
    model = loaded(tmp_path, {"state_dict": content})
    assert all(torch.equal(model.net.state_dict()[key[6:]], content[key]) for key in content if key not in extra)
    dropped = model.card.lineage["dropped"]
    assert {"n_averaged", "criterion", "loss_fn", "train_acc", "val_accuracy", "total_ops"} <= set(dropped)
    assert len(dropped) == len(set(dropped))


def test_a_sizeable_mismatch_stays_an_error(tmp_path: Path) -> None:
    state = network()
    with pytest.raises(ExunoError, match=r"unknown aux\.weight"):
        loaded(tmp_path, state | {"aux.weight": torch.ones(3)})
    del state["layer1.0.conv2.weight"]
    with pytest.raises(ExunoError, match=r"missing layer1\.0\.conv2\.weight"):
        loaded(tmp_path, state)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("arch", ["", "@exuno:resnet8"])
def test_weights_that_are_no_numbers_are_refused(bad: float, arch: str, tmp_path: Path) -> None:
    state = network()
    state["layer2.0.bn1.running_var"][1] = bad
    with pytest.raises(ExunoError, match=r"layer2\.0\.bn1\.running_var"):
        loaded(tmp_path, state, arch)


def test_a_dictionary_that_holds_itself(tmp_path: Path) -> None:
    content: dict[str, Any] = {"a": 1}
    content["model"] = content
    with pytest.raises(ExunoError, match="no state dict"):
        loaded(tmp_path, content)


class Options(dict[str, Any]):
    """Stands in the tests for a dictionary of another package."""


OBJECTS: dict[str, Any] = {
    "numpy scalar": np.float64(91.5),
    "numpy integer": np.int64(3),
    "numpy bool": np.bool_(True),
    "numpy array": np.arange(6.0).reshape(2, 3).T,
    "array of objects": np.array(["a", None], dtype=object),
    "array of text": np.array(["a", "bc"]),
    "random state": np.random.RandomState(0).get_state(),
    "defaultdict": defaultdict(list, {"loss": [1.0]}),
    "nested defaultdict": defaultdict(dict, {"a": defaultdict(float, {"b": 1.0})}),
    "OrderedDict": OrderedDict(a=1),
    "path": pathlib.PosixPath("/data/x"),
    "pure path": pathlib.PureWindowsPath("a/b"),
    "Namespace": argparse.Namespace(lr=0.1, out=pathlib.PosixPath("out"), date=datetime.date(2024, 1, 2)),
    "datetime": datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC),
    "timedelta": datetime.timedelta(1),
    "deque": deque([1.0, 2.0], 5),
    "type": float,
    "version": torch.__version__,
    "bytes": b"abc",
    "frozenset": frozenset({1}),
}


@pytest.mark.parametrize("kind", OBJECTS)
def test_plain_objects_are_inert(kind: str, tmp_path: Path) -> None:
    state = network()
    model = loaded(tmp_path, {"model": state, "epoch": np.int64(3), "told": OBJECTS[kind]})
    assert same(model, state)
    assert model.card.lineage["epoch"] == 3
    assert "told" in model.card.lineage["dropped"]


def test_enums_of_known_libraries_are_inert(tmp_path: Path) -> None:
    from torchvision.transforms import InterpolationMode

    state = network()
    assert same(loaded(tmp_path, {"model": state, "args": {"mode": InterpolationMode.BICUBIC}}), state)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(("omegaconf.dictconfig.DictConfig", object), ("omegaconf.base.ContainerMetadata", object)),
        *(("easydict.EasyDict", dict), ("yacs.config.CfgNode", dict)),
        ("pytorch_lightning.utilities.parsing.AttributeDict", dict),
    ],
)
def test_configurations_are_inert(name: str, kind: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written with a made-up package of that name, and read without it."""
    package, _, last = name.rpartition(".")
    made = type(last, (kind,), {"__module__": package})
    state = network()
    value: Any = made()
    if kind is dict:
        value["lr"] = made(a=1)
    value.__dict__.update(_content={"a": value, "type": Any, "of": dict}, _parent=None)
    with monkeypatch.context() as there:
        module = ModuleType(package)
        setattr(module, last, made)
        parts = package.split(".")
        for end in range(1, len(parts)):
            there.setitem(sys.modules, ".".join(parts[:end]), ModuleType(parts[end - 1]))
        there.setitem(sys.modules, package, module)
        torch.save({"model": state, "cfg": value}, tmp_path / "m.pth")
    assert same(load_model(f"file:{tmp_path / 'm.pth'}", pretrained=True), state)


@pytest.mark.parametrize("dtype", ["float32", "float64", ">f4", "float16"])
def test_weights_as_arrays_of_numpy(dtype: str, tmp_path: Path) -> None:
    state = network()
    arrays = {
        key: np.array(value, dtype if value.is_floating_point() else "int64", order="F") for key, value in state.items()
    }
    model = loaded(tmp_path, {"model": arrays})
    close = 1e-2 if dtype == "float16" else 0
    assert all(
        torch.allclose(model.net.state_dict()[key], value, atol=close, rtol=close) for key, value in state.items()
    )


def test_unknown_classes_are_refused_without_running_them(tmp_path: Path) -> None:
    with pytest.raises(ExunoError, match=r"holds \S*Options, and loading it could run code"):
        loaded(tmp_path, {"model": network(), "config": Options(a=1)})


@pytest.mark.parametrize(
    "name", ["builtins.eval", "builtins.getattr", "numpy.load", "pathlib.os.system", "subprocess.run"]
)
def test_nothing_runs_because_a_file_names_it(name: str, tmp_path: Path) -> None:
    """The pickle calls a function of Python on one string."""
    module, _, function = name.rpartition(".")
    call = b"\x80\x02c" + f"{module}\n{function}\n".encode() + b"X\x01\x00\x00\x001\x85R."
    with zipfile.ZipFile(tmp_path / "m.pth", "w") as archive:
        for part, content in (("data.pkl", call), ("byteorder", b"little"), ("version", b"3\n")):
            archive.writestr(f"m/{part}", content)
    with pytest.raises(ExunoError, match=rf"holds {re.escape(name.removeprefix('builtins.'))}, and loading"):
        read_contents(tmp_path / "m.pth")


@pytest.mark.parametrize("names", [5, [1, 2, 3], "abc", {"a": "b"}])
def test_what_is_called_names_and_is_none(names: Any, tmp_path: Path) -> None:
    content = {"state_dict": network(), "names": names, "classes": names}
    assert loaded(tmp_path, content).card.class_names is None


def test_names_of_the_outer_dictionary_stay(tmp_path: Path) -> None:
    inner = {"state_dict": network(), "epoch": 3}
    assert loaded(tmp_path, {"model": inner, "classes": ["x", "y", "z"]}).card.class_names == ("x", "y", "z")

"""What --devices, --precision and --deterministic come to on each kind of device."""

import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from exuno.cli import main
from exuno.commandline.presets import parse
from exuno.engine import devices
from exuno.engine.configuration import fingerprint
from exuno.engine.devices import (
    DeviceSettings,
    active_settings,
    choose_algorithms,
    make_accelerator,
    measuring,
    settings_of,
)
from exuno.engine.errors import ExunoError
from exuno.engine.launch import wanted
from exuno.engine.options import RunOptions
from exuno.presets import to_dict
from exuno.teach.options import TeachConfig

AUTO = RunOptions()


@pytest.mark.parametrize("largest", [2**31 - 1, 2**25, 0])
def test_blocks_stay_as_far_as_the_c_library_lets_them(largest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: dict[int, int] = {}

    def mallopt(parameter: int, value: int) -> int:
        if parameter == devices.M_MMAP_THRESHOLD and value > largest:
            return 0
        taken[parameter] = value
        return 1

    monkeypatch.setattr(devices, "library_call", lambda name: mallopt)
    devices.reuse_memory()
    both = {devices.M_MMAP_THRESHOLD: largest, devices.M_TRIM_THRESHOLD: 2**31 - 1}
    assert taken == (both if largest else {})


@pytest.fixture
def algorithms() -> Iterator[None]:
    """Leaves torch's switches as they were."""
    parts: list[tuple[Any, str]] = [
        (torch.backends.cuda.matmul, "allow_tf32"),
        (torch.backends.cudnn, "allow_tf32"),
        (torch.backends.cudnn, "benchmark"),
        (torch.backends.cudnn, "deterministic"),
    ]
    before = [getattr(part, name) for part, name in parts]
    fixed, warn = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    with warnings.catch_warnings():
        yield
    for (part, name), value in zip(parts, before, strict=True):
        setattr(part, name, value)
    torch.use_deterministic_algorithms(fixed, warn_only=warn)


@pytest.mark.parametrize(
    ("asked", "kind", "bf16", "precision"),
    [
        ("auto", "cpu", True, "no"),
        ("auto", "mps", True, "no"),
        ("auto", "cuda", True, "bf16"),
        ("auto", "cuda", False, "tf32"),
        ("no", "cuda", True, "no"),
        ("bf16", "cpu", True, "bf16"),
        ("fp16", "cuda", True, "fp16"),
    ],
)
def test_precision(asked: Any, kind: str, bf16: bool, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **options: bf16)
    assert settings_of(replace(AUTO, precision=asked), kind).precision == precision


@pytest.mark.parametrize(
    ("asked", "kind", "fixed"),
    [(False, "cpu", True), (True, "cpu", True), (True, "cuda", True), (False, "cuda", False)],
)
def test_determinism(asked: bool, kind: str, fixed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **options: True)
    assert settings_of(replace(AUTO, deterministic=asked), kind).deterministic == fixed


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("tf32", [False, True])
def test_algorithms_are_fast_or_repeatable(fixed: bool, tf32: bool, algorithms: None) -> None:
    choose_algorithms(DeviceSettings("no", tf32, fixed))
    assert torch.are_deterministic_algorithms_enabled() == fixed
    assert torch.backends.cudnn.benchmark != fixed
    assert torch.backends.cuda.matmul.allow_tf32 == torch.backends.cudnn.allow_tf32 == tf32


@pytest.mark.parametrize(
    "said",
    [
        "Flash Attention defaults to a non-deterministic algorithm. To explicitly enable determinism call torch.use…",
        "grid_sampler_2d_backward_cuda does not have a deterministic implementation, but you set 'torch.use_…",
        "avg_pool3d_backward_cuda does not have a deterministic implementation, but you set 'torch.use_…",
    ],
)
def test_what_torch_says_of_algorithms_does_not_reach_the_screen(said: str, algorithms: None) -> None:
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        choose_algorithms(DeviceSettings("bf16", False, True))
        warnings.warn(said, UserWarning, stacklevel=1)
        warnings.warn("another thing", UserWarning, stacklevel=1)
    assert [str(each.message) for each in heard] == ["another thing"]


def test_what_only_measures_is_plain_and_repeatable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **options: True)
    assert settings_of(measuring(RunOptions(devices="2")), "cuda") == DeviceSettings("no", False, True)


def test_a_processor_computes_as_before() -> None:
    way = active_settings(make_accelerator(RunOptions(devices="cpu")))
    assert (way.precision, way.deterministic) == ("no", True)


def test_an_apple_gpu_that_is_not_there_is_told() -> None:
    if torch.backends.mps.is_available():
        pytest.skip("it is there")
    with pytest.raises(ExunoError, match="needs a Mac with an Apple GPU"):
        make_accelerator(RunOptions(devices="mps"))


def test_an_apple_gpu_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    options = RunOptions(devices="mps")
    assert wanted(options) == 1
    assert devices.device_kind(options) == "mps"


def test_what_an_apple_gpu_cannot_compute_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["poster", "digits", "--devices", "mps", "--dry-run"]) == 2
    assert "needs float64" in capsys.readouterr().err


def test_they_are_typed_as_other_flags_are() -> None:
    options = parse("teach", TeachConfig, ["digits", "--deterministic", "--no-graphs", "--precision", "auto"])[0].run
    assert (options.deterministic, options.graphs, options.precision) == (True, False, "auto")
    assert not parse("teach", TeachConfig, ["digits"])[0].run.deterministic


def test_how_steps_are_started_shapes_no_result_and_precision_does() -> None:
    def mark(**options: Any) -> str:
        return fingerprint(to_dict(replace(AUTO, **options)))

    assert mark(graphs=False) == mark()
    assert mark(precision="bf16") != mark()
    assert mark(deterministic=True) != mark()

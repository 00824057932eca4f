"""Numbers that no few-shot training can use are told before anything is opened; smoke makes the work small."""

from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest

from exuno.engine.errors import ExunoError
from exuno.fewshot.options import DistillConfig, PretrainConfig, check_config, smoke

GOOD = PretrainConfig(data="digits")


def changed(group: str | None, **values: Any) -> PretrainConfig:
    return (
        replace(GOOD, **values) if group is None else replace(GOOD, **{group: replace(getattr(GOOD, group), **values)})
    )


def test_the_defaults_are_good() -> None:
    check_config(GOOD)
    check_config(DistillConfig(data="digits"))


def test_only_a_cosine_ends_at_a_rate_of_its_own() -> None:
    with pytest.raises(ExunoError, match=r"--optim\.lr-end is 1e-05"):
        check_config(changed("optim", schedule="constant"))
    check_config(changed("optim", schedule="constant", lr_end=0.0))


@pytest.mark.parametrize(
    ("group", "field", "value"),
    [
        (None, "epochs", 0),
        (None, "batch_size", 0),
        (None, "budget", 0.0),
        (None, "size", 0),
        (None, "store", 0),
        (None, "drop_path", 1.0),
        (None, "drop_path", -0.1),
        (None, "freeze_last", -1.0),
        ("views", "scale", (0.0, 1.0)),
        ("views", "scale", (0.5, 1.1)),
        ("views", "local_scale", (0.5, 0.2)),
        ("views", "aspect", (0.0, 1.0)),
        ("views", "local", -1),
        ("views", "local_size", 0),
        ("views", "jitter", (0.4, 0.4, -0.2, 0.1)),
        ("views", "sigma", (2.0, 0.1)),
        ("views", "flip", 1.5),
        ("views", "jitter_p", -0.5),
        ("views", "gray", 2.0),
        ("views", "solarize", 2.0),
        ("views", "blur", (0.0, 1.1, 0.0)),
        ("mask", "spread", (0.1,)),
        ("mask", "ratio", (0.0, 0.1)),
        ("mask", "ratio", (0.0, 0.9)),
        ("mask", "aspect", 0.0),
        ("head", "outputs", 0),
        ("head", "patch_outputs", 0),
        ("head", "hidden", 0),
        ("head", "bottleneck", 0),
        ("head", "layers", 0),
        ("teacher", "momentum", 1.1),
        ("teacher", "centre", 1.0),
        ("teacher", "warmup", 1.5),
        ("teacher", "temperature", (0.0, 0.07)),
        ("teacher", "patch_temperature", (0.04, 0.0)),
        ("teacher", "student_temperature", 0.0),
        ("validation", "way", 1),
        ("validation", "shot", 0),
        ("validation", "episodes", 0),
        ("validation", "resize", 100),
        ("optim", "lr", 0.0),
        ("optim", "lr_end", -1e-6),
        ("optim", "lr_end", 1e-3),
        ("optim", "weight_decay_end", -0.1),
        ("optim", "clip", 0.0),
        ("run", "workers", -1),
    ],
)
def test_a_number_that_cannot_be_is_told_by_its_flag(group: str | None, field: str, value: Any) -> None:
    with pytest.raises(ExunoError) as caught:
        check_config(changed(group, **{field: value}))
    prefix = "" if group in (None, "run") else f"{group}."
    assert f"--{prefix}{field.replace('_', '-')} is {value}" in caught.value.what
    assert caught.value.todo.startswith("Give ")
    assert caught.value.todo.endswith(".") or group == "optim"


def test_ratios_and_spreads_come_in_pairs() -> None:
    with pytest.raises(ExunoError, match=r"--mask.spread is \(\).*as many numbers as --mask.ratio"):
        check_config(changed("mask", ratio=(), spread=()))
    with pytest.raises(ExunoError, match=r"--mask.spread is \(0.0, 0.2\).*as many numbers as --mask.ratio"):
        check_config(changed("mask", ratio=(0.3,)))


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_some_loss_has_a_weight(value: float) -> None:
    with pytest.raises(ExunoError, match=r"--weights is .*at least one above"):
        check_config(changed("weights", cls=value, masked=0.0))


def leaves(config: Any, prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in fields(config):
        value = getattr(config, field.name)
        found |= leaves(value, f"{prefix}{field.name}.") if is_dataclass(value) else {prefix + field.name: value}
    return found


def test_smoke_makes_the_work_small_and_only_that() -> None:
    config = replace(GOOD, store=256)
    before, after = leaves(config), leaves(smoke(config))
    assert {name: after[name] for name in after if after[name] != before[name]} == {
        "batch_size": 16,
        "evaluations": 1,
        "views.local": 2,
        "head.outputs": 256,
        "head.patch_outputs": 256,
        "validation.episodes": 20,
    }
    assert smoke(smoke(config)) == smoke(config)
    small = changed("views", local=0)
    assert smoke(small).views.local == 0

"""What the record of a teacher's run says of its accuracy, and damaged records."""

import json
from pathlib import Path
from typing import Any

import pytest

from exuno.doctor.options import DoctorConfig
from exuno.doctor.words import OTHER_DEVICE, SAME_DEVICE, Claim, claimed

CONFIG = "config: {data: digits, size: null, smoke: false}"
RESULT: dict[str, Any] = {"metrics": {"model/top1": 0.9}, "n": {"model/top1": 355}, "device": "cpu"}


def ask(folder: Path, config: str = CONFIG, result: str | None = None, **given: Any) -> Claim | None:
    (folder / "config.yaml").write_text(config)
    (folder / "result.json").write_text(json.dumps(RESULT) if result is None else result)
    asked = DoctorConfig(teacher=f"run:{folder}", data="digits", **given)
    return claimed(asked, folder, 355, "cpu")


def test_what_its_run_measured(tmp_path: Path) -> None:
    assert ask(tmp_path) == Claim(0.9, "that its run measured", SAME_DEVICE)
    assert ask(tmp_path, result=json.dumps(RESULT | {"device": "cuda"})) == Claim(
        0.9, "that its run measured", OTHER_DEVICE
    )
    assert ask(tmp_path, claimed=0.5) == Claim(0.5, "that was claimed")


def test_other_images_claim_nothing(tmp_path: Path) -> None:
    assert ask(tmp_path, split="train") is None
    assert ask(tmp_path, config=CONFIG.replace("}", ", split: train}")) is None
    assert ask(tmp_path, size=16) is None
    assert ask(tmp_path, smoke=True) is None
    assert ask(tmp_path, result=json.dumps(RESULT | {"n": {"model/top1": 64}})) is None
    assert ask(tmp_path, result=json.dumps(RESULT | {"metrics": {}})) is None


@pytest.mark.parametrize("config", ["config: null", "config: 3", "[]", "", "config: {", "x: 1"])
def test_a_damaged_configuration_claims_nothing(tmp_path: Path, config: str) -> None:
    assert ask(tmp_path, config=config) is None


@pytest.mark.parametrize(
    "result",
    ['{"metrics": 3}', "[]", "null", "", "{", '{"metrics": {"model/top1": "x"}}', '{"metrics": {"model/top1": 7}}'],
)
def test_a_damaged_result_claims_nothing(tmp_path: Path, result: str) -> None:
    assert ask(tmp_path, result=result) is None

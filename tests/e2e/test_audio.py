"""Own recordings: a network learns to hear, another one from a made sound, both are measured; and the mistakes."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from exuno.cli import main

soundfile = pytest.importorskip("soundfile", reason="recordings need the extra [audio]")
RATE = 4000
CPU = ["--devices", "cpu"]


def recordings(folder: Path, rate: int = RATE) -> Path:
    """Two classes, low and high tones, of several lengths, between silences."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("test", 6)):
        for name, tone in (("low", 300), ("high", 1200)):
            (folder / split / name).mkdir(parents=True)
            for i in range(count):
                samples = int(rate * rng.uniform(0.2, 0.4))
                wave = np.sin(2 * np.pi * tone * rng.uniform(0.8, 1.2) * np.arange(samples) / rate)
                soundfile.write(folder / split / name / f"{i}.wav", 0.5 * wave + rng.normal(0, 0.02, samples), rate)
    return folder


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"recordings:{recordings(tmp_path_factory.mktemp('tones'))}"


@pytest.fixture(scope="module")
def teacher(spec: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "teacher"
    args = ["teach", "--model", "exuno:convnet_2_8", "--data", spec, "--epochs", "8", "--batch-size", "8", *CPU]
    args += ["--mel.seconds", "0.5", "--mel.mels", "16", "--augment.shift", "0.1", "--optim.lr", "0.01"]
    assert main([*args, "--run-dir", str(run)]) == 0
    return run


def test_taught(teacher: Path) -> None:
    assert json.loads((teacher / "result.json").read_text())["metrics"]["model/top1"] == 1.0
    card = json.loads((teacher / "model.json").read_text())
    assert card["class_names"] == ["high", "low"]
    assert card["hearing"]["length"] == RATE // 2
    assert (teacher / "report.html").is_file()


def test_distilled_and_measured(spec: str, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "student"
    # The student hears less than the teacher, and each hears the middle of what it is given.
    args = ["distill", "--teacher", f"run:{teacher}", "--student", "exuno:convnet_2_8", "--data", spec, *CPU, "--smoke"]
    args += ["--source", "sound:babble", "--mel.seconds", "0.4", "--mel.mels", "12", "--mix.cutmix", "1"]
    assert main([*args, "--run-dir", str(run)]) == 0
    result = json.loads((run / "result.json").read_text())
    assert result["metrics"]["teacher/top1"] == 1.0
    assert result["lineage"]["source"][0]["spec"] == "sound:babble"
    assert json.loads((run / "model.json").read_text())["hearing"]["length"] == RATE * 0.4
    capsys.readouterr()
    assert main(["eval", str(run), "--teacher", f"run:{teacher}", *CPU]) == 0
    assert f"{spec}/test, n = 12" in capsys.readouterr().out


def test_the_preset_on_own_recordings(spec: str, tmp_path: Path) -> None:
    assert main(["distill", "speech-digits", "--data", spec, *CPU, "--smoke", "--run-dir", str(tmp_path / "run")]) == 0
    for card in (tmp_path / "run" / "model.json", tmp_path / "run" / "teacher" / "model.json"):
        assert json.loads(card.read_text())["input_size"] == [32, 51]


def test_from_one_file_and_from_a_folder(spec: str, teacher: Path, tmp_path: Path) -> None:
    one = next(Path(spec.partition(":")[2]).glob("train/high/*.wav"))
    soundfile.write(tmp_path / "long.wav", np.tile(soundfile.read(one)[0], 6), RATE)
    args = ["distill", "--teacher", f"run:{teacher}", "--student", "exuno:convnet_2_8", "--data", spec, *CPU, "--smoke"]
    for name, source in (("file", str(tmp_path / "long.wav")), ("folder", spec)):
        assert main([*args, "--source", source, "--run-dir", str(tmp_path / name)]) == 0


def test_stopped_and_continued(spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from exuno.teach.train import Supervised

    args = ["teach", "--model", "exuno:convnet_1_4", "--data", spec, "--epochs", "4", "--batch-size", "8", *CPU]
    args += ["--mel.seconds", "0.2", "--mel.mels", "8", "--augment.shift", "0.3", "--evaluations", "4"]
    assert main([*args, "--run-dir", str(tmp_path / "whole")]) == 0

    def stop(self, at):
        if at.step == 8:
            raise KeyboardInterrupt
        return {}

    with monkeypatch.context() as patch:
        patch.setattr(Supervised, "numbers", stop)
        assert main([*args, "--run-dir", str(tmp_path / "cut")]) != 0
    assert not (tmp_path / "cut" / "result.json").exists()
    assert list((tmp_path / "cut" / "checkpoints").iterdir())
    assert main([*args, "--run-dir", str(tmp_path / "cut")]) == 0
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "cut")]
    assert weights[0] == weights[1]


def test_an_image_model_for_recordings(fails, spec: str, tmp_path: Path) -> None:
    run = tmp_path / "digits"
    assert main(["teach", "digits", "--smoke", *CPU, "--run-dir", str(run)]) == 0
    said = fails("eval", run, "--data", spec, *CPU)
    assert "classes but" in said or "takes single images" in said
    said = fails("distill", "digits", "--teacher", f"run:{run}", "--source", "sound:babble", "--smoke", *CPU)
    assert "sound:babble is no photograph" in said


def test_another_rate(fails, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = recordings(tmp_path / "other", 8000)
    said = fails("eval", teacher, "--data", f"recordings:{other}", *CPU)
    assert "hears 4000 samples a second" in said
    assert "recordings:PATH@4000" in said
    assert main(["eval", str(teacher), "--data", f"recordings:{other}@4000", *CPU]) == 0
    assert "top-1      100.00 %" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--augment.flip", "0.5"], "--augment.flip changes images"),
        (["--augment.resized-crop", "0.5", "1"], "--augment.resized-crop changes images"),
        (["--size", "32"], "--mel.seconds is what a model hears"),
        (["--mel.seconds", "0"], "--mel.seconds is 0"),
        (["--mel.mels", "0"], "--mel.mels is 0"),
    ],
)
def test_flags_that_recordings_do_not_take(fails, spec: str, tmp_path: Path, flags: list[str], words: str) -> None:
    args = ["teach", "--model", "exuno:convnet_1_4", "--data", spec, *CPU, "--smoke", "--run-dir", tmp_path / "run"]
    assert words in fails(*args, *flags)


def test_flags_of_recordings_and_clips_for_images(fails, spec: str, teacher: Path, tmp_path: Path) -> None:
    for data, model, flag, words in (
        ("digits", "exuno:convnet_1_4", "--mel.mels", "--mel.mels is for recordings"),
        ("digits", "exuno:convnet_1_4", "--augment.frames", "--augment.frames is for clips"),
        (spec, f"run:{teacher}", "--mel.seconds", "--mel.seconds says how a new model hears"),
    ):
        args = ["teach", "--data", data, "--model", model, flag, "2", *CPU, "--smoke"]
        assert words in fails(*args, "--run-dir", tmp_path / "run")
        assert not (tmp_path / "run").exists()  # so the corrected command may have it


def test_a_photograph_for_a_model_that_hears(fails, spec: str, teacher: Path) -> None:
    args = ["distill", "--teacher", f"run:{teacher}", "--student", "exuno:convnet_2_8", "--data", spec, "--smoke", *CPU]
    assert "photo:astronaut is no recording" in fails(*args, "--source", "photo:astronaut")


def test_pixels_of_recordings(fails, spec: str, teacher: Path) -> None:
    args = ["distill", "--teacher", f"run:{teacher}", "--student", "exuno:convnet_2_8", "--data", spec, "--smoke", *CPU]
    assert "--adversarial changes pixels" in fails(*args, "--source", "sound:babble", "--adversarial", "0.1")
    assert "--tta flip mirrors images" in fails("eval", teacher, "--data", spec, *CPU, "--tta", "flip")


def test_without_soundfile(fails, spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    args = ["teach", "--model", "exuno:convnet_1_4", "--data", spec, *CPU, "--smoke", "--run-dir", tmp_path / "run"]
    assert "pip install 'exuno[audio]'" in fails(*args)

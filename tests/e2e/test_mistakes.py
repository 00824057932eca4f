"""Each kind of mistake, through the command line: exit code 2, one short paragraph, nothing lost, no traceback."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from exuno.cli import main

SMOKE = ["--smoke", "--devices", "cpu"]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "teacher"
    assert main(["teach", "digits", *SMOKE, "--run-dir", str(folder)]) == 0
    return folder


def picture(path: Path, mode: str = "RGB", size: tuple[int, int] = (64, 48)) -> Path:
    rng = np.random.default_rng(0)
    if mode == "I;16":
        Image.fromarray(rng.integers(0, 65536, size[::-1], np.uint16)).save(path)
    else:
        pixels = Image.fromarray(rng.integers(0, 256, (*size[::-1], 3), np.uint8))
        pixels.convert(mode).save(path)
    return path


def test_unknown_verb(fails) -> None:
    assert "unknown verb 'destill'" in fails("destill")


def test_unknown_preset_suggests_the_near_one(fails) -> None:
    assert "Did you mean 'digits'?" in fails("distill", "digit")


def test_data_that_are_still_packed(fails, tmp_path: Path) -> None:
    (tmp_path / "tiny-imagenet-200.zip").touch()
    told = fails(
        *("teach", "--model", "exuno:convnet_3_8", "--data", "tiny-imagenet", "--data-root", tmp_path),
        *("--run-dir", tmp_path / "run", *SMOKE),
    )
    assert f"is still packed. Unpack it: unzip -q {tmp_path}" in told
    assert not (tmp_path / "run").exists()


def test_unknown_option(fails) -> None:
    assert "--epoch" in fails("distill", "digits", "--epochz", "3")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--teacher", "tim:resnet18"], "unknown model prefix"),
        (["--teacher", "resnet18"], "no model spec"),
        (["--teacher", "teach:nothing"], "no preset of teach"),
        (["--teacher", "exuno:resnet20"], "without weights"),
        (["--data", "digts"], "digits"),
        (["--source", "photo:nobody"], "astronaut"),
        (["--source", "nowhere.jpg"], "no picture"),
        (["--source", "noise:loud"], "whole number"),
        (["--source", "photo:coffee", "digits"], "mixes photographs"),
        (["--loss.temperature", "0"], "temperature above 0"),
        (["--loss.hard", "0.5"], "true labels"),
        (["--cache-logits"], "same in every epoch"),
        (["--optim.lr", "0"], "positive --optim.lr"),
        (["--devices", "many"], "number of processes"),
        (["--mix.cutmix", "-1"], "--mix.cutmix is -1"),
        (["--mix.probability", "5"], "a probability"),
        (["--augment.pad", "-1"], "--augment.pad is -1"),
        (["--augment.flip", "2"], "a probability"),
        (["--optim.name", "sgd", "--optim.nesterov", "--optim.momentum", "0"], "momentum above 0"),
        (["--optim.momentum", "0"], "would do nothing: --optim.name adam"),
        (["--budget", "inf"], "--budget is inf"),
        (["--loss.temperature", "inf"], "temperature above 0"),
        (["--seed", str(2**70)], "64 bits"),
        (["--workers", "-1"], "--workers is -1"),
        (["--budget", "0"], "--budget is 0"),
        (["--epochs", "0"], "at least 1"),
    ],
)
def test_wrong_values(fails, tmp_path: Path, teacher: Path, args: list[str], words: str) -> None:
    base = ["distill", "digits", *SMOKE, "--teacher", f"run:{teacher}", "--run-dir", tmp_path / "run"]
    assert words in fails(*base, *args)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("poster digits", "--loader is dali"),
        ("fewshot pretrain digits", "--loader is dali"),
        ("distill digits-kd", "--cache-logits shows the teacher pixels of the default loader"),
        ("teach digits", "dali"),
    ],
)
def test_dali_where_it_cannot_serve(fails, tmp_path: Path, command: str, words: str) -> None:
    if command.startswith("distill"):  # asked of DALI's loader, not of the options
        pytest.importorskip("nvidia.dali", reason="NVIDIA DALI is not installed: pip install 'exuno[dali]'")
    assert words in fails(*command.split(), "--loader", "dali", "--run-dir", tmp_path / "run")
    assert not list(tmp_path.glob("run/*.safetensors"))


def test_a_corrupt_and_a_truncated_photograph(fails, tmp_path: Path) -> None:
    whole = picture(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes(whole.read_bytes()[:500])
    (tmp_path / "text.jpg").write_text("not a picture")
    for name in ("cut.jpg", "text.jpg"):
        assert name in fails("distill", "digits", *SMOKE, "--source", tmp_path / name, "--run-dir", tmp_path / "run")
        assert not (tmp_path / "run").exists()  # told before there is a run


@pytest.mark.parametrize("mode", ["I;16", "P", "CMYK", "RGBA", "L", "1", "LA"])
def test_photographs_of_every_kind_are_taken(tmp_path: Path, teacher: Path, mode: str) -> None:
    path = picture(tmp_path / ("a.tif" if mode == "CMYK" else "a.png"), mode)
    base = ["distill", "digits", *SMOKE, "--teacher", f"run:{teacher}", "--source", str(path)]
    assert main([*base, "--run-dir", str(tmp_path / "run")]) == 0


def test_a_photograph_turned_by_exif_is_seen_upright(tmp_path: Path) -> None:
    upright = Image.open(picture(tmp_path / "upright.png"))
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side: turn clockwise to view
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    for name in ("upright", "turned"):
        args = ["synth", str(tmp_path / f"{name}.png"), "--count", "8", "--format", "png", "--size", "16"]
        assert main([*args, "--out", str(tmp_path / name)]) == 0
    first, second = (sorted((tmp_path / name).rglob("0*.png")) for name in ("upright", "turned"))
    assert len(first) == 8
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_a_photograph_of_one_pixel_is_too_small(fails, tmp_path: Path, teacher: Path) -> None:
    path = picture(tmp_path / "dot.png", size=(1, 1))
    said = fails(
        "distill", "digits", *SMOKE, "--teacher", f"run:{teacher}", "--source", path, "--run-dir", tmp_path / "r"
    )
    assert "too small" in said


def test_class_counts_that_do_not_match(fails, tmp_path: Path, teacher: Path) -> None:
    images = np.zeros((20, 8, 8), np.uint8)
    labels = np.arange(20) % 7
    file = tmp_path / "seven.npz"
    np.savez(file, train_images=images, train_labels=labels, test_images=images, test_labels=labels)
    said = fails("eval", teacher, "--data", f"npz:{file}")
    assert "10 classes" in said
    assert "7" in said


def test_label_smoothing_beyond_one(fails, tmp_path: Path) -> None:
    assert "--label-smoothing is 2" in fails("teach", "digits", "--label-smoothing", "2", "--run-dir", tmp_path / "r")


def test_a_photograph_that_changed_is_another_run(fails, tmp_path: Path, teacher: Path) -> None:
    photo = picture(tmp_path / "mine.png")
    args = [
        "distill",
        "digits",
        *SMOKE,
        "--teacher",
        f"run:{teacher}",
        "--source",
        photo,
        "--run-dir",
        tmp_path / "run",
    ]
    assert main([str(arg) for arg in args]) == 0
    picture(photo, size=(80, 80))
    assert "mine.png has changed" in fails(*args)


def test_a_checkpoint_of_another_model(fails, tmp_path: Path, teacher: Path) -> None:
    checkpoint = next((teacher / "checkpoints").iterdir())
    args = ["teach", "digits", *SMOKE, "--model", "exuno:convnet_2_16", "--resume", checkpoint]
    assert "does not fit this model" in fails(*args, "--run-dir", tmp_path / "run")


def test_data_without_test_images_cannot_tell_an_accuracy(fails, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "data" / name).mkdir(parents=True)
        picture(tmp_path / "data" / name / "1.png")
    args = ["teach", "--model", "exuno:convnet_2_16", "--data", f"folder:{tmp_path / 'data'}", "--size", "16"]
    assert "no test images" in fails(*args, *SMOKE, "--run-dir", tmp_path / "run")


def test_half_precision_needs_a_gpu(fails, tmp_path: Path) -> None:
    assert "needs a GPU" in fails("teach", "digits", *SMOKE, "--precision", "fp16", "--run-dir", tmp_path / "run")


def test_a_checkpoint_of_another_architecture(fails, tmp_path: Path, teacher: Path) -> None:
    said = fails("eval", f"file:{teacher / 'model.safetensors'}@exuno:resnet20", "--data", "digits")
    assert "resnet20" in said


def test_a_malicious_pickle_is_refused_and_not_run(fails, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self):
            return Path.touch, (tmp_path / "sprung",)

    (tmp_path / "evil.pth").write_bytes(pickle.dumps({"state_dict": Trap()}))
    assert "evil.pth" in fails("eval", tmp_path / "evil.pth", "--data", "digits")
    assert not (tmp_path / "sprung").exists()


def test_a_run_directory_of_something_else(fails, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    assert "not empty" in fails("teach", "digits", *SMOKE, "--run-dir", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_run_directory_of_another_configuration(fails, teacher: Path) -> None:
    before = (teacher / "result.json").read_bytes()
    assert "label_smoothing" in fails("teach", "digits", *SMOKE, "--label-smoothing", "0.2", "--run-dir", teacher)
    assert (teacher / "result.json").read_bytes() == before


def test_an_unfinished_run_is_no_model_yet(fails, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("verb: teach\nconfig: {data: digits}\n")
    assert str(tmp_path) in fails("eval", tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk(fails, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, content: bytes) -> None:
        with Path("/dev/full").open("wb", buffering=0) as device:
            device.write(b"x")  # the real error of a real full device

    monkeypatch.setattr(Path, "write_bytes", full)
    assert "disk is full" in fails("teach", "digits", *SMOKE, "--run-dir", tmp_path / "run")


def test_a_folder_that_cannot_be_written(fails, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, *args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)  # tests may run as root, whom no permission stops
    assert "cannot be written" in fails("teach", "digits", *SMOKE, "--run-dir", tmp_path / "run")


def test_a_loss_that_becomes_nan(fails, tmp_path: Path) -> None:
    said = fails("teach", "digits", *SMOKE, "--optim.lr", "1e30", "--optim.name", "sgd", "--run-dir", tmp_path / "run")
    assert "the loss became" in said
    assert "--optim.lr" in said


def test_a_preset_file_with_a_wrong_field(fails, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("verb: teach\nconfig: {modle: x}\n")
    assert "modle" in fails("teach", file)
    file.write_text("verb: distill\nconfig: {}\n")
    assert "its verb is distill" in fails("teach", file)
    file.write_text("{")
    assert "not YAML" in fails("teach", file)


def test_a_damaged_run_directory(fails, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("{")
    assert "damaged" in fails("teach", "digits", *SMOKE, "--run-dir", tmp_path)


def test_report_of_no_run(fails, tmp_path: Path) -> None:
    assert str(tmp_path) in fails("report", tmp_path)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--zca-from spectrum", "--zca-from would do nothing: --zca is off. Add --zca, or leave it out."),
        ("--labels fixed --label-bits 4", "--label-bits would do nothing: labels are fixed (--labels). Leave it out,"),
    ],
)
def test_options_of_a_poster_that_would_do_nothing(fails, words: str, told: str) -> None:
    assert told in fails("poster", "digits", *words.split(), "--dry-run")

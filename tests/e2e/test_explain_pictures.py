"""``exuno explain neurons`` and ``attention`` as a user types them: what they print, what they leave, what they
refuse."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from exuno.cli import main
from exuno.models.card import Hearing
from exuno.models.files import save_model
from exuno.models.load import load_model

NEURONS, ATTENTION = ["explain", "neurons"], ["explain", "attention"]
CPU = ["--devices", "cpu"]


def make(
    folder: Path,
    seed: int,
    spec: str = "exuno:convnet_1_4",
    classes: int = 4,
    chans: int = 1,
    hearing: Hearing | None = None,
) -> Path:
    torch.manual_seed(seed)
    model = load_model(spec, classes=classes, in_chans=chans, input_size=(8, 8), pretrained=False, hearing=hearing)
    names = ("ant", "bee", "cow", "dog", "eel")[:classes] or None
    model.card = replace(model.card, class_names=names)
    save_model(model, folder)
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    make(folder / "teacher", 1)
    make(folder / "student", 2, chans=3)
    make(folder / "five", 3, classes=5)
    make(folder / "video", 5, spec="exuno:x3d_xs_w0.5_d0.5", chans=3)
    make(folder / "hears", 6, hearing=Hearing(8000, 800))
    make(folder / "vit", 4, spec="exuno:vit_24_2_3_2", classes=0, chans=3)
    return folder


@pytest.fixture(autouse=True)
def here(runs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for path in runs.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)


def test_teacher_and_student_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--units", "cow", "0", "--pictures", "2", "--diversity", "0.1", "--steps", "40"]
    command = [*NEURONS, "teacher", "student", *asked, *CPU, "--run-dir", "seen"]
    assert main(command) == 0
    printed = capsys.readouterr().out
    for word in ("Answers", "teacher says", "student says", "of 4"):
        assert word in printed
    result = json.loads(Path("seen/result.json").read_text())
    assert [(row["model"], row["unit"], row["name"], row["picture"]) for row in result["units"][:5]] == [
        ("teacher", 2, "cow", 0),
        ("teacher", 2, "cow", 1),
        ("teacher", 0, "ant", 0),
        ("teacher", 0, "ant", 1),
        ("student", 2, "cow", 0),
    ]
    for row in result["units"]:
        assert row["activation"] > row["before"]
    for judge in ("teacher", "student"):
        for whose in ("teacher", "student"):
            key = f"{judge}/of-{whose}/probability"
            told = [row["probabilities"][judge] for row in result["units"] if row["model"] == whose]
            assert result["metrics"][key] == pytest.approx(sum(told) / 4)
            assert result["n"][key] == 4
        assert result["metrics"][f"{judge}/of-{judge}/probability"] > 0.25
    with Image.open("seen/figures/neurons.png") as picture:
        assert picture.width > 2 * 128
        assert picture.height > 4 * 128
    page = Path("seen/report.html").read_text()
    for text in ("Activations", "Feature Visualization", "What the units answer to"):
        assert text in page
    assert main(command) == 0
    assert "Measured before" in capsys.readouterr().out
    assert main(Path("seen/command.txt").read_text().splitlines()[0].split()[1:]) == 0
    assert json.loads(Path("seen-replay/result.json").read_text())["units"] == result["units"]


def test_channels_of_a_layer_in_a_smoke_run() -> None:
    layer = next(name for name, each in load_model("run:teacher", pretrained=True).net.named_modules()
                 if isinstance(each, torch.nn.Conv2d))  # fmt: skip
    assert (
        main([*NEURONS, "teacher", "--layer", layer, "--objective", "neuron", "--smoke", *CPU, "--run-dir", "s"]) == 0
    )
    result = json.loads(Path("s/result.json").read_text())
    assert [row["unit"] for row in result["units"]] == [0, 1]
    assert set(result["metrics"]) == {"teacher/activation"}


def test_attention_over_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (20, 30), (200, 10, 10)).save("red.png")
    command = [*ATTENTION, "vit", "red.png", "photo:cat", "--block", "-2", "--size", "12", *CPU, "--run-dir", "seen"]
    assert main(command) == 0
    printed = capsys.readouterr().out
    for word in ("red.png", "cat", "head 2", "of the 36 patches", "block 0"):
        assert word in printed
    with Image.open("seen/figures/attention.png") as picture:
        assert picture.width > 5 * 128
        assert picture.convert("RGBA").getchannel("A").getpixel((0, 0)) == 0  # the ground is the page's, light or dark
        colours = picture.convert("RGB").getcolors(2**24) or []
    assert (200, 10, 10) in {colour for _, colour in colours}
    assert "Where it looks" in Path("seen/report.html").read_text()
    assert main(Path("seen/command.txt").read_text().splitlines()[0].split()[1:]) == 0
    again = (Path("seen-replay") / "figures/attention.png").read_bytes()
    assert again == (Path("seen") / "figures/attention.png").read_bytes()
    assert main([*ATTENTION, "vit", "red.png", "photo:cat", "--smoke", *CPU, "--run-dir", "s"]) == 0
    assert len(json.loads(Path("s/result.json").read_text())["tables"][0]["rows"]) == 1


@pytest.mark.parametrize("word", [[*NEURONS, "teacher"], [*ATTENTION, "vit", "photo:cat"]])
def test_a_dry_run(word: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*word, "--dry-run"]) == 0
    assert "config:" in capsys.readouterr().out
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("args", "said", "todo"),
    [
        (NEURONS, "no model was given", "exuno explain neurons runs/NAME"),
        ([*NEURONS, "gone"], "there is no run and no file 'gone'", "Give a run's folder"),
        ([*NEURONS, "teacher", "five"], "five has 5 classes, but teacher has 4", "same classes"),
        ([*NEURONS, "teacher", "--units", "bea"], "there is no unit 'bea'", "Did you mean 'bee'?"),
        ([*NEURONS, "teacher", "--units", "4"], "there is no unit '4'", "numbers from 0 to 3"),
        ([*NEURONS, "teacher", "--layer", "bloks"], "has no layer 'bloks'", "The layers are: "),
        ([*NEURONS, "vit"], "has no logits", "Give --layer"),
        ([*NEURONS, "vit", "--layer", "blocks", "--objective", "neuron"], "gives no maps", "Leave out --objective"),
        ([*NEURONS, "teacher", "--objective", "neuron"], "--objective is neuron", "--layer of maps"),
        ([*NEURONS, "teacher", "--diversity", "1"], "--diversity is 1", "--pictures 2 or more"),
        ([*NEURONS, "teacher", "--steps", "0"], "--steps is 0", "at least 1"),
        ([*NEURONS, "teacher", "--size", "1"], "--size is 1", "2 to 2,048 pixels"),
        ([*NEURONS, "teacher", "--size", "3000"], "--size is 3000", "2 to 2,048 pixels"),
        ([*NEURONS, "teacher", "video"], "video (exuno:x3d_xs_w0.5_d0.5) takes clips", "models of single images"),
        ([*NEURONS, "hears"], "hears (exuno:convnet_1_4) takes recordings", "models of single images"),
        ([*NEURONS, "teacher", "--pictures", "0"], "--pictures is 0", "1 to 64"),
        ([*ATTENTION, "teacher", "photo:cat"], "has no attention to draw", "run:RUN_DIR, or timm:NAME"),
        ([*ATTENTION, "vit", "photo:dog"], "there is no photograph 'photo:dog'", "The names are"),
        ([*ATTENTION, "vit", "photo:cat", "--block", "2"], "--block is 2", "Give 0 to 1"),
        ([*ATTENTION, "vit", "photo:cat", "--size", "9"], "cannot be cut into the patches", "multiple of the patch"),
        ([*ATTENTION, "vit", "photo:cat", "--size", "1000"], "--size is 1000", "at most 256: 16,384 patches"),
        ([*ATTENTION, "video", "photo:cat"], "takes clips", "models of single images"),
        (["explain", "penultimate", "video", "--data", "digits"], "takes clips", "models of single images"),
        ([*ATTENTION, "vit"], "no picture was given", "photo:cat"),
    ],
)
def test_mistakes_are_told_in_a_sentence(
    args: list[str], said: str, todo: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*args, *CPU]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert todo in error
    assert len(error.splitlines()) == 2
    assert not Path("runs").exists()


def test_help_imports_no_torch() -> None:
    commands = [["explain", "--help"], [*NEURONS, "--help"], [*ATTENTION, "--help"]]
    code = f"import sys; from exuno.cli import main; codes = [main(each) for each in {commands!r}]; "
    code += "print(codes, [name for name in ('torch', 'timm', 'yaml') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[0, 0, 0] []", done.stderr
    for word in ("neurons", "attention", "--diversity", "--block"):
        assert word in done.stdout

"""``exuno predict`` as a user types it: its answers are those of exuno eval, in every form, and nothing is left out."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from exuno.cli import main
from exuno.data.images.folder import open_folder
from exuno.data.open import open_data
from exuno.evaluate.measure import logits, ordered_batches
from exuno.models.card import Hearing
from exuno.models.classifier import Classifier
from exuno.models.files import save_model
from exuno.models.load import load_model

CPU = ["--devices", "cpu"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished ``exuno distill digits --smoke``; its teacher lies in it."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    assert main(["distill", "digits", "--smoke", *CPU, "--run-dir", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirteen digits as PNG files, two of them in a folder of their own."""
    folder = tmp_path_factory.mktemp("images")
    (folder / "more").mkdir()
    images, _ = open_data("digits", "test").fetch(np.arange(13))
    for number, image in enumerate(images):
        Image.fromarray(image[0].numpy()).save(folder / ("more" if number < 2 else ".") / f"{number:02}.png")
    return folder


@pytest.fixture
def predicted(capsys: pytest.CaptureFixture[str]) -> Callable[..., list[dict[str, Any]]]:
    """Runs ``exuno predict --format jsonl`` and reads its lines."""

    def call(*args: str | Path, code: int = 0) -> list[dict[str, Any]]:
        assert main(["predict", *map(str, args), *CPU, "--format", "jsonl"]) == code
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return call


def by_eval(model: Classifier, folder: Path) -> torch.Tensor:
    """Probabilities as ``exuno eval`` computes them for a folder."""
    data = open_folder(folder, "test")
    found, _ = logits(model, ordered_batches(data, data.image_size), torch.device("cpu"))
    return torch.from_numpy(found).softmax(1)


@pytest.mark.parametrize("kind", ["small", "photographs"])
def test_answers_are_those_of_eval(kind: str, run: Path, digits: Path, tmp_path: Path, predicted) -> None:
    if kind == "small":
        for path in digits.rglob("*.png"):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    else:
        random = np.random.default_rng(0)
        for number, (height, width) in enumerate([(300, 200), (120, 97), (224, 224)]):
            small = Image.fromarray(random.integers(0, 256, (5, 7, 3), np.uint8))
            small.resize((width, height)).save(tmp_path / f"{number}.png")
    expected = by_eval(load_model(f"run:{run}", pretrained=True), tmp_path)
    rows = predicted(run, tmp_path, "--topk", "10", "--batch-size", "2")
    assert [row["image"] for row in rows] == sorted(map(str, tmp_path.iterdir()))
    assert len(rows) == (13 if kind == "small" else 3)
    for row, wanted in zip(rows, expected, strict=True):
        assert row["label"] == int(wanted.argmax())
        assert row["name"] == str(row["label"])
        ranked = [each["probability"] for each in row["topk"]]
        np.testing.assert_allclose(ranked, wanted.sort(descending=True).values, atol=2e-6)
        assert row["margin"] == pytest.approx(ranked[0] - ranked[1], abs=2e-6)


def test_an_answer_does_not_depend_on_neighbours_batches_or_workers(run: Path, digits: Path, predicted) -> None:
    whole = predicted(run, digits, "photo:cat", "--workers", "2", "--batch-size", "3")
    alone = [predicted(run, row["image"])[0] for row in (whole[0], whole[-1])]
    for row, found in zip((whole[0], whole[-1]), alone, strict=True):
        assert found["image"] == row["image"]
        assert found["probability"] == pytest.approx(row["probability"], abs=2e-6)
    assert predicted(run, digits, "photo:cat", "--batch-size", "3") == whole


def test_table_json_lines_and_csv_say_the_same(
    run: Path, digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], predicted
) -> None:
    rows = predicted(run, digits, "--topk", "2")
    command = ["predict", str(run), str(digits), "--topk", "2", *CPU]
    assert main(command) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0].split() == [
        *(rows[0]["image"], rows[0]["name"], f"{rows[0]['probability']:.1%}"),
        *(rows[0]["topk"][1]["name"], f"{rows[0]['topk'][1]['probability']:.1%}"),
    ]
    assert main([*command, "--out", str(tmp_path / "found.csv")]) == 0
    assert capsys.readouterr().out == ""
    read = list(csv.DictReader((tmp_path / "found.csv").open(encoding="utf-8")))
    assert [row["image"] for row in read] == [row["image"] for row in rows] == [line.split()[0] for line in table]
    assert [row["label2"] for row in read] == [str(row["topk"][1]["label"]) for row in rows]
    assert [float(row["probability1"]) for row in read] == [row["probability"] for row in rows]
    assert main([*command, "--out", str(tmp_path / "found.jsonl")]) == 0
    assert [json.loads(line) for line in (tmp_path / "found.jsonl").read_text().splitlines()] == rows


@pytest.mark.parametrize("workers", ["0", "2"])
def test_what_cannot_be_read_is_named_after_all_others(
    workers: str, run: Path, digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = (digits / "03.png").read_bytes()
    content = {"a.png": good, "b.png": b"hello", "c.png": good[:60], "d.png": good, "notes.txt": b"left out"}
    for name, text in content.items():
        (tmp_path / name).write_bytes(text)
    command = ["predict", str(run), str(tmp_path), *CPU, "--workers", workers, "--topk", "3", "--batch-size", "2"]
    for form in ("table", "jsonl", "csv"):
        assert main([*command, "--format", form]) == 1
        said = capsys.readouterr()
        told = [line for line in said.err.splitlines() if line.startswith("exuno: ")]
        assert len(told) == 2
        assert "b.png' is a text, not a picture" in told[0]
        assert "c.png' is damaged or incomplete" in told[1]
        lines = said.out.splitlines()[form == "csv" :]
        assert len(lines) == 4
        assert "not a picture" in lines[1]
        assert "damaged" in lines[2]
        if form == "csv":
            rows = list(csv.DictReader(io.StringIO(said.out)))
            assert [bool(row["error"]) for row in rows] == [False, True, True, False]
            assert [bool(row["label1"]) for row in rows] == [True, False, False, True]


def test_paths_come_from_standard_input(run: Path, digits: Path) -> None:
    """In a process of its own, as they come: the first answer is there before the input ends."""
    code = "import sys; from exuno.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "predict", str(run), "-", *CPU, "--batch-size", "1", "--format", "jsonl"]
    process = subprocess.Popen(command, stdin=-1, stdout=-1, stderr=-1, text=True)
    assert process.stdin
    assert process.stdout
    process.stdin.write(f"{digits}/03.png\n\n")
    process.stdin.flush()
    assert json.loads(process.stdout.readline())["image"] == f"{digits}/03.png"
    rest, err = process.communicate(f"{digits}/none.png\n{digits}\n{digits}/04.png\n")
    rows = [json.loads(line) for line in rest.splitlines()]
    assert [("error" in row) for row in rows] == [True, True, False]
    assert "there is no picture" in err
    assert "is a folder" in err
    assert process.returncode == 1


def test_the_side_of_a_run_and_another(run: Path, digits: Path, tmp_path: Path, predicted) -> None:
    copied = tmp_path / "sized"
    copied.mkdir()
    for name in ("model.safetensors", "model.json"):
        (copied / name).write_bytes((run / name).read_bytes())
    (copied / "config.yaml").write_text("verb: distill\nconfig: {data: digits, size: 224}\n")
    Image.open(digits / "03.png").resize((300, 500)).save(tmp_path / "large.png")
    usual = predicted(run, tmp_path / "large.png")
    assert predicted(copied, tmp_path / "large.png")[0]["topk"] == usual[0]["topk"]
    assert predicted(copied, tmp_path / "large.png", "--size", "64")[0]["topk"] != usual[0]["topk"]
    (copied / "config.yaml").write_text("verb: distill\nconfig: {data: digits, size: 64}\n")
    sized = predicted(copied, tmp_path / "large.png")
    assert sized == predicted(run, tmp_path / "large.png", "--size", "64")


def test_an_answer_that_is_not_finite_is_none(run: Path, digits: Path, tmp_path: Path, predicted) -> None:
    model = load_model(f"run:{run}", pretrained=True)
    with torch.no_grad():
        list(model.net.parameters())[-2].fill_(3e38)
    save_model(model, tmp_path / "broken")
    rows = predicted(tmp_path / "broken", digits / "03.png", code=1)
    assert "is not finite" in rows[0]["error"]


def test_recordings_for_a_model_that_hears(tmp_path: Path, predicted) -> None:
    torch.manual_seed(0)
    model = load_model("exuno:convnet_2_8", classes=3, hearing=Hearing(8000, 8000), pretrained=False)
    save_model(model, tmp_path / "model")
    soundfile = pytest.importorskip("soundfile")
    waves = np.sin(np.arange(12_000) / 7).astype("f4") * 0.4
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in/one.wav", waves, 8000)
    soundfile.write(tmp_path / "in/two.wav", waves[:2000], 8000)
    rows = predicted(tmp_path / "model", tmp_path / "in")
    assert [Path(row["image"]).name for row in rows] == ["one.wav", "two.wav"]
    with torch.inference_mode():
        wanted = model.eval()(torch.from_numpy(waves)[None, None]).softmax(1)[0]
    assert rows[0]["label"] == int(wanted.argmax())
    assert rows[0]["probability"] == pytest.approx(float(wanted.max()), abs=1e-3)


def saved(folder: Path, spec: str, **options: Any) -> Path:
    model = load_model(spec, pretrained=False, **options)
    save_model(model, folder)
    return folder


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["RUN"], "no picture was given"),
        (["RUN", ""], "a picture has an empty name"),
        (["RUN", "nowhere.png"], "there is no picture 'nowhere.png'"),
        (["RUN", "nowhere/*.png"], "there is no picture"),
        (["RUN", "EMPTY"], "there are no pictures in"),
        (["RUN", "TEXTS"], "but 1 .txt"),
        (["RUN", "photo:catt"], "Did you mean photo:cat?"),
        (["RUN", "-", "-"], "standard input is named twice"),
        (["RUN", "photo:cat", "--topk", "0"], "--topk is 0"),
        (["RUN", "photo:cat", "--batch-size", "0"], "--batch-size is 0"),
        (["RUN", "photo:cat", "--format", "xml"], "--format"),
        (["RUN", "photo:cat", "--out", "EMPTY"], "/empty is a folder"),
        (["nowhere", "photo:cat"], "there is no run and no file 'nowhere'"),
        (["poster:RUN", "photo:cat"], "is a poster"),
        (["exuno:convnet_2_8", "photo:cat"], "architecture without weights"),
        (["BACKBONE", "photo:cat"], "names no classes"),
        (["CLIPS", "photo:cat"], "takes clips"),
        (["HEARS", "photo:cat"], "there is no recording 'photo:cat'"),
        (["HEARS", "sound:chirps", "--size", "8"], "is a side of images"),
    ],
)
def test_mistakes(
    args: list[str], words: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/a.txt").write_text("hello")
    made: dict[str, Callable[[], Path]] = {
        "RUN": lambda: run,
        "EMPTY": lambda: tmp_path / "empty",
        "TEXTS": lambda: tmp_path / "texts",
        "BACKBONE": lambda: saved(tmp_path / "m", "exuno:vit_24_2_3_2", classes=0, in_chans=1, input_size=(8, 8)),
        "CLIPS": lambda: saved(tmp_path / "m", "exuno:x3d_xs", classes=2),
        "HEARS": lambda: saved(tmp_path / "m", "exuno:convnet_2_8", classes=2, hearing=Hearing(8000, 8000)),
    }
    typed = [str(made[word]()) if word in made else word.replace("RUN", str(run)) for word in args]
    assert words in fails("predict", *typed, *CPU)


def test_a_dry_run_opens_and_answers_nothing(
    run: Path, digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], fails
) -> None:
    out = tmp_path / "found.csv"
    assert main(["predict", str(run), str(digits), "--dry-run", "--out", str(out)]) == 0
    assert "# checked" in capsys.readouterr().out
    assert not out.exists()
    assert "there is no picture" in fails("predict", run, "nowhere.png", "--dry-run")


def test_a_folder_is_walked_in_order(run: Path, digits: Path, predicted) -> None:
    names = [str(Path(row["image"]).relative_to(digits)) for row in predicted(run, digits)]
    assert names == [*(f"{number:02}.png" for number in range(2, 13)), "more/00.png", "more/01.png"]


def test_names_of_classes_are_those_of_the_card(run: Path, digits: Path, tmp_path: Path, predicted) -> None:
    model = load_model(f"run:{run}", pretrained=True)
    model.card = replace(model.card, class_names=tuple(f"Ziffer {i}, groß" for i in range(10)))
    save_model(model, tmp_path / "named")
    row = predicted(tmp_path / "named", digits / "03.png")[0]
    assert row["name"] == f"Ziffer {row['label']}, groß"
    model.card = replace(model.card, class_names=None)
    save_model(model, tmp_path / "bare")
    assert predicted(tmp_path / "bare", digits / "03.png")[0]["name"] == str(row["label"])

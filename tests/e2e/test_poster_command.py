"""``exuno poster`` as a user types it, on slivers of work: what it leaves, that it resumes, what it refuses."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from exuno.cli import main
from exuno.data.poster.format import Poster, load
from exuno.poster.start import first_labels

SHORT = (
    "--devices cpu --batch-size 30 --steps 4 --evaluations 2 --optim.lr 0.05 --model exuno:convnet_1_8 --inner.lr 0.01"
    " --unroll.window 2 --unroll.total 4 --eval.networks 2 --eval.steps 2 6 --eval.trials 1 --eval.baselines 1"
)


def poster(folder: Path, *args: str | Path, code: int = 0) -> Path:
    """Runs ``exuno poster`` in a folder, short; later arguments win."""
    assert main(["poster", *SHORT.split(), *map(str, args), "--run-dir", str(folder)]) == code
    return folder


def result(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "result.json").read_text())


def files(folder: Path) -> dict[str, bytes]:
    found = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    assert found
    return found


def logged(folder: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "time"} for line in lines]


def write_images(path: Path, classes: int, channels: int, height: int = 8, width: int = 8) -> str:
    """An .npz file of random images, brighter from class to class; returns its spec."""
    random, arrays = np.random.default_rng(0), {}
    for split, count in (("train", 30), ("test", 10)):
        labels = np.arange(count * classes) % classes
        images = random.integers(0, 100, (len(labels), height, width, channels)) + 30 * labels[:, None, None, None]
        arrays |= {f"{split}_images": images.squeeze().astype(np.uint8), f"{split}_labels": labels}
    np.savez(path, **arrays)
    return f"npz:{path}"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with learned labels, on the digits; it goes too fast, so that its last poster is not its best."""
    folder = tmp_path_factory.mktemp("posters") / "run"
    args = ["--data", "digits", "--ipc", "0.5", "--labels", "learned", "--model", "exuno:convnet_2_16", "--steps", "12"]
    args += ["--init", "real", "--optim.lr", "0.2", "--evaluations", "3", "--eval.steps", "5", "20"]
    return poster(folder, *args)


def test_a_run_directory_holds_all_that_a_reader_needs(run: Path) -> None:
    assert {path.name for path in run.iterdir()} >= {
        "config.yaml",
        "command.txt",
        "environment.json",
        "metrics.jsonl",
        "checkpoints",
        "distilled.poster",
        "frames",
        "evaluation",
        "result.json",
        "report.html",
    }
    assert set(files(run / "distilled.poster")) == {"poster.png", "poster.json", "labels.safetensors"}
    assert list(files(run / "frames")) == [f"{step:09d}.png" for step in (0, 4, 8, 12)]
    content = result(run)
    names = {"random real images", "random real images, shrunk", "herded real images", "herded real images, shrunk"}
    assert set(content["metrics"]) == {"poster/top1", "held/accuracy"}
    assert set(content["baselines"]) == {"chance/top1", *(f"{name}/top1" for name in names)}
    assert content["baselines"]["chance/top1"] == 0.1
    assert set(content["intervals"]) == {"poster/top1"}
    assert content["n"] == {"poster/top1": 355}
    assert content["training_steps"]["tested"] == [5, 20]
    assert content["training_steps"]["chosen"] in (5, 20)
    assert [table["title"].split(",")[0] for table in content["tables"]] == ["Test accuracy", "Bytes"]
    made = load(run)
    assert content["lineage"]["poster"]["sha256"] == made.fingerprint
    assert content["lineage"]["data"] == "digits"
    assert content["steps"] == 12
    page = (run / "report.html").read_text()
    assert "result.json says" not in page  # no number contradicts another


def test_the_ledger_counts_what_lies_on_disk(run: Path) -> None:
    made, ledger = load(run), result(run)["ledger"]
    assert made.labels is not None
    assert ledger["pixels"] == made.pixels.size == made.layout.pixels <= 320
    assert ledger["labels"] == made.labels.nbytes
    assert ledger["png"] == (run / "distilled.poster/poster.png").stat().st_size
    assert ledger["total"] == ledger["pixels"] + ledger["labels"] + 10 + 16
    assert ledger["ipc"] == pytest.approx(0.5, abs=0.03)


def test_what_was_measured_is_the_poster_on_disk(run: Path, tmp_path: Path) -> None:
    """``exuno eval`` reads the rounded poster and finds the very same accuracies."""
    args = ["eval", f"poster:{run}", "--devices", "cpu", "--networks", "2", "--baselines", "1"]
    assert main([*args, "--run-dir", str(tmp_path / "eval")]) == 0
    found, expected = result(tmp_path / "eval"), result(run)
    assert found["networks"]["poster"] == expected["networks"]["poster"]
    assert found["metrics"]["poster/top1"] == expected["metrics"]["poster/top1"]
    assert found["training_steps"] == expected["training_steps"]
    assert found["ledger"] == expected["ledger"]


def test_a_palette_and_labels_of_classes_go_all_the_way(tmp_path: Path) -> None:
    args = ["--data", write_images(tmp_path / "a.npz", 4, 3), "--bytes", "300", "--bits", "4", "--palette"]
    run = poster(tmp_path / "run", *args, "--labels", "shared", "--label-bits", "4", "--init", "real")
    made, ledger = load(run), result(run)["ledger"]
    assert (made.channels, made.label_sharing, len(made.pixels)) == (3, "classes", 1)
    assert (ledger["palette"], ledger["labels"]) == (96, 8)
    assert 280 < ledger["pixels"] + ledger["palette"] + ledger["labels"] <= 300
    assert result(run)["steps"] == 4
    assert main(["eval", f"poster:{run}", "--devices", "cpu", "--networks", "2", "--run-dir", str(tmp_path / "e")]) == 0
    assert result(tmp_path / "e")["networks"]["poster"] == result(run)["networks"]["poster"]
    args = ["teach", "--data", f"poster:{run}", "--model", "exuno:convnet_1_8", "--smoke", "--devices", "cpu"]
    assert main([*args, "--run-dir", str(tmp_path / "taught")]) == 0


@pytest.mark.parametrize("algorithm", ["rat-bptt", "dm"])
def test_colours_of_half_the_size_go_all_the_way(tmp_path: Path, algorithm: str) -> None:
    args = ["--data", write_images(tmp_path / "a.npz", 4, 3), "--bytes", "301", "--bits", "4", "--chroma", "half"]
    args += ["--labels", "learned", "--label-bits", "4", "--zca", "--zca-from", "spectrum", "--algorithm", algorithm]
    run = poster(tmp_path / "run", *args)
    made, ledger = load(run), result(run)["ledger"]
    height, width = made.layout.size
    assert made.pixels.shape == (1, height + (height + 1) // 2, (width + 1) // 2 * 2)
    numbers = height * width + 2 * ((height + 1) // 2) * ((width + 1) // 2)
    assert (ledger["pixels"], ledger["labels"]) == ((numbers + 1) // 2, 8)
    assert 270 < ledger["pixels"] + ledger["labels"] <= 301
    assert ledger["png"] == (run / "distilled.poster/poster.png").stat().st_size
    frames = [np.asarray(Image.open(path)) for path in sorted((run / "frames").iterdir())]
    assert frames[0].shape == (height, width, 3)
    assert not np.array_equal(frames[0], frames[-1])
    assert "pixels, colours of half the size, " in (run / "report.html").read_text()
    assert main(["eval", f"poster:{run}", "--devices", "cpu", "--networks", "2", "--run-dir", str(tmp_path / "e")]) == 0
    assert result(tmp_path / "e")["networks"]["poster"] == result(run)["networks"]["poster"]
    args = ["teach", "--data", f"poster:{run}", "--model", "exuno:convnet_1_8", "--smoke", "--devices", "cpu"]
    assert main([*args, "--run-dir", str(tmp_path / "taught")]) == 0
    assert main(["export", f"poster:{run}", "--to", str(tmp_path / "card")]) == 0
    assert "colours of half the size" in (tmp_path / "card/README.md").read_text()
    assert load(tmp_path / "card").fingerprint == made.fingerprint


def test_gray_files_go_all_the_way(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for split in ("train", "test"):
        for number in range(40):
            path = tmp_path / "gray" / split / "ab"[number % 2] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(0, 155, (8, 8), np.uint8) + np.uint8(100 * (number % 2))).save(path)
    run = poster(tmp_path / "run", "--data", f"folder:{tmp_path / 'gray'}", "--ipc", "1")
    assert load(run).channels == 1
    assert result(run)["ledger"]["normalisation"] == 16
    assert main(["eval", f"poster:{run}", "--devices", "cpu", "--networks", "2", "--run-dir", str(tmp_path / "e")]) == 0
    assert result(tmp_path / "e")["networks"]["poster"] == result(run)["networks"]["poster"]
    args = ["teach", "--data", f"poster:{run}", "--model", "exuno:convnet_1_8", "--smoke", "--devices", "cpu"]
    assert main([*args, "--run-dir", str(tmp_path / "taught")]) == 0


def test_whitened_by_a_formula(tmp_path: Path, fails: Any) -> None:
    args = ["--data", write_images(tmp_path / "a.npz", 4, 3), "--ipc", "1", "--zca-from", "spectrum"]
    assert "--zca-from would do nothing: --zca is off. Add --zca" in fails(*args)
    run = poster(tmp_path / "run", *args, "--zca")
    assert set(files(run / "distilled.poster")) == {"poster.png", "poster.json"}
    assert result(run)["ledger"]["whitening"] == 0
    assert main(["eval", f"poster:{run}", "--devices", "cpu", "--networks", "2", "--run-dir", str(tmp_path / "e")]) == 0
    assert result(tmp_path / "e")["networks"]["poster"] == result(run)["networks"]["poster"]


def test_few_bits_hold_more_pixels_in_as_many_bytes(tmp_path: Path) -> None:
    args = ["--data", "digits", "--bytes", "274", "--bits", "4", "--labels", "learned", "--label-bits", "4"]
    args += ["--init", "real", "--model", "exuno:convnet_2_16", "--patch", "5", "--steps", "3", "--evaluations", "1"]
    args += ["--eval.steps", "5"]
    run = poster(tmp_path / "few", *args)
    made, ledger = load(run), result(run)["ledger"]
    assert (made.bits, made.label_bits) == (4, 4)
    assert 430 < made.pixels.size <= 448
    assert set(np.unique(made.pixels)) == {17 * level for level in range(16)}
    assert (ledger["labels"], ledger["pixels"]) == (50, (made.pixels.size + 1) // 2)
    assert 290 < ledger["total"] <= 300
    assert ledger["png"] == (run / "distilled.poster/poster.png").stat().st_size
    args = ["eval", f"poster:{run}", "--devices", "cpu", "--networks", "2", "--baselines", "0"]
    assert main([*args, "--run-dir", str(tmp_path / "eval")]) == 0
    assert result(tmp_path / "eval")["networks"]["poster"] == result(run)["networks"]["poster"]
    said = " ".join(str(row) for table in result(run)["tables"] for row in table["rows"])
    assert "'pixels, 4 bits'" in said
    assert "'labels, 4 bits'" in said


def test_the_poster_that_did_best_on_held_out_data_is_the_one_that_is_kept(run: Path) -> None:
    held = [line["held/top1"] for line in logged(run) if "held/top1" in line]
    assert len(held) == 3
    best = 4 * (1 + held.index(max(held)))
    assert files(run / "frames")[f"{best:09d}.png"] != files(run / "frames")["000000000.png"]
    from PIL import Image

    with Image.open(run / f"frames/{best:09d}.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), load(run).pixels[0])


def test_distilling_moves_pixels_and_labels(run: Path) -> None:
    made = load(run)
    assert made.labels is not None
    from exuno.poster.options import PosterConfig

    begun = first_labels(PosterConfig("digits", labels="learned"), made.layout, made.order, 10)
    assert begun.shape == made.labels.shape
    assert np.abs(begun.numpy() - made.labels).max() > 0.01
    assert made.labels.min() >= 0


def test_a_finished_run_answers_at_once_and_its_config_replays_it(run: Path, tmp_path: Path) -> None:
    before = (run / "result.json").stat().st_mtime_ns
    assert main(["poster", str(run / "config.yaml"), "--run-dir", str(run)]) == 0
    assert (run / "result.json").stat().st_mtime_ns == before
    assert main(["poster", str(run / "config.yaml"), "--run-dir", str(tmp_path / "again")]) == 0
    assert files(tmp_path / "again/distilled.poster") == files(run / "distilled.poster")
    assert result(tmp_path / "again")["networks"] == result(run)["networks"]
    assert logged(tmp_path / "again") == logged(run)


def test_both_back_ends_make_the_same_poster(run: Path, tmp_path: Path) -> None:
    args = ["poster", str(run / "config.yaml"), "--unroll.backend", "reverse", "--run-dir", str(tmp_path / "run")]
    assert main(args) == 0
    assert files(tmp_path / "run/distilled.poster") == files(run / "distilled.poster")


def test_teach_and_distill_learn_from_a_poster(run: Path, tmp_path: Path) -> None:
    args = ["teach", "--data", f"poster:{run}", "--model", "exuno:convnet_2_16", "--devices", "cpu", "--epochs", "20"]
    assert main([*args, "--batch-size", "16", "--optim.lr", "0.01", "--run-dir", str(tmp_path / "taught")]) == 0
    assert result(tmp_path / "taught")["n"]["model/top1"] == 355
    args = ["distill", "--teacher", f"run:{tmp_path / 'taught'}", "--student", "exuno:convnet_1_8", "--data", "digits"]
    args += ["--source", f"poster:{run}", "--smoke", "--devices", "cpu"]
    assert main([*args, "--run-dir", str(tmp_path / "distilled")]) == 0
    assert "student/top1" in result(tmp_path / "distilled")["metrics"]


@pytest.mark.parametrize("algorithm", ["rat-bptt", "dm", "gm"])
def test_every_algorithm_changes_the_poster(tmp_path: Path, algorithm: str) -> None:
    spec = write_images(tmp_path / "a.npz", 3, 1)
    made = poster(tmp_path / "run", "--data", spec, "--ipc", "1", "--algorithm", algorithm)
    pictures = list(files(made / "frames").values())
    assert len(set(pictures)) == 3
    assert load(made).lineage["seed"] == 0


def test_whitened_posters_from_real_images_in_colour(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = write_images(tmp_path / "a.npz", 4, 3)
    args = ["--data", spec, "--canvas", "20x16", "--zca", "--grid", "2x2", "--eval.baselines", "0"]
    made = poster(tmp_path / "run", *args, "--init", "real")
    found = load(made)
    assert (found.pixels.shape, found.layout.grid) == ((3, 16, 20), (2, 2))
    assert found.whitening is not None
    assert set(files(made / "distilled.poster")) == {"poster.png", "poster.json", "whitening.safetensors"}
    assert result(made)["ledger"]["whitening"] == 4 * (3 * 64) ** 2
    noise = load(poster(tmp_path / "noise", *args))
    assert not np.array_equal(noise.pixels, found.pixels)
    args = ["teach", "--data", f"poster:{made}", "--model", "exuno:convnet_1_8", "--devices", "cpu", "--smoke"]
    assert main([*args, "--run-dir", str(tmp_path / "taught")]) == 0
    args = ["distill", "--teacher", f"run:{tmp_path / 'taught'}", "--student", "exuno:convnet_1_8", "--devices", "cpu"]
    args += ["--data", f"poster:{made}", "--source", f"poster:{made}", "--adversarial", "0.05", "--smoke"]
    assert main([*args, "--run-dir", str(tmp_path / "distilled")]) == 2
    assert "--adversarial keeps pixels in [0, 1], and the images of" in " ".join(capsys.readouterr().err.split())


def test_a_budget_of_bytes_is_kept(tmp_path: Path) -> None:
    spec = write_images(tmp_path / "a.npz", 3, 3, 8, 10)
    made = poster(tmp_path / "run", "--data", spec, "--bytes", "600", "--labels", "learned", "--order", "2,0,1")
    found, ledger = load(made), result(made)["ledger"]
    assert 540 <= ledger["pixels"] + ledger["labels"] <= 600
    assert found.order.ravel().tolist() == [2, 0, 1]
    assert found.layout.image == (8, 10)


def test_half_an_image_for_all_classes_together(tmp_path: Path) -> None:
    """0.05 images per class: patches smaller than an image, labels that differ."""
    made = load(poster(tmp_path / "run", "--data", "digits", "--ipc", "0.05"))
    assert made.layout.pixels <= 32
    images, labels = made.patches()
    assert images.shape[1:] == (1, 8, 8)
    assert len(labels.unique(dim=0)) > 1


def test_several_inner_runs_sgd_and_another_network(tmp_path: Path) -> None:
    args = ["--data", write_images(tmp_path / "a.npz", 3, 1), "--ipc", "1", "--unroll.runs", "2", "--inner.name", "sgd"]
    args += ["--model", "exuno:resnet8", "--inner.augment", "all:flip_rotate_scale_crop_color_cutout"]
    made = poster(tmp_path / "run", *args, "--inner.batch", "3", "--label-formula", "reference", "--eval.holdout", "0")
    assert load(made).label_formula == "reference"
    assert load(made).protocol["inner"]["name"] == "sgd"


def test_smoke(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["poster", "--data", "digits", "--ipc", "1", "--model", "exuno:convnet_2_16", "--smoke", "--devices", "cpu"]
    assert main([*args, "--run-dir", str(tmp_path / "run")]) == 0
    assert result(tmp_path / "run")["steps"] == 4
    assert "report.html" in capsys.readouterr().out
    assert main([*args, "--dry-run"]) == 0
    assert "outer steps" in capsys.readouterr().out


def exuno(*args: str | Path) -> list[str]:
    return [sys.executable, "-m", "exuno", "poster", *SHORT.split(), *map(str, args)]


def test_a_killed_run_ends_with_the_same_poster_bit_for_bit(tmp_path: Path) -> None:
    args = ["--data", "digits", "--ipc", "0.5", "--labels", "learned", "--steps", "30", "--evaluations", "10"]
    args += ["--unroll.runs", "2", "--unroll.window", "4", "--unroll.total", "8", "--inner.batch", "6"]
    args += ["--model", "exuno:convnet_2_16", "--init", "real", "--optim.lr", "0.2", "--eval.steps", "5", "20"]
    whole, cut = poster(tmp_path / "whole", *args), tmp_path / "cut"
    process = subprocess.Popen(
        exuno(*args, "--run-dir", cut), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not any(int(path.stem[5:]) >= 6 for path in cut.glob("checkpoints/step-*.pt")):
        assert time.monotonic() < deadline
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    reached = max(int(path.stem[5:]) for path in cut.glob("checkpoints/step-*.pt"))
    assert reached < 30
    assert not (cut / "result.json").exists()
    before = (cut / "frames/000000003.png").stat().st_mtime_ns
    poster(cut, *args)
    assert (cut / "frames/000000003.png").stat().st_mtime_ns == before, "it began again"
    assert files(cut / "frames") == files(whole / "frames")
    assert len(files(cut / "frames")) == 11
    assert files(cut / "distilled.poster") == files(whole / "distilled.poster")
    assert logged(cut) == logged(whole)
    for name in ("networks", "metrics", "training_steps", "ledger"):
        assert result(cut)[name] == result(whole)[name]


@pytest.mark.slow
def test_two_processes_make_the_poster_of_one(tmp_path: Path) -> None:
    spec = write_images(tmp_path / "a.npz", 3, 1)
    args = ["--data", spec, "--ipc", "1", "--unroll.runs", "2", "--labels", "learned", "--optim.name", "sgd"]
    args += ["--optim.lr", "1"]
    one = poster(tmp_path / "one", *args)
    command = exuno(*args, "--devices", "cpu:2", "--run-dir", tmp_path / "two")
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    states = [
        torch.load(tmp_path / name / "checkpoints/step-000000004.pt", weights_only=True)["method"]
        for name in ("one", "two")
    ]
    for name in ("pixels", "labels", "best_pixels", "norm"):
        torch.testing.assert_close(states[1][name], states[0][name], atol=1e-5, rtol=1e-5)
    frames = list(files(one / "frames").values())
    assert frames[0] != frames[-1], "nothing was learned"
    both = [load(tmp_path / name).pixels.astype(int) for name in ("one", "two")]
    assert np.abs(both[0] - both[1]).max() <= 1


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """Runs a short ``exuno poster`` that must fail; returns what it told the user."""

    def run(*args: str | Path) -> str:
        poster(tmp_path / "run", *args, code=2)
        said = capsys.readouterr()
        assert "Traceback" not in said.err + said.out
        assert not (tmp_path / "run/distilled.poster").exists()
        return " ".join(said.err.split())

    return run


DIGITS = ["--data", "digits", "--ipc", "1"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--data", "digits"], "the poster has no budget"),
        ([*DIGITS, "--canvas", "40x16"], "--ipc and --canvas are 2 budgets"),
        ([*DIGITS, "--bytes", "400"], "--ipc and --bytes are 2 budgets"),
        (["--data", "digits", "--ipc", "0"], "--ipc is 0"),
        (["--data", "digits", "--ipc", "0.001"], "smaller than its grid of 5x2"),
        (["--data", "digits", "--canvas", "40by16"], "--canvas 40by16 is not understood"),
        (["--data", "digits", "--canvas", "20x6", "--patch", "8"], "smaller than one patch of 8x8"),
        (["--data", "digits", "--bytes", "50", "--labels", "learned"], "does not hold the learned labels"),
        (["--data", "digits", "--bytes", "50", "--labels", "learned", "--label-bits", "4"], "which take up to 50"),
        ([*DIGITS, "--bits", "3"], "--bits"),
        ([*DIGITS, "--chroma", "half"], "--chroma half does nothing for a poster in gray"),
        ([*DIGITS, "--chroma", "half", "--palette", "--channels", "3"], "--chroma half and --palette are two ways"),
        ([*DIGITS, "--label-bits", "1"], "--label-bits"),
        ([*DIGITS, "--label-bits", "4"], "--label-bits would do nothing: labels are fixed"),
        (
            [*DIGITS, "--labels", "shared", "--label-cells", "2"],
            "--label-cells would do nothing: labels are shared",
        ),
        ([*DIGITS, "--grid", "3x3"], "--grid 3x3 has 9 places for 10 classes"),
        ([*DIGITS, "--grid", "ten"], "--grid ten is not understood"),
        ([*DIGITS, "--patches", "200x200"], "--patches 200x200 is more than the"),
        ([*DIGITS, "--patches", "1x1"], "leaves out class"),
        ([*DIGITS, "--area", "200x2"], "--area 200x2 does not fit"),
        ([*DIGITS, "--patch", "9"], "--patch is 9"),
        ([*DIGITS, "--order", "1,2,3"], "--order has class 0 0 times"),
        (
            [*DIGITS, "--unroll.window", "10", "--unroll.total", "5"],
            "--unroll.total is 5. Give at least the window",
        ),
        ([*DIGITS, "--unroll.least", "3"], "--unroll.least is 3"),
        ([*DIGITS, "--unroll.adapt", "2"], "--unroll.adapt is 2. Give 0 to 1"),
        (
            [*DIGITS, "--algorithm", "dm", "--unroll.adapt", "1"],
            "--unroll.adapt would do nothing: --algorithm dm has no window",
        ),
        ([*DIGITS, "--inner.augment", "mirror"], "'mirror' in 'mirror' is no augmentation"),
        ([*DIGITS, "--real-augment", "flip_tilt"], "'tilt' in 'flip_tilt' is no augmentation"),
        ([*DIGITS, "--precision", "bf16"], "too coarse for a gradient through a training"),
        ([*DIGITS, "--model", "exuno:convnet_4_8"], "halves an input of 8x8 pixels to nothing"),
        ([*DIGITS, "--model", f"file:{__file__}"], "no network with random weights"),
        ([*DIGITS, "--algorithm", "dm", "--model", "torchvision:squeezenet1_1", "--size", "32"], "features"),
        ([*DIGITS, "--eval.holdout", "1"], "--eval.holdout is 1"),
        ([*DIGITS, "--eval.steps", "0"], "--eval.steps is 0"),
        ([*DIGITS, "--inner.momentum", "1"], "--inner.momentum is 1"),
        ([*DIGITS, "--steps", "0"], "--steps is 0"),
        ([*DIGITS, "--optim.lr", "-1"], "--optim.lr"),
        (["--data", "nowhere", "--ipc", "1"], "nowhere"),
        ([*DIGITS, "--inner.lr", "1e30"], "became nan"),
        ([*DIGITS, "--optim.lr", "1e38", "--optim.name", "sgd"], "became nan"),
    ],
    ids=lambda value: " ".join(value)[-40:] if isinstance(value, list) else "",
)
def test_mistakes(fails, args: list[str], words: str) -> None:
    assert words in fails(*args)


def test_bits_of_labels_that_a_preset_says_are_no_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    line = ["poster", "digits-300", "--labels", "fixed", "--dry-run"]
    assert main(line) == 0, capsys.readouterr().err
    assert main([*line, "--label-bits", "8"]) == 2
    assert "--label-bits would do nothing: labels are fixed" in capsys.readouterr().err


def test_a_class_without_training_images(fails, tmp_path: Path) -> None:
    write_images(tmp_path / "a.npz", 4, 1)
    arrays = dict(np.load(tmp_path / "a.npz"))
    keep = arrays["train_labels"] != 2
    arrays |= {name: arrays[name][keep] for name in ("train_images", "train_labels")}
    np.savez(tmp_path / "a.npz", **arrays)
    args = ["--data", f"npz:{tmp_path}/a.npz", "--ipc", "1"]
    assert "class 2 has no image to train on" in fails(*args)
    assert not (tmp_path / "run").exists(), "nothing happened in it: free for the corrected command"
    assert "class 2 has no image to start from" in fails(*args, "--init", "real", "--order", "given")


def test_a_run_of_another_command_is_not_touched(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(run / "distilled.poster")
    assert main(["poster", *SHORT.split(), *DIGITS, "--run-dir", str(run)]) == 2
    assert re.search(r"configuration|other", capsys.readouterr().err)
    assert files(run / "distilled.poster") == before


def test_a_poster_cannot_be_made_of_a_poster_that_is_damaged(run: Path, tmp_path: Path, fails) -> None:
    folder = tmp_path / "broken.poster"
    folder.mkdir()
    for name, content in files(run / "distilled.poster").items():
        (folder / name).write_bytes(content[: len(content) // 2])
    assert "broken.poster" in fails("--data", f"poster:{folder}", "--ipc", "1")
    assert isinstance(load(run), Poster)

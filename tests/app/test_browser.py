"""``exuno app`` in a real browser: a photograph in, a student out; cancelled; mistakes; nobody else is asked."""

import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from exuno.cli import main

pytest.importorskip("gradio")
playwright = pytest.importorskip("playwright.sync_api")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 180_000
"""Milliseconds."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the page is started: a photograph, digits as files, a teacher."""
    from sklearn.datasets import load_digits

    folder = tmp_path_factory.mktemp("app")
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    Image.fromarray(noise).save(folder / "photo.png")
    (folder / "letter.jpg").write_text("no picture")
    digits: Any = load_digits()
    with zipfile.ZipFile(folder / "digits.zip", "w") as archive:
        for number, (pixels, name) in enumerate(zip(digits.images[:300], digits.target, strict=False)):
            path = folder / "digits" / str(name) / f"{number:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((pixels * 15.9).astype(np.uint8)).save(path)
            archive.write(path, path.relative_to(folder))
    teach = ["teach", "digits", "--model", "exuno:convnet_2_16", "--budget", "0.1", "--devices", "cpu"]
    assert main([*teach, "--run-dir", str(folder / "teacher")]) == 0
    return folder


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """The page, served by the real command."""
    command = [sys.executable, "-m", "exuno", "app", "--port", "0", "--devices", "cpu"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        line = server.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert found, line
        yield found[0]
        server.terminate()
        server.wait(90)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    with playwright.sync_playwright() as started:
        try:
            browser = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        except playwright.Error as error:
            pytest.skip(f"there is no browser: {str(error).splitlines()[0]}")
        yield browser
        browser.close()


@pytest.fixture
def tab(chromium: Any, address: str) -> Iterator[Any]:
    """The page in a browser. Whatever it asks for, it asks of this machine, and it says nothing of errors."""
    asked: list[str] = []
    wrong: list[str] = []
    with chromium.new_context(viewport={"width": 1280, "height": 900}) as context:
        tab = context.new_page()
        tab.set_default_timeout(PATIENCE)
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        tab.goto(address)
        tab.wait_for_selector("#photo-start")
        yield tab
    assert len(asked) > 5
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
    assert wrong == []


def fill(tab: Any, name: str, text: str) -> None:
    tab.fill(f"#{name} :is(input:not([type=range]), textarea)", text)
    tab.press(f"#{name} :is(input:not([type=range]), textarea)", "Tab")


def give(tab: Any, name: str, *paths: Path) -> None:
    """Gives files to an input; the list of what was uploaded has the stem and the suffix of a name apart."""
    tab.set_input_files(f"#{name} input[type=file]", [str(path) for path in paths])
    tab.wait_for_selector(f"#{name} .filename[aria-label='{paths[-1].name}']")


def says(tab: Any, name: str, text: str) -> str:
    """What an element says as soon as that is ``text`` among other things."""
    return tab.locator(f"#{name}", has_text=text).first.inner_text()


def test_a_photograph_in_and_a_student_out(
    tab: Any, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    give(tab, "photo-file", folder / "photo.png")
    tab.wait_for_selector("#photo-patches .patches img")
    assert tab.locator("#photo-patches .patches img").count() > 20
    tab.get_by_label("A run, or any model spec").check()
    fill(tab, "photo-name", "teacher")
    fill(tab, "photo-student", "exuno:convnet_2_16")
    fill(tab, "photo-data", "digits")
    fill(tab, "photo-more", "--size 8 --patches 1024 --epochs 4 --batch-size 64 --evaluations 2 --optim.lr 0.01")
    tab.click("#photo-start")
    command = says(tab, "photo-status", "exuno distill --teacher run:teacher")
    assert re.search(r"--source runs/app/photos/photo-\w+\.png", command)
    says(tab, "photo-status", "Done. The run is in runs/app/photo-")
    assert tab.locator("#photo-body svg").count() >= 2  # loss and accuracy
    with tab.expect_download() as waiting:
        tab.click("#photo-download-0")
    student = tmp_path / waiting.value.suggested_filename
    waiting.value.save_as(student)
    assert student.suffix == ".safetensors"
    (run,) = (folder / "runs/app").glob("photo-*/result.json")
    found = json.loads(run.read_text())["metrics"]["student/top1"]
    assert f"{100 * found:.1f}" in tab.inner_text("#photo-body .student")
    capsys.readouterr()
    assert main(["eval", f"file:{student}", "--data", "digits", "--devices", "cpu"]) == 0
    assert f"{100 * found:.2f} %" in capsys.readouterr().out

    tab.click("#photo-draw")
    tab.wait_for_selector("#photo-answers .tile")
    assert tab.locator("#photo-answers .tile").count() == 12
    assert tab.inner_text("#photo-answers").count("student") >= 12
    give(tab, "photo-tests", folder / "digits/0/000.png")
    tab.click("#photo-ask")
    assert "000.png" in says(tab, "photo-answers", "of 1.")


@pytest.mark.slow  # the same without a browser is in test_jobs.py
def test_a_training_is_cancelled_and_seen_again(tab: Any, folder: Path) -> None:
    give(tab, "photo-file", folder / "photo.png")
    fill(tab, "photo-more", "--epochs 5000")
    tab.click("#photo-start")
    says(tab, "photo-status", "The teacher learns")
    tab.reload()
    says(tab, "photo-status", "The teacher learns")
    tab.get_by_role("tab", name="Poster").click()
    fill(tab, "poster-folder", "digits")
    tab.click("#poster-start")
    assert "One at a time" in says(tab, "poster-status", "A command is running")
    tab.get_by_role("tab", name="Photograph").click()
    tab.click("#photo-cancel")
    says(tab, "photo-status", "Stopped, with a checkpoint.")
    assert tab.is_enabled("#photo-start")
    assert tab.is_disabled("#photo-cancel")


def test_mistakes_are_sentences(tab: Any, folder: Path) -> None:
    tab.click("#photo-start")
    says(tab, "photo-status", "No photograph was given.")
    give(tab, "photo-file", folder / "letter.jpg")
    says(tab, "photo-patches", "letter.jpg")
    tab.wait_for_selector("#photo-patches .mistake")
    tab.click("#photo-start")
    says(tab, "photo-status", "letter")
    tab.get_by_role("tab", name="Few images").click()
    tab.click("#few-ask")
    says(tab, "few-answers", "There are not yet two classes.")
    assert "Traceback" not in tab.content()


def test_a_few_images_of_each_class(tab: Any, folder: Path) -> None:
    tab.get_by_role("tab", name="Few images").click()
    fill(tab, "few-model", "teacher")
    tab.click("#few-another")
    queries = []
    for number, name in enumerate(("nought", "one", "six")):
        files = sorted((folder / "digits" / ("0", "1", "6")[number]).glob("*.png"))
        fill(tab, f"few-name-{number}", name)
        give(tab, f"few-files-{number}", *files[:5])
        queries.append(files[7])
    give(tab, "few-queries", *queries)
    tab.click("#few-ask")
    tab.wait_for_selector("#few-answers .tile")
    tiles = tab.locator("#few-answers .tile").all_inner_texts()
    assert [name in tile for name, tile in zip(("nought", "one", "six"), tiles, strict=True)] == [True] * 3
    assert all("margin" in tile for tile in tiles)


def test_a_poster_grows_and_is_downloaded(tab: Any, folder: Path, tmp_path: Path) -> None:
    from exuno.data.poster.format import load

    tab.get_by_role("tab", name="Poster").click()
    give(tab, "poster-file", folder / "digits.zip")
    fill(tab, "poster-side", "8")
    fill(tab, "poster-more", "--smoke")
    tab.click("#poster-start")
    says(tab, "poster-status", "Done.")
    assert tab.locator("#poster-body .growth .whole").count() == 1
    assert tab.locator("#poster-body .stages img").count() >= 2
    with tab.expect_download() as waiting:
        tab.click("#poster-download-0")
    waiting.value.save_as(tmp_path / "poster.zip")
    with zipfile.ZipFile(tmp_path / "poster.zip") as archive:
        archive.extractall(tmp_path)
    assert load(tmp_path / "distilled.poster").class_names == tuple("0123456789")

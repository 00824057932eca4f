"""The tabs without a browser: which command a choice becomes, and what is said of a mistake."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gradio")

from exuno.app import few, photo, poster
from exuno.app.jobs import Jobs
from exuno.app.page import page, style
from exuno.app.parts import Desk, mistake, told
from exuno.engine.errors import ExunoError
from exuno.poster.options import PosterConfig

CAT = ("exuno:resnet20", "", 100, "")
"""Student, data, percent and further options."""


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "out", "cpu", Jobs(tmp_path / "out"))


@pytest.fixture
def picture(tmp_path: Path) -> str:
    path = tmp_path / "cat.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (80, 90, 3), np.uint8)).save(path)
    return str(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("0", "1"):
        (tmp_path / "images" / name).mkdir(parents=True)
        Image.fromarray(np.full((8, 8), 100, np.uint8)).save(tmp_path / "images" / name / "a.png")
    return tmp_path / "images"


def test_the_digits_preset(desk: Desk, picture: str) -> None:
    args = photo.command(desk, picture, photo.DIGITS, "", *CAT)
    assert args[:3] == ["distill", "digits", "--source"]
    assert Path(args[3]).read_bytes() == Path(picture).read_bytes()
    assert args[4:] == ["--devices", "cpu"]
    config = photo.check(args)
    assert (config.teacher, config.source) == ("teach:digits", (args[3],))


def test_another_teacher(desk: Desk, picture: str) -> None:
    choice = ("exuno:resnet20", "digits", 5, "--loss.temperature 4 --seed 3")
    for name in ("resnet18", "timm:resnet18"):
        config = photo.check(photo.command(desk, picture, photo.TIMM, name, *choice))
        assert (config.teacher, config.student, config.data) == ("timm:resnet18", "exuno:resnet20", "digits")
        assert (config.budget, config.loss.temperature, config.run.seed) == (0.05, 4, 3)
    config = photo.check(photo.command(desk, picture, photo.OTHER, "torchvision:resnet18", *CAT))
    assert (config.teacher, config.data) == ("torchvision:resnet18", None)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"file": None}, "no photograph was given"),
        ({"kind": photo.TIMM, "name": ""}, "no teacher was named"),
        ({"kind": photo.TIMM, "name": "resnet18", "student": ""}, "no student was named"),
        ({"kind": photo.OTHER, "name": "runs/nothing"}, "there is no run and no file 'runs/nothing'"),
        ({"kind": photo.OTHER, "name": "tim:resnet18"}, "unknown model prefix 'tim:'"),
        ({"kind": photo.TIMM, "name": "resnet18", "data": "folder:nowhere"}, "nowhere"),
        ({"more": "--temprature 4"}, "Did you mean --loss.temperature?"),
        ({"more": "--run-dir /tmp/elsewhere"}, "--run-dir are for a shell"),
        ({"more": "--help"}, "Leave them out"),
        ({"more": "--track 'x"}, "Close the quotation mark"),
    ],
)
def test_mistakes_of_the_first_tab(desk: Desk, picture: str, changes: dict[str, Any], said: str) -> None:
    choice: dict[str, Any] = {
        "file": picture,
        "kind": photo.DIGITS,
        "name": "",
        "student": "exuno:resnet20",
        "data": "",
    }
    choice |= {"budget": 100, "more": "", **changes}
    with pytest.raises(ExunoError) as error:
        photo.check(photo.command(desk, **choice))
    assert said in str(error.value)


def test_pieces_of_a_photograph(picture: str) -> None:
    assert photo.pieces(picture).count("<img") == 1 + photo.SHOWN
    assert "<img" not in photo.pieces(None)


def test_what_is_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "letter.jpg"
    path.write_text("Dear <b>reader</b>")
    said = told(photo.pieces)(str(path))
    assert 'class="mistake"' in said
    assert "letter.jpg" in said
    assert "Traceback" not in said


def test_no_run_to_try(desk: Desk, tmp_path: Path, picture: str) -> None:
    for ask in (lambda: photo.asked(desk, tmp_path, [picture]), lambda: photo.drawn(desk, tmp_path)):
        with pytest.raises(ExunoError, match="is no run of exuno distill"):
            ask()
    with pytest.raises(ExunoError, match="no test images were given"):
        photo.asked(desk, tmp_path, None)


def test_a_poster_of_a_folder(desk: Desk, folder: Path) -> None:
    args = poster.command(desk, None, str(folder), 16, 0.5, 20, "--seed 2")
    config, _ = poster.parse("poster", PosterConfig, args[1:])
    assert (config.data, config.size, config.ipc, config.budget) == (f"folder:{folder}", 16, 0.5, 0.2)
    assert (config.held.holdout, config.run.seed, config.run.devices) == (poster.HELD, 2, "cpu")
    (folder / "train").mkdir()
    (folder / "test").mkdir()
    for name in ("0", "1"):
        (folder / name).rename(folder / "train" / name)
        (folder / "test" / name).mkdir()
        Image.new("L", (8, 8)).save(folder / "test" / name / "b.png")
    assert "--holdout" not in poster.command(desk, None, str(folder), 16, 0.5, 100, "")


def test_mistakes_of_the_second_tab(desk: Desk, folder: Path, picture: str) -> None:
    def said(file: str | None, named: str, more: str = "") -> str:
        with pytest.raises(ExunoError) as error:
            poster.command(desk, file, named, 16, 0.5, 100, more)
        return str(error.value)

    for option in ("--help", "--dry-run", "--run-dir=elsewhere"):
        assert "Leave them out" in said(None, str(folder), option)
    assert "Close the quotation mark" in said(None, str(folder), "--track 'x")

    assert "neither a zip file nor a folder" in said(None, "")
    assert "Give one of them" in said(picture, str(folder))
    assert "is no zip file that can be read" in said(picture, "")
    assert "there is no folder nowhere" in said(None, "nowhere")
    assert "has no folder for each class" in said(None, str(folder / "0"))
    (folder / "1" / "a.png").unlink()
    assert "has one class, 0" in said(None, str(folder))
    (folder / "0" / "a.png").unlink()
    assert "there are no images in" in said(None, str(folder))


def test_stages_of_a_poster() -> None:
    frames = [Path(f"{i}.png") for i in range(30)]
    assert len(poster.chosen(frames)) == poster.STEPS
    assert (poster.chosen(frames)[0], poster.chosen(frames)[-1]) == (frames[0], frames[-1])
    assert poster.chosen(frames[:3]) == frames[:3]
    assert poster.chosen([]) == []


def test_mistakes_of_the_third_tab(desk: Desk, picture: str) -> None:
    one, two = ("cat", [picture]), ("dog", [picture])

    def said(model: str, queries: list[str] | None, *given: tuple[str, list[str] | None]) -> str:
        with pytest.raises(ExunoError) as error:
            few.recognised(desk, model, "prototype", queries, [*given, ("", None)])
        return str(error.value)

    assert "there are not yet two classes" in said("run:x", [picture], one)
    assert "class 2 has pictures and no name" in said("run:x", [picture], one, ("", [picture]))
    assert "class 'dog' has no pictures" in said("run:x", [picture], one, ("dog", None))
    assert "two classes are called 'cat'" in said("run:x", [picture], one, one)
    assert "no pictures were asked about" in said("run:x", None, one, two)
    assert "no network was named" in said("", [picture], one, two)
    assert "there is no run and no file 'x'" in said("x", [picture], one, two)


def test_a_mistake_is_a_sentence_and_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    assert "There is no &lt;b&gt;. Write one." in mistake(ExunoError("there is no <b>", "Write one."))
    assert capsys.readouterr().err == ""
    assert "This is a bug in exuno" in mistake(KeyError("x"))
    assert "KeyError" in capsys.readouterr().err  # whoever reports it needs the traceback


def test_the_page_names_no_other_machine(desk: Desk) -> None:
    with page(desk) as blocks:
        assert blocks.analytics_enabled is False
    assert "http" not in style()
    assert "@import" not in style()

"""--size is the side of the images in every verb; what held the older names of exuno poster is still read."""
# Mistakes that a type checker would tell are made here on purpose.
# pyright: reportArgumentType=false, reportCallIssue=false

from pathlib import Path

import pytest
import yaml

from exuno.cli import main
from exuno.presets import files, read

SMOKE = ["--smoke", "--devices", "cpu", "--unroll.window", "1", "--unroll.total", "1"]


def test_the_side_of_the_images_and_the_size_of_the_poster(tmp_path: Path) -> None:
    args = ["poster", "--data", "digits", "--canvas", "20x16", "--size", "6", *SMOKE, "--eval.baselines", "0"]
    assert main([*args, "--model", "exuno:convnet_1_8", "--run-dir", str(tmp_path / "run")]) == 0
    layout = yaml.safe_load((tmp_path / "run/distilled.poster/poster.json").read_text())["layout"]
    assert (layout["size"], layout["image"]) == ([16, 20], [6, 6])


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--size", "20x16"], "--size 20x16 is --canvas 20x16 now."),
        (["--size=20X16"], "--size 20X16 is --canvas 20X16 now."),
        (["--image-size", "32"], "--image-size 32 is --size 32 now."),
        (["--image_size=32"], "--image_size 32 is --size 32 now."),
    ],
)
@pytest.mark.parametrize("preset", [["digits"], ["--data", "digits"]])
def test_older_options_are_told_their_new_names(fails, preset: list[str], args: list[str], words: str) -> None:
    said = fails("poster", *preset, *args)
    assert words in said
    assert "--canvas the size of the poster" in said


def test_a_preset_file_with_the_older_names_is_read(tmp_path: Path) -> None:
    old = tmp_path / "old.yaml"
    old.write_text("verb: poster\nbase: cub200\nconfig: {image_size: 16, size: 30x20}\n")
    assert read("poster", str(old)).config.items() >= {"size": 16, "canvas": "30x20"}.items()
    old.write_text("verb: poster\nconfig: {data: digits, ipc: 0.5, size: null, image_size: null}\n")
    assert read("poster", str(old)).config == {"data": "digits", "ipc": 0.5, "canvas": None, "size": None}
    assert main(["poster", str(old), "--dry-run"]) == 0
    old.write_text("verb: poster\nbase: cub200\nconfig: {size: 16}\n")
    assert read("poster", str(old)).config.items() >= {"size": 16, "canvas": "610x302"}.items()


def test_a_run_that_was_begun_with_the_older_names_goes_on(tmp_path: Path) -> None:
    args = ["poster", "digits", *SMOKE, "--run-dir", str(tmp_path / "run")]
    assert main(args) == 0
    file = tmp_path / "run/config.yaml"
    content = yaml.safe_load(file.read_text())
    config = content["config"]
    config |= {"image_size": config.pop("size"), "size": config.pop("canvas")}
    file.write_text(yaml.safe_dump(content))
    assert main(args) == 0


def test_no_preset_of_a_verb_has_a_size_that_is_no_side() -> None:
    sizes = {key: read(*key).config.get("size") for key in files()}
    assert {key: size for key, size in sizes.items() if not isinstance(size, int | None)} == {}


def test_a_keyword_is_told_its_new_name() -> None:
    import exuno

    with pytest.raises(exuno.ExunoError, match="size 20x16 is canvas 20x16 now"):
        exuno.poster("digits", size="20x16")
    with pytest.raises(exuno.ExunoError, match="image_size 16 is size 16 now"):
        exuno.poster("digits", image_size=16)

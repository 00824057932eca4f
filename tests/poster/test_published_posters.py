"""The table of docs/poster-commands.md that translates the published commands: each preset means what its rows say."""

import re
import shlex
from collections.abc import Callable
from functools import cache
from pathlib import Path

import make_podd
import pytest

from exuno.commandline.presets import parse
from exuno.poster.layout import plan
from exuno.poster.options import PosterConfig

pytestmark = pytest.mark.usefixtures("nothing_is_looked_for")

PAGE = (Path(__file__).parents[2] / "docs/poster-commands.md").read_text()
ROWS = re.findall(r"^\| `([^`]+)` \| (.+) \|$", PAGE, re.MULTILINE)
COMMANDS = [(published, ours.strip("`")) for published, ours in ROWS if published.startswith("python")]
FLAGS = [(published, ours.strip("`")) for published, ours in ROWS if ours.startswith("`--")]
WITHOUT = [published for published, ours in ROWS if not ours.startswith("`")]

# Where exuno holds what a published flag sets, worked out from the published code by hand.
MEANING: dict[str, Callable[[PosterConfig], object]] = {
    "distill_batch_size": lambda config: config.inner.batch,
    "num_train_eval": lambda config: config.eval.networks,
    "batch_size": lambda config: config.batch_size,
    "window": lambda config: config.unroll.window,
    "minwindow": lambda config: config.unroll.least,
    "totwindow": lambda config: config.unroll.total,
    "inner_optim": lambda config: config.inner.name.capitalize(),
    "outer_optim": lambda config: config.optim.name.capitalize(),
    "inner_lr": lambda config: config.inner.lr,
    "lr": lambda config: config.optim.lr,
    "syn_strategy": lambda config: config.inner.augment,
    "real_strategy": lambda config: config.real_augment,
    "seed": lambda config: config.run.seed,
    "zca": lambda config: config.zca,
    "comp_ipc": lambda config: int(config.label_cells),
}


def words(published: str) -> dict[str, str]:
    """``"python main.py --a=1 --b"`` -> ``{"a": "1", "b": "True"}``."""
    return {flag: value or "True" for flag, value in re.findall(r"--(\w+)(?:=(\S+))?", published)}


@cache
def resolved(ours: str, more: str = "") -> PosterConfig:
    verb, *args = shlex.split(f"{ours} {more}")[1:]
    assert verb == "poster"
    return parse(verb, PosterConfig, args)[0]


@pytest.fixture(params=range(4), ids=lambda number: COMMANDS[number][1].split()[2])
def command(request: pytest.FixtureRequest) -> tuple[str, str]:
    return COMMANDS[request.param]


def test_the_table_has_the_commands_of_the_readme(shared: Path) -> None:
    readme = (shared / "papers/poster-dataset-distillation.md").read_text()
    assert [published for published, _ in COMMANDS] == re.findall(r"^python main.py.*\S", readme, re.MULTILINE)


def test_every_flag_of_a_command_has_a_row(command: tuple[str, str]) -> None:
    flags = words(command[0]).items()
    rows = [words(published).items() for published in [*WITHOUT, *(published for published, _ in FLAGS)]]
    covered = {flag for row in rows if row <= flags for flag in row}
    assert covered == set(flags)


def test_a_command_means_the_sum_of_its_rows(command: tuple[str, str]) -> None:
    published, ours = command
    config = resolved(ours)
    rows = [row for row in FLAGS if words(row[0]).items() <= words(published).items()]
    assert len(rows) >= 20
    for row in rows:
        assert resolved(ours, row[1]) == config, row


def test_a_row_of_another_command_would_change_it(command: tuple[str, str]) -> None:
    published, ours = command
    config = resolved(ours)
    others = [row for row in FLAGS if not words(row[0]).items() <= words(published).items()]
    assert len(others) >= 15
    for row in others:
        assert resolved(ours, row[1]) != config, row


def test_numbers_arrive_where_the_published_code_has_them(command: tuple[str, str]) -> None:
    published, ours = command
    config = resolved(ours)
    given = words(published)
    for flag, meaning in MEANING.items():
        assert str(meaning(config)) == given[flag], flag
    assert config.labels == ("learned" if "train_y" in given else "fixed")
    assert (config.inner.weight_decay, config.optim.schedule, config.algorithm) == (0, "constant", "rat-bptt")
    images = {"cifar10": 50_000, "cifar100": 50_000, "cub200": 5994, "tiny-imagenet": 100_000}[config.data]
    batches = -(-images // int(given["batch_size"]))
    assert config.steps == batches * int(given["epoch"])


def test_presets_have_the_published_geometry(command: tuple[str, str]) -> None:
    published, ours = command
    height, width, rows, columns, down, across, patch, area = make_podd.GEOMETRIES[words(published)["dataset"]]
    layout = plan(resolved(ours), (patch, patch), rows * columns, 3)
    assert (layout.size, layout.grid, layout.patches) == ((height, width), (rows, columns), (down, across))
    assert (layout.patch, layout.area) == ((patch, patch), (area, area))
    assert 0.89 < layout.pixels / (rows * columns * patch**2) <= 0.9

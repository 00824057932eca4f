"""What presets say of themselves holds: their commands mean their values, and what differs from the paper is told."""

import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from exuno.commandline.presets import parse, resolve
from exuno.distill.options import DistillConfig
from exuno.fewshot.options import DistillConfig as Phase2
from exuno.fewshot.options import PretrainConfig
from exuno.poster.layout import plan
from exuno.poster.options import PosterConfig
from exuno.poster.poster import with_budget
from exuno.presets import files, read
from exuno.selfsup.options import SelfsupConfig
from exuno.study.grid import make_cells, read_axes, read_stages
from exuno.study.options import StudyConfig
from exuno.teach.options import TeachConfig

pytestmark = pytest.mark.usefixtures("nothing_is_looked_for")

KINDS: dict[str, Any] = {
    "teach": TeachConfig,
    "distill": DistillConfig,
    "selfsup": SelfsupConfig,
    "poster": PosterConfig,
    "study": StudyConfig,
    "fewshot pretrain": PretrainConfig,
    "fewshot distill": Phase2,
}
ONE_PHOTOGRAPH = sorted(
    name
    for verb, name in files("distill")
    if read(verb, name).config["source"] == ["photo:astronaut"] and "published" in read(verb, name).about
)


@pytest.mark.parametrize(("verb", "name"), sorted(files()))
def test_the_command_of_a_preset_means_its_values(verb: str, name: str) -> None:
    """No option of it but the place of the data says anything else than the file holds: source, teacher, student,
    epochs, batch, decay, temperature, smoothing, precision."""
    preset = read(verb, name)
    words = shlex.split(preset.about["command"])
    assert words[: len(verb.split()) + 2] == ["exuno", *verb.split(), name]
    typed, _ = parse(verb, KINDS[verb], words[len(verb.split()) + 1 :])
    held = resolve(KINDS[verb], preset)
    root = typed.run.data_root if verb == "study" else typed.data_root
    assert root is None or str(root) in ("DATA", "ROOT", "ILSVRC12")
    if verb == "study":
        typed = replace(typed, run=replace(typed.run, data_root=held.run.data_root))
    else:
        typed = replace(typed, data_root=held.data_root)
    assert typed == held


RATE = re.compile(r"^(?P<count>[\d.]+) million \S+, at (?P<rate>[\d,]+)/s on one H100 .*?(?P<time>[\d.]+) minutes")


@pytest.mark.parametrize(("verb", "name"), sorted(files()))
def test_the_cost_of_a_preset_is_work_and_time_only_by_a_rate(verb: str, name: str) -> None:
    preset = read(verb, name)
    cost = preset.about.get("cost", "")
    assert not re.search(r"estimated[^;]*(GPU|H100)", cost), "a guess; say how much work it is"
    if found := RATE.match(cost):
        minutes = float(found["count"]) * 1e6 / float(found["rate"].replace(",", "")) / 60
        assert float(found["time"]) == pytest.approx(minutes, rel=0.02)
    config = preset.config
    if (count := re.match(r"([\d.]+) million images", cost)) and "patches" in config and "epochs" in config:
        assert float(count[1]) * 1e6 == pytest.approx(config["patches"] * config["epochs"], rel=0.03)


def test_presets_of_one_photograph_are_there() -> None:
    assert len(ONE_PHOTOGRAPH) >= 12


@pytest.mark.parametrize("name", ONE_PHOTOGRAPH)
def test_a_preset_tells_where_the_published_photograph_is(name: str) -> None:
    """It runs with a photograph that is there, and says how to get the published one and the flag that takes it."""
    told = " ".join(read("distill", name).about["source"].split())
    assert "photo:astronaut" in told
    assert "github.com/yukimasano/single_img_pretraining" in told
    picture = "animals.png" if "cifar" in name else "ameyoko.jpg"
    assert f"add --source {picture}" in told
    typed, _ = parse("distill", DistillConfig, [name, "--source", picture])
    assert typed.source == (picture,)


@pytest.mark.parametrize("name", ["cifar10-wrn40_4-wrn16_4", "cifar100-wrn40_4-wrn16_4"])
def test_the_cifar_student_is_trained_without_weight_decay_and_says_why(name: str) -> None:
    preset = read("distill", name)
    optim = resolve(DistillConfig, preset).optim
    assert (optim.name, optim.lr, optim.weight_decay, optim.weight_decay_end) == ("adam", 1e-3, 0, None)
    assert "without weight decay" in preset.about["decay"]
    assert "2.5e-4" in preset.about["decay"]


@pytest.mark.parametrize("name", ["cifar10-wrn40_4-wrn16_4", "cifar100-wrn40_4-wrn16_4"])
def test_the_published_cifar_student_is_one_word_away(name: str) -> None:
    from exuno.models.load import load_model

    told = " ".join(read("distill", name).about["student"].split())
    assert "epsilon" in told
    words = shlex.split(told.partition("add ")[2])
    assert words == ["--student", "exuno:wrn_16_4_tf"]
    typed, _ = parse("distill", DistillConfig, [name, *words])
    assert load_model(typed.student, classes=10, pretrained=False).card.arch == "exuno:wrn_16_4_tf"


def test_every_poster_of_the_study_of_bytes_has_room() -> None:
    """A poster whose labels leave fewer pixels than a patch has is refused, once the study has come to it."""
    config = resolve(StudyConfig, read("study", "poster-bytes-digits"))
    stages = read_stages(config.stages)
    cells = make_cells(stages, read_axes(config.axes, stages), [], Path("study"))
    assert len(cells) == 6 * 3 * 3
    for cell in cells:
        poster, _ = parse("poster", PosterConfig, with_budget(cell.args))
        layout = plan(poster, (8, 8), 10, 1)
        assert layout.count >= 4, cell.args

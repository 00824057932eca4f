"""Options that would do nothing are refused, in every verb that has them; what a file states is not. What does less
than it says is told."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import exuno
from exuno.commandline import parsed
from exuno.commandline.presets import parse
from exuno.data.base import ArrayData
from exuno.data.loader import Loader
from exuno.distill.options import DistillConfig
from exuno.doctor.doctor import complete as complete_doctor
from exuno.doctor.options import DoctorConfig
from exuno.engine.errors import ExunoError
from exuno.engine.idle import Acts, check_acting
from exuno.engine.optim import make_optimizer
from exuno.engine.options import Augment, Optim, RunOptions, Views
from exuno.fewshot.eval_options import complete
from exuno.fewshot.options import EvalConfig, PretrainConfig
from exuno.fewshot.predict_options import PredictConfig
from exuno.poster.options import PosterConfig
from exuno.probe.options import ProbeConfig
from exuno.study.options import StudyConfig
from exuno.synth.synth import Synth
from exuno.teach.options import TeachConfig
from exuno.training import tell_smaller


@pytest.mark.parametrize(
    ("verb", "kind", "typed", "told"),
    [
        ("distill", DistillConfig, "--optim.gamma 0.3", "--optim.gamma would do nothing: --optim.schedule is cosine"),
        ("distill", DistillConfig, "--optim.milestones 0.2", "--optim.schedule step"),
        ("distill", DistillConfig, "--optim.momentum 0.5", "--optim.name adam has betas"),
        ("distill", DistillConfig, "--optim.clip-each", "there is no --optim.clip"),
        ("distill", DistillConfig, "--augment.jitter-p 0.5", "--augment.jitter is off"),
        ("distill", DistillConfig, "--augment.aspect 0.5 1", "there is no --augment.resized-crop"),
        ("distill", DistillConfig, "--augment.augmix-formula reference", "--augment.augmix is off"),
        ("distill", DistillConfig, "--mix.cutmix 0 --mix.mixup 0 --mix.probability 0.5", "are off"),
        ("distill", DistillConfig, "--synth.jitter 0 0 0 0 --synth.jitter-p 0.2", "the jitter is off"),
        ("fewshot pretrain", PretrainConfig, "--views.local 0 --views.local-size 4", "--views.local is 0"),
        ("fewshot pretrain", PretrainConfig, "--mask.shape random --mask.aspect 0.5", "--mask.shape is random"),
        ("fewshot pretrain", PretrainConfig, "--head.patch-outputs 9", "--head.shared is on"),
        ("fewshot pretrain", PretrainConfig, "--no-turns --hold-turns", "--turns is off"),
        ("poster", PosterConfig, "--inner.momentum 0.5", "--inner.name is adam"),
        ("poster", PosterConfig, "--unroll.clip 0 --unroll.clip-decay 0.5", "--unroll.clip is 0"),
    ],
)
def test_a_preset_with_an_option_that_would_do_nothing(verb: str, kind: type[Any], typed: str, told: str) -> None:
    with pytest.raises(ExunoError, match="would do nothing") as mistake:
        parse(verb, kind, ["digits", *typed.split()])
    assert told in str(mistake.value)


@pytest.mark.parametrize(
    ("verb", "kind", "typed"),
    [
        ("fewshot eval", EvalConfig, "pixels --neighbours 3"),
        ("fewshot predict", PredictConfig, "run:a a.jpg --support b --neighbours 3"),
        ("synth", Synth, "a.jpg --jitter 0 0 0 0 --jitter-p 0.2"),
        ("probe", ProbeConfig, "run:a --against run:b --seeds 2"),
        ("synth", Synth, "a.jpg --format png --quality 30"),
        ("study", StudyConfig, "--stages teach --slurm-minutes 3"),
    ],
)
def test_verbs_without_presets(verb: str, kind: type[Any], typed: str) -> None:
    with pytest.raises(ExunoError, match="would do nothing"):
        parsed(verb, kind, typed.split())


@pytest.mark.parametrize("typed", ["--features cls", "--blocks 2", "--views 2", "--size 16", "--resize 40"])
def test_raw_pixels_pass_no_network(typed: str) -> None:
    """A row of pixels is the same whatever these say; beside a model they are for that."""
    words = ["--data", "digits", *typed.split()]
    with pytest.raises(ExunoError, match="would do nothing: pixels asks no network"):
        complete(parsed("fewshot eval", EvalConfig, ["pixels", *words]))
    complete(parsed("fewshot eval", EvalConfig, ["pixels", "random:exuno:vit_64_2_2_8", *words]))


def test_sources_that_are_ranked_without_data() -> None:
    words = ["timm:resnet18", "--sources", "photo:coffee", "photo:cat", "--split", "train"]
    config = parsed("doctor", DoctorConfig, words)
    with pytest.raises(ExunoError, match="--split would do nothing: there are no --data"):
        complete_doctor(config)
    assert complete_doctor(replace(config, data="digits")).split == "train"


def test_where_they_act_they_are_taken() -> None:
    typed = "--optim.name sgd --optim.momentum 0.5 --optim.schedule step --optim.gamma 0.3 --augment.flip 0.5"
    config, _ = parse("distill", DistillConfig, ["digits", *typed.split()])
    assert (config.optim.momentum, config.optim.gamma) == (0.5, 0.3)
    assert parsed("fewshot eval", EvalConfig, ["pixels", "--head", "knn", "--neighbours", "3"]).neighbours == 3


def test_what_is_so_by_default_or_in_a_file_may_be_there(tmp_path: Path) -> None:
    """A preset may say what a typed option makes idle, and a run's config.yaml says everything."""
    parse("distill", DistillConfig, ["digits", "--optim.momentum", "0.9", "--optim.gamma", "0.1"])
    file = tmp_path / "mine.yaml"
    file.write_text("verb: distill\nconfig:\n  teacher: teach:digits\n  student: exuno:convnet\n  data: digits\n"
                    "  optim: {name: sgd, momentum: 0.5, gamma: 0.3}\n")  # fmt: skip
    config, _ = parse("distill", DistillConfig, [str(file), "--optim.name", "adam"])
    assert (config.optim.name, config.optim.momentum, config.optim.gamma) == ("adam", 0.5, 0.3)
    with pytest.raises(ExunoError, match="momentum would do nothing"):
        parse("distill", DistillConfig, [str(file), "--optim.name", "adam", "--optim.momentum", "0.6"])


def test_python_is_told_in_its_words() -> None:
    with pytest.raises(ExunoError, match=r"optim\.gamma would do nothing: optim\.schedule is cosine"):
        exuno.distill("digits", optim={"gamma": 0.3})


@pytest.mark.parametrize("kind", [Optim, Augment, Views])
def test_every_mark_of_the_shared_groups_names_fields_that_are_there(kind: type[Any]) -> None:
    """A mark that is asked of the defaults, and put into words, finds what it looks at."""
    from exuno.engine.ranges import marked

    marks = [mark for _, _, each in marked(kind) for mark in each if isinstance(mark, Acts)]
    assert marks
    for mark in marks:
        mark.where(kind())
        mark.why.format(**vars(kind()))


def test_defaults_act_on_themselves() -> None:
    check_acting(DistillConfig("teach:digits", "exuno:convnet"))
    with pytest.raises(ExunoError, match="gamma"):
        check_acting(replace(DistillConfig("teach:digits", "exuno:convnet"), optim=Optim(gamma=0.3)))


class Plain(torch.optim.Optimizer):
    """Takes no momentum and no weight decay."""

    def __init__(self, groups: Any, lr: float) -> None:
        super().__init__(groups, {"lr": lr})


@pytest.mark.parametrize(
    ("optim", "told", "todo"),
    [
        ({"momentum": 0.5}, "momentum", "--optim.momentum 0"),
        ({"weight_decay": 0.1}, "weight-decay", "--optim.weight-decay 0"),
        ({"nesterov": True}, "nesterov", "--optim.no-nesterov"),
    ],
)
def test_an_optimizer_from_outside_takes_what_it_is_given(optim: dict[str, Any], told: str, todo: str) -> None:
    """Also what a preset says, which nobody can leave out."""
    groups = [{"params": [torch.nn.Parameter(torch.zeros(2))]}]
    make_optimizer(groups, Optim(name=f"{__name__}:Plain"), torch.device("cpu"))
    with pytest.raises(ExunoError, match=f"--optim.{told} would do nothing.* Give {todo}"):
        make_optimizer(groups, Optim(name=f"{__name__}:Plain", **optim), torch.device("cpu"))


@pytest.mark.parametrize(("asked", "told"), [(64, True), (20, False), (7, False)])
def test_a_batch_that_the_data_cannot_fill_is_told(asked: int, told: bool, capsys: pytest.CaptureFixture[str]) -> None:
    images = np.zeros((20, 1, 4, 4), np.uint8)
    loader = Loader(ArrayData(f"twenty for {asked}", images, np.zeros(20, np.int64)), asked)
    config = TeachConfig(model="exuno:resnet8", data="digits", batch_size=asked)
    tell_smaller(loader, replace(config, run=RunOptions(smoke=True)))
    assert not capsys.readouterr().err
    tell_smaller(loader, config)
    wanted = f"--batch-size is 64, and the samples of twenty for {asked} are 20: a step sees 20"
    assert (wanted in capsys.readouterr().err) is told

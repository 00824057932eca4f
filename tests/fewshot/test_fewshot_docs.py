"""docs/fewshot-commands.md translates the published flags, and the presets of the benchmarks mean what it says."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tyro
import yaml

from exuno.cli import main
from exuno.commandline.presets import parse
from exuno.fewshot.options import DistillConfig, EvalConfig, PretrainConfig, check_config
from exuno.presets import read

pytestmark = pytest.mark.usefixtures("nothing_is_looked_for")

PAGE = (Path(__file__).parents[2] / "docs/fewshot-commands.md").read_text()
SECTIONS = {part.partition("\n")[0]: part for part in PAGE.split("\n## ")}
COMMANDS = re.findall(r"^\| `(python [^`]+)` \| `([^`]+)` \|$", PAGE, re.MULTILINE)
BOTH, FIRST, SECOND, EVALUATION = "Training, both phases", "Training, phase 1", "Training, phase 2", "Evaluation"
TABLES = ((BOTH, FIRST), (BOTH, SECOND), (EVALUATION,), (EVALUATION,))
"""Of each command."""

# The arguments of the published parsers and their defaults (get_args_parser of main_smkd.py; eval_smkd.py).
TRAINING = """
prod_mode True | wandb_project_name SMKD | wandb_entity hl-hanlin | arch vit_small | patch_size 16 | out_dim 8192
patch_out_dim 8192 | norm_last_layer False | momentum_teacher 0.996 | warmup_teacher_temp 0.04 | teacher_temp 0.07
warmup_teacher_patch_temp 0.04 | teacher_patch_temp 0.07 | warmup_teacher_temp_epochs 30 | use_fp16 True
weight_decay 0.04 | weight_decay_end 0.4 | clip_grad 3 | batch_size_per_gpu 64 | epochs 400 | freeze_last_layer 1
lr 0.0005 | warmup_epochs 10 | min_lr 1e-5 | optimizer adamw | drop_path 0.1 | global_crops_scale 0.25 1.0
local_crops_scale 0.05 0.25 | global_crops_number 2 | local_crops_number 10 | global_crops_size 224
local_crops_size 96 | data_path /path/to/mini_imagenet/train | output_dir checkpoint_triplet | pretrained_path None
pretrained_file None | saveckp_freq 50 | seed 0 | num_workers 10 | dist_url env:// | gpu None | local_rank 0
lambda1 1.0 | lambda2 1.0 | lambda3 0.0 | supervised_loss False | supervised_contrastive False
celoss_coefficient 0.0 | weighted_pool False | evaluation_batch_size_per_gpu 225 | evaluate_freq 50
checkpoint_key teacher | cls_tokens True | avgpool_patchtokens False | weighted_avgpool_patchtokens True | p_scale 1.0
wp_scale 1.0 | num_ways 5 | partition test | save_features 1 | evaluation_method cosine | top_k 5
img_size_imagenet 256 | img_resize_imagenet 224 | img_size_cifar 256 | img_resize_cifar 224 | visualization_freq None
image_path ./img.png | image_size 480 480 | image_threshold None | pred_ratio 0.0 0.3 | pred_ratio_var 0.0 0.2
pred_shape block | pred_start_epoch 0 | norm_in_head None | act_in_head gelu | use_masked_im_modeling True
shared_head True | shared_head_teacher True
"""
MEASURING = """
n_last_blocks 4 | avgpool_patchtokens False | weighted_avgpool_patchtokens True | cls_tokens True | arch vit_small
patch_size 16 | checkpoint_key teacher | lr 0.001 | batch_size_per_gpu 300 | dist_url env:// | local_rank 0
num_workers 10 | output_dir . | num_labels 1000 | num_ways 5 | num_shots 1 | seed 0 | partition test | epochs -1
save 1 | isfile -1 | server mini | n 1 | both 1 | ckp_path "" | pretrained_weights "" | ckpt_filename "" | wp_scale 1
p_scale 1 | dataset_name "" | knn 5 | top_k 1 | evaluation_method cosine | img_size_imagenet 360
img_resize_imagenet 320 | img_size_cifar 256 | img_resize_cifar 224 | iter_num 10000 | loss_type dist
"""

# Where a training holds what a published flag sets, worked out from the published code by hand.
MEANING: dict[str, Callable[[PretrainConfig], Any]] = {
    "out_dim": lambda config: config.head.outputs,
    "patch_out_dim": lambda config: config.head.patch_outputs,
    "momentum_teacher": lambda config: config.teacher.momentum,
    "warmup_teacher_temp": lambda config: config.teacher.temperature[0],
    "teacher_temp": lambda config: config.teacher.temperature[1],
    "warmup_teacher_patch_temp": lambda config: config.teacher.patch_temperature[0],
    "teacher_patch_temp": lambda config: config.teacher.patch_temperature[1],
    "warmup_teacher_temp_epochs": lambda config: config.teacher.warmup * config.epochs,
    "weight_decay": lambda config: config.optim.weight_decay,
    "weight_decay_end": lambda config: config.optim.weight_decay_end,
    "clip_grad": lambda config: config.optim.clip if config.optim.clip_each else None,
    "batch_size_per_gpu": lambda config: config.batch_size / 8,
    "epochs": lambda config: config.epochs,
    "freeze_last_layer": lambda config: config.freeze_last,
    "lr": lambda config: config.optim.lr,
    "warmup_epochs": lambda config: config.optim.warmup * config.epochs,
    "min_lr": lambda config: config.optim.lr_end,
    "drop_path": lambda config: config.drop_path,
    "local_crops_number": lambda config: config.views.local,
    "global_crops_size": lambda config: config.size,
    "local_crops_size": lambda config: config.views.local_size,
    "lambda2": lambda config: config.weights.patch_level,
    "lambda3": lambda config: config.weights.masked,
    "celoss_coefficient": lambda config: config.weights.supervised,
    "evaluate_freq": lambda config: config.epochs / config.evaluations,
    "num_ways": lambda config: config.validation.way,
    "img_size_imagenet": lambda config: config.validation.resize,
}


def words(published: str) -> dict[str, str]:
    """``"--a 1 2 --b"`` -> ``{"a": "1 2", "b": "True"}``."""
    found = re.findall(r"(?:^| )--(\w+)((?: (?!--)\S+)*)", published)
    return {flag: value.strip() or "True" for flag, value in found if flag != "nproc_per_node"}


def defaults(facts: str) -> dict[str, str]:
    pairs = [each.split(maxsplit=1) for each in facts.replace("\n", " | ").split(" | ") if each.strip()]
    return {flag: value.strip() for flag, value in pairs}


def values(number: int) -> dict[str, str]:
    """All flags of a published command, as the parser completes them; numbers as numbers are written."""
    given = defaults(TRAINING if number < 2 else MEASURING) | words(COMMANDS[number][0])
    return {flag: plain(value) for flag, value in given.items()}


def plain(value: str) -> str:
    try:
        return " ".join(f"{float(each):g}" for each in value.split())
    except ValueError:
        return value


def rows(number: int) -> list[tuple[dict[str, str], str]]:
    """(published flags, exuno's) of the tables of a command."""
    tables = "".join(SECTIONS[name] for name in TABLES[number])
    found = re.findall(r"^\| `(--[^`]+)` \| (.+) \|$", tables, re.MULTILINE)
    return [({flag: plain(value) for flag, value in words(left).items()}, right) for left, right in found]


def resolved(ours: str, more: str = "") -> Any:
    first, verb, word, *args = shlex.split(f"{ours} {more}")
    assert (first, verb) == ("exuno", "fewshot")
    if word == "eval":
        return tyro.cli(EvalConfig, args=args)
    return parse(f"{verb} {word}", DistillConfig if word == "distill" else PretrainConfig, args)[0]


@pytest.fixture(params=range(4), ids=("phase1", "phase2", "prototype", "classifier"))
def number(request: pytest.FixtureRequest) -> int:
    return request.param


def test_the_table_has_the_commands_of_the_readme(shared: Path) -> None:
    readme = (shared / "papers/smkd-few-shot.md").read_text()
    assert [published for published, _ in COMMANDS[2:]] == re.findall(r"^python eval_smkd.py.*\S", readme, re.MULTILINE)


def test_every_flag_of_the_parser_has_a_row_and_no_other(number: int) -> None:
    flags = set(defaults(TRAINING if number < 2 else MEASURING))
    assert {flag for left, _ in rows(number) for flag in left} == flags
    assert set(words(COMMANDS[number][0])) <= flags


def test_every_choice_of_the_optimizer_has_a_row() -> None:
    found = {left["optimizer"]: right for left, right in rows(0) if "optimizer" in left}
    assert found == {name: f"`--optim.name {name}`" for name in ("adamw", "sgd", "lars")}


def test_rows_hold_the_values_of_the_command(number: int) -> None:
    """Every flag at the value that the command, or its default, gives it."""
    given = values(number).items()
    held = {flag for left, _ in rows(number) if left.items() <= given for flag in left}
    assert set(values(number)) - held <= ({"loss_type"} if number == 2 else set())


def test_a_command_means_the_sum_of_its_rows(number: int) -> None:
    ours, given = COMMANDS[number][1], values(number).items()
    config = resolved(ours)
    mine = {right.strip("`") for left, right in rows(number) if right.startswith("`--") and left.items() <= given}
    assert len(mine) > 10
    assert len({row.split()[0] for row in mine}) == len(mine)  # none hides another
    assert resolved(ours, " ".join(sorted(mine))) == config


def test_a_row_of_another_value_would_change_it(number: int) -> None:
    ours, given = COMMANDS[number][1], values(number).items()
    config = resolved(ours)
    others = [right.strip("`") for left, right in rows(number) if right.startswith("`--") and not left.items() <= given]
    assert others
    for row in others:
        assert resolved(ours, row) != config, row


def test_what_has_no_counterpart_says_why(number: int) -> None:
    for left, right in rows(number):
        assert right.startswith("`--") or re.match(r"nothing: [\w`]+", right), left


@pytest.mark.parametrize("number", [0, 1], ids=["phase1", "phase2"])
def test_numbers_arrive_where_the_published_code_has_them(number: int) -> None:
    config, given = resolved(COMMANDS[number][1]), values(number)
    for flag, meaning in MEANING.items():
        assert meaning(config) == pytest.approx(float(given[flag]), rel=1e-5), flag
    first = config.weights.cls if number == 0 else config.weights.class_level
    assert (first, config.weights.cls + config.weights.class_level) == (1, 1)
    assert (config.mode, config.run.precision, config.run.devices) == ("reference", "fp16", "8")
    assert config.head.init == "reference"  # nn.Linear's own values, which the code leaves as they are
    assert (config.optim.name, config.optim.schedule, config.head.shared, config.head.unit_norm) == (
        "adamw",
        "cosine",
        True,
        False,
    )


# Prototype, 1 and 5 shots, in percent: the README's tables.
PUBLISHED = {
    ("pretrain", "mini-imagenet"): (60.93, 80.38),
    ("pretrain", "tiered-imagenet"): (71.36, 83.28),
    ("pretrain", "cifar-fs"): (65.70, 83.45),
    ("pretrain", "fc100"): (44.20, 61.64),
    ("distill", "mini-imagenet"): (74.28, 88.82),
    ("distill", "tiered-imagenet"): (78.83, 91.02),
    ("distill", "cifar-fs"): (80.08, 90.63),
    ("distill", "fc100"): (50.38, 68.37),
}


@pytest.mark.parametrize(("phase", "name"), PUBLISHED)
def test_presets_of_the_benchmarks(phase: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fewshot", phase, name, "--dry-run"]) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    told = printed["about"]["published"]
    one, five = PUBLISHED[phase, name]
    assert told == {"test/5-way-1-shot": pytest.approx(one / 100), "test/5-way-5-shot": pytest.approx(five / 100)}
    config = resolved(f"exuno fewshot {phase} {name}")
    check_config(config)
    assert config == resolved(re.sub(" --data-root DATA.*", "", read(f"fewshot {phase}", name).about["command"]))
    assert (config.data, config.store) == (name, 480 if name.endswith("imagenet") else 84)
    assert (config.mode, config.validation.keep, config.validation.shot) == ("paper", "best", 1)
    first = phase == "pretrain"
    assert config.model == ("exuno:vit_small_16" if first else f"pretrain:{name}")
    like = resolved(f"exuno fewshot {phase} mini-imagenet --data {name} --store {config.store} --model {config.model}")
    assert config == like

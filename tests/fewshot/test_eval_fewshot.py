"""What a measurement says: what may have been seen before, the table, the numbers, the attention maps."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from exuno.data.base import ArrayData
from exuno.engine.errors import ExunoError
from exuno.engine.options import RunOptions
from exuno.fewshot import figures
from exuno.fewshot.eval_measure import Cell, Plan, Row, View, check_data, measure, numbers, show, tables
from exuno.fewshot.eval_models import Subject, corpus, names_of_specs, open_subjects, random_network, seen
from exuno.fewshot.eval_options import complete, queries_of, split_seed
from exuno.fewshot.evaluate import conclude_training
from exuno.fewshot.options import Classes, EvalConfig, PretrainConfig
from exuno.models.card import ModelCard
from exuno.models.classifier import Classifier
from exuno.models.files import save_model
from exuno.models.load import load_model
from exuno.report.figures import add
from exuno.report.headline import is_accuracy
from exuno.report.html import pretty

CPU = torch.device("cpu")
NEW = ("cat", "dog", "fox")


def card(lineage: dict[str, Any], **changes: Any) -> ModelCard:
    known: dict[str, Any] = {"arch": "exuno:wrn_10_1", "classes": 0, "in_chans": 1, "input_size": (8, 8)}
    return ModelCard(**{**known, "mean": (0.5,), "std": (0.5,), "lineage": lineage, **changes})


def said(lineage: dict[str, Any], seed: int | None = None, **changes: Any) -> str:
    model = Classifier(torch.nn.Identity(), card(lineage, **changes))
    return seen(Subject("it", "run:runs/it", model, seed=seed), NEW, "zoo")


OWN = {"data": "zoo", "classes": ["emu", "yak"], "start": "exuno:vit_tiny_8"}


@pytest.mark.parametrize(
    ("lineage", "statement"),
    [
        (OWN, "no"),
        ({**OWN, "classes": ["emu", "cat", "fox"]}, "yes: 2 of 3"),
        ({**OWN, "data": "park"}, "may: trained on park"),
        ({**OWN, "data": "park", "classes": ["cat", "emu"]}, "may: trained on park, 1 classes of the same name"),
        ({"data": "zoo"}, "may: its training classes are unknown"),
        ({"file": "w.pth", "sha256": "00"}, "may: imported weights"),
        ({**OWN, "start": "file:w.pth"}, "may: started from file:w.pth"),
        ({**OWN, "start": "run:gone"}, "may: started from run:gone, which is not there"),
        ({**OWN, "weights": "timm:vit_small_patch16_224.dino"}, "may: pre-trained on ImageNet-1k"),
        ({"hub": "someone/something"}, "may: pre-trained on someone/something"),
        ({"weights": "https://download.pytorch.org/models/resnet50-11ad3fa6.pth"}, "may: pre-trained on ImageNet-1k"),
    ],
)
def test_it_is_said_whether_the_classes_may_have_been_seen(lineage: dict[str, Any], statement: str) -> None:
    assert said(lineage) == statement


def test_a_supervised_run_is_known_by_its_class_names() -> None:
    names = ("cat", "emu")
    assert said({"data": "zoo", "data_sha256": "0", "seed": 0}, classes=2, class_names=names) == "yes: 1 of 3"


def test_pixels_and_random_networks_have_seen_nothing() -> None:
    assert seen(Subject("raw pixels", "pixels", None), NEW, "zoo") == "nothing was learned"
    assert said(OWN, seed=0) == "nothing was learned"


def test_a_start_is_followed_through_all_phases(tmp_path: Path) -> None:
    for name, lineage in (("clean", OWN), ("foreign", {**OWN, "start": "file:w.pth"})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.json").write_text(card(lineage).to_json())
    assert said({**OWN, "start": f"run:{tmp_path / 'clean'}"}) == "no"
    assert said({**OWN, "start": f"run:{tmp_path / 'foreign'}"}) == "may: started from file:w.pth"


def chain(folder: Path, *lineages: dict[str, Any]) -> dict[str, Any]:
    """The lineage of the last of several phases, each started from the one before."""
    start: dict[str, Any] = {}
    for i, lineage in enumerate(lineages):
        (folder / str(i)).mkdir()
        (folder / str(i) / "model.json").write_text(card({**lineage, **start}).to_json())
        start = {"start": f"run:{folder / str(i)}"}
    return {**lineages[-1], **start}


@pytest.mark.parametrize(
    ("first", "statement"),
    [
        ({**OWN, "classes": ["cat", "dog", "emu"]}, "yes: 2 of 3"),
        ({**OWN, "data": "park"}, "may: trained on park"),
        ({**OWN, "data": "park", "classes": ["fox"]}, "may: trained on park, 1 classes of the same name"),
        ({"data": "zoo"}, "may: its training classes are unknown"),
        ({**OWN, "classes": ["fox"], "start": "file:w.pth"}, "yes: 1 of 3"),
    ],
)
def test_the_classes_of_every_phase_count(first: dict[str, Any], statement: str, tmp_path: Path) -> None:
    assert said(chain(tmp_path, first, OWN)) == statement


def test_random_weights_need_an_architecture(tmp_path: Path) -> None:
    save_model(vit(), tmp_path / "phase1")
    for network in (f"run:{tmp_path / 'phase1'}", "file:w.pth", "hf-hub:org/net", "pixels"):
        specs = [f"random:{network}"]
        with pytest.raises(ExunoError, match="names no architecture"):
            open_subjects(EvalConfig(tuple(specs), data="zoo"), specs, zoo())


def test_published_weights_tell_what_they_were_trained_on() -> None:
    assert corpus("timm:vit_base_patch16_224.augreg_in21k_ft_in1k") == "ImageNet-21k and ImageNet-1k"
    assert corpus("timm:resnet18") == "ImageNet-1k"
    assert corpus("timm:vit_small_patch14_dinov2.lvd142m") == "LVD-142M"


def test_rows_have_names_of_their_own() -> None:
    specs = ["run:a/phase1", "run:a/phase2", "run:b/phase2", "timm:resnet18", "timm:resnet18"]
    assert names_of_specs(specs) == ["phase1", "a-phase2", "b-phase2", "timm:resnet18", "timm:resnet18 2"]
    assert "/" not in names_of_specs(["hf-hub:org/net"])[0]


def zoo(per_class: int = 8, size: int = 8, classes: int = 3) -> ArrayData:
    """Each class is one image and a little noise: any fair classifier is always right."""
    random = np.random.default_rng(0)
    prototypes = random.integers(20, 230, (classes, 1, size, size))
    labels = np.arange(per_class * classes) % classes
    noise = random.integers(-3, 4, (len(labels), 1, size, size))
    return ArrayData("zoo", (prototypes[labels] + noise).astype(np.uint8), labels, NEW[:classes])


def vit(seed: int = 0, size: int = 8) -> Classifier:
    torch.manual_seed(seed)
    model = load_model("exuno:vit_24_2_3_2", classes=0, in_chans=1, input_size=(size, size), pretrained=False)
    model.card = replace(model.card, lineage=OWN)
    return model


def test_raw_pixels_of_well_separated_classes_are_always_right() -> None:
    seen_so_far: list[int] = []
    plan = Plan(3, (1, 2), 2, 30, seed=1)
    row = measure(Subject("raw pixels", "pixels", None), zoo(), plan, View(), CPU, progress=seen_so_far.append)
    assert [(cell.shot, cell.mean, cell.interval, cell.episodes) for cell in row.cells] == [
        (1, 1.0, (1.0, 1.0), 30),
        (2, 1.0, (1.0, 1.0), 30),
    ]
    assert (row.features, row.dimension, row.size, row.images) == ("pixels", 64, (8, 8), "8")
    assert sum(seen_so_far) == 24 + plan.work


def test_the_interval_is_that_of_the_mean_over_episodes() -> None:
    from exuno.metrics import mean_interval

    data = zoo()
    data.images[:] = torch.randint(0, 256, data.images.shape, generator=torch.Generator().manual_seed(0))
    plan = Plan(3, (1,), 4, 50)
    (cell,) = measure(Subject("it", "run:it", vit()), data, plan, View(), CPU).cells
    from exuno.features.extract import extract
    from exuno.fewshot.episodes import draw
    from exuno.fewshot.heads import accuracies

    features, labels = extract(vit(), data)
    found = accuracies(features, labels.numpy(), draw(labels.numpy(), 3, 1, 4, 50, 0, "standard"), "prototype")
    assert 0 < cell.mean < 1
    assert cell.mean == pytest.approx(float(np.mean(found)))
    assert cell.interval == pytest.approx(mean_interval(found))


@pytest.mark.parametrize(
    ("plan", "what"),
    [
        (Plan(4, (1,), 2), "--way is 4"),
        (Plan(3, (1, 5), 4), "has 8 images"),
        (Plan(3, (1,), None, protocol="reference"), "cat of zoo has 8 images; --protocol reference takes 600"),
    ],
)
def test_episodes_that_cannot_be_drawn_are_told_before_the_work(plan: Plan, what: str) -> None:
    with pytest.raises(ExunoError, match=what):
        check_data(zoo(), plan)


def test_the_sentence_says_how_many_queries_there_were() -> None:
    even, uneven = zoo(), zoo()
    uneven.labels = torch.tensor([0] * 7 + [1] * 8 + [2] * 9)
    assert "3 classes and all other images of each class" in Plan(3, queries=None, protocol="smkd").sentence(even)
    assert "7 - k queries of each class, all that the smallest has" in Plan(3, queries=None, protocol="smkd").sentence(
        uneven
    )
    told = Plan(3, queries=None, protocol="reference").sentence(even)
    assert "600 - k queries of each class, as published" in told
    assert "protocol reference" in told


def test_a_random_network_is_a_function_of_the_seed_and_disturbs_nobody() -> None:
    data, known = zoo(), vit().card
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    one, two, other = (random_network(known, data, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), wanted)
    first = [next(net.parameters()) for net in (one, two, other)]
    assert torch.equal(first[0], first[1])
    assert not torch.equal(first[0], first[2])
    assert one.card.mean == data.mean


def test_baselines_stand_before_the_models_and_can_be_left_out(tmp_path: Path) -> None:
    save_model(vit(), tmp_path / "phase1")
    specs = [f"run:{tmp_path / 'phase1'}", "random:exuno:convnet_1_4"]
    config = EvalConfig(tuple(specs), data="zoo")
    found = open_subjects(config, specs, zoo())
    assert [each.name for each in found] == ["raw pixels", "random network", "phase1", "random:exuno:convnet_1_4"]
    assert [each.baseline for each in found] == [True, True, False, False]
    assert len(open_subjects(replace(config, baselines=False), specs, zoo())) == 2


def rows() -> list[Row]:
    cells = (Cell(5, 1, "prototype", 0.5, (0.49, 0.51), 600), Cell(5, 5, "prototype", 0.75, (0.745, 0.755), 600))
    pixels = Row("raw pixels", "pixels", 64, (8, 8), 8, "nothing was learned", cells, True)
    return [pixels, Row("phase2", "cls+patch", 768, (320, 320), 360, "no", cells)]


def test_a_row_says_all_that_its_numbers_depend_on() -> None:
    (content,) = tables(rows(), "Title", "Note")
    assert content["head"] == [
        "model",
        "features",
        "pixels",
        "5-way 1-shot",
        "5-way 5-shot",
        "test classes in training",
    ]
    assert content["rows"][1] == ["phase2", "cls+patch, 768", "320 of 360", "50.00 ± 1.00", "75.00 ± 0.50", "no"]
    assert content["rows"][0][2] == "8"
    joined = replace(rows()[1], dimension=1920, blocks=4, views=10)
    assert (joined.told, joined.images) == ("cls+patch of 4 blocks, 1,920", "320 of 360, 10 views")


def test_views_and_blocks_are_those_of_networks_and_leave_raw_pixels_alone() -> None:
    data, plan, view = zoo(), Plan(3, (1,), 2, 30), View(blocks=2, views=5)
    row = measure(Subject("it", "run:it", vit()), data, plan, view, CPU)
    assert (row.told, row.images) == ("cls+patch of 2 blocks, 72", "8 of 9, 5 views")
    row = measure(Subject("raw pixels", "pixels", None), data, plan, view, CPU)
    assert (row.told, row.images) == ("pixels, 64", "8")


def test_the_numbers_of_result_json() -> None:
    found = numbers(rows())
    assert found["metrics"] == {"phase2/5-way-1-shot/prototype": 0.5, "phase2/5-way-5-shot/prototype": 0.75}
    assert found["baselines"]["raw pixels/5-way-5-shot/prototype"] == 0.75
    assert found["intervals"]["phase2/5-way-1-shot/prototype"] == [0.49, 0.51]
    assert found["n"]["phase2/5-way-1-shot/prototype"] == 600
    assert "phase2/5-way-1-shot" in numbers(rows(), with_head=False)["metrics"]


def test_the_page_knows_accuracies_over_episodes() -> None:
    assert is_accuracy("test/5-way-1-shot")
    assert is_accuracy("phase2/20-way-5-shot/knn")
    assert not is_accuracy("train/5-way")
    assert pretty("phase2/5-way-1-shot/prototype") == "phase2 · 5-way 1-shot"
    assert pretty("phase2/5-way-1-shot/knn") == "phase2 · 5-way 1-shot · knn"


def test_each_classifier_has_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    first = rows()[0]
    second = replace(first, cells=(*first.cells, replace(first.cells[0], head="knn", mean=0.25, episodes=1)))
    found = tables([second], "Title", "Said once.")
    assert [each["title"] for each in found] == ["Title, prototype", "Title, knn"]
    assert found[1]["head"][3:-1] == ["5-way 1-shot"]
    assert found[1]["rows"][0][3] == "25.00"
    show(found)
    printed = capsys.readouterr().out
    assert printed.count("raw pixels") == 2
    assert printed.count("Said once.") == 1


def write_run(folder: Path, text: str) -> str:
    folder.mkdir()
    (folder / "config.yaml").write_text(text)
    return str(folder)


@pytest.mark.usefixtures("nothing_is_looked_for")
def test_a_run_tells_its_data_its_classes_and_their_seed(tmp_path: Path) -> None:
    text = "verb: fewshot pretrain\nconfig: {data: zoo, data_root: there, seed: 7, split: own.csv, turns: true}\n"
    run = write_run(tmp_path / "run", text)
    config = complete(EvalConfig((run,), seed=1))
    assert (config.models, config.data, config.data_root) == ((f"run:{run}",), "zoo", Path("there"))
    assert config.classes == Classes("own.csv", True)
    assert split_seed(config) == 7


@pytest.mark.usefixtures("nothing_is_looked_for")
def test_other_data_have_classes_of_their_own(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", "config: {data: zoo, data_root: there, seed: 7, split: own.csv}\n")
    config = complete(EvalConfig((run,), data="park", seed=1))
    assert (config.data, config.data_root, config.classes) == ("park", None, Classes())
    assert split_seed(config) == 1


def test_queries_are_fifteen_or_all_others() -> None:
    config = EvalConfig(("pixels",), data="zoo")
    assert queries_of(config) == 15
    assert queries_of(replace(config, protocol="smkd")) is None
    assert queries_of(replace(config, protocol="smkd", queries=3)) == 3


def test_a_training_is_concluded_by_a_test(tmp_path: Path) -> None:
    config = PretrainConfig(data="zoo", size=8, run=RunOptions(smoke=True))
    found = conclude_training(tmp_path, config, vit(), zoo(20), CPU)
    assert set(found["metrics"]) == {"test/3-way-1-shot", "test/3-way-5-shot"}
    assert set(found["n"].values()) == {20}
    assert {key.partition("/")[0] for key in found["baselines"]} == {"raw pixels", "random network"}
    assert [row[-1] for row in found["tables"][0]["rows"]] == ["nothing was learned", "nothing was learned", "no"]
    assert (tmp_path / "figures/attention.png").is_file()
    assert conclude_training(tmp_path, config, vit(), None, CPU)["metrics"] == {}


def test_classes_too_small_for_five_shots_are_tested_with_one(tmp_path: Path) -> None:
    config = PretrainConfig(data="zoo", size=8, run=RunOptions(smoke=True))
    assert set(conclude_training(tmp_path, config, vit(), zoo(4), CPU)["metrics"]) == {"test/3-way-1-shot"}


def test_figures_show_each_class_once_and_keep_other_pictures(tmp_path: Path) -> None:
    add(tmp_path / "figures", "other.png", "Other", "")
    for _ in range(2):
        figures.write(tmp_path, vit(), zoo(), CPU, name="a/b")
    listed = (tmp_path / "figures/figures.json").read_text()
    assert listed.count("attention-a-b.png") == listed.count("other.png") == 1
    assert figures.one_of_each(zoo()).shape == (3,)
    figures.write(tmp_path / "none", load_model("exuno:convnet_1_4", classes=2, pretrained=False), zoo(), CPU)
    assert not (tmp_path / "none").exists()

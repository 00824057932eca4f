"""Few-shot classifiers on images whose class nobody knows: scores, the command, ``fewshot.Predictor``, mistakes."""
# Mistakes that a type checker would tell are made here on purpose.
# pyright: reportArgumentType=false

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import exuno
from exuno.cli import main
from exuno.data.images.folder import open_folder
from exuno.engine.errors import ExunoError
from exuno.features.extract import extract
from exuno.fewshot.episodes import Episodes
from exuno.fewshot.heads import Support, accuracies, learn
from exuno.fewshot.options import heads
from exuno.models.files import save_model
from exuno.models.load import load_model

COUNTS = (4, 2, 3)


def noisy(way: int, images: int, seed: int = 0) -> Tensor:
    """Features of noisy classes, float32 [n, images, 12]."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(way, 1, 12, generator=generator)
    return centres + 1.2 * torch.randn(way, images, 12, generator=generator)


@pytest.mark.parametrize("neighbours", [1, 4])
@pytest.mark.parametrize("head", heads.names)
def test_scores_are_right_as_often_as_eval_says(head: str, neighbours: int) -> None:
    way, shot, queries = 4, 3, 40
    features = noisy(way, shot + queries)
    labels = np.arange(way).repeat(shot + queries)
    positions = np.arange(way * (shot + queries)).reshape(way, -1)
    episodes = Episodes(positions[None, :, :shot], positions[None, :, shot:])
    expected = accuracies(features.flatten(0, 1), labels, iter([episodes]), head, neighbours=neighbours, seed=3)
    support = Support(features[:, :shot].flatten(0, 1), torch.arange(way).repeat_interleave(shot), way, neighbours, 3)
    scores = learn(head, support)(features[:, shot:].flatten(0, 1))
    right = (scores.argmax(1) == torch.arange(way).repeat_interleave(queries)).float().mean()
    assert 0.4 < float(right) < 1
    assert float(right) == pytest.approx(expected[0])
    if head in ("logistic", "linear", "cosine", "tuned"):
        torch.testing.assert_close(scores.sum(1), torch.ones(len(scores)))
    assert float(scores.abs().max()) <= 1 + 1e-6


def uneven() -> tuple[Tensor, Tensor]:
    """A support whose classes have 4, 2 and 3 images."""
    features = noisy(3, 4, seed=1)
    rows = [features[label, :count] for label, count in enumerate(COUNTS)]
    return torch.cat(rows), torch.arange(3).repeat_interleave(torch.tensor(COUNTS))


def test_classes_of_different_numbers_of_images() -> None:
    from sklearn.linear_model import LogisticRegression

    features, labels = uneven()
    queries = noisy(3, 20, seed=2).flatten(0, 1)
    means = torch.stack([features[labels == label].mean(0) for label in range(3)])
    expected = torch.cosine_similarity(queries[:, None], means[None], dim=2)
    torch.testing.assert_close(learn("prototype", Support(features, labels, 3))(queries), expected)
    theirs = LogisticRegression(C=1, tol=1e-10, max_iter=10_000).fit(features.double().numpy(), labels.numpy())
    found = learn("logistic", Support(features, labels, 3))(queries)
    np.testing.assert_allclose(found, theirs.predict_proba(queries.double().numpy()), atol=1e-4)
    nearest = torch.cosine_similarity(queries[:, None], features[None], dim=2).argsort(1, descending=True)[:, :3]
    votes = torch.cosine_similarity(queries[:, None], features[None], dim=2).gather(1, nearest)
    scores = learn("knn", Support(features, labels, 3, neighbours=3))(queries)
    for row, near, vote in zip(scores, nearest, votes, strict=True):
        for label in range(3):
            mine = labels[near] == label
            assert float(row[label]) == pytest.approx(float(vote[mine].sum()) / 3 if mine.any() else -1, abs=1e-5)


def test_a_linear_layer_learns_from_classes_of_different_numbers() -> None:
    """As SGD by autograd, in the same order, does."""
    from exuno.fewshot.heads import sgd

    features, labels = uneven()
    first = torch.zeros(1, dtype=torch.int64)
    drawn = sgd.start(5, first, 3, 12)[0]
    weight, bias = drawn[:, :-1].clone().requires_grad_(), drawn[:, -1].clone().requires_grad_()
    optimizer = torch.optim.SGD([weight, bias], 0.01, momentum=0.9, dampening=0.9, weight_decay=0.001)
    x = features.double()
    for number in range(20):
        for rows in sgd.order(5, first, len(x), number)[0].split(4):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(x[rows] @ weight.T + bias, labels[rows]).backward()
            optimizer.step()
    found = sgd.train(x[None], 3, first, "linear", 5, passes=20, own=labels)
    torch.testing.assert_close(found[0][0], weight.detach())
    assert found[1] is not None
    torch.testing.assert_close(found[1][0], bias.detach())


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ConvNet that was taught the digits for a moment."""
    folder = tmp_path_factory.mktemp("runs") / "taught"
    exuno.teach("digits", budget=0.05, devices="cpu", run_dir=folder)
    return folder


def write(folder: Path, images: Any, first: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images, first):
        Image.fromarray(image[0].numpy()).save(folder / f"{number:02}.png")
    return folder


@pytest.fixture(scope="module")
def support(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the digits 5 to 9, two to six images each."""
    folder = tmp_path_factory.mktemp("support")
    images, labels = exuno.open_data("digits", "train").fetch(np.arange(600))
    for digit in range(5, 10):
        write(folder / f"a {digit}", [images[i] for i in np.flatnonzero(labels.numpy() == digit)[: digit - 3]])
    return folder


@pytest.fixture(scope="module")
def queries(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Test images of these digits in a folder, and what they are."""
    images, labels = exuno.open_data("digits", "test").fetch(np.arange(120))
    wanted = np.flatnonzero(labels.numpy() >= 5)
    folder = write(tmp_path_factory.mktemp("queries"), [images[i] for i in wanted])
    return folder, [f"a {labels[i]}" for i in wanted]


@pytest.mark.parametrize("head", heads.names)
def test_the_command_recognises_new_classes(
    head: str, model: Path, support: Path, queries: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, names = queries
    command = ["fewshot", "predict", str(model), "--support", str(support), str(folder), "--head", head]
    assert main([*command, "--devices", "cpu", "--format", "jsonl", "--topk", "9"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["image"] for row in rows] == sorted(map(str, folder.iterdir()))
    assert np.mean([row["name"] == name for row, name in zip(rows, names, strict=True)]) > 0.7
    for row in rows:
        scores = [each["score"] for each in row["topk"]]
        assert scores == sorted(scores, reverse=True)
        assert len(scores) == 5
        assert row["margin"] == pytest.approx(scores[0] - scores[1], abs=2e-6)
        assert row["score"] == scores[0]


def test_features_are_those_of_eval(model: Path, support: Path, tmp_path: Path) -> None:
    """Of small images, and of photographs, which are resized before the middle is cut out."""
    net = load_model(f"run:{model}", pretrained=True).eval()
    random = np.random.default_rng(0)
    for number in range(4):
        (tmp_path / str(number)).mkdir()
        picture = Image.fromarray(random.integers(0, 256, (6, 4, 3), np.uint8)).resize((200, 130 + number))
        picture.save(tmp_path / str(number) / "a.png")
    for folder, views in ((support, 1), (tmp_path, 1), (support, 10), (tmp_path, 5)):
        expected, labels = extract(net, open_folder(folder, "train"), views=views)
        predictor = exuno.fewshot.Predictor(net, folder, views=views)
        files = [path for name in predictor.classes for path in sorted((folder / name).iterdir())]
        means = torch.stack([expected[labels == label].mean(0) for label in range(len(predictor.classes))])
        cosines = torch.cosine_similarity(expected[:, None], means[None], dim=2)
        found = [{each.name: each.score for each in one.topk} for one in predictor.predict(files, topk=9)]
        mine = torch.tensor([[row[name] for name in predictor.classes] for row in found])
        torch.testing.assert_close(mine, cosines, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["convnet", "transformer"])
def test_threads_get_the_same_answers(kind: str, model: Path, support: Path, queries: tuple[Path, list[str]]) -> None:
    """Also by hooks, which hear of the passes of every thread."""
    torch.manual_seed(0)
    vit: dict[str, Any] = {"classes": 0, "in_chans": 1, "input_size": (8, 8), "pretrained": False}
    net = f"run:{model}" if kind == "convnet" else load_model("exuno:vit_24_2_3_2", **vit).eval()
    predictor = exuno.fewshot.Predictor(net, support, devices="cpu")
    files = sorted(queries[0].iterdir())[:24]
    expected = [predictor.predict(file) for file in files]
    last = [each for each in predictor.model.net.modules() if isinstance(each, torch.nn.Linear)][-1]
    handle = last.register_forward_hook(lambda *_: time.sleep(0.002))  # for another thread to come in
    try:
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(predictor.predict, files)) == expected
    finally:
        handle.remove()


def test_a_support_in_memory(model: Path, support: Path, queries: tuple[Path, list[str]]) -> None:
    folders = {folder.name: folder for folder in sorted(support.iterdir())}
    expected = exuno.fewshot.Predictor(model, support, devices="cpu").predict(queries[0])
    given: dict[str, Any] = {
        name: [Image.open(path) for path in sorted(each.iterdir())] for name, each in folders.items()
    }
    for shown in (folders, given):
        predictor = exuno.fewshot.Predictor(model, shown, devices="cpu", batch_size=3)
        assert predictor.classes == tuple(folders)
        for one, other in zip(predictor.predict(queries[0]), expected, strict=True):
            assert one.name == other.name
            assert one.margin == pytest.approx(other.margin, abs=1e-5)
    training = load_model(f"run:{model}", pretrained=True).train()
    assert [x.name for x in exuno.fewshot.Predictor(training, support).predict(queries[0])] == [
        x.name for x in expected
    ]
    assert training.training


def test_what_cannot_be_read_is_named(
    model: Path, support: Path, queries: tuple[Path, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "b.png").write_bytes(b"hello")
    command = ["fewshot", "predict", str(model), "--support", str(support), str(queries[0] / "00.png"), str(tmp_path)]
    assert main([*command, "--devices", "cpu", "--format", "csv"]) == 1
    said = capsys.readouterr()
    assert said.err.count("b.png' is a text") == 1
    assert said.out.splitlines()[0].startswith("image,error,margin,label1,name1,score1,label2")
    assert len(said.out.splitlines()) == 3


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["MODEL", "photo:cat"], "needs --support"),
        (["MODEL", "--support", "SUPPORT"], "no picture was given"),
        (["MODEL", "--support", "nowhere", "photo:cat"], "there is no folder nowhere"),
        (["MODEL", "--support", "EMPTY", "photo:cat"], "there are no images in"),
        (["MODEL", "--support", "FLAT", "photo:cat"], "has no sub-folder for each class"),
        (["MODEL", "--support", "ONE", "photo:cat"], "a single class, 'cat'"),
        (["MODEL", "--support", "BROKEN", "photo:cat"], "is a text, not a picture"),
        (["MODEL", "--support", "SUPPORT", "nowhere.png"], "there is no picture 'nowhere.png'"),
        (["MODEL", "--support", "SUPPORT", "photo:cat", "--head", "protoype"], "Did you mean prototype?"),
        (["MODEL", "--support", "SUPPORT", "photo:cat", "--head", "knn", "--neighbours", "99"], "--neighbours is 99"),
        (["MODEL", "--support", "SUPPORT", "photo:cat", "--features", "cls"], "is no vision transformer"),
        (["MODEL", "--support", "SUPPORT", "photo:cat", "--resize", "4"], "--resize is 4"),
        (["MODEL", "--support", "SUPPORT", "photo:cat", "--resize", "8", "--views", "5"], "--views 5 finds corners"),
        (["MODEL", "--support", "SUPPORT", "photo:cat", "--blocks", "2"], "--blocks 2 joins [CLS] tokens"),
        (["CLIPS", "--support", "SUPPORT", "photo:cat"], "takes clips"),
        (["nowhere", "--support", "SUPPORT", "photo:cat"], "there is no run"),
        (["MODEL", "--suport", "SUPPORT", "photo:cat"], "Did you mean --support?"),
    ],
)
def test_mistakes(
    args: list[str], words: str, model: Path, support: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails
) -> None:
    monkeypatch.chdir(tmp_path)
    image = [torch.zeros(1, 8, 8, dtype=torch.uint8)]
    (tmp_path / "empty").mkdir()
    write(tmp_path / "flat", image)
    write(tmp_path / "one/cat", image)
    write(tmp_path / "broken/cat", image)
    write(tmp_path / "broken/dog", image)
    (tmp_path / "broken/dog/x.png").write_bytes(b"hello")

    def clips() -> Path:
        save_model(load_model("exuno:x3d_xs", classes=2, pretrained=False), tmp_path / "clips")
        return tmp_path / "clips"

    made: dict[str, Callable[[], Path]] = {"MODEL": lambda: model, "SUPPORT": lambda: support, "CLIPS": clips}
    made |= {name.upper(): lambda name=name: tmp_path / name for name in ("empty", "flat", "one", "broken")}
    typed = [str(made[word]()) if word in made else word for word in args]
    assert words in fails("fewshot", "predict", *typed, "--devices", "cpu")


def test_mistakes_in_python(model: Path, support: Path) -> None:
    Predictor = exuno.fewshot.Predictor
    with pytest.raises(exuno.ExunoError, match="class 'b' of the support has no images"):
        Predictor(model, {"a": [np.zeros((8, 8), np.uint8)], "b": []})
    with pytest.raises(exuno.ExunoError, match="a single class, 'a'"):
        Predictor(model, {"a": [np.zeros((8, 8), np.uint8)]})
    with pytest.raises(exuno.ExunoError, match="no images"):
        Predictor(model, {})
    told: dict[str, dict[str, Any]] = {
        "^batch_size is 0": {"batch_size": 0},
        "^views is 3. Give one of 1, 2, 5, 10": {"views": 3},
        "^features is first. Give one of auto": {"features": "first"},
        "^resize is 8. Give at least 9, so that views 5 finds corners": {"views": 5, "resize": 8},
        "^blocks 2 joins .* Leave out blocks, or take features cls": {"blocks": 2},
        "^head protoype is no classifier": {"head": "protoype"},
        "^neighbours is 99": {"neighbours": 99, "head": "knn"},
    }
    for said, options in told.items():
        with pytest.raises(exuno.ExunoError, match=said):
            Predictor(model, support, **options)
    predictor = Predictor(model, support)
    with pytest.raises(exuno.ExunoError, match="there is no picture"):
        predictor.predict(["nowhere.png"])
    assert predictor.predict(["nowhere.png"], unreadable="keep")[0].error


def counted(chunk: Any) -> Tensor:
    """A classifier of one's own that only counts."""
    return chunk.num_correct(torch.zeros(len(chunk.support), chunk.query[0].numel(), dtype=torch.int64))


def test_a_classifier_that_only_counts_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "only_counts", sys.modules[__name__])
    monkeypatch.setattr("exuno.registry.importable", lambda module: True)
    with pytest.raises(ExunoError, match="--head only_counts:counted counts right answers"):
        learn("only_counts:counted", Support(*uneven(), 3))


def test_a_dry_run(model: Path, support: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "found.csv"
    command = ["fewshot", "predict", str(model), "--support", str(support), "photo:cat", "--out", str(out)]
    assert main([*command, "--dry-run"]) == 0
    assert "# checked" in capsys.readouterr().out
    assert not out.exists()

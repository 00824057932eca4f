"""Features of any model: against computations of their own, and kept on disk under everything that shaped them."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from exuno.data.base import ArrayData
from exuno.data.images.corners import views_of
from exuno.data.images.folder import FileData, open_folder
from exuno.data.named.omniglot import TurnedData
from exuno.data.subset import labels_of
from exuno.engine.errors import ExunoError
from exuno.features.cache import cached, default_folder, key_of
from exuno.features.extract import crops, extract, few_of_each, raw_pixels, raw_size, short_side
from exuno.fewshot.eval_measure import Plan, View, measure
from exuno.fewshot.eval_models import Subject
from exuno.models.classifier import Classifier
from exuno.models.load import load_model


def images(count: int = 12, size: int = 8, channels: int = 1, classes: int = 3) -> ArrayData:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (count, channels, size, size), np.uint8)
    return ArrayData("noise", pixels, np.arange(count) % classes, tuple("abcdefgh"[:classes]))


def network(spec: str, seed: int = 0, size: int = 8, channels: int = 1) -> Classifier:
    torch.manual_seed(seed)
    stats: dict[str, Any] = {"mean": (0.4,) * channels, "std": (0.2,) * channels}
    return load_model(spec, classes=3, in_chans=channels, input_size=(size, size), pretrained=False, **stats)


def unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=1, keepdim=True)


VIT = "exuno:vit_24_2_3_2"


@torch.no_grad()
def tokens_by_hand(model: Classifier, x: Tensor) -> tuple[Tensor, Tensor]:
    """[CLS] and the weighted mean of the patches, from timm's forward pass and the last block's queries and keys."""
    net: Any = model.net.eval()
    seen: list[Tensor] = []
    handle = net.blocks[-1].attn.qkv.register_forward_hook(lambda _, __, out: seen.append(out))
    tokens = net.forward_features(x)
    handle.remove()
    heads, width = net.blocks[-1].attn.num_heads, tokens.shape[2]
    query, key, _ = (part.unflatten(2, (heads, -1)) for part in seen[0].split(width, 2))
    mean = torch.zeros(len(x), tokens.shape[1])
    for head in range(heads):
        scores = query[:, 0, head][:, None] @ key[:, :, head].mT / (width // heads) ** 0.5
        mean += scores.softmax(2)[:, 0] / heads
    weights = mean[:, 1:] / mean[:, 1:].sum(1, keepdim=True)
    return unit(tokens[:, 0]), unit((weights[..., None] * tokens[:, 1:]).sum(1))


@pytest.mark.parametrize("size", [8, 12])
def test_a_transformer_gives_the_features_of_the_paper(size: int) -> None:
    data, model = images(size=size), network(VIT)
    assert model.training
    found, labels = extract(model, data, size=(size, size))
    assert model.training, "the mode of the network is as it was"
    cls, patch = tokens_by_hand(model, (data.images / 255 - 0.4) / 0.2)
    torch.testing.assert_close(found, torch.cat([cls, patch], 1), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(extract(model, data, features="cls", size=(size, size))[0], cls, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(
        extract(model, data, features="patch", size=(size, size))[0], patch, atol=1e-5, rtol=1e-4
    )
    assert labels.tolist() == data.labels.tolist()
    assert found.dtype == torch.float32


@pytest.mark.parametrize("features", ["cls+patch", "cls"])
def test_class_tokens_of_the_last_blocks_are_joined(features: Any) -> None:
    data, model = images(), network("exuno:vit_24_3_3_2")
    net: Any = model.net.eval()
    with torch.no_grad():
        x = (data.images / 255 - 0.4) / 0.2
        levels = net.get_intermediate_layers(x, 2, return_prefix_tokens=True, norm=True)
        expected = [unit(prefix[:, 0]) for _, prefix in levels]
    last = extract(model, data, features=features)[0]
    found = extract(model, data, features=features, blocks=2)[0]
    torch.testing.assert_close(found[:, :24], expected[0], atol=1e-5, rtol=1e-4)
    assert torch.equal(found[:, 24:], last)
    torch.testing.assert_close(found[:, 24:48], expected[1], atol=1e-5, rtol=1e-4)
    assert extract(model, data, features=features, blocks=3)[0].shape[1] == last.shape[1] + 48


@pytest.mark.parametrize(("views", "side"), [(1, 8), (2, 8), (5, 9), (10, 9)])
@pytest.mark.parametrize("spec", [VIT, "exuno:convnet_2_8"])
def test_features_of_views_are_averaged(spec: str, views: Any, side: int) -> None:
    data, model = images(), network(spec)
    seen = views_of(crops(data.images, (side, side), side), (8, 8), views)
    each = [extract(model, ArrayData("view", view.numpy(), data.labels.numpy()))[0] for view in seen]
    assert len(each) == views
    torch.testing.assert_close(extract(model, data, views=views)[0], torch.stack(each).mean(0), atol=1e-5, rtol=1e-4)


def test_corners_are_those_of_the_short_side_that_was_asked_for() -> None:
    data, model = images(size=20), network(VIT)
    large = crops(data.images, (14, 14), 14)
    expected = extract(model, ArrayData("large", large.numpy(), data.labels.numpy()), resize=14, views=5)[0]
    torch.testing.assert_close(extract(model, data, resize=14, views=5)[0], expected)
    assert short_side(data, (8, 8), views=5) == 9
    assert short_side(images(size=32), (32, 32), views=10) == 37
    assert short_side(images(size=2), (2, 2), views=5) == 3


def test_a_network_sees_the_size_that_was_asked_for() -> None:
    data, model = images(), network(VIT)
    small, large = (extract(model, data, size=(side, side))[0] for side in (8, 16))
    assert small.shape == large.shape
    assert (small - large).abs().max() > 1e-3


@pytest.mark.parametrize("spec", ["exuno:convnet_2_8", "exuno:wrn_10_1", "exuno:resnet8"])
def test_other_networks_give_the_input_of_their_last_layer(spec: str) -> None:
    data, model = images(), network(spec)
    found, _ = extract(model, data)
    last: Any = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)][-1]
    with torch.no_grad():
        logits = model.eval()(data.images / 255)
        torch.testing.assert_close(found @ last.weight.T + last.bias, logits, atol=1e-5, rtol=1e-4)
    assert found.shape == (12, last.in_features)


def test_a_network_of_timm_gives_what_its_classifier_gets() -> None:
    data, model = images(size=32, channels=3), network("timm:resnet10t", size=32, channels=3)
    net: Any = model.net
    found, _ = extract(model, data)
    with torch.no_grad():
        pooled = net.eval().forward_features((data.images / 255 - 0.4) / 0.2).mean((2, 3))
    torch.testing.assert_close(found, pooled, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("spec", "size", "features", "said"),
    [
        (VIT, 9, "auto", "cannot be cut into the patches of 2"),
        ("exuno:convnet_2_8", 16, "auto", "does not take images of 16x16"),
        ("exuno:convnet_2_8", 8, "cls", "has no features 'cls'"),
    ],
)
def test_features_that_a_network_does_not_have_are_refused(spec: str, size: int, features: Any, said: str) -> None:
    with pytest.raises(ExunoError, match=said):
        extract(network(spec), images(), size=(size, size), features=features)


@pytest.mark.parametrize(
    ("spec", "options", "said"),
    [
        ("exuno:convnet_2_8", {"blocks": 2}, "--blocks 2 joins .CLS. tokens"),
        (VIT, {"blocks": 2, "features": "patch"}, "the features 'patch' of exuno:vit_24_2_3_2 do not have"),
        (VIT, {"blocks": 3}, "--blocks is 3, but exuno:vit_24_2_3_2 has 2"),
        (VIT, {"views": 5, "resize": 8}, "--resize is 8. Give at least 9, so that --views 5 finds corners"),
    ],
)
def test_blocks_and_views_that_cannot_be_had_are_refused(
    spec: str, options: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(ExunoError, match=said):
        row(network(spec), images(), tmp_path, **options)


def test_crops_are_those_of_pil() -> None:
    pixels = torch.randint(0, 256, (1, 3, 20, 30), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    picture = Image.fromarray(pixels[0].permute(1, 2, 0).numpy()).resize((18, 12), Image.Resampling.BICUBIC)
    wanted = np.asarray(picture)[2:10, 5:13].transpose(2, 0, 1).astype(int)
    found = crops([pixels[0], pixels[0]], (8, 8), 12)
    assert found.shape == (2, 3, 8, 8)
    assert np.abs(found[1].numpy().astype(int) - wanted).max() <= 1


@pytest.mark.parametrize(
    ("stored", "photograph", "size", "short"),
    [(8, None, 8, 8), (32, None, 224, 224), (84, None, 64, 73), (224, 256, 224, 256), (224, 256, 320, 366)],
)
def test_the_short_side_is_an_eighth_more_where_images_are_larger(
    stored: int, photograph: int | None, size: int, short: int
) -> None:
    data = images(size=stored)
    data.resize = photograph
    assert short_side(data, (size, size)) == short
    assert short_side(data, (size, size), 500) == 500


def test_raw_pixels_are_flat_and_small() -> None:
    data = images(size=8, channels=3)
    found, labels = raw_pixels(data, raw_size(data), 8)
    torch.testing.assert_close(found, data.images.flatten(1) / 255)
    assert labels.tolist() == data.labels.tolist()
    assert raw_size(images(size=64)) == (32, 32)


def test_few_of_each_class() -> None:
    few = few_of_each(images(12, classes=3), 2)
    assert labels_of(few).tolist() == [0, 1, 2, 0, 1, 2]
    assert few.fingerprint() != few_of_each(images(12, classes=3), 3).fingerprint()


class Counter:
    """Counts the passes of a network."""

    def __init__(self, model: Classifier) -> None:
        self.passes = 0
        model.net.register_forward_pre_hook(self.count)
        model.net.get_submodule("patch_embed").register_forward_pre_hook(self.count)

    def count(self, *_: Any) -> None:
        self.passes += 1


def row(model: Classifier, data: Any, cache: Path, **changes: Any) -> Any:
    plan = Plan(2, (1,), 2, 10)
    view = replace(View(cache=cache), **changes)
    return measure(Subject("it", "run:it", model), data, plan, view, torch.device("cpu"))


def test_features_are_computed_once(tmp_path: Path) -> None:
    data, model = images(), network(VIT)
    counter = Counter(model)
    first = row(model, data, tmp_path)
    passes = counter.passes
    assert passes > 0
    assert row(model, data, tmp_path) == first
    assert counter.passes == passes, "the second time nothing ran"
    twin = network(VIT)
    again = Counter(twin)
    assert row(twin, data, tmp_path) == first
    assert again.passes == 0, "equal weights have equal features"


@pytest.mark.parametrize(
    "change", ["weights", "mean", "features", "blocks", "views", "size", "resize", "pixels", "labels"]
)
def test_whatever_shapes_features_is_in_the_key(tmp_path: Path, change: str) -> None:
    data, model = images(), network(VIT)
    row(model, data, tmp_path)
    options: dict[str, Any] = {}
    if change == "weights":
        with torch.no_grad():
            next(model.net.parameters()).view(-1)[0] += 1e-4
    elif change == "mean":
        card = replace(model.card, mean=(0.5,))
        model = Classifier(model.net, card)
    elif change == "features":
        options["features"] = "cls"
    elif change in ("blocks", "views"):
        options[change] = 2
    elif change == "size":
        options["size"] = (12, 12)
    elif change == "resize":
        options["resize"] = 12
    elif change == "pixels":
        data.images[0, 0, 0, 0] += 1
    else:
        data.labels[:2] = torch.tensor([1, 0])
    counter = Counter(model)
    row(model, data, tmp_path, **options)
    assert counter.passes > 0
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "foreign"])
def test_a_damaged_file_is_computed_again(tmp_path: Path, damage: str) -> None:
    data, model = images(), network(VIT)
    first = row(model, data, tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    middle = len(whole) // 2
    if damage == "foreign":
        np.savez(path.with_suffix(""), other=np.zeros(3))
    else:
        flipped = whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :]
        path.write_bytes({"cut": whole[:middle], "flipped": flipped, "empty": b""}[damage])
    counter = Counter(model)
    assert row(model, data, tmp_path) == first
    assert counter.passes > 0
    assert path.read_bytes() == whole, "and written anew"


def test_random_networks_of_two_seeds_are_not_confused() -> None:
    data, model = images(), network(VIT)
    assert key_of(model, model.card, data, seed=0) != key_of(model, model.card, data, seed=1)
    assert key_of(None, None, data) != key_of(None, None, few_of_each(data, 2))


def picture_folder(folder: Path, level: int) -> FileData:
    for name in "ab":
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(3):
            Image.fromarray(np.full((8, 8, 3), level + i, np.uint8)).save(folder / name / f"{i}.bmp")
    return open_folder(folder, "train", "pictures")


def test_folders_of_equal_names_and_sizes_are_not_confused(tmp_path: Path) -> None:
    one, other = picture_folder(tmp_path / "one", 0), picture_folder(tmp_path / "other", 9)
    assert one.fingerprint() == other.fingerprint()
    for kind in (lambda data: data, lambda data: few_of_each(data, 2), TurnedData):
        known = key_of(None, None, kind(one))
        assert key_of(None, None, kind(other)) != known
        assert key_of(None, None, kind(open_folder(tmp_path / "one", "train", "pictures"))) == known
    known, file = key_of(None, None, few_of_each(one, 2)), tmp_path / "one/a/1.bmp"
    os.utime(file, ns=(0, 0))  # another image, put there with the time of its own
    assert key_of(None, None, few_of_each(one, 2)) != known


def test_a_cache_that_cannot_be_written_costs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    found = cached(tmp_path / "file" / "cache", "key", lambda: (torch.ones(2, 3), torch.zeros(2, dtype=torch.int64)))
    assert found[0].shape == (2, 3)
    assert "not kept" in capsys.readouterr().err


def test_the_cache_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "exuno/features"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_folder() == Path.home() / ".cache/exuno/features"


def test_features_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    model = network(VIT)
    with torch.no_grad():
        next(model.net.parameters()).fill_(torch.nan)
    with pytest.raises(ExunoError, match="features of run:it are not finite"):
        row(model, images(), tmp_path)

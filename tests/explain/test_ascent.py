"""Activation maximisation: it rises, a picture is the same in any batch, pictures differ where asked."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from exuno.engine.errors import ExunoError
from exuno.explain import ascent
from exuno.explain.ascent import Recipe, activations, capture, maximise, similarity
from exuno.explain.units import layer_of, name_of, numbers_of
from exuno.models.card import ModelCard
from exuno.models.classifier import Classifier

RECIPE = Recipe(size=12, steps=12)


def network(in_chans: int = 3) -> Classifier:
    """Convolutions with work in place, so that a layer's output must be copied to be kept."""
    torch.manual_seed(0)
    layers: list[Any] = [nn.Conv2d(in_chans, 6, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(6, 8, 3)]
    net = nn.Sequential(*layers, nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))
    card = ModelCard("exuno:test", 5, in_chans, (10, 10), (0.5,) * in_chans, (0.5,) * in_chans, tuple("abcde"))
    return Classifier(net, card).eval().requires_grad_(False)


@pytest.mark.parametrize("in_chans", [1, 3])
@pytest.mark.parametrize(("layer", "objective"), [(None, "channel"), ("2", "channel"), ("2", "neuron")])
def test_the_activation_rises(in_chans: int, layer: str | None, objective: Any) -> None:
    model = network(in_chans)
    found = maximise(model, layer_of(model, layer, 12), [0, 1, 3], replace(RECIPE, objective=objective))
    assert found.images.shape == (3, in_chans, 12, 12)
    assert found.course.shape == (12, 3)
    assert (found.activation > found.before).all()
    assert (found.course[-1] > found.course[0]).all()


def test_the_activation_told_is_that_of_the_network() -> None:
    model = network()
    found = maximise(model, layer_of(model, None, 12), [4, 2], RECIPE)
    torch.testing.assert_close(found.activation, model(found.images)[[0, 1], [4, 2]])


def test_a_step_sees_the_picture_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ascent, "START", 1.0)  # more than the faint noise of a real start
    model = network()
    layer = layer_of(model, None, 12)
    found = maximise(model, layer, [4, 2], Recipe(12, 2))
    start = ascent.pixels(ascent.start(0, [4 * ascent.MOST, 2 * ascent.MOST], 3, 12))
    maps = ascent.draw(0, [4 * ascent.MOST, 2 * ascent.MOST], 0, 12)
    torch.testing.assert_close(found.course[0], model(ascent.view(start, maps))[[0, 1], [4, 2]])
    assert (found.course[0] - found.before).abs().min() > 1e-3


@pytest.mark.parametrize("diversity", [0.0, 1.0])
def test_a_batch_draws_what_units_one_at_a_time_draw(diversity: float, monkeypatch: pytest.MonkeyPatch) -> None:
    model = network()
    layer = layer_of(model, "2", 12)
    recipe = replace(RECIPE, pictures=2, diversity=diversity)
    together = maximise(model, layer, [0, 3, 5, 7], recipe)
    alone = [maximise(model, layer, [unit], recipe) for unit in (0, 3, 5, 7)]
    torch.testing.assert_close(together.images, torch.cat([each.images for each in alone]), atol=1e-4, rtol=0)
    own = 2 * layer.bytes + 4 * ascent.COPIES * 3 * 12**2
    monkeypatch.setattr(ascent, "ROOM", 2 * 2 * own)  # two pictures of two units in a chunk
    steps: list[int] = []
    chunks = maximise(model, layer, [0, 3, 5, 7], recipe, steps.append)
    assert set(steps) == {2 * 2}
    torch.testing.assert_close(together.images, chunks.images, atol=1e-4, rtol=0)
    other = maximise(model, layer, [0], replace(recipe, seed=1))
    assert (other.images - alone[0].images).abs().max() > 0.05


def test_large_pictures_share_smaller_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network()
    layer = layer_of(model, None, 12)
    monkeypatch.setattr(ascent, "ROOM", 4 * (2 * layer.bytes + 4 * ascent.COPIES * 3 * 12**2))
    for size, together in ((12, 4), (48, 1)):
        steps: list[int] = []
        maximise(model, layer, [0, 1, 2, 3], Recipe(size, 1), steps.append)
        assert steps == [together] * (4 // together)


def test_diversity_makes_pictures_of_a_unit_differ() -> None:
    model = network()
    layer = layer_of(model, "2", 12)

    def alike(diversity: float) -> float:
        found = maximise(model, layer, [1], replace(RECIPE, pictures=3, diversity=diversity, steps=40))
        with capture(layer.module) as seen:
            model(found.images)
        return float(similarity(seen[layer.module], 3))

    assert alike(100.0) < alike(0.0) - 0.02


@pytest.mark.parametrize("shape", [(6, 4, 5, 5), (6, 40, 2, 2), (6, 9, 4)])
def test_similarity_is_the_mean_cosine_of_gram_matrices(shape: tuple[int, ...]) -> None:
    output = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    flat = output.transpose(1, 2) if output.ndim == 3 else output.flatten(2)
    grams = [(features @ features.T).flatten() for features in flat]
    wanted = 0.0
    for unit in (0, 3):
        for i in range(3):
            for j in range(3):
                cosine = torch.cosine_similarity(grams[unit + i], grams[unit + j], dim=0)
                wanted += float(cosine) / 3 if i != j else 0.0
    assert float(similarity(output, 3)) == pytest.approx(wanted, rel=1e-4)


def test_a_channel_is_a_mean_and_a_neuron_a_place() -> None:
    maps = torch.arange(2 * 3 * 4 * 5.0).view(2, 3, 4, 5)
    units = torch.tensor([2, 0])
    torch.testing.assert_close(activations(maps, units, "channel"), torch.stack([maps[0, 2].mean(), maps[1, 0].mean()]))
    torch.testing.assert_close(activations(maps, units, "neuron"), torch.stack([maps[0, 2, 2, 2], maps[1, 0, 2, 2]]))
    tokens = maps.flatten(2).transpose(1, 2)
    torch.testing.assert_close(activations(tokens, units, "channel"), activations(maps, units, "channel"))
    torch.testing.assert_close(activations(maps[:, :, 0, 0], units, "channel"), maps[[0, 1], [2, 0], 0, 0])


def test_layers_are_found_by_name() -> None:
    model = network()
    logits, layer = layer_of(model, None, 12), layer_of(model, "2", 12)
    assert (logits.units, layer.units) == (5, 8)
    assert logits.compared is model.net[3]  # pyright: ignore
    assert layer.compared is layer.module is model.net[2]  # pyright: ignore
    assert layer_of(model, "6", 12).compared is None
    assert logits.bytes == 4 * (2 * 6 * 100 + 2 * 8 * 64 + 2 * 8 + 5)
    with pytest.raises(ExunoError, match="no layer '22'") as caught:
        layer_of(model, "22", 12)
    assert "Did you mean '2'?" in caught.value.todo
    assert "The layers are: 0, 1, 2, 3" in caught.value.todo


def test_units_are_found_by_name_and_number() -> None:
    model = network()
    names = model.card.class_names
    assert numbers_of([], 5, names) == [0, 1, 2, 3, 4]
    assert numbers_of([], 64, None) == list(range(10))
    assert numbers_of(["c", "0", "c"], 5, names) == [2, 0]
    assert numbers_of(["1"], 3, ("2", "1", "0")) == [1]
    assert numbers_of(["0"], 3, ("2", "1", "0")) == [2]  # a name goes before a number
    assert [name_of(1, model.card, layer) for layer in (None, "2")] == ["b", "1"]
    for word in ("5", "f", "-1"):
        with pytest.raises(ExunoError, match=f"no unit '{word}'"):
            numbers_of([word], 5, names)
    with pytest.raises(ExunoError, match="no unit '21'") as caught:
        numbers_of(["21"], 3, ("2", "1", "0"))
    assert caught.value.todo == "Give names or numbers from 0 to 2."

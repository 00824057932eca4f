"""The order of the classes: a permutation whose neighbours are alike, or the one that was asked for."""

import builtins
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exuno.engine.errors import ExunoError
from exuno.poster.order import arrange, class_means, class_order, cosine_distance, diagonals


def unused() -> np.ndarray:
    raise AssertionError("these features are not asked for")


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 99))
def test_every_class_has_one_place(rows: int, columns: int, seed: int) -> None:
    distance = np.random.default_rng(seed).random((rows * columns, rows * columns))
    order = arrange(distance, (rows, columns))
    assert order[0, 0] == 0
    assert sorted(order.ravel()) == list(range(rows * columns))


def test_the_walk_starts_each_diagonal_at_its_lower_left() -> None:
    assert list(diagonals((2, 3))) == [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 2)]
    assert list(diagonals((3, 1))) == [(0, 0), (1, 0), (2, 0)]


def test_a_line_of_classes_is_laid_in_line() -> None:
    place = np.array([0, 3, 1, 2])
    distance = np.abs(place[:, None] - place).astype(float)
    assert arrange(distance, (1, 4)).tolist() == [[0, 2, 3, 1]]


def test_ties_go_to_the_lowest_number() -> None:
    assert arrange(np.ones((4, 4)), (2, 2)).tolist() == [[0, 2], [1, 3]]


def test_cosine_distance() -> None:
    distance = cosine_distance(np.array([[1, 0], [2, 2], [-3, 0], [0, 0]]))
    np.testing.assert_allclose(distance[0], [0, 1 - 0.5**0.5, 2, 1], atol=1e-12)
    np.testing.assert_allclose(distance, distance.T)


def test_class_means_are_centred_and_may_come_in_batches() -> None:
    images = np.random.default_rng(0).random((7, 2, 3))
    labels = np.array([0, 1, 0, 2, 2, 2, 1])
    means = class_means([(images[:3], labels[:3]), (images[3:], labels[3:])], 3)
    flat = images.reshape(7, 6)
    np.testing.assert_allclose(means[2], flat[3:6].mean(0) - flat.mean(0))
    assert means.shape == (3, 6)
    many = class_means([(np.tile(images, (300, 1, 1)), np.tile(labels, 300))], 3)
    np.testing.assert_allclose(many, means)
    with pytest.raises(ExunoError, match="class 3 has no image"):
        class_means([(images, labels)], 4)


def test_orders_by_name() -> None:
    assert class_order("given", (2, 2), None, unused).tolist() == [[0, 1], [2, 3]]
    assert class_order("2, 0,1,3", (2, 2), None, unused).tolist() == [[2, 0], [1, 3]]
    features = np.array([[1.0, 0], [0, 1], [0.9, 0.1], [0.1, 0.9]])
    assert class_order("features", (1, 4), None, lambda: features).tolist() == [[0, 2, 3, 1]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("features2", "--order features2 is not understood"),
        ("0,1,2,", "--order 0,1,2, is not understood"),
        ("0,1,2,-3", "--order 0,1,2,-3 is not understood"),
        ("0,1,2", "--order has class 3 0 times"),
        ("0,1,1,2", "--order has class 1 2 times"),
        ("0,1,2,3,4", "--order has the number 4, which is no class"),
        ("clip", "--order clip needs names"),
    ],
)
def test_mistakes_are_told(text: str, message: str) -> None:
    with pytest.raises(ExunoError) as caught:
        class_order(text, (2, 2), None, unused)
    assert caught.value.what.startswith(message)


def test_clip_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    found = builtins.__import__

    def without(name: str, *rest: object, **more: object) -> ModuleType:
        if name == "open_clip":
            raise ImportError(name)
        return found(name, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ExunoError, match=r"pip install 'exuno\[clip\]'"):
        class_order("clip", (1, 2), ["cat", "dog"], unused)


def test_clip_weights_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = ModuleType("open_clip")

    def fail(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(fake, "create_model", fail, raising=False)
    monkeypatch.setitem(sys.modules, "open_clip", fake)
    with pytest.raises(ExunoError, match=r"no route to host\. .*--order features"):
        class_order("clip", (1, 2), ["cat", "dog"], unused)


def test_names_are_padded_with_the_end_token() -> None:
    pytest.importorskip("open_clip")
    from exuno.poster.clip import tokens

    found = tokens(["great_white_shark", "great white shark", "!"])
    assert found.shape == (3, 77)
    assert found[0].tolist() == [49406, 830, 1579, 7980] + [49407] * 73
    assert torch.equal(found[0], found[1])
    assert found[2].tolist() == [49406, 256, *[49407] * 75]  # "!" alone as a word


def test_hidden_states_are_those_of_the_text_side() -> None:
    model = pytest.importorskip("open_clip.model")
    from exuno.poster.clip import hidden_states

    torch.manual_seed(0)
    text = model.CLIPTextCfg(context_length=77, vocab_size=49408, width=16, heads=2, layers=2)
    clip = model.CLIP(8, model.CLIPVisionCfg(layers=1, width=16, head_width=8, image_size=8, patch_size=4), text)
    tokens = torch.randint(0, 49407, (70, 77))
    states = hidden_states(clip.eval(), tokens)
    assert states.shape == (70, 77, 16)
    x = clip.token_embedding(tokens[69:]) + clip.positional_embedding
    expected = clip.ln_final(clip.transformer(x, attn_mask=clip.attn_mask))
    torch.testing.assert_close(states[69:], expected, rtol=1e-4, atol=1e-5)
    changed = tokens[:1].clone()
    changed[0, 40:] = 49407  # causal: what stands behind changes nothing before, and something behind
    after = hidden_states(clip, changed)
    torch.testing.assert_close(after[0, :40], states[0, :40], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(after[0, 40:], states[0, 40:], atol=1e-2)

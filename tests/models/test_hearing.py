"""Networks of every library behind the ear: built, trained a step, saved, loaded again."""

from pathlib import Path

import pytest
import torch

from exuno.engine.errors import ExunoError
from exuno.engine.options import MelSpec
from exuno.models.card import Hearing, ModelCard
from exuno.models.classifier import Classifier
from exuno.models.files import save_model
from exuno.models.load import load_model

SMALL = Hearing(8000, 6000, MelSpec(mels=24, hop=0.02))


def recordings(count: int = 4, samples: int = 6000) -> torch.Tensor:
    return torch.randn(count, 1, samples, generator=torch.Generator().manual_seed(0))


def build(spec: str, hearing: Hearing = SMALL) -> Classifier:
    torch.manual_seed(0)
    return load_model(spec, classes=3, class_names=("a", "b", "c"), pretrained=False, hearing=hearing)


@pytest.mark.parametrize(
    "spec",
    ["exuno:convnet_3_8-batch", "exuno:resnet8", "exuno:wrn_10_1", "timm:resnet10t", "torchvision:mobilenet_v3_small"],
)
def test_round_trip(spec: str, tmp_path: Path) -> None:
    model = build(spec)
    assert model.card.input_size == (24, 38)
    assert model.prepare(recordings()).shape[2:] == (24, 38)
    loss = torch.nn.functional.cross_entropy(model(recordings()), torch.tensor([0, 1, 2, 0]))
    loss.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter -= 0.01 * parameter.grad
    save_model(model.eval(), tmp_path)
    again = load_model(f"run:{tmp_path}", classes=3, pretrained=True).eval()
    assert again.card.hearing == SMALL
    assert again.card.class_names == ("a", "b", "c")
    with torch.no_grad():
        assert torch.equal(model(recordings()), again(recordings()))


def test_a_model_hears_the_middle_of_what_it_is_given() -> None:
    model = build("exuno:convnet_2_8").eval()
    middle = recordings()
    longer = torch.cat([recordings(4, 500), middle, recordings(4, 500)], 2)
    with torch.no_grad():
        assert torch.equal(model(longer), model(middle))
        assert torch.equal(
            model(middle[..., 1000:5000]), model(torch.nn.functional.pad(middle[..., 1000:5000], [1000] * 2))
        )
        assert model(torch.zeros(1, 1, 1)).isfinite().all()


def test_hearing_survives_the_file() -> None:
    card = build("exuno:resnet8").card
    assert ModelCard.from_json(card.to_json()) == card


@pytest.mark.parametrize(
    ("sound", "words"),
    [
        (MelSpec(mels=0), "--mel.mels is 0"),
        (MelSpec(window=0), "--mel.window is 0"),
        (MelSpec(window=1.2), "--mel.window is 1.2. Give at most the "),
        (MelSpec(hop=-1), "--mel.hop is -1"),
        (MelSpec(low=4000), "--mel.low is 4000"),
    ],
)
def test_sounds_that_no_model_can_hear(sound: MelSpec, words: str) -> None:
    with pytest.raises(ExunoError, match=words):
        Hearing(8000, 8000, sound)


def test_pixels_for_a_model_that_hears() -> None:
    with pytest.raises(ExunoError, match="takes recordings, and was given single images"):
        build("exuno:resnet8")(torch.rand(1, 1, 24, 38))


def test_in_mixed_precision() -> None:
    model = build("exuno:resnet8").eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        low = model(recordings())
    assert low.dtype == torch.bfloat16
    assert torch.allclose(low.float(), model(recordings()), atol=0.05)


def test_a_loader_delivers_what_the_longest_hears() -> None:
    from exuno.training import loaded_size

    long = build("exuno:resnet8", Hearing(8000, 9000, MelSpec(mels=8)))
    assert loaded_size((1, 8000), build("exuno:resnet8"), long) == (1, 9000)
    assert loaded_size((32, 32), load_model("exuno:resnet8", classes=3, pretrained=False)) == (32, 32)

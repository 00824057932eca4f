"""X3D: pytorchvideo's numbers, names and plan; clips through a Classifier."""

import math

import pytest
import torch

from exuno.engine.errors import ExunoError
from exuno.models.classifier import subsample
from exuno.models.load import load_model
from exuno.models.zoo.x3d import DEPTHS, X3D, factors_of, round_width, stage_widths

# First logits of pytorchvideo 0.1.5's create_x3d(model_num_class=5, input_clip_length=4, input_crop_size=32,
# dropout_rate=0, head_activation=None, width_factor=w, depth_factor=d), in float64 and eval mode, with the weights of
# ``fill``, for ``clip`` of this shape; the second is larger than the network was made for.
GOLDEN = {
    (2.0, 2.2, (4, 32, 32)): [4.796887985222488, 4.225581824047536, -0.042600756230741554],
    (2.0, 2.2, (5, 64, 96)): [6.708774061825335, 6.584097274863487, 0.4587455357309013],
    (1.0, 1.0, (4, 32, 32)): [1.1260665810597685, 1.1008397682253321, 0.6224076419104678],
    (1.0, 1.0, (5, 64, 96)): [1.0246810123931334, 1.0448956058388337, 0.6665511683201245],
    (5.0, 3.0, (4, 32, 32)): [1.7604830338008612, 0.5699470878723174, -0.627465366262574],
}


def fill(net: torch.nn.Module) -> torch.nn.Module:
    """Weights that are a function of their name and place alone."""
    for number, (name, value) in enumerate(sorted(net.state_dict().items())):
        if value.is_floating_point():
            wave = torch.sin(torch.arange(value.numel(), dtype=torch.float64) * 0.7 + number)
            fan = max(1, math.prod(value.shape[1:]))
            positive = name.endswith(("running_var",)) or (name.endswith("weight") and value.ndim == 1)
            value.copy_((1 + 0.3 * wave if positive else wave * math.sqrt(2 / fan)).view(value.shape))
    return net.double().eval()


def clip(frames: int, height: int, width: int) -> torch.Tensor:
    count = 2 * 3 * frames * height * width
    return torch.cos(torch.arange(count, dtype=torch.float64) * 0.37).view(2, 3, frames, height, width)


@pytest.mark.parametrize("case", GOLDEN, ids=str)
def test_computes_what_pytorchvideo_computes(case):
    width, depth, shape = case
    net = fill(X3D(5, 3, 4, (32, 32), width, depth))
    with torch.no_grad():
        logits = net(clip(*shape))
    assert logits.shape == (2, 5)
    assert logits[0, :3].tolist() == pytest.approx(GOLDEN[case], rel=1e-9)


def test_the_published_plan():
    assert stage_widths() == [12, 24, 48, 96]
    assert [round_width(width, 2.0) for width in stage_widths()] == [24, 48, 96, 192]
    assert round_width(54, 0.0625) == 8
    net = X3D(400, 3, 4, (160, 160))
    assert sum(value.numel() for value in net.parameters()) == 3_794_274
    blocks = [
        {key.split(".")[3] for key in net.state_dict() if key.startswith(f"blocks.{stage}.")} for stage in range(1, 5)
    ]
    assert [len(numbers) for numbers in blocks] == [3, 5, 11, 7]
    assert "blocks.4.res_blocks.6.branch2.norm_b.1.block.2.bias" in net.state_dict()


@pytest.mark.parametrize("factors", [(2.0, 2.2), (5.0, 3.0), (1.0, 1.0), (0.5, 0.4), (3.0, 1.5)])
def test_factors_are_read_from_shapes(factors):
    state = X3D(3, 3, 4, (32, 32), *factors).state_dict()
    found = factors_of(state)
    assert found is not None
    again = X3D(3, 3, 4, (32, 32), *found).state_dict()
    assert {key: value.shape for key, value in again.items()} == {key: value.shape for key, value in state.items()}
    assert [math.ceil(found[1] * depth) for depth in DEPTHS] == [math.ceil(factors[1] * depth) for depth in DEPTHS]
    assert factors_of({"linear.weight": torch.zeros(2, 2)}) is None


def save(path, state, *, wrapper="model_state", prefix=""):
    torch.save({wrapper: {prefix + key: value for key, value in state.items()}, "epoch": 3}, path)
    return path


@pytest.mark.parametrize(("wrapper", "prefix"), [("model_state", ""), ("state_dict", "model.")])
def test_a_checkpoint_in_the_published_layout_loads_and_computes(tmp_path, wrapper, prefix):
    net = fill(X3D(7, 3, 4, (160, 160), 1.0, 1.0)).float()
    path = save(tmp_path / "X3D_XS.pyth", net.state_dict(), wrapper=wrapper, prefix=prefix)
    model = load_model(f"file:{path}", pretrained=True).eval()
    card = model.card
    assert (card.arch, card.classes, card.frames, card.input_size) == ("exuno:x3d_xs_w1_d1", 7, 4, (160, 160))
    assert (card.mean, card.std) == ((0.45,) * 3, (0.225,) * 3)
    pixels = torch.rand(1, 3, 4, 160, 160, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = net((pixels - 0.45) / 0.225)
        assert (model(pixels) - expected).abs().max() <= 1e-4 * expected.abs().max()


def test_another_size_can_be_named(tmp_path):
    path = save(tmp_path / "X3D_M.pyth", X3D(7, 3, 4, (160, 160)).state_dict())
    card = load_model(f"file:{path}@exuno:x3d_m", pretrained=True).card
    assert (card.arch, card.frames, card.input_size) == ("exuno:x3d_m", 16, (224, 224))


def test_a_wrong_checkpoint_is_refused_with_the_keys_that_differ(tmp_path):
    state = X3D(7, 3, 4, (32, 32), 1.0, 1.0).state_dict()
    del state["blocks.3.res_blocks.1.branch2.conv_b.weight"]
    state["blocks.3.res_blocks.1.branch2.conv_q.weight"] = torch.zeros(1)
    with pytest.raises(ExunoError, match=r"missing blocks\.3\.res_blocks\.1\.branch2\.conv_b.*unknown .*conv_q"):
        load_model(f"file:{save(tmp_path / 'a.pyth', state)}", pretrained=True)
    good = save(tmp_path / "b.pyth", X3D(7, 3, 4, (32, 32), 1.0, 1.0).state_dict())
    with pytest.raises(ExunoError, match="not of exuno:x3d_xs"):
        load_model(f"file:{good}@exuno:x3d_xs", pretrained=True)


def test_clips_pass_a_classifier():
    model = load_model("exuno:x3d_xs_w1_d1", classes=3, input_size=(32, 32), pretrained=False).eval()
    clips = torch.rand(2, 1, 9, 40, 48)  # gray, too long and too large
    x = model.prepare(clips)
    assert x.shape == (2, 3, 4, 32, 32)
    with torch.no_grad():
        assert model(clips).shape == (2, 3)
    with pytest.raises(ExunoError, match="takes clips, and was given single images"):
        model(torch.rand(2, 3, 32, 32))
    images = load_model("exuno:resnet20", classes=3, pretrained=False)
    with pytest.raises(ExunoError, match="takes single images, and was given clips"):
        images(clips)


def test_frames_are_evenly_spread():
    clips = torch.arange(9.0).view(1, 1, 9, 1, 1)
    assert subsample(clips, 4).flatten().tolist() == [0, 2, 5, 8]
    assert subsample(clips[:, :, :2], 4).flatten().tolist() == [0, 0, 0, 1]
    assert subsample(clips, 9) is clips


@pytest.mark.parametrize("name", ["x3d_l", "x3d_xs_w5", "x3d_xs_w0_d1", "x3d_xs_w1.2.3_d2"])
def test_mistakes(name):
    with pytest.raises(ExunoError, match="x3d"):
        load_model(f"exuno:{name}", classes=3, pretrained=False)

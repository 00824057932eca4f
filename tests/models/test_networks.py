"""Sizes, shapes and names of exuno's own networks."""

import pytest
import torch

from exuno.engine.errors import ExunoError
from exuno.models.load import load_model
from exuno.models.registry import build_exuno, exuno_models
from exuno.models.zoo.convnet import halve


def parameters(name: str, classes: int = 10, in_chans: int = 3, size: tuple[int, int] = (32, 32)) -> int:
    return sum(p.numel() for p in build_exuno(name, classes, in_chans, size).parameters())


@pytest.mark.parametrize(
    ("name", "count"),
    [
        # As many as in the published weights; He et al., table 6: 0.27, 0.46, 0.85, 1.7 M.
        ("resnet20", 269_722),
        ("resnet32", 464_154),
        ("resnet56", 853_018),
        ("resnet110", 1_727_962),
    ],
)
def test_parameters_of_cifar_resnets(name: str, count: int) -> None:
    assert parameters(name) == count


@pytest.mark.parametrize(
    ("name", "millions"),
    # Zagoruyko and Komodakis, table 4 (for CIFAR): 0.6, 2.2, 8.9, 11.0, 36.5 M; 2.7 M for WRN-16-4.
    [
        ("wrn_40_1", 0.6),
        ("wrn_40_2", 2.2),
        ("wrn_40_4", 8.9),
        ("wrn_16_8", 11.0),
        ("wrn_28_10", 36.5),
        ("wrn_16_4", 2.7),
    ],
)
def test_parameters_of_wide_resnets(name: str, millions: float) -> None:
    with torch.device("meta"):
        assert parameters(name) / 1e6 == pytest.approx(millions, abs=0.06)


def test_parameters_of_convnet() -> None:
    # The ConvNet of the literature on CIFAR-10: 320,010.
    assert parameters("convnet") == parameters("convnet_3_128") == 320_010


@pytest.mark.parametrize(
    ("name", "count"),
    # By hand: convolutions and linear layer of 128 channels have 319,242 parameters, of 128, 256 and 512 channels
    # 1,560,842; a norm has 2 a channel, the layer norm 2 a channel and pixel.
    [
        ("convnet-none", 319_242),
        ("convnet-batch", 320_010),
        ("convnet_3_128-group", 320_010),
        ("convnet-layer", 319_242 + 2 * 128 * (32**2 + 16**2 + 8**2)),
        ("convnet-none-doubling", 1_560_842),
        ("convnet_3_128-batch-doubling", 1_560_842 + 2 * (128 + 256 + 512)),
    ],
)
def test_parameters_of_convnet_variants(name: str, count: int) -> None:
    with torch.device("meta"):
        assert parameters(name) == count


def test_normalisations_of_convnets() -> None:
    """Over what an activation is normalised shows in what a change of the input elsewhere does to it."""
    x = torch.rand(3, 1, 8, 8)
    other = torch.cat([x[:1], torch.rand(2, 1, 8, 8)])
    for name, alone in (("instance", True), ("none", True), ("layer", True), ("group", True), ("batch", False)):
        net = build_exuno("convnet_1_8" + f"-{name}" * (name != "instance"), 5, 1, (8, 8))
        assert torch.allclose(net(x)[0], net(other)[0], atol=1e-6) == alone, name
        first = net.get_submodule("blocks.0.1")(net.get_submodule("blocks.0.0")(x))[0]
        parts = {"instance": first.flatten(1), "group": first.reshape(4, -1), "layer": first.reshape(1, -1)}
        if name in parts:
            assert torch.allclose(parts[name].mean(1), torch.zeros(len(parts[name])), atol=1e-5), name


@pytest.mark.parametrize("name", ["wrn_10_1", "resnet8", "convnet_2_8", "convnet_2_8-layer-doubling"])
@pytest.mark.parametrize("side", [8, 32])
@pytest.mark.parametrize("chans", [1, 3])
def test_shapes(name: str, side: int, chans: int) -> None:
    net = build_exuno(name, 7, chans, (side, side))
    assert net(torch.rand(2, chans, side, side)).shape == (2, 7)
    features = net.get_submodule("").forward_features(torch.rand(2, chans, side, side))  # pyright: ignore
    assert features.ndim == 4
    assert features.shape[-1] == side // 4


def test_the_residual_branch_of_a_change_of_shape_has_no_parameters_in_resnets() -> None:
    net = build_exuno("resnet8", 10, 3, (32, 32))
    block = net.get_submodule("layer2.0")
    for parameter in block.parameters():
        torch.nn.init.zeros_(parameter)
    x = torch.rand(1, 16, 8, 8)
    out = block.eval()(x)
    assert torch.equal(out[:, 8:24], x[:, :, ::2, ::2])
    assert not out[:, :8].any()
    assert not out[:, 24:].any()


def test_wide_resnet_is_pre_activated() -> None:
    net = build_exuno("wrn_10_1", 10, 3, (8, 8))
    block = net.get_submodule("group1.0").eval()
    assert block.shortcut is None  # 16 to 16 channels: the identity, untouched by BN or ReLU
    torch.nn.init.zeros_(block.get_parameter("conv2.weight"))
    x = torch.randn(1, 16, 8, 8)
    assert torch.equal(block(x), x)


def test_he_initialisation() -> None:
    net = build_exuno("wrn_16_4", 10, 3, (32, 32))
    weight = net.get_parameter("group3.1.conv1.weight")
    assert weight.std().item() == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.02)


def test_the_wide_resnet_of_keras_starts_and_averages_as_keras_does() -> None:
    """he_normal: a normal distribution cut at two standard deviations and scaled to the variance 2 / fan in; of the
    last layer glorot_uniform; batch norms: epsilon 1e-3 and momentum 0.99 for what was there."""
    torch.manual_seed(0)
    net = build_exuno("wrn_16_4_tf", 10, 3, (32, 32))
    weight, he = net.get_parameter("group3.1.conv1.weight"), (2 / (256 * 9)) ** 0.5
    assert weight.std().item() == pytest.approx(he, rel=0.01)
    assert 1.9 < weight.abs().max().item() / (he / 0.87962566) <= 2
    last, glorot = net.get_parameter("linear.weight"), (6 / (256 + 10)) ** 0.5
    assert 0.95 * glorot < last.abs().max().item() <= glorot
    assert last.std().item() == pytest.approx(glorot / 3**0.5, rel=0.05)
    assert not net.get_parameter("linear.bias").any()
    norms = [module for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert len(norms) == 13
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.01)}
    x = torch.randn(64, 16, 8, 8) + 3
    norms[0](x)
    running = norms[0].running_mean
    assert running is not None
    torch.testing.assert_close(running, 0.01 * x.mean((0, 2, 3)))


@pytest.mark.parametrize("name", exuno_models())
def test_every_listed_name_builds(name: str) -> None:
    with torch.device("meta"):
        build_exuno(name, 10, 3, (64, 64))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("wrn_40-4", "Did you mean exuno:wrn_40_4"),
        ("resnet_56", "Did you mean exuno:resnet56"),
        ("vgg", "The families are"),
        ("wrn_17_4", "16 or 22"),
        ("resnet55", "50 or 56"),
        ("resnet18", "torchvision:resnet18"),
        ("resnet2", "8 or 14"),
        ("wrn_40_0", "width"),
        ("wrn_16_1_tf", "Take a width of 2 or more, or exuno:wrn_16_1"),
        ("wrn_16_4tf", "Did you mean exuno:wrn_16_4_tf"),
        ("convnet_0_8", "depth"),
        ("convnet_4_8", "--size 16"),
        ("convnet_2_6-group", "multiple of 4"),
        ("convnet-doubling-none", "Did you mean exuno:convnet-doubling"),
    ],
)
def test_names_that_cannot_be_built(name: str, told: str) -> None:
    with pytest.raises(ExunoError, match=told):
        build_exuno(name, 10, 1, (8, 8))


@pytest.mark.parametrize("shape", [(64, 32, 8, 8), (64, 64, 10, 6), (256, 64, 2, 4), (64, 64, 7, 8), (2, 4, 8, 8)])
def test_the_pool_of_convnets_is_average_pooling_with_its_first_and_second_derivatives(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = []
    for pool in (halve, lambda x: torch.nn.functional.avg_pool2d(x, 2)):
        y = pool(leaf := x.clone().requires_grad_())
        [first] = torch.autograd.grad(y.pow(3).sum(), leaf, create_graph=True)
        [second] = torch.autograd.grad(first.pow(2).sum(), leaf)
        found.append((y, first, second))
    for ours, torchs in zip(*found, strict=True):
        torch.testing.assert_close(ours, torchs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("name", "plain"), [("convnet_2_8", True), ("convnet_2_8-group", True), ("resnet8", False)])
def test_where_groups_of_channels_are_normalised_tensors_lie_as_torch_makes_them(name: str, plain: bool) -> None:
    model = load_model(f"exuno:{name}", classes=3, in_chans=3, input_size=(8, 8), pretrained=False)
    x = model.prepare(torch.rand(2, 3, 8, 8))
    weight = next(model.parameters())
    layout = torch.contiguous_format if plain else torch.channels_last
    assert x.is_contiguous(memory_format=layout)
    assert weight.is_contiguous(memory_format=layout)

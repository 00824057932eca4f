"""exuno's vision transformer: masks, attention, positions at other sizes, names, files."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exuno.engine.errors import ExunoError
from exuno.evaluate.measure import check_classes
from exuno.models.classifier import Classifier
from exuno.models.files import save_model
from exuno.models.load import load_model
from exuno.models.registry import build_exuno
from exuno.models.zoo.vit import SIZES, Vit

PATCH, SIZE, WIDTH = 4, 16, 24


def vit(classes: int = 0, channels: int = 3) -> Vit:
    """A small transformer; nothing in it is 0 or 1 as it is at first."""
    torch.manual_seed(0)
    made = Vit(WIDTH, 3, 3, PATCH, classes, channels, (SIZE, SIZE)).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made


def pixels(height: int = SIZE, width: int = SIZE, count: int = 2) -> Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(1))


def positions(net: Vit, height: int, width: int) -> Tensor:
    """As the codes of DINO, iBOT and SMKD resample them."""
    assert net.pos_embed is not None
    stored = net.pos_embed[:, 1:].reshape(1, SIZE // PATCH, SIZE // PATCH, WIDTH).permute(0, 3, 1, 2)
    h, w = height // PATCH, width // PATCH
    factor = ((h + 0.1) / (SIZE // PATCH), (w + 0.1) / (SIZE // PATCH))
    found = F.interpolate(stored, scale_factor=factor, mode="bicubic")
    assert found.shape[2:] == (h, w)
    return torch.cat([net.pos_embed[:, :1], found.flatten(2).transpose(1, 2)], 1)


def plainly(net: Vit, images: Tensor, mask: Tensor | None, where: Tensor) -> Tensor:
    """Tokens by a computation of its own."""
    assert net.cls_token is not None
    proj = net.patch_embed.proj
    patches = F.conv2d(images, proj.weight, proj.bias, PATCH).flatten(2).transpose(1, 2)
    if mask is not None:
        patches = patches.clone()
        patches[mask] = net.mask_token.flatten()
    x = torch.cat([net.cls_token.expand(len(images), -1, -1), patches], 1) + where
    for block in net.blocks:
        x = block(x)
    return net.norm(x)


@torch.no_grad()
def test_a_masked_patch_is_replaced_by_the_mask_token() -> None:
    net, images = vit(), pixels()
    mask = torch.rand(2, 16, generator=torch.Generator().manual_seed(2)) < 0.4
    assert net.pos_embed is not None
    torch.testing.assert_close(net.tokens(images), plainly(net, images, None, net.pos_embed))
    torch.testing.assert_close(net.tokens(images, mask), plainly(net, images, mask, net.pos_embed))
    torch.testing.assert_close(net.tokens(images, torch.zeros_like(mask)), net.tokens(images))
    assert not torch.allclose(net.tokens(images, mask), net.tokens(images), atol=0.01)
    hidden = mask.view(2, 1, 4, 4).repeat_interleave(4, 2).repeat_interleave(4, 3)
    torch.testing.assert_close(net.tokens(images + 5 * hidden, mask), net.tokens(images, mask))


@torch.no_grad()
def test_convolutions_overlap_patches_and_see_into_no_masked_one() -> None:
    """A change of one patch reaches the embeddings of its neighbours, but of none once it is masked; and an image's
    tokens depend on no other image of the batch."""
    torch.manual_seed(0)
    net = Vit(WIDTH, 2, 3, PATCH, 0, 3, (SIZE, SIZE), convolutions=True).eval()
    net.mask_token.normal_()
    images = pixels()
    changed = images.clone()
    changed[:, :, 4:8, 4:8] += 3
    assert net.tokens(images).shape == (2, 17, WIDTH)
    before, after = net.patch_embed(images), net.patch_embed(changed)
    assert before.shape == (2, 4, 4, WIDTH)
    assert not torch.allclose(before[:, 1, 2], after[:, 1, 2], atol=1e-3)
    mask = torch.zeros(2, 4, 4, dtype=torch.bool)
    mask[:, 1, 1] = True
    assert not torch.allclose(net.tokens(images), net.tokens(changed), atol=1e-3)
    torch.testing.assert_close(net.tokens(changed, mask.flatten(1)), net.tokens(images, mask.flatten(1)))
    torch.testing.assert_close(net.tokens(images)[:1], net.tokens(images[:1]))
    wide = net.tokens(pixels(8, 24), torch.zeros(2, 12, dtype=torch.bool))
    torch.testing.assert_close(wide, net.tokens(pixels(8, 24)))


@torch.no_grad()
def test_the_output_of_a_network_without_classes_is_the_cls_token() -> None:
    net = vit()
    torch.testing.assert_close(net(pixels()), net.tokens(pixels())[:, 0])
    assert net(pixels()).shape == (2, WIDTH)
    assert vit(classes=7)(pixels()).shape == (2, 7)


@torch.no_grad()
def test_read_gives_the_attention_of_the_last_block() -> None:
    net, images = vit(), pixels(8, 24)
    mask = torch.rand(2, 12, generator=torch.Generator().manual_seed(2)) < 0.4
    seen: list[Tensor] = []
    attention: Any = net.blocks[-1].attn
    attention.fused_attn = False
    attention.attn_drop.register_forward_hook(lambda module, args, output: seen.append(output))
    for given in (None, mask):
        found, tokens = net.read(images, given), net.tokens(images, given)
        torch.testing.assert_close(found.cls, tokens[:, 0])
        torch.testing.assert_close(found.patches, tokens[:, 1:])
        assert found.attention.shape == (2, 3, 12)
        torch.testing.assert_close(found.attention, seen[-1][:, :, 0, 1:])
        assert (found.attention.sum(-1) < 1).all()
    assert not torch.allclose(seen[0], seen[-1], atol=1e-3)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (12, 20), (32, 16), (28, 28), (4, 4)])
@torch.no_grad()
def test_positions_at_other_sizes_are_those_of_the_published_codes(height: int, width: int) -> None:
    net, images = vit(), pixels(height, width)
    expected = plainly(net, images, None, positions(net, height, width))
    torch.testing.assert_close(net.tokens(images), expected)


@torch.no_grad()
def test_positions_at_the_stored_size_are_the_stored_ones() -> None:
    """But not where an image of as many patches has another shape."""
    net, long = vit(), pixels(8, 32)
    stored = net.pos_embed
    assert stored is not None
    assert not torch.allclose(positions(net, SIZE, SIZE), stored, atol=1e-3)
    torch.testing.assert_close(net.tokens(pixels()), plainly(net, pixels(), None, stored))
    assert not torch.allclose(net.tokens(long), plainly(net, long, None, stored), atol=1e-3)


def test_the_drop_rate_rises_from_block_to_block_and_can_be_taken_back() -> None:
    torch.manual_seed(0)
    net = Vit(WIDTH, 5, 3, PATCH, 0, 3, (SIZE, SIZE))
    names = list(net.state_dict())
    net.set_drop_path(0.4)
    rates = [getattr(block.drop_path1, "drop_prob", 0.0) for block in net.blocks]
    assert rates == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert [getattr(block.drop_path2, "drop_prob", 0.0) for block in net.blocks] == rates
    assert list(net.state_dict()) == names
    images = pixels(count=8)
    assert not torch.equal(net.train().tokens(images), net.tokens(images))
    torch.testing.assert_close(net.eval().tokens(images), net.tokens(images))
    net.set_drop_path(0.0)
    assert all(isinstance(block.drop_path1, nn.Identity) for block in net.blocks)
    assert torch.equal(net.train().tokens(images), net.tokens(images))


def test_a_network_of_one_block_has_no_drop_rate_to_spread() -> None:
    net = Vit(WIDTH, 1, 3, PATCH, 0, 3, (SIZE, SIZE))
    net.set_drop_path(0.4)
    assert isinstance(net.blocks[0].drop_path1, nn.Identity)


@pytest.mark.parametrize("name", ["vit_24_2_3_4", "vit_24_2_3_4_conv"])
@pytest.mark.parametrize("classes", [0, 3])
def test_a_saved_network_is_loaded_bit_for_bit(tmp_path: Path, classes: int, name: str) -> None:
    model = load_model(f"exuno:{name}", classes=classes, in_chans=1, input_size=(16, 16), pretrained=False)
    with torch.no_grad():
        model.net.mask_token.normal_()  # pyright: ignore
    save_model(model, tmp_path)
    found = load_model(f"run:{tmp_path}", pretrained=True)
    assert isinstance(found.net, Vit)
    assert replace(found.card, lineage={}) == model.card
    state = model.net.state_dict()
    assert list(found.net.state_dict()) == list(state)
    assert "mask_token" in state
    assert all(torch.equal(value, state[name]) for name, value in found.net.state_dict().items())
    net = build_exuno(name, classes, 1, (16, 16))
    net.load_state_dict(state)


@pytest.mark.parametrize("patch", [8, 16])
@pytest.mark.parametrize("size", ["tiny", "small", "base"])
def test_the_usual_sizes_are_built(size: str, patch: int) -> None:
    with torch.device("meta"):
        net = build_exuno(f"vit_{size}_{patch}", 0, 3, (32, 32))
    assert isinstance(net, Vit)
    width, depth, heads = SIZES[size]
    first: Any = net.blocks[0]
    assert (net.embed_dim, len(net.blocks), first.attn.num_heads) == (width, depth, heads)
    assert net.patch_embed.patch_size == (patch, patch)
    assert {"tiny": 5.5, "small": 21.6, "base": 85.5}[size] == pytest.approx(
        sum(p.numel() for p in net.parameters()) / 1e6, rel=0.03
    )


@pytest.mark.parametrize(
    ("name", "size", "words"),
    [
        ("vit_24_2_5_4", (16, 16), "a width of 24 cannot be shared by 5 heads"),
        ("vit_24_2_3_4", (16, 18), "images of 18x16 pixels cannot be cut into patches of 4"),
        ("vit_24_0_3_4", (16, 16), "depth of 0"),
        ("vit_24_2_3_12_conv", (24, 24), "convolutions of stride 2 embed patches of 2, 4, 8, 16 … pixels, not of 12"),
        ("vit_24_2_3_1_conv", (16, 16), "convolutions of stride 2 embed patches of 2, 4, 8, 16 … pixels, not of 1"),
        ("vit_huge_16", (32, 32), "exuno has no model 'vit_huge_16'"),
    ],
)
def test_what_cannot_be_built_is_told(name: str, size: tuple[int, int], words: str) -> None:
    with pytest.raises(ExunoError, match=words):
        build_exuno(name, 0, 3, size)


def test_a_feature_extractor_names_no_classes() -> None:
    from exuno.data.images.digits import open_digits

    model = load_model("exuno:vit_24_1_3_4", classes=0, in_chans=1, input_size=(8, 8), pretrained=False)
    assert isinstance(model, Classifier)
    with pytest.raises(ExunoError, match="extracts features and names no classes") as caught:
        check_classes(model, open_digits("test"), "it")
    assert "exuno fewshot eval" in caught.value.todo


def test_positions_stored_for_another_size_are_those_it_would_use() -> None:
    torch.manual_seed(0)
    net = Vit(16, 2, 2, 4, 0, 1, (16, 16)).eval()
    x = torch.randn(2, 1, 24, 8)
    before = net.tokens(x)
    net.store_size((24, 8))
    assert net.pos_embed is not None
    assert net.pos_embed.shape == (1, 1 + 6 * 2, 16)
    torch.testing.assert_close(net.tokens(x), before)
    again = Vit(16, 2, 2, 4, 0, 1, (24, 8)).eval()
    again.load_state_dict(net.state_dict())
    torch.testing.assert_close(again.tokens(x), before)


def test_the_mask_token_rests_outside_of_few_shot_training() -> None:
    net = Vit(16, 2, 2, 4, 3, 1, (8, 8))
    net(torch.randn(2, 1, 8, 8)).sum().backward()
    assert all(p.grad is not None for p in net.parameters() if p.requires_grad)

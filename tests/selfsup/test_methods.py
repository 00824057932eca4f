"""RotNet, DeepCluster and BiGAN: their steps, and the clusters between them."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from exuno.data.base import ArrayData
from exuno.data.loader import Loader
from exuno.engine.errors import ExunoError
from exuno.engine.method import Numbers
from exuno.engine.options import Augment, Optim
from exuno.models.classifier import Classifier
from exuno.models.load import load_model
from exuno.selfsup.clusters import fit_whitening, k_means, uniform_over_clusters
from exuno.selfsup.methods import methods
from exuno.selfsup.methods.bigan import BiGAN
from exuno.selfsup.methods.deepcluster import DeepCluster
from exuno.selfsup.methods.rotnet import RotNet, rotations

NONE = Numbers({})


def network(outputs: int) -> Classifier:
    torch.manual_seed(0)
    return load_model("exuno:convnet_2_8-batch", classes=outputs, in_chans=1, input_size=(8, 8), pretrained=False)


def images(count: int = 24) -> Tensor:
    return torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def test_the_registered_methods_have_options() -> None:
    assert set(methods.names) == {"rotnet", "deepcluster", "bigan", "simclr", "dino"}
    made = methods.make("deepcluster", ["clusters=7", "components=3"])
    assert (made.outputs, made.components, made.iterations) == (7, 3, 20)
    assert methods.make("bigan", ["codes=5"]).outputs == 5
    assert methods.make("rotnet").outputs == 4
    with pytest.raises(ExunoError, match="no option 'k=3'"):
        methods.make("deepcluster", ["k=3"])


def test_rotations_are_those_of_torch() -> None:
    x = images(3)
    turned, turns = rotations(x)
    assert turns.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    for turn in range(4):
        assert torch.equal(turned[3 * turn : 3 * turn + 3], torch.rot90(x, turn, (2, 3)))


def test_the_loss_of_rotnet_is_the_cross_entropy_of_each_turn() -> None:
    model = network(4)
    method, x = RotNet().make(model, 24, (8, 8), 0).eval(), images(6)
    loss = method({"images": x}, NONE).loss
    parts = [-torch.log_softmax(model(torch.rot90(x, k, (2, 3))), 1)[:, k].mean() for k in range(4)]
    torch.testing.assert_close(loss, torch.stack(parts).mean())


def test_turned_oblongs_do_not_fit() -> None:
    with pytest.raises(ExunoError, match="16x8 pixels"):
        RotNet().make(network(4), 24, (8, 16), 0)


def test_whitened_features_have_variance_one_and_no_correlation() -> None:
    random = np.random.default_rng(0)
    features = torch.from_numpy(random.normal(size=(500, 6)) @ random.normal(size=(6, 6)) + 3).float()
    whitening = fit_whitening(features, 4)
    points = (features - whitening.mean) @ whitening.basis
    assert points.shape == (500, 4)
    torch.testing.assert_close(torch.cov(points.T), torch.eye(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(whitening(features).norm(dim=1), torch.ones(500))
    from sklearn.decomposition import PCA

    theirs = PCA(4, whiten=True).fit_transform(features.numpy())
    assert np.abs(np.abs(theirs) - np.abs(points.numpy())).max() < 1e-3  # up to the signs of the components


def test_dead_features_are_left_out() -> None:
    features = torch.zeros(50, 5)
    features[:, :2] = images(1).flatten()[:50, None] * torch.tensor([1.0, 0.0]) + torch.randn(50, 2)
    assert fit_whitening(features, 5).basis.shape == (5, 2)


def test_k_means_is_that_of_scikit_learn() -> None:
    """Three clusters that are far apart: theirs, whatever the first centres; ours, too, and the same one every time."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score

    random = np.random.default_rng(0)
    points = np.concatenate([random.normal(centre, 0.1, (40, 3)) for centre in (0, 5, 10)]).astype(np.float32)
    ours = k_means(points, 3, seed=1, epoch=2, iterations=50)
    theirs = KMeans(3, random_state=0).fit_predict(points)
    assert adjusted_rand_score(ours, theirs) == 1
    assert (ours == k_means(points, 3, seed=1, epoch=2, iterations=50)).all()
    assert len(np.unique(k_means(points, 60, seed=0, epoch=0))) == 60  # none is empty


def test_clusters_of_any_size_come_equally_often() -> None:
    labels = np.repeat([0, 3, 4], [90, 9, 1])
    places = uniform_over_clusters(labels, seed=0, epoch=0)
    assert len(places) == 100
    counts = np.bincount(labels[places], minlength=5)
    assert counts[[1, 2]].sum() == 0
    assert counts[[0, 3, 4]].min() >= 32
    large = places[labels[places] == 0]
    assert len(set(large.tolist())) == len(large)  # without replacement where there are enough
    assert (places == uniform_over_clusters(labels, seed=0, epoch=0)).all()
    assert (places != uniform_over_clusters(labels, seed=0, epoch=1)).any()


class Endless(ArrayData):
    """A set that draws: image i of any epoch is image i of the array plus the epoch."""

    def fetch_draws(self, draws: Any) -> tuple[Tensor, Tensor]:
        count = len(self)
        found, labels = self.fetch(np.asarray(draws) % count)
        return found + torch.from_numpy(np.asarray(draws) // count).to(torch.uint8)[:, None, None, None], labels


@pytest.mark.parametrize("endless", [False, True])
def test_batches_carry_the_pseudo_labels_of_their_images(endless: bool) -> None:
    pixels = np.random.default_rng(0).integers(0, 200, (64, 1, 8, 8), np.uint8)
    data = (Endless if endless else ArrayData)("made", pixels, np.full(64, -1))
    options = DeepCluster(clusters=5, components=4)
    method = options.make(network(5), 64, (8, 8), 0)
    loader = Loader(data, 16, None, 0, (8, 8))
    batches = options.batches(method, loader)
    for epoch in (0, 1):
        whole = list(batches.epoch(epoch))
        assert int(method.at) == epoch
        assert len(whole) == 4
        for batch in whole:
            places = batch["index"] % 64
            assert torch.equal(batch["labels"], method.labels[places])
            expected = pixels[places.numpy()] + (epoch if endless else 0)
            assert torch.equal((batch["images"] * 255).round().byte(), torch.from_numpy(expected.astype(np.uint8)))
        rest = list(batches.epoch(epoch, 2))
        assert torch.equal(rest[0]["index"], whole[2]["index"])


def test_an_image_that_comes_twice_is_augmented_twice() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 1, 8, 8), np.uint8)
    loader = Loader(ArrayData("made", pixels, np.zeros(8, np.int64)), 8, Augment(rotate=90), 0, (8, 8))
    loader.sampled = np.zeros(8, np.int64)
    [batch] = loader.epoch(0)
    assert batch["index"].tolist() == [0] * 8
    assert not torch.equal(batch["images"][0], batch["images"][1])


def test_a_cluster_that_was_found_is_learned() -> None:
    """Four kinds of images, clusters of random features: a few steps name them."""
    kinds = np.random.default_rng(3).integers(0, 256, (4, 1, 8, 8), np.uint8)
    data = ArrayData("made", kinds[np.arange(64) % 4], np.full(64, -1))
    options = DeepCluster(clusters=4, components=3)
    method = options.make(network(4), 64, (8, 8), 0)
    batches = options.batches(method, Loader(data, 32, None, 0, (8, 8)))
    optimizer = torch.optim.Adam(method.parameters(), 0.01)
    told = 0.0
    for _ in range(10):
        for batch in batches.epoch(0):
            out = method(batch, NONE)
            optimizer.zero_grad()
            out.loss.backward()
            optimizer.step()
            told = out.logs["train/cluster"].item()
    assert told == 1
    assert len(set(method.labels[:4].tolist())) == 4
    assert torch.equal(method.labels[:4].repeat(16), method.labels)


def test_too_few_images_for_the_clusters() -> None:
    with pytest.raises(ExunoError, match="24 images cannot make 100 clusters"):
        DeepCluster().make(network(100), 24, (8, 8), 0)


def test_each_part_of_bigan_gets_its_own_gradient() -> None:
    """As three optimizers would have it: the discriminator that of telling pairs apart, encoder and generator that of
    being taken for each other."""
    method = BiGAN(codes=3, width=4).make(network(3), 24, (8, 8), 0).eval()
    x = images(6)
    torch.manual_seed(5)
    method({"images": x}, NONE).loss.backward()
    found = {name: value.grad.clone() for name, value in method.named_parameters() if value.grad is not None}

    def pairs() -> tuple[Tensor, Tensor]:
        torch.manual_seed(5)
        codes = method.model(x)
        drawn = torch.rand_like(codes) * 2 - 1
        real = method.discriminator(x * 2 - 1, codes)
        return real, method.discriminator(method.generator(drawn), drawn)

    binary = torch.nn.functional.binary_cross_entropy_with_logits
    for parts, (first, second) in (("discriminator",), (1.0, 0.0)), (("model", "generator"), (0.0, 1.0)):
        method.zero_grad()
        real, made = pairs()
        loss = binary(real, torch.full_like(real, first)) + binary(made, torch.full_like(made, second))
        loss.backward()
        names = [name for name in found if name.split(".")[0] in parts]
        assert names
        for name in names:
            torch.testing.assert_close(found[name], method.get_parameter(name).grad, msg=name)


def test_bigan_generates_no_more_than_its_side() -> None:
    model = load_model("exuno:convnet_2_8-batch", classes=3, in_chans=3, input_size=(48, 48), pretrained=False)
    method = BiGAN(codes=3, width=4, side=40).make(model, 24, (48, 48), 0)
    assert method.side == 32
    assert method.generator(torch.rand(2, 3)).shape == (2, 3, 32, 32)
    assert method({"images": torch.rand(2, 3, 48, 48)}, NONE).loss.isfinite()
    with pytest.raises(ExunoError, match="too small"):
        BiGAN().make(model, 24, (4, 4), 0)
    assert len(method.parameter_groups(Optim())[0]["params"]) == len(list(method.parameters()))

"""DeepCluster: learn to name the clusters of one's own features, found anew in every epoch (Caron, Bojanowski, Joulin
and Douze, ECCV 2018)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exuno.data import rng
from exuno.data.loader import IN_ORDER, Loader
from exuno.data.loader import Batch as Loaded
from exuno.engine.errors import ExunoError
from exuno.engine.method import Batch, Method, Numbers, StepOutput
from exuno.engine.options import Optim
from exuno.engine.ranges import FROM_1, Range
from exuno.features.extract import reader
from exuno.models.classifier import Classifier
from exuno.models.head import head_of
from exuno.selfsup.clusters import Whitening, fit_whitening, k_means, uniform_over_clusters
from exuno.selfsup.methods import methods

FITTED = 1 << 27
"""Values of the features that the whitening is fitted to, at most; of more samples it is a random part."""


class Clustering(Method):
    """Cross-entropy with the pseudo-labels of the epoch.

    Args:
        model: a network with a logit for each cluster.
        options: of the clustering.
        samples: N of the source.
        seed: of clustering, sampling and last layers.
    """

    compilable = True
    labels: Tensor
    at: Tensor

    def __init__(self, model: Classifier, options: "DeepCluster", samples: int, seed: int) -> None:
        super().__init__()
        self.model, self.options, self.seed = model, options, seed
        layer = model.net.get_submodule(head_of(model))
        if not isinstance(layer, nn.Linear):
            raise ExunoError(
                f"the last layer of {model.card.arch} is a {type(layer).__name__}, and its input is to be clustered",
                "Take a network that ends in a linear layer.",
            )
        self.head = (layer,)  # in a tuple: it is the model's already
        self.read = reader(model, "last")
        # In checkpoints, so that a training goes on in the middle of an epoch with the clusters of its beginning.
        self.register_buffer("labels", torch.zeros(samples, dtype=torch.int64))
        self.register_buffer("at", torch.tensor(-1))

    def forward(self, batch: Batch, numbers: Numbers) -> StepOutput:
        """One step. ``batch``: images [B, C, H, W] in [0, 1], pseudo-labels int64 [B]."""
        logits, labels = self.model(batch["images"]).float(), batch["labels"]
        right = (logits.detach().argmax(1) == labels).float().mean()
        return StepOutput(F.cross_entropy(logits, labels), {"train/cluster": right})

    def parameter_groups(self, optim: Optim) -> list[dict[str, Any]]:
        """All parameters, alike."""
        return [{"params": list(self.model.parameters())}]

    @torch.no_grad()
    def features(self, batches: Iterator[Loaded]) -> Iterator[Tensor]:
        """What enters the last layer, float32 [B, D] on the CPU, of each batch."""
        device = self.labels.device
        for batch in batches:
            yield self.read(self.model.prepare(batch["images"].to(device))).float().cpu()

    def cluster(self, loader: Loader, epoch: int) -> None:
        """Finds the clusters of the source at the beginning of an epoch, and begins the last layer anew.

        The last layer's momentum, which the optimizer holds, stays; it has faded after some ten steps.
        """
        training = self.training
        self.eval()
        data, size = loader.data, loader.preparer.size
        plain = Loader(data, 512, None, 0, size, workers=loader.workers, device=loader.device, **IN_ORDER)
        first = next(self.features(plain.epoch(epoch)))
        most = max(2, FITTED // first.shape[1])
        if len(data) <= most:
            features = torch.cat(list(self.features(plain.epoch(epoch))))
            points = fit_whitening(features, self.options.components)(features)
        else:
            points = self._in_passes(plain, epoch, most)
        self.train(training)
        found = k_means(points.numpy(), self.options.clusters, self.seed, epoch, self.options.iterations)
        self.labels.copy_(torch.from_numpy(found))
        self.at.fill_(epoch)
        [head] = self.head
        drawn = torch.Generator().manual_seed(int(rng.generator(self.seed, "last layer", epoch).integers(2**31)))
        with torch.no_grad():
            head.weight.copy_(torch.randn(head.weight.shape, generator=drawn) * 0.01)
            if head.bias is not None:
                head.bias.zero_()

    def _in_passes(self, plain: Loader, epoch: int, most: int) -> Tensor:
        """Points of a source whose features do not fit into memory: the whitening comes from a part of them."""
        share = most / len(plain.data)
        random = rng.generator(self.seed, "whitening", epoch)
        some = [each[torch.from_numpy(random.random(len(each)) < share)] for each in self.features(plain.epoch(epoch))]
        whitening: Whitening = fit_whitening(torch.cat(some), self.options.components)
        return torch.cat([whitening(each) for each in self.features(plain.epoch(epoch))])


class Clustered:
    """The batches of a loader with the pseudo-labels of the epoch, every cluster about equally often."""

    def __init__(self, method: Clustering, loader: Loader) -> None:
        self.method, self.loader, self.batch_size = method, loader, loader.batch_size

    def __len__(self) -> int:
        return len(self.loader)

    def epoch(self, epoch: int, start_batch: int = 0) -> Iterator[Loaded]:
        """As :meth:`Loader.epoch`; clusters first, unless a checkpoint brought the clusters of this epoch."""
        method, loader = self.method, self.loader
        if int(method.at) != epoch:
            method.cluster(loader, epoch)
        loader.sampled = uniform_over_clusters(method.labels.cpu().numpy(), method.seed, epoch)
        count = len(loader.data)
        for batch in loader.epoch(epoch, start_batch):
            places = (batch["index"] % count).to(method.labels.device)
            yield {**batch, "labels": method.labels[places]}

    def first(self) -> Loaded:
        """As :meth:`Loader.first`; nothing is clustered, so all are in cluster 0."""
        batch = self.loader.first()
        return {**batch, "labels": torch.zeros_like(batch["labels"])}


@methods.register("deepcluster", paper="Caron, Bojanowski, Joulin and Douze, ECCV 2018")
@dataclass(frozen=True)
class DeepCluster:
    """What is clustered and how."""

    clusters: Annotated[int, Range(low=2)] = 100
    """K; published: 10,000 for 1.28 million images."""
    components: Annotated[int, FROM_1] = 256
    """Of the whitened features."""
    iterations: Annotated[int, FROM_1] = 20
    """Of k-means, at most."""

    @property
    def outputs(self) -> int:
        return self.clusters

    def make(self, model: Classifier, samples: int, size: tuple[int, int], seed: int) -> Clustering:
        """See :class:`exuno.selfsup.methods.Pretext`."""
        if samples < self.clusters:
            raise ExunoError(
                f"{samples:,} images cannot make {self.clusters:,} clusters",
                f"Give --patches {self.clusters * 10} or more, or --settings clusters={max(2, samples // 10)}.",
            )
        return Clustering(model, self, samples, seed)

    def batches(self, method: Clustering, loader: Loader) -> Clustered:
        """Those of the loader, by clusters.

        Raises:
            ExunoError: several processes, each of which would find other clusters.
        """
        if loader.world > 1:
            raise ExunoError("deepcluster runs in one process", "Give --devices auto or cpu.")
        return Clustered(method, loader)

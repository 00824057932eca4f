"""Few-shot episodes: exuno's batched heads against one episode after another, on the same episodes.

Prototypes, 10,000 episodes of 5-way 5-shot with 15 queries of each class, on features of 384 numbers (20 classes of 600
images, Gaussian clusters): against the PyPI library ``easyfsl`` and a tight loop in torch. easyfsl gets what its
``evaluate`` passes to a classifier, tensors of each episode, which are indexed from the same table; and once more it
works from end to end, by its own data loader, against exuno with its drawing. Its PrototypicalNetworks takes the
smallest distance, not the largest cosine, so its accuracies are compared with those of a loop that does so too.

By the protocol of SMKD, 595 queries of each class: fewer episodes. The cosine classifier of 301 passes: 1,000 episodes
against a few of them by autograd and torch.optim.SGD. Sides take turns; all have the same number of threads.

    make bench, or: .venv/bin/python benchmarks/episodes.py [TURNS]
"""

import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from common import record, spread
from exuno.fewshot.episodes import Episodes, draw
from exuno.fewshot.heads import accuracies
from exuno.fewshot.heads.sgd import BATCH, DAMPENING, DECAY, MOMENTUM, PASSES, RATE, SCALE, order, start
from exuno.fewshot.options import Protocol

CLASSES, IMAGES, WIDE, WAY, SHOT = 20, 600, 384, 5, 5
EPISODES, PUBLISHED, TRAINED, AUTOGRAD = 10_000, 200, 1000, 6
EPISODES_EASYFSL = 500  # through its data loader
Answer = tuple[float, np.ndarray]  # seconds, and accuracies [E]


def problem() -> tuple[Tensor, np.ndarray]:
    """Features [N, D] and labels [N]."""
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(CLASSES), IMAGES)
    centres = 0.15 * generator.normal(size=(CLASSES, WIDE))
    features = torch.tensor(centres[labels] + generator.normal(size=(len(labels), WIDE)), dtype=torch.float32)
    return features, labels


def episodes(labels: np.ndarray, count: int, protocol: Protocol) -> list[Episodes]:
    return list(draw(labels, WAY, SHOT, None, count, 0, protocol))


def by_exuno(features: Tensor, labels: np.ndarray, chunks: list[Episodes], head: str) -> Answer:
    begun = time.perf_counter()
    found = accuracies(features, labels, iter(chunks), head)
    return time.perf_counter() - begun, found


def one_by_one(chunks: list[Episodes], answer: Callable[[Tensor, Tensor], Tensor]) -> Answer:
    """Shares of right answers; ``answer`` gets the positions of support and queries and returns labels, [n q]."""
    pairs = [
        (s.flatten(), q.flatten())
        for c in chunks
        for s, q in zip(torch.tensor(c.support), torch.tensor(c.query), strict=True)
    ]
    own = torch.arange(WAY).repeat_interleave(len(pairs[0][1]) // WAY)
    begun = time.perf_counter()
    with torch.inference_mode():
        right = torch.stack([(answer(s, q) == own).sum() for s, q in pairs])
    return time.perf_counter() - begun, right.double().numpy() / len(own)


def by_loop(features: Tensor, chunks: list[Episodes]) -> Answer:
    """What a careful user writes; the length of a query changes no answer, so it is not computed."""

    def answer(support: Tensor, query: Tensor) -> Tensor:
        means = features.index_select(0, support).view(WAY, SHOT, WIDE).mean(1)
        return (features.index_select(0, query) @ F.normalize(means, dim=1).T).argmax(1)

    return one_by_one(chunks, answer)


def by_distance(features: Tensor, chunks: list[Episodes]) -> Answer:
    """The same by distance: what easyfsl computes."""

    def answer(support: Tensor, query: Tensor) -> Tensor:
        means = features.index_select(0, support).view(WAY, SHOT, WIDE).mean(1)
        return torch.cdist(features.index_select(0, query), means).argmin(1)

    return one_by_one(chunks, answer)


def by_easyfsl(features: Tensor, chunks: list[Episodes]) -> Answer:
    from easyfsl.methods import PrototypicalNetworks  # pyright: ignore[reportMissingImports]

    model, labels = PrototypicalNetworks().eval(), torch.arange(WAY).repeat_interleave(SHOT)

    def answer(support: Tensor, query: Tensor) -> Tensor:
        model.process_support_set(features[support], labels)
        return model(features[query]).argmax(1)

    return one_by_one(chunks, answer)


def by_easyfsl_loader(features: Tensor, labels: np.ndarray, chunks: list[Episodes]) -> Answer:
    """easyfsl from end to end, as its manual evaluates features: its data set, collation and ``evaluate``."""
    from easyfsl.datasets import FeaturesDataset  # pyright: ignore[reportMissingImports]
    from easyfsl.methods import PrototypicalNetworks  # pyright: ignore[reportMissingImports]
    from easyfsl.samplers import TaskSampler  # pyright: ignore[reportMissingImports]
    from easyfsl.utils import evaluate  # pyright: ignore[reportMissingImports]
    from torch.utils.data import DataLoader

    class Given(TaskSampler):
        """Its sampler with the episodes given: its constructor passes an argument that torch 2.15 no longer takes."""

        def __init__(self) -> None:
            self.n_way, self.n_shot, self.n_query, self.n_tasks = WAY, SHOT, chunks[0].query.shape[2], EPISODES_EASYFSL

        def __iter__(self) -> Iterator[list[int]]:
            rows = np.concatenate([np.concatenate([c.support, c.query], 2) for c in chunks])[: self.n_tasks]
            return iter(rows.reshape(len(rows), -1).tolist())

    data, sampler = FeaturesDataset(labels.tolist(), features, [str(c) for c in range(CLASSES)]), Given()
    loader = DataLoader(data, batch_sampler=sampler, collate_fn=sampler.episodic_collate_fn)
    begun = time.perf_counter()
    accuracy = evaluate(PrototypicalNetworks(), loader, device="cpu", use_tqdm=False)
    return time.perf_counter() - begun, np.array([accuracy])


def by_exuno_drawn(features: Tensor, labels: np.ndarray) -> Answer:
    """exuno from end to end: episodes drawn and answered."""
    begun = time.perf_counter()
    found = accuracies(features, labels, draw(labels, WAY, SHOT, None, EPISODES, 0, "standard"), "prototype")
    return time.perf_counter() - begun, found


def by_autograd(features: Tensor, chunks: list[Episodes], count: int) -> Answer:
    """The first ``count`` cosine classifiers; weights and batches are those of exuno."""
    found, support, query = [], torch.tensor(chunks[0].support), torch.tensor(chunks[0].query)
    labels, own = (torch.arange(WAY).repeat_interleave(x.shape[2]) for x in (support, query))
    begun = time.perf_counter()
    for episode in range(count):
        number = torch.tensor([episode])
        x = F.normalize(features[support[episode].flatten()], dim=1)
        v = start(0, number, WAY, WIDE)[0, :, :-1].float().requires_grad_()
        g = v.detach().norm(dim=1, keepdim=True).requires_grad_()
        optimizer = torch.optim.SGD([v, g], RATE, MOMENTUM, DAMPENING, DECAY)
        for turn in range(PASSES):
            for batch in order(0, number, len(x), turn)[0].split(BATCH):
                optimizer.zero_grad()
                scores = SCALE * x[batch] @ (g * v / v.norm(dim=1, keepdim=True)).T
                F.cross_entropy(scores, labels[batch]).backward()
                optimizer.step()
        with torch.inference_mode():
            answers = (features[query[episode].flatten()] @ (g * F.normalize(v, dim=1)).T).argmax(1)
            found.append(float((answers == own).double().mean()))
    return time.perf_counter() - begun, np.array(found)


def compare(turns: int, sides: dict[str, tuple[Callable[[], Answer], int]], what: str) -> list[dict[str, object]]:
    """Rows of the table. The side "exuno" is there; each has its number of episodes."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    answers: dict[str, np.ndarray] = {}
    for turn in range(turns + 1):
        for name, (side, count) in sides.items():
            seconds, answers[name] = side()
            if turn:  # the first warms up
                times[name].append(1e6 * seconds / count)
    rows: list[dict[str, object]] = []
    for name in sides:
        middle = spread(times[name])
        rows.append(
            {
                "task": what,
                "side": name,
                "episodes": sides[name][1],
                "microseconds an episode": f"{middle.median:,.1f} ({middle.min:,.1f} – {middle.max:,.1f})",
                "exuno is faster by": faster(times[name], times["exuno"]),
                "accuracy": f"{100 * answers[name].mean():.2f} %",
            }
        )
    return rows


def faster(theirs: list[float], ours: list[float]) -> str:
    """How many times, turn by turn."""
    if not ours:
        return ""
    ratios = spread([a / b for a, b in zip(theirs, ours, strict=True)])
    return f"{ratios.median:.1f} ({ratios.min:.1f} – {ratios.max:.1f})"


def same(a: np.ndarray, b: np.ndarray, queries: int) -> None:
    """Accuracies agree but for a query or two of near equal scores."""
    assert abs(a - b).max() <= 2.5 / queries, abs(a - b).max()
    assert (a != b).mean() <= 0.01, (a != b).mean()


def main(turns: int) -> None:
    features, labels = problem()
    standard, published = episodes(labels, EPISODES, "standard"), episodes(labels, PUBLISHED, "smkd")
    few = episodes(labels, TRAINED, "standard")
    for chunks in (standard, published):
        queries = WAY * chunks[0].query.shape[2]
        same(by_exuno(features, labels, chunks, "prototype")[1], by_loop(features, chunks)[1], queries)
        same(by_easyfsl(features, chunks)[1], by_distance(features, chunks)[1], queries)
    rows = []
    for what, chunks, count in (
        ("prototypes, 15 queries", standard, EPISODES),
        ("prototypes, 595 queries", published, PUBLISHED),
    ):
        sides = {
            "exuno": (lambda c=chunks: by_exuno(features, labels, c, "prototype"), count),
            "easyfsl": (lambda c=chunks: by_easyfsl(features, c), count),
            "tight loop": (lambda c=chunks: by_loop(features, c), count),
        }
        rows += compare(turns, sides, what)
    sides = {
        "exuno": (lambda: by_exuno_drawn(features, labels), EPISODES),
        "easyfsl": (lambda: by_easyfsl_loader(features, labels, standard), EPISODES_EASYFSL),
    }
    rows += compare(turns, sides, "prototypes, from features to accuracy")
    same(by_exuno(features, labels, few, "cosine")[1][:AUTOGRAD], by_autograd(features, few, AUTOGRAD)[1], WAY * 15)
    sides = {
        "exuno": (lambda: by_exuno(features, labels, few, "cosine"), TRAINED),
        "autograd": (lambda: by_autograd(features, few, AUTOGRAD), AUTOGRAD),
    }
    rows += compare(turns, sides, "cosine classifier")
    begun = time.perf_counter()
    episodes(labels, EPISODES, "standard")
    drawing = time.perf_counter() - begun
    note = (
        f"benchmarks/episodes.py, {torch.get_num_threads()} threads: {WAY}-way {SHOT}-shot episodes on {CLASSES} "
        f"classes of {IMAGES} images, {WIDE} float32 numbers each; the same episodes for all sides, in turns; median "
        f"(min – max) of {turns} turns after one that does not count. Accuracies equal those of the loop and of "
        "autograd (asserted); easyfsl ranks by distance and equals a loop that does so (asserted), and gets tensors, "
        f"without its data loader, but for the rows from features to accuracy, where exuno draws its episodes as well "
        f"({drawing:.2f} s for {EPISODES:,}). With 595 queries torch multiplies whole classes."
    )
    record("Few-shot episodes", rows, note)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)

"""Trajectory matching: Cazenavette, Wang, Torralba, Efros and Zhu, "Dataset Distillation by Matching Training
Trajectories" (CVPR 2022, arXiv 2203.11932).

Experts are networks that were trained on the real images, kept epoch by epoch. A student starts where an expert was,
learns from the poster for a few steps, and is to arrive where the expert was some epochs later.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from exuno.data import rng
from exuno.engine.digests import check_tensors, seal_tensors
from exuno.engine.errors import ExunoError
from exuno.engine.files import atomic
from exuno.engine.progress import ProgressBar
from exuno.engine.ranges import FROM_1, POSITIVE, check_fields
from exuno.poster.context import InnerLoopContext, Material
from exuno.poster.inner import Sgd
from exuno.poster.network import as_function
from exuno.poster.options import algorithms
from exuno.poster.protocol import subset
from exuno.poster.unroll import Training, precomputed_grad, unroll


@algorithms.register("mtt", summary="trajectories of networks trained on the real images (Cazenavette et al., 2022)")
@dataclass(frozen=True)
class TrajectoryMatching:
    """Options of trajectory matching. The student learns as ``--inner`` says; the paper takes sgd without momentum."""

    experts: Annotated[int, FROM_1] = 10
    """Expert trajectories (the paper: 100)."""
    expert_epochs: Annotated[int, FROM_1] = 20
    """Epochs of each (the paper: 50)."""
    expert_lr: Annotated[float, POSITIVE] = 0.01
    """Their learning rate, by SGD without momentum."""
    expert_batch: Annotated[int, FROM_1] = 256
    """Real images in one of their steps."""
    latest: Annotated[int, FROM_1] = 10
    """Largest epoch at which a student starts (T+)."""
    epochs: Annotated[int, FROM_1] = 2
    """Epochs of the expert that the student is to catch up with (M)."""
    steps: Annotated[int, FROM_1] = 20
    """Steps of the student on the poster (N)."""

    def prepare(self, context: InnerLoopContext, material: Material) -> "Prepared":
        """Trains the experts that are not in the folder yet.

        Raises:
            ExunoError: options that make no sense together.
        """
        check_fields(self, "algorithm-options ")
        if self.latest + self.epochs > self.expert_epochs:
            raise ExunoError(
                f"--algorithm mtt: latest={self.latest} and epochs={self.epochs} go beyond the {self.expert_epochs} "
                "epochs of the experts",
                "Give expert_epochs of at least their sum.",
            )
        folder = material.folder / "experts"
        with (
            material.accelerator.main_process_first(),
            ProgressBar("experts", self.experts, "networks", quiet=not material.accelerator.is_main_process) as bar,
        ):
            paths = [folder / f"{number:04}.safetensors" for number in range(self.experts)]
            for number, path in enumerate(paths):
                if self.stored(path) is None:
                    with atomic(path) as temporary:
                        made = {"epochs": self.expert(context, material, number).cpu()}
                        temporary.write_bytes(seal_tensors(save(made)))
                bar.advance(1)
        return Prepared(self, torch.stack([load_file(path)["epochs"] for path in paths]))

    def stored(self, path: Path) -> Tensor | None:
        """An expert that an earlier session left, whole; else None."""
        try:
            check_tensors(path)
            found = load_file(path).get("epochs")
        except (ExunoError, SafetensorError, OSError):
            return None
        if found is None or found.dtype != torch.float32 or found.ndim != 2 or len(found) != self.expert_epochs + 1:
            return None
        return found

    def expert(self, context: InnerLoopContext, material: Material, number: int) -> Tensor:
        """The parameters of an expert after each epoch, the start included: float32 [epochs + 1, P]."""
        images, labels = material.train
        device = material.accelerator.device
        net = context.network(rng.seed_of(context.seed, "poster/expert", number)).train()
        parameters, network = as_function(net)
        count = max(1, round(len(images) / self.expert_batch))
        stream = f"poster/expert-batch-{number}"

        def batch(step: int) -> tuple[Tensor, Tensor]:
            chosen = subset(len(images), min(self.expert_batch, len(images)), context.seed, stream, step)
            x, y = (images, labels) if chosen is None else (images[chosen], labels[chosen])
            draw = context.real.draw(len(x), context.seed, stream, step)
            return draw(x.to(device)), F.one_hot(y.to(device), material.classes).float()

        training = Training(network, [p.shape for p in parameters], Sgd(self.expert_lr, momentum=0.0), batch)
        state = training.optimizer.begin(torch.cat([p.reshape(-1) for p in parameters]))
        found = [state[0].clone()]
        for epoch in range(self.expert_epochs):
            state = training.walk(state, range(epoch * count, (epoch + 1) * count))
            found.append(state[0].clone())
        return torch.stack(found)


@dataclass(frozen=True)
class Prepared:
    """Trajectory matching with its experts."""

    options: TrajectoryMatching
    experts: Tensor
    """Float32 [E, epochs + 1, P], on the processor."""

    def __call__(
        self, context: InnerLoopContext, images: Tensor, labels: Tensor, real: Tensor, classes: Tensor, number: int
    ) -> Tensor:
        """See :class:`exuno.poster.context.Algorithm`; equation 2 of the paper. The real batch is not looked at."""
        options = self.options
        chance, when = rng.uniforms(context.seed, "poster/expert-start", [number], 2)[0]
        expert, epoch = int(chance * len(self.experts)), int(when * (options.latest + 1))
        start, goal = (self.experts[expert, at].to(real.device) for at in (epoch, epoch + options.epochs))
        scale = (start - goal).square().sum()
        net = context.fresh(number).train()

        def outer(trained: Sequence[Tensor]) -> Tensor:
            loss = (torch.cat([p.reshape(-1) for p in trained]) - goal).square().sum() / scale
            loss.backward(inputs=list(trained))
            return loss.detach()

        def work(images: Tensor, labels: Tensor, wanted: Sequence[Tensor]) -> tuple[Tensor, Sequence[Tensor]]:
            _, _, training = context.training(net, images, labels, number, number * options.steps)
            return unroll(training, training.leaves(start), 0, options.steps, outer, wanted, context.unroll.backend)

        return precomputed_grad(images, labels, work)

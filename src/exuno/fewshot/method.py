"""One step of phase 1 (iBOT) and of phase 2 (SMKD), which differ in the weights of their losses only."""

import copy
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exuno.data.augmentation.views import GLOBAL, make_views
from exuno.engine.method import Batch, Method, Numbers, StepOutput, TrainState, cosine, follow
from exuno.engine.options import Optim
from exuno.fewshot.losses import Term, class_level, dino, find_pairs, hidden_rows, masked, patch_level, sharpen
from exuno.fewshot.losses.shared import gathered, mean_of_all
from exuno.fewshot.masks import make_masks, most_masked
from exuno.fewshot.network import Projection
from exuno.fewshot.options import LossWeights, PretrainConfig
from exuno.models.zoo.vit import Vit


class Outputs(NamedTuple):
    """What a network says of V views of B images."""

    cls: Tensor
    """[V, B, K]"""
    patch: Tensor | None
    """Of the global views, [2, B, P, K], or of chosen patches, [M, K]; None where no loss reads them."""
    patch_mean: Tensor | None
    """Mean of those of all patches, float32 [K], if it is asked for."""
    features: Tensor
    """Patch tokens of the global views, [2, B, P, D]."""
    token: Tensor
    """[CLS] tokens of the global views, [2, B, D]."""
    attention: Tensor | None
    """Of [CLS] to the patches of the global views, the mean over the heads, summing to 1, [2, B, P]; None likewise."""


class Network(nn.Module):
    """A transformer and its projection.

    Args:
        backbone: the transformer.
        projection: the head.
        weights: of the losses; what none of them reads is not computed.
    """

    def __init__(self, backbone: Vit, projection: Projection, weights: LossWeights) -> None:
        super().__init__()
        self.backbone, self.projection = backbone, projection
        self.reads_patches = bool(weights.masked or weights.patch_level)
        self.reads_attention = bool(weights.patch_level and weights.by_attention)

    def forward(
        self,
        wide: Tensor,
        mask: Tensor | None = None,
        near: Tensor | None = None,
        rows: Tensor | None = None,
        centred: bool = False,
    ) -> Outputs:
        """What it says of normalised views.

        Args:
            wide: global views [2, B, C, S, S].
            mask: bool [2, B, P], of these.
            near: local views [L, B, C, s, s].
            rows: int64 [M], the patches among [2 B P] that are projected; default: all.
            centred: whether the mean of all projected patches is needed.
        """
        views, batch = wide.shape[:2]
        pixels, hidden = wide.flatten(0, 1), None if mask is None else mask.flatten(0, 1)
        attention = None
        if self.reads_attention:
            read = self.backbone.read(pixels, hidden)
            token, patches = read.cls.unflatten(0, (views, batch)), read.patches.unflatten(0, (views, batch))
            attention = read.weights.detach().unflatten(0, (views, batch))
        else:
            tokens = self.backbone.tokens(pixels, hidden).unflatten(0, (views, batch))
            token, patches = tokens[:, :, 0], tokens[:, :, 1:]
        cls = token
        if near is not None:
            small = self.backbone.tokens(near.flatten(0, 1))[:, 0].view(len(near), batch, -1)
            cls = torch.cat([cls, small])
        patch, mean = self._projected(patches, rows, centred) if self.reads_patches else (None, None)
        return Outputs(self.projection(cls), patch, mean, patches, token, attention)

    def _projected(self, patches: Tensor, rows: Tensor | None, centred: bool) -> tuple[Tensor, Tensor | None]:
        """Outputs of patch tokens [2, B, P, D] or some of them, and the mean of all."""
        head = self.projection
        if rows is None:
            every = head.patches(patches)
            return every, every.detach().float().mean((0, 1, 2)) if centred else None
        tokens = patches.flatten(0, 2)
        if not centred:
            return head.patches(tokens.index_select(0, rows)), None
        narrow, last = head.bottleneck(tokens), head.last_patch or head.last
        with torch.autocast(tokens.device.type, enabled=False):
            mean = last(narrow.float().mean(0))  # the last layer is linear
        return last(narrow.index_select(0, rows)), mean


class MaskedDistillation(Method):
    """Self-distillation of masked views: DINO, iBOT and SMKD, weighted.

    The teacher sees the two global views whole; the student sees them masked, and the local views. Teacher outputs are
    centred and sharpened; the teacher is a moving average of the student.

    Args:
        backbone: where student and teacher start.
        projection: their head, likewise.
        config: what to do.
        classes: number of training classes.
        images: length of the training set.
        side: of a global view in pixels.
        mean: of each channel, for pixels in [0, 1].
        std: likewise.
    """

    centre: Tensor
    patch_centre: Tensor
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: Vit,
        projection: Projection,
        config: PretrainConfig,
        classes: int,
        images: int,
        side: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
    ) -> None:
        super().__init__()
        self.config, self.images, self.side = config, images, side
        backbone.mask_token.requires_grad_(True)
        self.student = Network(backbone, projection, config.weights)
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        self.student.backbone.set_drop_path(config.drop_path)
        self._rest()
        # Batch normalisation of tokens has to see all of them.
        alone = config.weights.masked > 0 and not config.weights.patch_level
        self.masked_alone = alone and config.head.norm != "batch"
        self.layer = nn.Linear(backbone.embed_dim, classes) if config.weights.supervised else None
        self.register_buffer("centre", torch.zeros(projection.outputs[0]))
        self.register_buffer("patch_centre", torch.zeros(projection.outputs[1]))
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)
        self.seen: tuple[Tensor, Tensor] | None = None

    def numbers(self, at: TrainState) -> dict[str, float]:
        """The epoch, the teacher's temperatures, and how far it follows the student."""
        options = self.config.teacher
        return {
            "epoch": at.step // at.per_epoch,
            "temperature": self._temperature(options.temperature, at),
            "patch temperature": self._temperature(options.patch_temperature, at),
            "follow": 1 - cosine(options.momentum, 1.0, at.fraction),
        }

    def phase(self, at: TrainState) -> bool:
        """Whether the last layer of the head rests."""
        return at.epoch < self.config.freeze_last

    def forward(self, batch: Batch, numbers: Numbers) -> StepOutput:
        """One step. ``batch``: images uint8 [B, C, S, S]; labels int64 [B]; index int64 [B]."""
        config = self.config
        draws = numbers["epoch"].long() * self.images + batch["index"]
        across = self.side // self.student.backbone.patch_embed.patch_size[0]
        wide, near = make_views(batch["images"], draws, config.views, self.side, config.run.seed)
        mask = make_masks(draws, config.mask, (across, across), config.run.seed)
        wide, near = self._normalised(wide), None if near is None else self._normalised(near)
        hidden = hidden_rows(mask, most_masked(config.mask, mask.shape[2])) if config.weights.masked else None
        rows = hidden if self.masked_alone else None
        with torch.no_grad():
            said = self.teacher(wide, rows=rows, centred=True)
            patch = self.patch_centre if said.patch_mean is None else said.patch_mean
            self.seen = said.cls.float().mean((0, 1)), patch
        terms = self.terms(self.student(wide, mask, near, rows=rows), said, mask, hidden, batch, numbers)
        parts = {name: term.total / mean_of_all(term.count).clamp(min=1) for name, term in terms.items()}
        loss = torch.stack([getattr(config.weights, name) * part for name, part in parts.items()]).sum()
        return StepOutput(loss, {f"train/{name}": part.detach() for name, part in parts.items()})

    def terms(
        self, out: Outputs, said: Outputs, mask: Tensor, hidden: Tensor | None, batch: Batch, numbers: Numbers
    ) -> dict[str, Term]:
        """The losses that have a weight, by the names of :class:`Weights`; ``hidden``: the rows that masks hide."""
        weights, mode, teacher = self.config.weights, self.config.mode, self.config.teacher
        cls = out.cls / teacher.student_temperature
        teacher_cls = sharpen(said.cls, self.centre, numbers["temperature"])
        patch = teacher_patch = cls.new_empty(0)
        if out.patch is not None and said.patch is not None:
            patch = out.patch / teacher.student_temperature
            teacher_patch = sharpen(said.patch, self.patch_centre, numbers["patch temperature"])
        labels, index = batch["labels"], batch["index"]
        terms: dict[str, Term] = {}
        if weights.cls:
            terms["cls"] = dino(cls, teacher_cls)
        if weights.masked:
            terms["masked"] = masked(patch, teacher_patch, mask, mode, hidden)
        if weights.class_level or weights.patch_level:
            pairs = find_pairs(labels, index, self._shared(labels), self._shared(index))
            if weights.class_level:
                terms["class_level"] = class_level(cls, self._shared(teacher_cls, 1), pairs, mode)
            if weights.patch_level:
                ours, theirs = out.features.detach(), self._shared(said.features, 1)
                attention = out.attention if mode == "paper" else said.attention
                known = self._shared(teacher_patch, 1)
                terms["patch_level"] = patch_level(patch, known, ours, theirs, pairs, mode, attention)
        if self.layer is not None:
            logits = self.layer(out.token.float().flatten(0, 1))
            total = F.cross_entropy(logits, labels.repeat(GLOBAL), reduction="sum")
            terms["supervised"] = Term(total, total.new_full((), len(logits)))
        return terms

    def _rest(self) -> None:
        """Parts of the head that no loss reads do not learn; several processes would wait for their gradients."""
        weights, head = self.config.weights, self.student.projection
        cls, patch = weights.cls or weights.class_level, weights.masked or weights.patch_level
        if not (cls or patch):
            head.requires_grad_(False)
        elif head.last_patch is not None:
            for used, last in ((cls, head.last), (patch, head.last_patch)):
                if not used:
                    last.requires_grad_(False)

    def _shared(self, x: Tensor, dim: int = 0) -> Tensor:
        return gathered(x, dim) if self.config.gather else x

    def _normalised(self, pixels: Tensor) -> Tensor:
        return (pixels - self.mean) / self.std

    def _temperature(self, ends: tuple[float, float], at: TrainState) -> float:
        done = min(1.0, at.fraction / self.config.teacher.warmup) if self.config.teacher.warmup else 1.0
        return ends[0] + (ends[1] - ends[0]) * done

    def parameter_groups(self, optim: Optim) -> list[dict[str, Any]]:
        """Biases and norms do not decay."""
        learning = [
            (name, parameter)
            for part in (self.student, self.layer)
            if part is not None
            for name, parameter in part.named_parameters()
            if parameter.requires_grad
        ]
        free = [name.endswith("bias") or parameter.ndim == 1 for name, parameter in learning]
        return [
            {"params": [p for (_, p), is_free in zip(learning, free, strict=True) if not is_free]},
            {"params": [p for (_, p), is_free in zip(learning, free, strict=True) if is_free], "weight_decay": 0.0},
        ]

    def before_step(self, numbers: Numbers) -> None:
        """The last layer of the head rests at first."""
        if numbers.phase:
            for last in (self.student.projection.last, self.student.projection.last_patch):
                for parameter in last.parameters() if last is not None else ():
                    parameter.grad = None

    @torch.no_grad()
    def after_step(self, numbers: Numbers) -> None:
        """The teacher follows the student, the centres the teacher's outputs."""
        follow(self.teacher, self.student, numbers["follow"])
        assert self.seen is not None
        for centre, mean in zip((self.centre, self.patch_centre), self.seen, strict=True):
            centre.lerp_(mean_of_all(mean), 1 - self.config.teacher.centre)

"""A teacher whose answer is a vector, ``features:MODEL``: it names no classes, and its student neither.

The student is a network without a last layer. What brings its features to the teacher's is a linear layer (the
regressor of FitNets: Romero et al., ICLR 2015, section 2.2), also where both have as many, since features behind a ReLU
are never negative. It learns with the student and is left out at the end, unless the teacher is an image tower with
class names: then projection and names are one linear map, the student's last layer.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from exuno.data.base import Data, modality
from exuno.distill.method import Distillation, mix
from exuno.engine.errors import ExunoError
from exuno.engine.method import Batch, Numbers, StepOutput
from exuno.engine.options import ClassOrder
from exuno.engine.training import Evaluator
from exuno.evaluate.measure import logits, ordered_batches
from exuno.features.extract import check_images
from exuno.metrics import mean_interval
from exuno.models.classifier import Classifier
from exuno.models.clip_spec import parse
from exuno.models.ensemble import load_teacher
from exuno.models.head import with_head, without_head
from exuno.models.load import load_model
from exuno.models.names import embedded

Vectors = NDArray[np.float32]
NOTE = (
    "No pictures were given (--data), so the similarity of the features is on patches of the photographs that the "
    "student has not seen; they may look like nothing that it is meant for."
)


def load_asked(spec: str, order: ClassOrder) -> tuple[Classifier, Classifier | None]:
    """The teacher that a spec names, and who names its classes: the teacher itself; of an image tower with class names,
    the whole zero-shot classifier, from whose weights, read once, the tower is taken; None of vectors alone."""
    inner = embedded(spec)
    if inner is None:
        teacher = load_teacher(spec, order)
        return teacher, teacher
    if inner.startswith("clip:") and parse(inner, False).classes:
        whole = load_model(inner, pretrained=True)
        return without_head(whole), whole
    return load_teacher(spec, order), None


def check_pictures(teacher: Classifier, data: Data) -> None:
    """Raises ExunoError where one of the two is not of single images."""
    check_images(teacher)
    if (kind := modality(data)) != "image":
        raise ExunoError(f"{data.name} has {kind}s, and features are imitated of single images", "Give such --data.")


@torch.no_grad()
def width_of(model: Classifier) -> int:
    """How many numbers its answer has."""
    training = model.training
    black = torch.zeros(1, model.card.in_chans, *model.card.input_size, device=model.mean.device)
    try:
        return model.eval()(black).flatten(1).shape[1]
    finally:
        model.train(training)


class VectorDistillation(Distillation):
    """Trains ``student`` so that a linear map of its vectors gives those of ``teacher``. Arguments as for
    :class:`Distillation`; ``cached`` are vectors [N, D]."""

    def __init__(self, teacher: Classifier, student: Classifier, *rest: Any) -> None:
        super().__init__(teacher, student, *rest)
        self.projection = nn.Linear(width_of(student), width_of(teacher))

    @property
    def model(self) -> nn.Module:
        """Pixels [B, C, H, W] -> the student's guess of the teacher's vectors, [B, D]."""
        return nn.Sequential(self.student, self.projection)

    def forward(self, batch: Batch, numbers: Numbers) -> StepOutput:
        """One step. ``batch``: images [B, C, H, W] in [0, 1], index int64 [B]."""
        images = mix(batch["images"], self.mixing, numbers)
        target = self.teacher_logits(images) if self.cached is None else self.cached[batch["index"]]
        found = self.projection(self.student(images))
        nobody = torch.full((len(images),), -1, device=images.device)
        similar = cosine_similarity(found.detach().float(), target.float()).mean()
        return StepOutput(self.imitation(found, target, nobody), {"train/cosine": similar})


class Comparison:
    """Student and teacher on the same images.

    Args:
        method: what is trained.
        data: N images.
        size: (H, W) at which both see them.
        workers: processes that decode them.
    """

    def __init__(self, method: VectorDistillation, data: Any, size: tuple[int, int], workers: int) -> None:
        self.method, self.data, self.size, self.workers = method, data, size, workers
        self.wanted: Vectors | None = None

    def vectors(self, device: torch.device) -> tuple[Vectors, Vectors]:
        """The student's guesses and the teacher's vectors, [N, D] each; the teacher is asked once."""
        tests = ordered_batches(self.data, self.size, self.workers, device=device)
        if self.wanted is None:
            self.wanted = logits(self.method.frozen[0], tests, device)[0]
        return logits(self.method.model, tests, device)[0], self.wanted

    def evaluator(self) -> Evaluator:
        """Yields ``similarity/cosine``; the first process measures."""

        def run(_: nn.Module, accelerator: Accelerator) -> Iterator[tuple[str, float]]:
            if accelerator.is_main_process:
                yield "similarity/cosine", float(cosines(*self.vectors(accelerator.device)).mean())

        return run


def cosines(found: Vectors, wanted: Vectors) -> NDArray[np.float64]:
    """Of each of N pairs of vectors [N, D]; 0 where one of the two is 0."""
    a, b = found.astype(np.float64), wanted.astype(np.float64)
    return (a * b).sum(1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-12)


def similarity(found: Vectors, wanted: Vectors, of: str, note: str) -> dict[str, Any]:
    """What result.json says of a student's guesses [N, D] of the teacher's vectors [N, D]: mean cosine with its
    interval, relative squared error, and both of what knows only the mean of the teacher's vectors.

    Args:
        found: the guesses.
        wanted: the vectors.
        of: the images, in words.
        note: more of them; may be empty.
    """
    blind = np.broadcast_to(wanted.mean(0), wanted.shape)
    power = float(np.square(wanted, dtype=np.float64).mean())
    rows, numbers = [], {}
    for name, each in (("student", found), ("the teacher's mean vector", blind)):
        alike, error = cosines(each, wanted), float(np.square(each.astype(np.float64) - wanted).mean()) / (power or 1)
        numbers[name] = float(alike.mean()), list(mean_interval(alike)), error
        mean, (low, high), error = numbers[name]
        rows.append([name, f"{mean:.4f}", f"{low:.4f} – {high:.4f}", f"{error:.4f}"])
    (mean, interval, error), (least, _, _) = numbers.values()
    table = {
        "title": "The student's features beside the teacher's",
        "head": ["", "cosine similarity", "95 % interval", "squared error"],
        "rows": rows,
        "note": f"Means over {len(wanted):,} {of}, behind the linear layer that learned with the student; the error as "
        "a share of the teacher's squared length (cosine distillation leaves lengths free). The mean vector is what an "
        "answer that looks at no image can reach.",
    }
    return {
        "metrics": {"similarity/cosine": mean, "similarity/error": error},
        "intervals": {"similarity/cosine": interval},
        "n": {"similarity/cosine": len(wanted)},
        "baselines": {"mean vector/cosine": least},
        "tables": [table],
        "notes": [note] if note else [],
    }


def joined(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Two parts of result.json: what both have, dictionaries or lists, together."""
    both = {}
    for key in one.keys() & other.keys():
        both[key] = one[key] | other[key] if isinstance(one[key], dict) else [*one[key], *other[key]]
    return one | other | both


def check_names(student: Classifier, named: Classifier) -> None:
    """Raises ExunoError, before anything is learned, for a student that could not get the names as a last layer."""
    names = named.card.class_names or ()
    with torch.random.fork_rng(devices=[]):
        with_head(student, torch.zeros(len(names), width_of(student)), torch.zeros(len(names)), names)


@torch.no_grad()
def with_names(method: VectorDistillation, named: Classifier, guesses: Vectors) -> Classifier:
    """The student as a classifier of the names that ``named`` knows: its features, brought to the teacher's, times the
    embeddings of the names.

    The teacher's embedding has length 1; the student's guess is divided by its mean length, one number, so that all is
    one linear layer. The class of an image is that of the guess at length 1; its probability is nearly that.

    Args:
        method: after the training.
        named: its last layer compares embeddings with names.
        guesses: of the student, [N, D], whose mean length counts.

    Raises:
        ExunoError: the student has no linear last layer of its features.
    """
    head: Any = named.net.get_submodule("head")
    projection: Any = method.projection.cpu()
    length = float(np.linalg.norm(guesses, axis=1).mean()) or 1.0
    texts: Tensor = head.weight.cpu() / length
    names = named.card.class_names or ()
    return with_head(method.student.cpu(), texts @ projection.weight, texts @ projection.bias + head.bias.cpu(), names)

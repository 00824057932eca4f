"""What the verbs hand back: a run directory, and the model or poster in it. No torch until a model is asked for."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exuno.engine.errors import ExunoError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from exuno.data.base import Images
    from exuno.data.poster.format import Poster
    from exuno.models.classifier import Classifier
    from exuno.predict.answers import Prediction

SHOWN = 6


@dataclass(frozen=True)
class Outcome:
    """A finished run directory."""

    dir: Path
    """The folder; ``exuno report`` and the other verbs take it."""

    @cached_property
    def result(self) -> dict[str, Any]:
        """The content of result.json."""
        from exuno.engine.documents import read_result

        return read_result(self.dir / "result.json")

    @property
    def metrics(self) -> dict[str, Any]:
        """What was measured, such as ``student/top1``; fractions, not percent."""
        return self.result.get("metrics", {})

    @property
    def report(self) -> Path:
        """The page of the run."""
        return self.dir / "report.html"

    @property
    def spec(self) -> str:
        """What stands for it where a verb takes a model: it can be given itself, too."""
        return f"run:{self.dir}"

    def __repr__(self) -> str:
        found = [(name, value) for name, value in self.metrics.items() if isinstance(value, int | float)]
        told = ", ".join(f"{name} {value:.4g}" for name, value in found[:SHOWN])
        return f"<{type(self).__name__} {self.dir}{': ' if told else ''}{told}{', …' * (len(found) > SHOWN)}>"


@dataclass(frozen=True, repr=False)
class Trained(Outcome):
    """A run that trained a model. Called with images, it answers."""

    @cached_property
    def model(self) -> "Classifier":
        """The model, ready to answer: pixels [B, C, H, W] in [0, 1] of any size -> logits [B, classes]."""
        from exuno.models.load import load_model

        return load_model(self.spec, pretrained=True).eval()

    def __call__(self, images: "Images | NDArray[Any]") -> "Tensor":
        """Logits [B, classes] of images [B, C, H, W], float in [0, 1] or uint8, torch's or NumPy's, or of a list of B
        images [C, H, W] of any sizes; without gradients. Of clips and recordings likewise.

        Raises:
            ExunoError: what is none of these, such as one image, normalised images, or floats in [0, 255].
        """
        import torch

        from exuno.data.augmentation.augment import to_float
        from exuno.predict.answers import is_plain
        from exuno.predict.pictures import as_pixels, as_tensor, check_range

        if isinstance(images, list):
            answers = [self(as_tensor(image)[None]) for image in images]
            return torch.cat(answers) if answers else torch.empty(0, self.model.card.classes)
        given = as_tensor(images)
        told = f"a tensor {list(given.shape)}"
        if given.ndim == self.model.ndim - 1:
            raise ExunoError(f"{told} is one sample, not a batch", "Give a batch of one: images[None], or [images].")
        pixels = as_pixels(given, told)
        if not self.model.card.hearing and not is_plain(self.model.card):
            check_range(pixels, told)
        with torch.no_grad():
            return self.model(to_float(pixels))

    def predict(self, images: Any, *, topk: int = 5) -> "list[Prediction]":
        """The classes of images, with their probabilities: what ``exuno.predict`` says, by the model that is at hand.

        Several threads may call it at once.
        """
        from exuno.predict.answers import all_read, predictions, side_of

        return all_read(predictions(self.model, images, topk=topk, size=side_of(self)))


@dataclass(frozen=True, repr=False)
class Distilled(Outcome):
    """A run that made a poster."""

    @cached_property
    def poster(self) -> "Poster":
        """Its pixels, layout, labels and protocol."""
        from exuno.data.poster.format import load

        return load(self.dir)

    @property
    def spec(self) -> str:
        """What stands for it where a verb takes data, or ``evaluate`` a poster."""
        return f"poster:{self.dir}"

"""What a model is, in one JSON file: ``model.json``. No torch."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from exuno.engine.check import need
from exuno.engine.errors import ExunoError
from exuno.engine.options import Sound


@dataclass(frozen=True)
class Hearing:
    """What a model of recordings hears: ``length`` samples at ``rate`` Hz, as a spectrogram."""

    rate: int
    length: int
    sound: Sound = field(default_factory=Sound)

    def __post_init__(self) -> None:
        sound = self.sound
        need(self.length >= 1, "--sound.seconds", sound.seconds, "a positive number")
        need(sound.mels >= 1, "--sound.mels", sound.mels, "at least 1")
        need(sound.window > 0, "--sound.window", sound.window, "a positive number of seconds; 0.025 is usual")
        need(sound.hop > 0, "--sound.hop", sound.hop, "a positive number of seconds; 0.01 is usual")
        need(0 <= sound.low < self.rate / 2, "--sound.low", sound.low, f"0 to below {self.rate // 2}, half the rate")

    @property
    def input_size(self) -> tuple[int, int]:
        """(bands, columns) of the spectrogram."""
        return self.sound.mels, 1 + self.length // max(1, round(self.sound.hop * self.rate))


@dataclass(frozen=True)
class ModelCard:
    """Everything needed to rebuild a model without its weights, and to feed it.

    Pixels in [0, 1] are resized to ``input_size``, brought to ``in_chans`` channels and normalised by ``mean`` and
    ``std``.
    """

    arch: str
    """Model spec of the architecture, such as ``exuno:wrn_16_4`` or ``timm:resnet18``."""
    classes: int
    """Number of logits; 0 for a feature extractor without a last layer."""
    in_chans: int
    """Channels of the network's input: 1 (gray) or 3 (RGB)."""
    input_size: tuple[int, int]
    """Height and width of the network's input in pixels."""
    mean: tuple[float, ...]
    """Mean of each channel, for pixels in [0, 1]."""
    std: tuple[float, ...]
    """Standard deviation of each channel, for pixels in [0, 1]."""
    class_names: tuple[str, ...] | None = None
    """Names of the classes in the order of the logits."""
    options: dict[str, Any] = field(default_factory=dict)
    """Further keyword arguments of the architecture."""
    lineage: dict[str, Any] = field(default_factory=dict)
    """Where the weights come from: files with their sha256, the run, the seed."""
    frames: int | None = None
    """Length of the clips that it takes; None for a model of single images."""
    hearing: Hearing | None = None
    """Of a model of recordings: how it hears them. Its network sees spectrograms of ``input_size``."""

    def __post_init__(self) -> None:
        if self.classes < 0:
            raise ExunoError(f"a model of {self.classes} classes", "Give at least one class.")
        if len(self.mean) != self.in_chans or len(self.std) != self.in_chans:
            raise ExunoError(
                f"mean {self.mean} and std {self.std} do not fit {self.in_chans} input channels",
                "Give one number for each channel.",
            )
        if min(self.std) <= 0:
            raise ExunoError(f"the standard deviation {self.std} is not positive", "Give positive numbers.")
        if self.class_names is not None and len(self.class_names) != self.classes:
            raise ExunoError(
                f"{len(self.class_names)} class names for {self.classes} classes", "Give one name for each class."
            )

    @property
    def takes(self) -> str:
        """What it takes, in words."""
        height, width = self.input_size
        if self.hearing:
            seconds, rate = self.hearing.length / self.hearing.rate, self.hearing.rate
            return f"{seconds:.4g} s of sound at {rate} Hz, as {height} mel bands in {width} columns"
        frames = f"{self.frames} frames of " if self.frames else ""
        return f"{frames}{width}x{height}, {self.in_chans} channel{'s' * (self.in_chans > 1)}"

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, where: str = "model.json") -> Self:
        """Read a card. Raises ExunoError, naming ``where``, if the text is none."""
        try:
            raw = json.loads(text)
        except ValueError as error:
            raise ExunoError(f"{where} is not JSON: {error}", "Write the model again.") from None
        wrong = [name for name, kind in NEEDED.items() if not isinstance(raw, Mapping) or not kind(raw.get(name))]
        if wrong:
            raise ExunoError(
                f"{where} is no model card: {', '.join(wrong)} missing or of another kind",
                "Write the model again, or move the file away if it is something else.",
            )
        known = {each.name: raw[each.name] for each in fields(cls) if each.name in raw}
        for key in ("input_size", "mean", "std", "class_names"):
            if isinstance(known.get(key), list):
                known[key] = tuple(known[key])
        try:
            if known.get("hearing"):
                known["hearing"] = Hearing(**{**known["hearing"], "sound": Sound(**known["hearing"]["sound"])})
            return cls(**known)
        except (TypeError, KeyError) as error:
            raise ExunoError(f"{where} is no model card: {error!r}", "Write the model again.") from None


def _numbers(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, int | float) for each in value)


NEEDED: dict[str, Callable[[Any], bool]] = {
    "arch": lambda value: isinstance(value, str),
    "classes": lambda value: isinstance(value, int),
    "in_chans": lambda value: isinstance(value, int),
    "input_size": lambda value: _numbers(value) and len(value) == 2,
    "mean": _numbers,
    "std": _numbers,
}
"""What a card must have, and of which kind."""

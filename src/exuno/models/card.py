"""What a model is, in one JSON file: ``model.json``. No torch."""

import json
from collections.abc import Mapping
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

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str = "model.json") -> Self:
        """Read a card. Raises ExunoError, naming ``where``, if the text is none."""
        try:
            raw = json.loads(text)
        except json.JSONDecodeError as error:
            raise ExunoError(f"{where} is not JSON: {error}", "Write the model again.") from None
        names = {f.name for f in fields(cls)}
        needed = ("arch", "classes", "in_chans", "input_size", "mean", "std")
        missing = [name for name in needed if not isinstance(raw, Mapping) or name not in raw]
        if missing:
            raise ExunoError(f"{where} is no model card: {', '.join(missing)} missing", "Write the model again.")
        known = {key: value for key, value in raw.items() if key in names}
        for key in ("input_size", "mean", "std", "class_names"):
            if isinstance(known.get(key), list):
                known[key] = tuple(known[key])
        if isinstance(known.get("hearing"), Mapping):
            known["hearing"] = Hearing(**{**known["hearing"], "sound": Sound(**known["hearing"]["sound"])})
        return cls(**known)

"""What a model is, in one JSON file: ``model.json``. No torch."""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from exuno.engine.documents import number, parse_json, texts
from exuno.engine.errors import ExunoError
from exuno.engine.options import MelSpec
from exuno.engine.ranges import require
from exuno.engine.untrusted import CLASSES, PIXELS, SMALL

MOST_CHANNELS = 1024
MOST_OPTION = 10_000
"""Of a depth or width: what is larger would be written out layer by layer before it could be measured."""
MOST_SAMPLES = 10**9


@dataclass(frozen=True)
class Hearing:
    """What a model of recordings hears: ``length`` samples at ``rate`` Hz, as a spectrogram."""

    rate: int
    length: int
    sound: MelSpec = field(default_factory=MelSpec)

    def __post_init__(self) -> None:
        sound = self.sound
        require(self.length >= 1, "--mel.seconds", sound.seconds, "a positive number")
        require(sound.mels >= 1, "--mel.mels", sound.mels, "at least 1")
        require(sound.window > 0, "--mel.window", sound.window, "a positive number of seconds; 0.025 is usual")
        # Each column is a transform of so many samples: of a long one, a batch would take all memory that there is.
        heard = max(self.length / self.rate, MelSpec.window)
        require(sound.window <= heard, "--mel.window", sound.window, f"at most the {heard:g} seconds that are heard")
        require(sound.hop > 0, "--mel.hop", sound.hop, "a positive number of seconds; 0.01 is usual")
        require(0 <= sound.low < self.rate / 2, "--mel.low", sound.low, f"0 to below {self.rate // 2}, half the rate")

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
        CLASSES.check(self.classes, f"a model of {self.arch}")
        if not 1 <= self.in_chans <= MOST_CHANNELS:
            raise ExunoError(f"a model of {self.in_chans} input channels", f"Channels are 1 to {MOST_CHANNELS}.")
        if min(self.input_size) < 1:
            raise ExunoError(f"a model of images of {self.input_size} pixels", "Give a height and width from 1.")
        PIXELS.check(self.input_size[0] * self.input_size[1] * (self.frames or 1), f"a model of {self.arch}")
        if self.frames is not None and self.frames < 1:
            raise ExunoError(f"a model of clips of {self.frames} frames", "Give at least one frame.")
        if stray := sorted(set(self.options) - OPTIONS):
            raise ExunoError(
                f"'{stray[0]}' is no option of a model that a card may set", f"These are: {', '.join(sorted(OPTIONS))}."
            )
        for name, value in self.options.items():
            numbers = filter(number, value if isinstance(value, list) else [value])
            if any(abs(each) > MOST_OPTION for each in numbers):
                raise ExunoError(f"a model whose {name} is {value}", f"Numbers are {MOST_OPTION:,} at most.")
        if len(self.mean) != self.in_chans or len(self.std) != self.in_chans:
            raise ExunoError(
                f"mean {self.mean} and std {self.std} do not fit {self.in_chans} input channels",
                "Give one number for each channel.",
            )
        if not all(map(math.isfinite, (*self.mean, *self.std))):
            raise ExunoError(f"mean {self.mean} and std {self.std} are not finite", "Give plain numbers.")
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
        SMALL.check(len(text), where)
        try:
            raw = parse_json(text)
        except (ValueError, RecursionError) as error:
            raise ExunoError(f"{where} is not JSON: {error}", "Write the model again.") from None
        wrong = [name for name, kind in NEEDED.items() if not isinstance(raw, Mapping) or not kind(raw.get(name))]
        wrong = wrong or [name for name, kind in KINDS.items() if raw.get(name) is not None and not kind(raw[name])]
        if wrong:
            raise ExunoError(
                f"{where} is no model card: {', '.join(wrong)} missing or of another kind",
                "Write the model again, or move the file away if it is something else.",
            )
        known = {each.name: raw[each.name] for each in fields(cls) if each.name in raw}
        for key in ("input_size", "mean", "std", "class_names"):
            if isinstance(known.get(key), list):
                known[key] = tuple(map(float, known[key]) if key in ("mean", "std") else known[key])
        for key in [key for key in ("options", "lineage") if known.get(key) is None]:
            known.pop(key, None)
        try:
            if known.get("hearing"):
                known["hearing"] = Hearing(**{**known["hearing"], "sound": MelSpec(**known["hearing"]["sound"])})
            return cls(**known)
        except ExunoError as error:
            raise ExunoError(f"{where} is no model card that can be used: {error.what}", error.todo) from None
        except (TypeError, KeyError) as error:
            raise ExunoError(f"{where} is no model card: {error!r}", "Write the model again.") from None


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**31


def _numbers(value: Any) -> bool:
    return isinstance(value, list) and all(map(number, value))


def _option(value: Any) -> bool:
    """A size, a share, a switch, or a word that names a variant: never a path or an address."""
    if isinstance(value, list):
        return len(value) <= 8 and all(map(_whole, value))
    return (
        isinstance(value, bool) or number(value) or (isinstance(value, str) and bool(re.fullmatch(r"\w{0,40}", value)))
    )


def _hearing(value: Any) -> bool:
    sound = value.get("sound") if isinstance(value, Mapping) else None
    if not isinstance(sound, Mapping) or not all(
        isinstance(each, bool | str) or number(each) for each in sound.values()
    ):
        return False
    return all(_whole(value.get(key)) and 1 <= value[key] <= MOST_SAMPLES for key in ("rate", "length"))


LISTED = ("classes", "dropped", "filled")
"""Names in a lineage that stand for lists of names."""


NEEDED: dict[str, Callable[[Any], bool]] = {
    "arch": lambda value: isinstance(value, str) and len(value) <= 300 and value.isprintable(),
    "classes": _whole,
    "in_chans": _whole,
    "input_size": lambda value: isinstance(value, list) and len(value) == 2 and all(map(_whole, value)),
    "mean": _numbers,
    "std": _numbers,
}
"""What a card must have, and of which kind."""

KINDS: dict[str, Callable[[Any], bool]] = {
    "class_names": texts,
    "options": lambda value: isinstance(value, Mapping) and all(map(_option, value.values())),
    "lineage": lambda value: isinstance(value, Mapping) and all(texts(value.get(key, [])) for key in LISTED),
    "frames": _whole,
    "hearing": _hearing,
}
"""What a card may have besides, and of which kind."""

OPTIONS = frozenset(
    (
        *("img_size", "image_size", "input_size", "patch_size", "embed_dim", "depth", "num_heads", "mlp_ratio"),
        *("class_token", "reg_tokens", "no_embed_class", "dynamic_img_size", "global_pool", "init_values", "qkv_bias"),
        *("drop_rate", "drop_path_rate", "dropout", "width_mult", "depth_mult"),
    )
)
"""Sizes and variants of architectures. Libraries take much more, such as weights to download (``pretrained``,
``pretrained_cfg``, ``checkpoint_path``), which a card of a stranger must not ask for."""

"""Stand-ins for what trainings leave in a torch checkpoint besides tensors: NumPy's numbers and arrays, paths, times,
configurations. Each has the name of a class and none of its code, so that nothing is imported or run because a file
names it."""

from argparse import Namespace
from collections import OrderedDict
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

Stand = tuple[Any, str]
"""Stand-in, and the name for which it stands."""


class Inert:
    """An object of which nothing is kept."""

    def __new__(cls, *args: object, **options: object) -> "Inert":
        return super().__new__(cls)

    def __init__(self, *args: object, **options: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


class Items:
    """In place of a subclass of dict: what it holds. Made, an OrderedDict, whose items and attributes torch sets."""

    def __new__(cls, *args: object, **options: object) -> Any:
        return OrderedDict()


class Text:
    """In place of a subclass of str: its letters."""

    def __new__(cls, *args: object, **options: object) -> Any:
        return args[0] if args and isinstance(args[0], str) else ""


class DType:
    """In place of numpy.dtype: a number's, else None."""

    def __init__(self, code: object = "", *rest: object) -> None:
        self.of: np.dtype[Any] | None = None
        if isinstance(code, str) and code[:1] in ("b", "i", "u", "f") and code[1:] in ("1", "2", "4", "8"):
            self.of = np.dtype(code)

    def __setstate__(self, state: object) -> None:
        if self.of is not None and isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">"):
            self.of = self.of.newbyteorder(state[1])


class Array:
    """In place of numpy.ndarray: the tensor of an array of numbers, None for any other."""

    def __init__(self, *args: object) -> None:
        self.value: Tensor | None = None

    def __setstate__(self, state: object) -> None:
        if not (isinstance(state, tuple) and len(state) == 5 and isinstance(state[2], DType)):
            raise ValueError("an array of NumPy in another form")
        _, shape, dtype, columns_first, content = state
        if dtype.of is None or not isinstance(content, bytes):
            return
        if any(not isinstance(side, int) or side < 0 for side in shape):
            raise ValueError(f"an array of NumPy of shape {shape}")
        if prod(shape) * dtype.of.itemsize != len(content):
            raise ValueError(f"an array of NumPy of shape {shape} in {len(content)} bytes")
        array = np.frombuffer(content, dtype.of).reshape(shape, order="F" if columns_first else "C")
        self.value = torch.from_numpy(array.astype(dtype.of.newbyteorder("="), order="C"))


def _scalar(dtype: object, content: object = b"") -> object:
    """In place of NumPy's: a plain number."""
    if isinstance(dtype, DType) and dtype.of is not None and isinstance(content, bytes):
        return np.frombuffer(content, dtype.of)[0].item()
    return Inert()


def _reconstruct(*args: object) -> Array:
    return Array()


def _list(*args: object) -> list[object]:
    """In place of a deque."""
    return []


def _stands(stand: Callable[..., object], *names: str) -> list[Stand]:
    return [(stand, name) for name in names]


def _inert(*names: str) -> list[Stand]:
    """A class each: torch tells a class of its list from another by equality."""
    return [(type(name.rpartition(".")[2], (Inert,), {}), name) for name in names]


NUMPY: list[Stand] = [
    *_stands(_scalar, "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"),
    *_stands(_reconstruct, "numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct"),
    (DType, "numpy.dtype"),
    (Array, "numpy.ndarray"),
    *_inert(*(f"numpy.{name}" for name in ("bool_", "bool", "int32", "int64", "float16", "float32", "float64"))),
]
DICTIONARIES = (
    *("collections.defaultdict", "easydict.EasyDict", "munch.Munch", "munch.DefaultMunch", "addict.Dict"),
    *("addict.addict.Dict", "yacs.config.CfgNode", "fvcore.common.config.CfgNode", "box.box.Box"),
    *("pytorch_lightning.utilities.parsing.AttributeDict", "lightning_fabric.utilities.data.AttributeDict"),
    *("lightning.fabric.utilities.data.AttributeDict", "types.MappingProxyType"),
)
PATHS = ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath", "Path", "PurePath")
OMEGACONF = (
    *("dictconfig.DictConfig", "listconfig.ListConfig", "base.ContainerMetadata", "base.Metadata", "base.Node"),
    *(f"nodes.{kind}Node" for kind in ("Any", "String", "Integer", "Float", "Boolean", "Bytes", "Path", "Enum")),
    *("nodes.ValueNode", "base.SCMode", "basecontainer.BaseContainer"),
)
ENUMS = (
    "torchvision.transforms.functional.InterpolationMode",
    *(
        f"{package}.trainer.states.{name}"
        for package in ("pytorch_lightning", "lightning.pytorch")
        for name in ("TrainerFn", "TrainerStatus", "RunningStage")
    ),
    *(
        f"transformers.trainer_utils.{name}"
        for name in ("IntervalStrategy", "SchedulerType", "HubStrategy", "EvaluationStrategy", "SaveStrategy")
    ),
    *("signal.Signals", "http.HTTPStatus", "enum.Enum", "enum.IntEnum", "enum.Flag"),
)
PLAIN = (
    *(f"datetime.{name}" for name in ("datetime", "date", "time", "timedelta", "timezone")),
    *("uuid.UUID", "decimal.Decimal", "fractions.Fraction", "types.SimpleNamespace", "zoneinfo.ZoneInfo"),
    *("typing.Any", "typing.Union", "typing.Optional", "typing.Dict", "typing.List"),
    *(f"builtins.{kind}" for kind in ("dict", "list", "int", "float", "str", "bool", "tuple", "frozenset", "bytes")),
    *("builtins.slice", "builtins.range", "builtins.NoneType"),
)

STANDS: list[Any] = [
    Namespace,  # real: to unpickle it sets its attributes and does nothing else
    *NUMPY,
    *((type("Items", (Items,), {}), name) for name in DICTIONARIES),
    (_list, "collections.deque"),
    (Text, "torch.torch_version.TorchVersion"),
    *_inert(*(f"{module}.{name}" for module in ("pathlib", "pathlib._local") for name in PATHS)),
    *_inert(*(f"omegaconf.{name}" for name in OMEGACONF), *ENUMS, *PLAIN),
]
"""What torch may unpickle besides tensors; see ``torch.serialization.safe_globals``."""

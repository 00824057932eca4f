"""A network in 8 bits, an ONNX file in QDQ form, as a module of torch whose weights and scales learn."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from exuno.engine.errors import ExunoError
from exuno.engine.files import atomic
from exuno.exporting.operators import OPERATORS, Options


def fake_quantise(x: Tensor, scale: Tensor, zero: Tensor, low: int, high: int) -> Tensor:
    """x rounded to s (q - z), q whole in [low, high]: as QuantizeLinear and DequantizeLinear do, halves to even.

    Rounding passes the gradient through (straight-through estimator: Bengio, Léonard and Courville, arXiv 1308.3432),
    which gives the scale the gradient of LSQ (Esser et al., ICLR 2020, equation 3).

    Args:
        x: values.
        scale: s > 0, in a shape that broadcasts to x.
        zero: z, likewise.
        low: least q.
        high: largest q.
    """
    steps = x / scale
    whole = steps + (steps.round() - steps).detach()
    return ((whole + zero).clamp(low, high) - zero) * scale


@dataclass(frozen=True)
class Node:
    """An operator of the graph."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    options: Options


@dataclass(frozen=True)
class Stored:
    """Integers of the file that stand for weights: ``scale * (integer - zero)``."""

    scale: str
    zero: str
    axis: int | None
    """That of the scales; None for one scale."""
    dtype: np.dtype[Any]


SUFFIX = "_quantized"
"""What ONNX Runtime calls the integers of an array."""


class Graph(nn.Module):
    """What a QDQ file computes: pixels [B, C, H, W] in [0, 1] -> logits [B, classes].

    Integer weights come from float ones, which learn, and so does by what each scale is multiplied, as a logarithm, so
    that one learning rate suits all. Biases are in 32 bits and count as exact. Zero points stay, since a clamped range
    may stand for a ReLU, and so does what the file keeps in float32.

    Args:
        quantised: the file in 8 bits.
        whole: the file in float32 that it was made of.

    Raises:
        ExunoError: an operator that is not among ours.
    """

    def __init__(self, quantised: Path, whole: Path) -> None:
        import onnx
        from onnx import numpy_helper

        super().__init__()
        self.file = onnx.load(quantised)
        graph = self.file.graph
        self.nodes = [
            Node(
                each.op_type,
                tuple(str(name) for name in each.input),
                tuple(str(name) for name in each.output),
                {a.name: _plain(onnx.helper.get_attribute_value(a)) for a in each.attribute},
            )
            for each in graph.node
        ]
        known = {*OPERATORS, "QuantizeLinear", "DequantizeLinear"}
        if unknown := sorted({node.kind for node in self.nodes} - known):
            raise ExunoError(f"--qat does not know the operator {unknown[0]} of this network", "Leave out --qat.")
        arrays = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
        floats = {each.name: numpy_helper.to_array(each) for each in onnx.load(whole).graph.initializer}
        self.stored = {
            node.inputs[0]: Stored(
                node.inputs[1], node.inputs[2], node.options.get("axis"), arrays[node.inputs[0]].dtype
            )
            for node in self.nodes
            if node.kind == "DequantizeLinear" and node.inputs[0] in arrays
        }
        biases = {each.scale for each in self.stored.values() if each.dtype == np.int32}
        scales = {node.inputs[1] for node in self.nodes if node.kind.endswith("zeLinear")} - biases
        self.weights = _Named({name: floats[name.removesuffix(SUFFIX)] for name in self.stored})
        self.factors = _Named({name: np.zeros_like(arrays[name]) for name in sorted(scales)})
        constant = {name: _tensor(array) for name, array in arrays.items() if name not in self.stored}
        self.whole = {name: each for name, each in constant.items() if each.dtype in (torch.int64, torch.bool)}
        self.constant = _Named({name: each for name, each in constant.items() if name not in self.whole})
        self.constant.requires_grad_(False)
        self.input, self.output = graph.input[0].name, graph.output[0].name

    def forward(self, pixels: Tensor) -> Tensor:
        values: dict[str, Tensor] = {**self.whole, **self.constant.values(), self.input: pixels}
        for node in self.nodes:
            if node.kind == "DequantizeLinear":
                name = node.inputs[0]
                values[node.outputs[0]] = self.weight(name) if name in self.stored else values[name]
            elif node.kind == "QuantizeLinear":
                name, scale, zero = node.inputs
                bounds = np.iinfo(np.int8)
                rounded = fake_quantise(values[name], self.scale(scale), values[zero], bounds.min, bounds.max)
                values[node.outputs[0]] = rounded
            else:
                found = OPERATORS[node.kind](node.options, *(values[each] if each else None for each in node.inputs))
                found = found if isinstance(found, tuple) else (found,)
                values.update(zip(node.outputs, found, strict=False))
        return values[self.output]

    def scale(self, name: str) -> Tensor:
        """A scale as it is by now."""
        return self.constant[name] * self.factors[name].exp()

    def weight(self, name: str) -> Tensor:
        """What the file's integers of a name stand for."""
        weight, stored = self.weights[name], self.stored[name]
        if stored.dtype == np.int32:
            return weight
        return fake_quantise(weight, *self._grid(name))

    def _grid(self, name: str) -> tuple[Tensor, Tensor, int, int]:
        """Scale, zero point, least and largest integer of a weight."""
        stored, shape = self.stored[name], [1] * self.weights[name].ndim
        scale, zero = self.scale(stored.scale), self.constant[stored.zero]
        if stored.axis is not None and scale.ndim:
            shape[stored.axis] = -1
            scale, zero = scale.view(shape), zero.view(shape)
        high = np.iinfo(np.int8).max
        return scale, zero, -high - bool(zero.any()), high  # ranges without a zero point are symmetric

    @torch.no_grad()
    def write(self, path: Path) -> None:
        """Write the file with what was learned."""
        from onnx import numpy_helper

        new: dict[str, NDArray[Any]] = {name: self.scale(name).cpu().numpy() for name in self.factors.place}
        for name, stored in self.stored.items():
            if stored.dtype != np.int32:
                scale, zero, low, high = self._grid(name)
                integers = ((self.weights[name] / scale).round() + zero).clamp(low, high)
                new[name] = integers.cpu().numpy().astype(stored.dtype)
        makers = {output: node for node in self.nodes for output in node.outputs}
        for node in self.nodes:
            bias = makers.get(node.inputs[2]) if node.kind in ("Conv", "Gemm") and len(node.inputs) > 2 else None
            if bias and bias.inputs[0] in self.stored and self.stored[bias.inputs[0]].dtype == np.int32:
                name = bias.inputs[0]
                both = [new[makers[each].inputs[1]] for each in node.inputs[:2]]
                scale = np.broadcast_to(both[0] * both[1], self.weights[name].shape).astype(np.float32)
                new[self.stored[name].scale] = scale
                integers = np.rint(self.weights[name].cpu().numpy().astype(np.float64) / scale)
                bounds = np.iinfo(np.int32)  # which a channel of tiny weights reaches, and beyond which signs turn
                new[name] = integers.clip(bounds.min, bounds.max).astype(np.int32)
        for each in self.file.graph.initializer:
            if each.name in new:
                each.CopyFrom(numpy_helper.from_array(new[each.name], each.name))
        with atomic(path) as temporary:
            temporary.write_bytes(self.file.SerializeToString())


class _Named(nn.Module):
    """Arrays by their names in the file, which may have dots, as parameters."""

    def __init__(self, arrays: dict[str, Any]) -> None:
        super().__init__()
        self.place = {name: place for place, name in enumerate(arrays)}
        self.all = nn.ParameterList(nn.Parameter(_tensor(each).float()) for each in arrays.values())

    def __getitem__(self, name: str) -> Tensor:
        return self.all[self.place[name]]

    def values(self) -> dict[str, Tensor]:
        return dict(zip(self.place, self.all, strict=True))


def _tensor(array: Any) -> Tensor:
    return torch.from_numpy(np.array(array)) if isinstance(array, np.ndarray | np.generic) else array


def _plain(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else list(value) if isinstance(value, tuple) else value

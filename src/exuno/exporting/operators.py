"""What the operators of an ONNX graph compute, in torch, so that gradients flow: those of which our networks consist.

Each takes the attributes of its node and its inputs, None for one that is left out; the definitions are those of
ONNX's operator set 18 and later (onnx.ai/onnx/operators). Tensors of whole numbers, which are shapes and axes, stay on
the CPU.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from exuno.engine.errors import ExunoError

Options = dict[str, Any]
Inputs = Tensor | None
Operator = Callable[..., Any]


def elementwise(function: Callable[..., Tensor]) -> Operator:
    """An operator without attributes."""
    return lambda options, *inputs: function(*inputs)


def conv(options: Options, x: Tensor, weight: Tensor, bias: Inputs = None) -> Tensor:
    axes = weight.ndim - 2
    x, padding = _padded(x, options.get("pads"), axes, 0.0)
    every = {name: options.get(name) or [1] * axes for name in ("strides", "dilations")}
    group = options.get("group", 1)
    rest = (every["strides"], padding, every["dilations"], False, [0] * axes, group)
    return torch.ops.aten.convolution(x, weight, bias, *rest)


def _padded(x: Tensor, pads: list[int] | None, axes: int, value: float) -> tuple[Tensor, list[int]]:
    """The input with what only one side of an axis gets, and what both sides of each get."""
    first, last = (pads[:axes], pads[axes:]) if pads else ([0] * axes, [0] * axes)
    if first == last:
        return x, first
    sides = [side for pair in zip(first[::-1], last[::-1], strict=True) for side in pair]
    return F.pad(x, sides, value=value), [0] * axes


def gemm(options: Options, a: Tensor, b: Tensor, c: Inputs = None) -> Tensor:
    a, b = (x.mT if options.get(flag) else x for x, flag in ((a, "transA"), (b, "transB")))
    product = options.get("alpha", 1.0) * (a @ b)
    return product if c is None else product + options.get("beta", 1.0) * c


def divide(_: Options, a: Tensor, b: Tensor) -> Tensor:
    return a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


def max_pool(options: Options, x: Tensor) -> Tensor:
    kernel, axes = options["kernel_shape"], len(options["kernel_shape"])
    x, padding = _padded(x, options.get("pads"), axes, -math.inf)
    strides, dilations = (options.get(name) or [1] * axes for name in ("strides", "dilations"))
    return F.max_pool2d(x, kernel, strides, padding, dilations, bool(options.get("ceil_mode", 0)))


def average_pool(options: Options, x: Tensor) -> Tensor:
    kernel, include = options["kernel_shape"], bool(options.get("count_include_pad", 0))
    pads = options.get("pads") or [0] * 2 * len(kernel)
    if pads[: len(kernel)] != pads[len(kernel) :]:
        raise ExunoError("an average is taken over a border of unequal sides", "Leave out --qat.")
    strides = options.get("strides") or [1] * len(kernel)
    return F.avg_pool2d(x, kernel, strides, pads[: len(kernel)], bool(options.get("ceil_mode", 0)), include)


def reduce_mean(options: Options, x: Tensor, axes: Inputs = None) -> Tensor:
    which = _list(axes) if axes is not None else list(range(x.ndim))
    return x.mean(which, keepdim=bool(options.get("keepdims", 1)))


def clip(_: Options, x: Tensor, low: Inputs = None, high: Inputs = None) -> Tensor:
    return x if low is None and high is None else x.clamp(low, high)


def hard_sigmoid(options: Options, x: Tensor) -> Tensor:
    return (options.get("alpha", 0.2) * x + options.get("beta", 0.5)).clamp(0, 1)


def gelu(options: Options, x: Tensor) -> Tensor:
    return F.gelu(x, approximate=options.get("approximate", "none"))


def layer_norm(options: Options, x: Tensor, weight: Tensor, bias: Inputs = None) -> Tensor:
    shape = x.shape[options.get("axis", -1) :]
    return F.layer_norm(x, shape, weight, bias, options.get("epsilon", 1e-5))


def instance_norm(options: Options, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.instance_norm(x, weight=weight, bias=bias, eps=options.get("epsilon", 1e-5))


def batch_norm(options: Options, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor) -> Tensor:
    return F.batch_norm(x, mean, var, weight, bias, eps=options.get("epsilon", 1e-5))


def reshape(options: Options, x: Tensor, shape: Tensor) -> Tensor:
    wanted = _list(shape)
    if not options.get("allowzero", 0):
        wanted = [x.shape[axis] if side == 0 else side for axis, side in enumerate(wanted)]
    return x.reshape(wanted)


def squeeze(_: Options, x: Tensor, axes: Inputs = None) -> Tensor:
    return x.squeeze() if axes is None else x.squeeze(tuple(_list(axes)))


def unsqueeze(_: Options, x: Tensor, axes: Tensor) -> Tensor:
    whole = x.ndim + axes.numel()
    for axis in sorted(each % whole for each in _list(axes)):
        x = x.unsqueeze(axis)
    return x


def split(options: Options, x: Tensor, sizes: Inputs = None) -> tuple[Tensor, ...]:
    axis = options.get("axis", 0)
    if sizes is not None:
        return x.split(_list(sizes), axis)
    return x.split(math.ceil(x.shape[axis] / options["num_outputs"]), axis)


def slices(_: Options, x: Tensor, starts: Tensor, ends: Tensor, axes: Inputs = None, steps: Inputs = None) -> Tensor:
    which = _list(axes) if axes is not None else list(range(starts.numel()))
    strides = _list(steps) if steps is not None else [1] * len(which)
    if min(strides) < 0:
        raise ExunoError("a tensor is read backwards", "Leave out --qat.")
    cut = [slice(None)] * x.ndim
    for axis, start, end, step in zip(which, _list(starts), _list(ends), strides, strict=True):
        last = x.shape[axis]
        cut[axis] = slice(max(start, -last), min(end, last), step)  # torch warns of what lies far outside
    return x[tuple(cut)]


def gather(options: Options, x: Tensor, index: Tensor) -> Tensor:
    axis = options.get("axis", 0) % x.ndim
    taken = x.index_select(axis, index.flatten().remainder(x.shape[axis]).to(x.device))
    return taken.reshape(*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])


def expand(_: Options, x: Tensor, shape: Tensor) -> Tensor:
    return x.expand(torch.broadcast_shapes(x.shape, tuple(_list(shape))))


def shape_of(options: Options, x: Tensor) -> Tensor:
    return torch.tensor(x.shape[options.get("start", 0) : options.get("end")], dtype=torch.int64)


def pad(options: Options, x: Tensor, pads: Tensor, value: Inputs = None, axes: Inputs = None) -> Tensor:
    which = _list(axes) if axes is not None else list(range(x.ndim))
    sides, both = _list(pads), [[0, 0] for _ in range(x.ndim)]
    for place, axis in enumerate(which):
        both[axis] = [sides[place], sides[place + len(which)]]
    mode = "replicate" if (how := options.get("mode", "constant")) == "edge" else how
    last = [side for pair in both[::-1] for side in pair]
    while last[-2:] == [0, 0]:  # torch knows reflection of the last axes alone
        del last[-2:]
    return F.pad(x, last, mode, 0.0 if value is None else value.item()) if last else x


def resize(options: Options, x: Tensor, _roi: Inputs, scales: Inputs, sizes: Inputs = None) -> Tensor:
    if sizes is None or scales is not None or options.get("mode") != "linear":
        raise ExunoError("a tensor is resized inside the network", "Leave out --qat.")
    wanted = _list(sizes)[2:]
    if list(x.shape[2:]) == wanted:
        return x
    return F.interpolate(x, wanted, mode="bilinear", antialias=bool(options.get("antialias", 0)), align_corners=False)


def cast(options: Options, x: Tensor) -> Tensor:
    from onnx import helper

    return x.to(getattr(torch, str(helper.tensor_dtype_to_np_dtype(options["to"]))))


def _list(values: Tensor) -> list[int]:
    return values.flatten().tolist()


OPERATORS: dict[str, Operator] = {
    "Add": elementwise(torch.add),
    "AveragePool": average_pool,
    "BatchNormalization": batch_norm,
    "Cast": cast,
    "Clip": clip,
    "Concat": lambda options, *parts: torch.cat(parts, options["axis"]),
    "Conv": conv,
    "Div": divide,
    "Erf": elementwise(torch.erf),
    "Exp": elementwise(torch.exp),
    "Expand": expand,
    "Flatten": lambda options, x: x.flatten(options.get("axis", 1)),
    "Gather": gather,
    "Gelu": gelu,
    "Gemm": gemm,
    "GlobalAveragePool": lambda options, x: x.mean((2, 3), keepdim=True),
    "HardSigmoid": hard_sigmoid,
    "HardSwish": elementwise(F.hardswish),
    "Identity": elementwise(lambda x: x),
    "InstanceNormalization": instance_norm,
    "LayerNormalization": layer_norm,
    "LeakyRelu": lambda options, x: F.leaky_relu(x, options.get("alpha", 0.01)),
    "MatMul": elementwise(torch.matmul),
    "MaxPool": max_pool,
    "Mul": elementwise(torch.mul),
    "Neg": elementwise(torch.neg),
    "Pad": pad,
    "Pow": elementwise(torch.pow),
    "Reciprocal": elementwise(torch.reciprocal),
    "ReduceMean": reduce_mean,
    "Relu": elementwise(torch.relu),
    "Reshape": reshape,
    "Resize": resize,
    "Shape": shape_of,
    "Sigmoid": elementwise(torch.sigmoid),
    "Slice": slices,
    "Softmax": lambda options, x: x.softmax(options.get("axis", -1)),
    "Softplus": elementwise(F.softplus),
    "Split": split,
    "Sqrt": elementwise(torch.sqrt),
    "Squeeze": squeeze,
    "Sub": elementwise(torch.sub),
    "Tanh": elementwise(torch.tanh),
    "Transpose": lambda options, x: x.permute(options["perm"]),
    "Unsqueeze": unsqueeze,
}
"""By name. What is not here is told by name, and is a line to add."""

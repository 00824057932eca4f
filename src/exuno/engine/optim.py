"""Optimizers by name, and LARS and Muon, which torch does not have, or only for matrices."""

import ast
import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from exuno.engine.errors import ExunoError
from exuno.engine.idle import nothing
from exuno.engine.method import Numbers, TrainState, cosine, learning_rate
from exuno.engine.options import Optim, optimizers

_torch: Any = torch
"""With its operations on lists of tensors, a few kernels for all of them; torch's optimizers use them and its stubs
leave them out."""
TRUST = 0.001
"""Trust coefficient of LARS, that of its paper."""


@optimizers.register("adam", summary="weight decay is added to the gradient")
class Adam(torch.optim.Adam):
    """torch's."""


@optimizers.register("adamw", summary="decoupled weight decay")
class AdamW(torch.optim.AdamW):
    """torch's."""


@optimizers.register("sgd", summary="with momentum")
class Sgd(torch.optim.SGD):
    """torch's."""


@optimizers.register("lars", summary="SGD with steps in proportion to the weights of each layer (arXiv 1708.03888)")
class Lars(torch.optim.Optimizer):
    """SGD with momentum whose steps have, in each tensor, a length in proportion to that of the weights (layer-wise
    adaptive rate scaling: You, Gitman and Ginsburg, arXiv 1708.03888).

    With u = gradient + weight_decay * w, a step is v <- momentum * v + trust * |w| / |u| * u, w <- w - lr * v; where a
    norm is 0 the factor is 1. As in the self-supervised codes that train by it (SMKD's among them), tensors of one
    dimension, biases and the like, have neither decay nor factor.

    Args:
        groups: parameter groups.
        lr: learning rate.
        weight_decay: see above.
        momentum: see above.
        trust: trust coefficient.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        lr: float,
        weight_decay: float = 0.0,
        momentum: float = 0.9,
        trust: float = TRUST,
    ) -> None:
        super().__init__(groups, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "trust": trust})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One step; parameters without a gradient stay. There is no line search, so no ``closure`` is called."""
        for group in self.param_groups:
            learning = [p for p in group["params"] if p.grad is not None]
            for wide in (True, False):
                if part := [p for p in learning if (p.ndim > 1) is wide]:
                    self._step(part, group, wide)

    def _step(self, weights: list[Tensor], group: dict[str, Any], wide: bool) -> None:
        """A step of tensors that all have more than one dimension, or all have not."""
        updates: list[Tensor] = [p.grad for p in weights if p.grad is not None]
        if wide:
            updates = list(_torch._foreach_add(updates, weights, alpha=group["weight_decay"]))
            lengths, steps = (torch.stack(_torch._foreach_norm(each)) for each in (weights, updates))
            factor = torch.where((lengths > 0) & (steps > 0), group["trust"] * lengths / steps, 1.0)
            _torch._foreach_mul_(updates, factor.unbind())
        for p in weights:
            if "velocity" not in self.state[p]:
                self.state[p]["velocity"] = torch.zeros_like(p)
        velocities = [self.state[p]["velocity"] for p in weights]
        _torch._foreach_mul_(velocities, group["momentum"])
        _torch._foreach_add_(velocities, updates)
        lr = group["lr"]
        if isinstance(lr, Tensor):  # of a recorded step
            _torch._foreach_sub_(weights, _torch._foreach_mul(velocities, lr))
        else:
            _torch._foreach_add_(weights, velocities, alpha=-lr)


QUINTIC, SCHULZ_STEPS = (3.4445, -4.7750, 2.0315), 5
"""Coefficients and number of the Newton-Schulz iterations, those of Muon's author."""


def orthogonalized(x: Tensor) -> Tensor:
    """A matrix whose singular values are all near 1, between 0.7 and 1.2, with the singular vectors of ``x`` [N, M]:
    five quintic Newton-Schulz iterations, in bfloat16 on a GPU and float32 on a processor."""
    a, b, c = QUINTIC
    wide = x.T if x.shape[0] > x.shape[1] else x
    wide = wide.bfloat16() if x.is_cuda else wide.float()
    wide = wide / wide.norm().clamp(min=1e-7)
    for _ in range(SCHULZ_STEPS):
        gram = wide @ wide.T
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return (wide.T if x.shape[0] > x.shape[1] else wide).to(x.dtype)


@optimizers.register("muon", summary="orthogonalised momentum of matrices and filters, adamw for the rest")
class Muon(torch.optim.AdamW):
    """Momentum whose singular values are all brought to about 1 (Jordan et al., 2024), for tensors of two and more
    dimensions, a filter bank [O, I, H, W] being a matrix [O, I H W]; AdamW for all others.

    Steps have the size of those of AdamW, 0.2 sqrt(max(O, I H W)) times the learning rate (Liu et al., arXiv
    2502.16982), and the weight decay is decoupled, so that its rates serve for both. Momentum is Nesterov's.

    Args:
        groups: parameter groups.
        lr: learning rate.
        weight_decay: decoupled.
        momentum: of tensors of two and more dimensions.
        betas: of the others.
        fused: likewise.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        lr: float,
        weight_decay: float = 0.0,
        momentum: float = 0.9,
        betas: tuple[float, float] = (0.9, 0.999),
        fused: bool | None = None,
    ) -> None:
        super().__init__(groups, lr, betas, weight_decay=weight_decay, fused=fused)
        # A scaler of float16 divides the gradients and skips what is not finite, instead of the fused kernel.
        self._step_supports_amp_scaling = False
        for group in self.param_groups:
            group.setdefault("momentum", momentum)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One step; parameters without a gradient stay. There is no line search, so no ``closure`` is called."""
        held: list[tuple[Tensor, Tensor]] = []
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None and p.ndim > 1:
                    self._step(p, p.grad, group)
                    held.append((p, p.grad))
                    p.grad = None  # so that AdamW leaves it alone
        super().step()
        for p, grad in held:
            p.grad = grad

    def _step(self, p: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        state, momentum, lr = self.state[p], group["momentum"], group["lr"]
        if "velocity" not in state:
            state["velocity"] = torch.zeros_like(p)
            state["step"] = torch.zeros((), device=p.device)  # looked for by torch when a state is loaded
        velocity = state["velocity"].mul_(momentum).add_(grad)
        update = orthogonalized(grad.add(velocity, alpha=momentum).flatten(1))
        update.mul_(0.2 * max(update.shape) ** 0.5)
        if group["weight_decay"]:
            p.mul_(1 - lr * group["weight_decay"])
        p.sub_(update.view_as(p) * lr)


def make_optimizer(groups: Iterable[dict[str, Any]], optim: Optim, device: torch.device) -> torch.optim.Optimizer:
    """The optimizer of ``optim`` over parameter groups; one fused kernel for all parameters where torch has it. It gets
    those of its arguments that ``--optim`` knows, and ``--optim.options``.

    Raises:
        ExunoError: nothing to train, no such optimizer, or an argument that it does not take.
    """
    groups = list(groups)
    if not any(parameter.requires_grad for group in groups for parameter in group["params"]):
        raise ExunoError("no parameter of this model is trainable", "Choose a model that learns.")
    make = optimizers.get(optim.name)
    takes = inspect.signature(make).parameters
    given = {each.name: getattr(optim, each.name) for each in fields(Optim)} | {"fused": device.type in ("cpu", "cuda")}
    # Those of exuno are told apart when the options are read; what a foreign one takes shows here.
    lost = [name for name in ("momentum", "weight_decay", "nesterov") if name not in takes and ":" in optim.name]
    for name in lost:
        if getattr(optim, name) not in (0, getattr(Optim, name)):
            flag = f"optim.{name.replace('_', '-')}"
            # A preset may have asked for it, and then it cannot be left out.
            todo = "Give --optim.no-nesterov." if name == "nesterov" else f"Give --{flag} 0."
            raise nothing(flag, f"--optim.name {optim.name} has no such argument", todo)
    usual = {name: value for name, value in given.items() if name in takes and name not in ("name", "options")}
    try:
        return make(groups, **(usual | _options(optim, [*takes][1:])))
    except (TypeError, ValueError) as error:
        raise ExunoError(f"--optim.name {optim.name} cannot be made: {error}", "Look at --optim.options.") from None


def _options(optim: Optim, known: Sequence[str]) -> dict[str, Any]:
    """``--optim.options`` as arguments."""
    found = {}
    for setting in optim.options:
        name, equals, text = setting.partition("=")
        if not equals or name not in known:
            todo = f"It takes {', '.join(known)}."
            raise ExunoError(f"--optim.name {optim.name} has no option '{setting}'", todo)
        try:
            found[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            raise ExunoError(f"--optim.options {setting}: this is no number", "Write numbers, True or False.") from None
    return found


class Rates:
    """Learning rates and weight decay of an optimizer's groups, which change from step to step.

    On the host they are numbers of the groups. In a step that is recorded they have to be scalars on the device, which
    torch's optimizers take for the learning rate alone; a weight decay that changes is then done here, before the
    optimizer's step, and equal up to rounding.

    Args:
        optimizer: as :func:`make_optimizer` made it, with the state that it goes on from.
        optim: its schedules.
        decaying: the groups that have no weight decay of their own.
        recorded: whether steps may be recorded.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, optim: Optim, decaying: Sequence[int], recorded: bool) -> None:
        self.optimizer, self.optim, self.recorded = optimizer, optim, recorded
        self.rate, self.decoupled = learning_rate(optim), isinstance(optimizer, torch.optim.AdamW)
        self.decaying = () if optim.weight_decay_end is None else tuple(decaying)
        for group in optimizer.param_groups:
            if "capturable" in group:  # also after a checkpoint of another device
                group["capturable"] = recorded
        if recorded:
            # Or it would warn in the steps before the recording.
            optimizer._warned_capturable_if_run_uncaptured = True  # pyright: ignore[reportAttributeAccessIssue]
            for number in self.decaying:
                optimizer.param_groups[number]["weight_decay"] = 0.0

    def numbers(self, at: TrainState) -> dict[str, float]:
        """Sets the rates of a step; returns those that have to be on the device, by name."""
        lr, end = self.rate(at), self.optim.weight_decay_end
        decay = 0.0 if end is None else cosine(self.optim.weight_decay, end, at.fraction)
        told: dict[str, float] = {}
        for number, group in enumerate(self.optimizer.param_groups):
            rate = lr * group.get("lr_scale", 1.0)
            if not self.recorded:
                group["lr"] = rate
                if number in self.decaying:
                    group["weight_decay"] = decay
                continue
            told[f"rate {number}"] = rate
            if number in self.decaying:
                told[f"decay {number}"] = 1 - rate * decay if self.decoupled else decay
        return told

    def place(self, numbers: Numbers) -> None:
        """Gives the groups their learning rates on the device, once: the scalars stay, their values change."""
        if self.recorded:
            for number, group in enumerate(self.optimizer.param_groups):
                group["lr"] = numbers[f"rate {number}"]

    @torch.no_grad()
    def decay(self, numbers: Numbers) -> None:
        """The weight decay of a step that may be recorded: of ``adamw`` and ``muon`` on the weights, else on the
        gradients."""
        for number in self.decaying if self.recorded else ():
            factor = numbers[f"decay {number}"]
            weights = [p for p in self.optimizer.param_groups[number]["params"] if p.grad is not None]
            if self.decoupled:
                _torch._foreach_mul_(weights, factor)
                continue
            if self.optim.name == "lars":
                weights = [p for p in weights if p.ndim > 1]
            _torch._foreach_add_([p.grad for p in weights], _torch._foreach_mul(weights, factor))

"""One optimizer step as work for the device alone: nothing in it is read back."""

import torch
from accelerate import Accelerator
from torch import nn

from exuno.engine.meter import Meter
from exuno.engine.method import Batch, Method, Numbers, StepOutput
from exuno.engine.optim import Rates
from exuno.engine.options import Optim


class Step:
    """Forward, backward, clipping, optimizer, and what the method does before and after it.

    Args:
        method: what learns.
        module: the method as Accelerate has wrapped it.
        optimizer: likewise.
        rates: its learning rates and weight decay.
        optim: how gradients are clipped.
        accelerator: of the backward pass.
    """

    def __init__(
        self,
        method: Method,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        rates: Rates,
        optim: Optim,
        accelerator: Accelerator,
    ) -> None:
        self.method, self.module, self.optimizer, self.rates = method, module, optimizer, rates
        self.optim, self.accelerator = optim, accelerator
        self.meter = Meter()
        self.loss = torch.zeros((), device=accelerator.device)
        """Of the last step."""

    def __call__(self, batch: Batch, numbers: Numbers) -> None:
        """Changes weights, the state of the optimizer, the meter and ``loss``, all in place.

        Args:
            batch: on the device.
            numbers: of the method and of the rates.
        """
        out: StepOutput = self.module(batch, numbers)
        self.accelerator.backward(out.loss)
        if self.optim.clip is not None:
            self._clip(self.optim.clip)
        self.method.before_step(numbers)
        self.rates.decay(numbers)
        self.optimizer.step()
        self.clear()
        self.method.after_step(numbers)
        loss = out.loss.detach()
        self.loss.copy_(loss)
        self.meter.add({"train/loss": loss, **out.logs})

    def clear(self) -> None:
        """Drops the gradients."""
        self.optimizer.zero_grad(set_to_none=True)

    def _clip(self, largest: float) -> None:
        self.accelerator.unscale_gradients()
        parameters = [p for p in self.method.parameters() if p.grad is not None]
        if not self.optim.clip_each:
            torch.nn.utils.clip_grad_norm_(parameters, largest)
            return
        for parameter in parameters:
            torch.nn.utils.clip_grad_norm_(parameter, largest)

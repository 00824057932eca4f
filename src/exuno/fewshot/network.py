"""The projection head, and the run of phase 1 where phase 2 starts."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exuno.commandline.presets import resolve
from exuno.engine.configuration import default_folder
from exuno.engine.run import Run, rank
from exuno.fewshot.options import DistillConfig, Head, Mode, PretrainConfig, smoke
from exuno.presets import Preset, read, to_dict


class Prototypes(nn.Module):
    """Last layer: one direction for each output, with a length of its own (weight normalisation, Salimans and Kingma,
    2016).

    Args:
        width: of the input.
        outputs: number of outputs.
        unit_norm: keep the length 1.
        init: ``paper`` or ``reference``, see :class:`Head`.
    """

    def __init__(self, width: int, outputs: int, unit_norm: bool, init: Mode = "paper") -> None:
        super().__init__()
        self.direction = nn.Parameter(torch.empty(outputs, width))
        if init == "reference":
            nn.init.uniform_(self.direction, -(width**-0.5), width**-0.5)
        else:
            nn.init.trunc_normal_(self.direction, std=0.02)
        self.length = nn.Parameter(torch.ones(outputs, 1), requires_grad=not unit_norm)

    def forward(self, x: Tensor) -> Tensor:
        """[..., width] -> [..., outputs]."""
        return F.linear(x, self.length * F.normalize(self.direction, dim=1))


class TokenNorm(nn.BatchNorm1d):
    """Batch normalisation over the tokens at hand, [..., width], also in a test: [CLS] and patch tokens come apart, and
    no running mean would fit both."""

    def __init__(self, width: int) -> None:
        super().__init__(width, track_running_stats=False)

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.flatten(0, -2)).view_as(input)


class Projection(nn.Module):
    """Perceptron, L2 norm, prototypes; [CLS] and patch tokens share all but perhaps the last layer.

    Args:
        width: of a token.
        options: see :class:`Head`.
    """

    def __init__(self, width: int, options: Head) -> None:
        super().__init__()
        sides = [width, *[options.hidden] * (options.layers - 1), options.bottleneck]
        layers: list[nn.Module] = []
        for number, (before, after) in enumerate(pairwise(sides), 1):
            linear = nn.Linear(before, after)
            nn.init.trunc_normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)
            layers.append(linear)
            if number < options.layers:
                layers += [TokenNorm(after), nn.GELU()] if options.norm == "batch" else [nn.GELU()]
        self.perceptron = nn.Sequential(*layers)
        self.last = Prototypes(options.bottleneck, options.outputs, options.unit_norm, options.init)
        self.last_patch = None
        if not options.shared:
            self.last_patch = Prototypes(options.bottleneck, options.patch_outputs, options.unit_norm, options.init)

    @property
    def outputs(self) -> tuple[int, int]:
        """Outputs of a [CLS] and of a patch token."""
        return len(self.last.length), len((self.last_patch or self.last).length)

    def bottleneck(self, tokens: Tensor) -> Tensor:
        """[..., width] -> unit vectors [..., bottleneck]."""
        return F.normalize(self.perceptron(tokens), dim=-1)

    def forward(self, tokens: Tensor) -> Tensor:
        """[CLS] tokens [..., width] -> outputs [..., K]."""
        return self.last(self.bottleneck(tokens))

    def patches(self, tokens: Tensor) -> Tensor:
        """Patch tokens [..., width] -> outputs [..., K]."""
        return (self.last_patch or self.last)(self.bottleneck(tokens))


FILE = "projection.safetensors"
PREFIX = "pretrain:"


def open_start(config: DistillConfig, run: Run, pretrain: Callable[[PretrainConfig, Preset | None], Run]) -> str:
    """The model spec of the start.

    For ``pretrain:PRESET`` that is the finished run of ``exuno fewshot pretrain PRESET``, with this run's data, split
    and seed, where that lies by default; else it is trained in ``RUN_DIR/phase1``.

    Raises:
        ExunoError: an unknown preset, or what phase 1 raises.
    """
    if not config.model.startswith(PREFIX):
        return config.model
    plan, preset, folder = phase_one(config)
    if (folder / "result.json").is_file():
        return f"run:{folder}"
    plan = replace(plan, run=replace(plan.run, run_dir=run.dir / "phase1"))
    if rank() == 0:
        print(f"phase 1 first, in {run.dir / 'phase1'}: there is no finished run {folder}")
    return f"run:{pretrain(plan, preset).dir}"


def phase_one(config: DistillConfig) -> tuple[PretrainConfig, Preset, Path]:
    """What ``pretrain:PRESET`` stands for: the configuration of phase 1, its preset, and where its run lies by
    default."""
    preset = read("fewshot pretrain", config.model.removeprefix(PREFIX))
    stated = resolve(PretrainConfig, preset)
    held = {"split": config.classes.split, "hold_turns": config.classes.hold_turns}
    classes = replace(stated.classes, **held)  # the same ones are new; turns are phase 1's own
    plan = replace(stated, data=config.data, data_root=config.data_root, classes=classes)
    plan = replace(plan, run=replace(config.run, run_dir=None, resume="auto"))
    if plan.run.smoke:
        plan = smoke(plan)
    return plan, preset, default_folder("fewshot pretrain", preset.name, to_dict(plan))


def save_projection(projection: Projection, folder: Path) -> None:
    """Writes a head beside the model, for phase 2 to go on with."""
    from safetensors.torch import save

    from exuno.engine.digests import seal_tensors
    from exuno.engine.files import atomic

    state = {key: value.detach().cpu().contiguous() for key, value in projection.state_dict().items()}
    with atomic(folder / FILE) as temporary:
        temporary.write_bytes(seal_tensors(save(state)))


def load_projection(start: str, projection: Projection) -> Projection:
    """The head of the run ``run:DIR`` put into ``projection``, if there is one of its shape; else it stays random."""
    path = Path(start.removeprefix("run:")) / FILE
    if start.startswith("run:") and path.is_file():
        from exuno.models.formats.weights import read_weights

        state, _ = read_weights(path)
        own = projection.state_dict()
        if {key: value.shape for key, value in state.items()} == {key: value.shape for key, value in own.items()}:
            projection.load_state_dict(state)
        elif rank() == 0:
            print(f"the head of {start} has another shape than --head asks for: a new one is drawn")
    return projection

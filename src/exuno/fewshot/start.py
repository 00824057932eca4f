"""Where phase 2 starts: the run of phase 1, its transformer and its head."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from exuno.engine.run import Run, default_folder, rank
from exuno.fewshot.check import smoke
from exuno.fewshot.options import DistillConfig, PretrainConfig
from exuno.fewshot.projection import Projection
from exuno.presets import Preset, read, resolve, to_dict

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
    classes = replace(stated.classes, split=config.classes.split)  # the same ones are new; turns are phase 1's own
    plan = replace(stated, data=config.data, data_root=config.data_root, classes=classes)
    plan = replace(plan, run=replace(config.run, run_dir=None, resume="auto"))
    if plan.run.smoke:
        plan = smoke(plan)
    return plan, preset, default_folder("fewshot pretrain", preset.name, to_dict(plan))


def save_projection(projection: Projection, folder: Path) -> None:
    """Writes a head beside the model, for phase 2 to go on with."""
    from safetensors.torch import save

    from exuno.engine.files import atomic
    from exuno.engine.sealed import seal_tensors

    state = {key: value.detach().cpu().contiguous() for key, value in projection.state_dict().items()}
    with atomic(folder / FILE) as temporary:
        temporary.write_bytes(seal_tensors(save(state)))


def load_projection(start: str, projection: Projection) -> Projection:
    """The head of the run ``run:DIR`` put into ``projection``, if there is one of its shape; else it stays random."""
    path = Path(start.removeprefix("run:")) / FILE
    if start.startswith("run:") and path.is_file():
        from exuno.models.weights import read_weights

        state, _ = read_weights(path)
        own = projection.state_dict()
        if {key: value.shape for key, value in state.items()} == {key: value.shape for key, value in own.items()}:
            projection.load_state_dict(state)
        elif rank() == 0:
            print(f"the head of {start} has another shape than --head asks for: a new one is drawn")
    return projection

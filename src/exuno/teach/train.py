"""``exuno teach`` from top to bottom."""

from typing import Any

from exuno.data.loader import Loader
from exuno.data.open import open_data
from exuno.engine import session
from exuno.engine.errors import ExunoError
from exuno.engine.loop import fit, make_accelerator
from exuno.engine.run import Run, open_run
from exuno.evaluate.measure import check_classes, record, top1
from exuno.models.load import load_model
from exuno.models.save import save_model
from exuno.presets import Preset, to_dict
from exuno.report.page import write_report
from exuno.teach.method import Supervised
from exuno.teach.options import TeachConfig


def teach(config: TeachConfig, preset: Preset | None = None, parent: Run | None = None) -> Run:
    """Trains and tests a model in a run directory; returns at once if that run is done.

    Args:
        config: what to do.
        preset: where the configuration came from, for the record.
        parent: the run that needs this model; then it is trained inside (``RUN_DIR/teacher``).

    Raises:
        ExunoError: anything the user can put right.
    """
    if config.run.smoke:
        config = session.smoke(config)
    name, about = (preset.name, preset.about) if preset else (None, {})
    if parent:
        run = parent.child("teacher", "teach", name, to_dict(config), about)
    else:
        run = open_run("teach", name, to_dict(config), about, config.run)
    if run.result is None:
        train(config, run)
    return run


def train(config: TeachConfig, run: Run) -> dict[str, Any]:
    """Trains, tests, exports and reports in an open run directory."""
    session.seed_everything(config.run.seed)
    accelerator = make_accelerator(config.run)
    training, test = (open_data(config.data, split, root=config.data_root) for split in ("train", "test"))
    if training.num_classes == 0:
        raise ExunoError(f"{config.data} has no labels to train on", "Use it as the --source of exuno distill.")
    size = (config.size, config.size) if config.size else training.image_size
    started = config.model.startswith(("run:", "file:", "hf-hub:")) or config.pretrained
    model = load_model(
        config.model,
        classes=training.num_classes,
        class_names=training.classes,
        in_chans=training.channels,
        input_size=size,
        # Weights that were trained before know their own normalisation.
        mean=None if started else training.mean,
        std=None if started else training.std,
        pretrained=started,
        new_head=started,
    )
    if config.run.smoke:
        test = session.Head(test)
    check_classes(model, test, "the model")
    loader = Loader(
        training,
        config.batch_size,
        augment=config.augment,
        seed=config.run.seed,
        size=size,
        workers=config.run.workers,
        rank=accelerator.process_index,
        world=accelerator.num_processes,
    )
    length = session.plan(config.epochs, config.budget, len(loader), config.run.smoke)
    outcome = fit(
        Supervised(model, config.label_smoothing),
        loader,
        optim=config.optim,
        steps=length.total,
        run=run,
        accelerator=accelerator,
        evaluators=[top1("model", model, test, size)],
        evaluations=config.evaluations,
        title="teach",
    )
    if not accelerator.is_main_process:
        return {}
    model.card.lineage.update(data=config.data, data_sha256=training.fingerprint(), seed=config.run.seed)
    save_model(model, run.dir)
    summary, _ = record(run.dir / "evaluation", "model", model, test, size, accelerator.device)
    result = run.finish(
        metrics={"model/top1": summary["top1"], "model/top5": summary["top5"], "model/ece": summary["ece"]},
        intervals={"model/top1": summary["interval"]},
        n={"model/top1": summary["n"]},
        lineage=model.card.lineage,
        wall_seconds=outcome.wall_seconds,
        peak_memory_bytes=outcome.peak_memory_bytes,
        device=outcome.device,
    )
    write_report(run.dir)
    return result

"""``exuno poster`` from top to bottom."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor

from exuno.commandline.presets import resolve
from exuno.data.batches import batches
from exuno.data.content import digests_of
from exuno.data.holdout import check as check_holdout
from exuno.data.holdout import lineage_of
from exuno.data.poster.format import SUFFIX, Poster, save
from exuno.data.poster.layout import Layout
from exuno.data.poster.quantisation import quantise_labels
from exuno.engine import session
from exuno.engine.check import check_optim, check_run
from exuno.engine.devices import make_accelerator
from exuno.engine.errors import ExunoError
from exuno.engine.idle import refuse_idle
from exuno.engine.launch import wanted
from exuno.engine.loop import Result, fit
from exuno.engine.ranges import check_fields, require
from exuno.engine.run import Run
from exuno.engine.training import recorder_for
from exuno.poster.context import Algorithm, InnerLoopContext, Material, make_context
from exuno.poster.drawing import write_figures
from exuno.poster.evaluate import SMOKE, content, record
from exuno.poster.layout import coding_by, plan
from exuno.poster.measure import measure, save_frame, score, validate
from exuno.poster.method import Distiller
from exuno.poster.options import PosterConfig, algorithms
from exuno.poster.protocol import Recipe
from exuno.poster.real import Images, Sets, open_splits, read_sets
from exuno.poster.start import first_labels, first_poster, order_of
from exuno.presets import Preset
from exuno.report.page import write_report
from exuno.training import rehearse, run_training, smoke_mark, tell_cost

FRAMES = "frames"
IDLE = {"fixed": ("label_bits", "label_cells", "label_lr_scale"), "shared": ("label_cells",), "learned": ()}
"""--labels -> options that are for others."""


def make_poster(config: PosterConfig, preset: Preset | None = None) -> Run:
    """Distills a data set into a poster in a run directory; returns at once if that run is done.

    Raises:
        ExunoError: anything the user can put right.
    """
    check(config, preset)
    return run_training("poster", config, preset, train, smoke=smoke, again=opened)


def opened(config: PosterConfig, run: Run) -> dict[str, str]:
    """Digests of the data of a finished run, opened anew."""
    splits = open_splits(config)
    return digests_of("training_data", splits.train) | digests_of("test_data", splits.test)


def look(config: PosterConfig, preset: Preset | None) -> None:
    """Opens all that a distillation begins with, on a few images of each class; weights of CLIP are not fetched."""

    def open_all(sliver: PosterConfig, accelerator: Accelerator) -> None:
        check_shares(sliver, wanted(sliver.run))
        order = "given" if sliver.order == "clip" else sliver.order
        few = replace(sliver, order=order, run=replace(sliver.run, smoke=True))
        with TemporaryDirectory() as folder:
            setup = prepare(few, accelerator, Path(folder))
        start = first_poster(few, setup.layout, setup.order, setup.sets)
        labels = first_labels(few, setup.layout, setup.order, setup.sets.source.num_classes)
        algorithm = algorithms.make(config.algorithm, config.algorithm_options)
        if hasattr(algorithm, "prepare"):
            return  # whose experts would have to be trained first
        loader = batches(Images(*setup.sets.train, config.data), config.batch_size, device=accelerator.device)
        samples = max(1, round(config.steps * config.budget)) * config.batch_size
        whole = replace(setup, config=config, context=inner_loops(config, setup.sets, setup.layout, accelerator))
        plain = replace(config, run=replace(config.run, precision="no"))
        tell_cost(lambda: method_of(whole, start, labels, algorithm), loader, samples, plain, accelerator)

    rehearse("poster", config, preset, open_all, smoke=smoke)


def smoke(config: PosterConfig) -> PosterConfig:
    """The same configuration on a sliver of work."""
    unroll = replace(config.unroll, window=min(2, config.unroll.window), total=min(4, config.unroll.total), least=0)
    proof = replace(SMOKE, holdout=config.eval.holdout)
    return replace(config, batch_size=min(32, config.batch_size), evaluations=2, unroll=unroll, eval=proof)


def check(config: PosterConfig, preset: Preset | None) -> None:
    """Raises ExunoError for numbers that no distillation can use, and for options of labels that would do nothing and
    are not those of the preset, or the defaults."""
    check_fields(config)
    unroll, proof = config.unroll, config.eval
    check_holdout(config.held)
    require(unroll.total >= unroll.window, "--unroll.total", unroll.total, f"at least the window, {unroll.window}")
    most = unroll.total - unroll.window
    require(
        0 <= unroll.least <= most, "--unroll.least", unroll.least, f"0 to {most}, what the window leaves of the total"
    )
    longest = min(unroll.window - 1, most)
    require(unroll.adapt <= longest, "--unroll.adapt", unroll.adapt, f"0 to {longest}: windows of 1 step to the total")
    require(min(proof.steps, default=0) >= 1, "--eval.steps", " ".join(map(str, proof.steps)), "numbers from 1")
    stated = resolve(PosterConfig, preset) if preset else PosterConfig(config.data)
    if not config.zca:
        refuse_idle(config, stated, ["zca_from"], "--zca is off", "Add --zca, or leave it out.")
    entry = algorithms.entries.get(config.algorithm)
    if entry and not entry.facts.get("window"):
        refuse_idle(config, stated, ["unroll.adapt"], f"--algorithm {config.algorithm} has no window")
    why, todo = f"labels are {config.labels} (--labels)", "Leave it out, or give --labels learned."
    refuse_idle(config, stated, IDLE[config.labels], why, todo)
    check_optim(config.optim)
    check_run(config.run, double=True)
    if config.run.sync_batchnorm:
        raise ExunoError(
            "--sync-batchnorm is not for posters: each process trains networks of its own",
            "Leave it out; each of them sees its whole batch.",
        )
    if config.run.precision not in ("auto", "no"):
        raise ExunoError(
            f"--precision {config.run.precision} is too coarse for a gradient through a training", "Leave it out."
        )


@dataclass(frozen=True)
class Setup:
    """Everything a distillation works with."""

    config: PosterConfig
    sets: Sets
    layout: Layout
    order: NDArray[np.int64]
    context: InnerLoopContext
    data_sha256: str
    data_content: str
    """Digest of some of the content of image files, of which ``data_sha256`` knows names, sizes and labels; else ''."""

    def quantize(self, pixels: Tensor, labels: Tensor, steps: int | None = None) -> Poster:
        """The poster as it is stored: pixels and a learned label array rounded to their bits."""
        source, space, config = self.sets.source, self.sets.space, self.config
        recipe = Recipe(config.model, config.inner, steps or max(config.eval.steps), config.eval.steps)
        return Poster(
            **coding_by(config).stored(pixels, self.layout.size),
            layout=self.layout,
            order=self.order,
            class_names=source.classes or tuple(map(str, range(source.num_classes))),
            data=config.data,
            data_sha256=self.data_sha256,
            mean=space.mean,
            std=space.std,
            labels=quantise_labels(labels, config.label_bits) if labels.ndim == 3 else None,
            label_formula=config.label_formula,
            whitening=space.whitening,
            label_bits=config.label_bits if labels.ndim == 3 else 16,
            label_sharing="classes" if config.labels == "shared" else "cells",
            protocol=recipe.to_dict(),
            lineage={"seed": config.run.seed, "algorithm": config.algorithm}
            | ({"data_content": self.data_content} if self.data_content else {})
            | lineage_of(config.held)
            | smoke_mark(config),
        )


def prepare(config: PosterConfig, accelerator: Accelerator, folder: Path) -> Setup:
    """Opens the data and lays the poster out; what can be wrong is found before the images are read."""
    recorder = recorder_for(config.run, accelerator)
    splits = open_splits(config)
    classes, channels = splits.train.num_classes, splits.channels
    layout = plan(config, splits.image, classes, channels)
    context = make_context(config, classes, channels, layout.image, accelerator.device, recorder)
    context.fresh(0)
    sets = read_sets(config, splits, folder)
    digests = splits.train.fingerprint(), splits.train.content()
    return Setup(config, sets, layout, order_of(config, layout, sets), context, *digests)


def inner_loops(config: PosterConfig, sets: Sets, layout: Layout, accelerator: Accelerator) -> InnerLoopContext:
    """The surroundings of the outer steps of ``config``; the poster's channels need not be those of the files."""
    recorder, classes, channels = recorder_for(config.run, accelerator), sets.source.num_classes, len(sets.space.mean)
    return make_context(config, classes, channels, layout.image, accelerator.device, recorder)


def method_of(setup: Setup, start: Tensor, labels: Tensor, algorithm: Algorithm) -> Distiller:
    """What is trained, from a poster and its labels on."""
    config, layout, context = setup.config, setup.layout, setup.context
    order = setup.order if config.labels == "shared" else None
    stored = coding_by(config), config.label_bits
    return Distiller(start, labels, layout, algorithm, context, config.label_lr_scale, *stored, order)


def check_shares(config: PosterConfig, processes: int) -> None:
    """Raises ExunoError if the processes cannot share the inner runs."""
    if config.unroll.runs % processes:
        raise ExunoError(
            f"--unroll.runs {config.unroll.runs} cannot be shared by {processes} processes",
            f"Give a multiple of {processes}.",
        )


def train(config: PosterConfig, run: Run) -> None:
    """Distills, tests, exports and reports in an open run directory."""
    accelerator = make_accelerator(replace(config.run, precision="no"))  # float32, whatever a GPU would do for others
    check_shares(config, accelerator.num_processes)
    session.seed_everything(config.run.seed)
    setup = prepare(config, accelerator, run.dir)
    run.pin(**digests_of("training_data", setup.sets.source), **digests_of("test_data", setup.sets.proof))
    start = first_poster(config, setup.layout, setup.order, setup.sets)
    labels = first_labels(config, setup.layout, setup.order, setup.sets.source.num_classes)
    algorithm = algorithms.make(config.algorithm, config.algorithm_options)
    if hasattr(algorithm, "prepare"):
        material = Material(setup.sets.train, setup.sets.source.num_classes, run.dir, accelerator)
        algorithm = algorithm.prepare(setup.context, material)
    method = method_of(setup, start, labels, algorithm)
    frames = None if run.options.no_images else run.dir / FRAMES
    if accelerator.is_main_process and frames:
        save_frame(setup.quantize(start, labels), frames, 0)
    loader = batches(
        Images(*setup.sets.train, config.data),
        config.batch_size,
        seed=config.run.seed,
        device=accelerator.device,
        workers=config.run.workers,
    )
    first = min(config.eval.steps)
    outcome = fit(
        method,
        loader,
        optim=config.optim,
        steps=session.steps(config.steps, config.budget, 1, config.run.smoke),
        run=run,
        accelerator=accelerator,
        evaluators=[validate(setup.sets.held, setup.context, setup.quantize, (first,), config.eval.trials, frames)],
        evaluations=config.evaluations,
        title="poster",
        oom_hint="Lower --inner.batch or --batch-size, and keep --unroll.backend checkpointed.",
    )
    if accelerator.is_main_process:
        conclude(run, setup, method, outcome, accelerator.device)
    accelerator.wait_for_everyone()


def conclude(run: Run, setup: Setup, method: Distiller, outcome: Result, device: torch.device) -> None:
    """Exports, measures and reports the poster that did best on held-out data."""
    config, sets, proof = setup.config, setup.sets, setup.config.eval
    best = method.best_pixels, method.best_labels
    means = score(setup.quantize(*best), sets.held, setup.context, proof.steps, proof.trials, device)
    poster = setup.quantize(*best, sorted(set(proof.steps))[int(means.argmax())])
    save(poster, run.dir / f"distilled{SUFFIX}")
    measured = measure(poster, sets.test, sets.train, proof, config.run.seed, device)
    images = not run.options.no_images
    record(run.dir / "evaluation", measured, sets.proof, sets.test[1], poster, images)
    if images:
        write_figures(run.dir / "figures", poster, sorted((run.dir / FRAMES).glob("*.png")))
    told = content(measured, poster, sets.test[1])
    told["lineage"] |= {"data": config.data, "data_sha256": poster.data_sha256, "seed": config.run.seed}
    told["metrics"] |= {"held/accuracy": method.best_score.item()}
    run.finish(**told, **asdict(outcome))
    write_report(run.dir)

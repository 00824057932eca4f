"""``exuno fewshot pretrain`` and ``exuno fewshot distill`` from top to bottom."""

from dataclasses import asdict, dataclass, replace
from typing import Any, cast

from accelerate import Accelerator

from exuno.data.base import Data
from exuno.data.batches import batches
from exuno.data.content import digests_of
from exuno.data.loader import Loader
from exuno.engine import session
from exuno.engine.devices import make_accelerator
from exuno.engine.errors import ExunoError
from exuno.engine.loop import Result, fit
from exuno.engine.run import Run
from exuno.fewshot.classes import open_classes
from exuno.fewshot.method import MaskedDistillation
from exuno.fewshot.network import PREFIX, Projection, load_projection, open_start, phase_one, save_projection
from exuno.fewshot.options import DistillConfig, PretrainConfig, check_config, smoke
from exuno.fewshot.validate import Validator
from exuno.models.classifier import Classifier
from exuno.models.files import save_model
from exuno.models.zoo.vit import Vit
from exuno.presets import Preset
from exuno.report.page import write_report
from exuno.training import rehearse, run_training, smoke_mark, tell_cost, tell_smaller


def pretrain(config: PretrainConfig, preset: Preset | None = None) -> Run:
    """Phase 1 in a run directory; returns at once if that run is done.

    Raises:
        ExunoError: anything the user can put right.
    """
    check_config(config)

    def work(plan: PretrainConfig, run: Run) -> None:
        train(plan, run, plan.model)

    return run_training("fewshot pretrain", config, preset, work, smoke=smoke, again=opened)


def distill(config: DistillConfig, preset: Preset | None = None) -> Run:
    """Phase 2 likewise; ``pretrain:PRESET`` runs phase 1 first, unless its run is there.

    Raises:
        ExunoError: anything the user can put right.
    """
    check_start(config)

    def work(plan: DistillConfig, run: Run) -> None:
        train(plan, run, open_start(plan, run, pretrain))

    return run_training("fewshot distill", config, preset, work, smoke=smoke, again=opened)


def opened(config: PretrainConfig, run: Run) -> dict[str, str]:
    """The digest of the classes that a finished run was trained on, opened anew."""
    training = open_classes(config.data, "train", config.classes, config.data_root, config.run.seed)
    assert training is not None
    return digests_of("training_data", training)


def check_start(config: PretrainConfig) -> None:
    """Raises ExunoError for numbers that no training can use, or a phase 2 without a start."""
    check_config(config)
    if not config.model:
        raise ExunoError(
            "phase 2 has nothing to start from",
            "Give --model run:DIR of phase 1 (exuno fewshot pretrain), pretrain:PRESET or file:PATH; or name a preset.",
        )


def look(verb: str, config: PretrainConfig, preset: Preset | None) -> None:
    """Opens all that a training of either phase begins with; of a phase 1 that is to be trained first, its untrained
    network."""

    def open_all(sliver: PretrainConfig, accelerator: Accelerator) -> None:
        start = sliver.model
        if isinstance(sliver, DistillConfig) and start.startswith(PREFIX):
            plan, _, folder = phase_one(sliver)
            start = f"run:{folder}" if (folder / "result.json").is_file() else plan.model
        setup = prepare(sliver, start, accelerator)
        tell_cost(
            lambda: setup.method, setup.loader, config.epochs * config.budget * len(setup.training), config, accelerator
        )

    rehearse(verb, config, preset, open_all, smoke=smoke)


@dataclass(frozen=True)
class Setup:
    """Everything a training works with."""

    training: Data
    validation: Data | None
    test: Data | None
    model: Classifier
    """The teacher's transformer: what is delivered."""
    method: MaskedDistillation
    loader: Loader
    size: tuple[int, int]


def prepare(config: PretrainConfig, start: str, accelerator: Accelerator) -> Setup:
    """Opens data and model, and checks that they fit each other."""

    def part(name: Any) -> Data | None:
        return open_classes(config.data, name, config.classes, config.data_root, config.run.seed)

    training = part("train")
    assert training is not None
    if training.episodes is not None:
        raise ExunoError(f"{config.data} is for measuring only", "Train on other data, such as --data omniglot.")
    if training.whitening is not None:
        raise ExunoError(f"the images of {config.data} are whitened, which views would clip", "Give plain images.")
    store = (config.store, config.store) if config.store else training.image_size
    size = (config.size, config.size) if config.size else training.image_size
    if size[0] != size[1]:
        raise ExunoError(f"the images of {config.data} are not square", "Give --size, the side of a view.")
    session.seed_everything(config.run.seed)
    model, projection = open_model(config, start, training, size)
    loader = batches(
        training,
        config.batch_size,
        seed=config.run.seed,
        size=store,
        device=accelerator.device,
        resize=min(store),
        workers=config.run.workers,
        rank=accelerator.process_index,
        world=accelerator.num_processes,
        raw=True,
    )
    tell_smaller(loader, config)
    method = MaskedDistillation(
        cast("Vit", model.net),
        projection,
        config,
        training.num_classes,
        len(training),
        size[0],
        model.card.mean,
        model.card.std,
    )
    model = Classifier(method.teacher.backbone, model.card)
    return Setup(training, part("val"), part("test"), model, method, loader, size)


def open_model(
    config: PretrainConfig, start: str, training: Data, size: tuple[int, int]
) -> tuple[Classifier, Projection]:
    """The transformer at the start, and its head: that of the run it comes from, if that run had one of this shape."""
    from exuno.models.load import load_model

    trained = not start.startswith("exuno:")
    model = load_model(
        start,
        classes=None if trained else 0,
        in_chans=training.channels,
        input_size=size,
        mean=None if trained else training.mean,
        std=None if trained else training.std,
        pretrained=trained,
    )
    if not isinstance(model.net, Vit):
        raise ExunoError(
            f"{start} is {model.card.arch}, which is no vision transformer of exuno",
            "Give --model exuno:vit_small_16 (or another size), or weights of one.",
        )
    if model.card.in_chans != training.channels:
        raise ExunoError(
            f"{start} takes images of {model.card.in_chans} channels, {config.data} has {training.channels}",
            "Give a model that was trained on such images.",
        )
    patch = model.net.patch_embed.patch_size[0]
    for flag, side in (
        ("--size", size[0]),
        ("--views.local-size", config.views.local_size if config.views.local else 0),
    ):
        if side % patch:
            raise ExunoError(f"{flag} is {side}, which patches of {patch} pixels do not fill", "Give a multiple of it.")
    net = model.net
    net.reset_classifier(0)
    net.store_size(size)
    model = Classifier(net, replace(model.card, input_size=size, classes=0, class_names=None))
    return model, load_projection(start, Projection(net.embed_dim, config.head))


def train(config: PretrainConfig, run: Run, start: str) -> None:
    """Trains, tests, exports and reports in an open run directory."""
    accelerator = make_accelerator(config.run)
    setup = prepare(config, start, accelerator)
    run.pin(**digests_of("training_data", setup.training))
    setup.model.card.lineage.update(lineage(config, setup, start))
    validator = Validator(config, setup.model, setup.method, setup.training, setup.validation, setup.size, run)
    outcome = fit(
        setup.method,
        setup.loader,
        optim=config.optim,
        steps=session.steps(config.epochs, config.budget, len(setup.loader), config.run.smoke),
        run=run,
        accelerator=accelerator,
        evaluators=[validator],
        evaluations=config.evaluations,
        title=run.verb,
        oom_hint="Lower --batch-size or --views.local, or give --precision bf16.",
    )
    if accelerator.is_main_process:
        conclude(config, run, setup, validator, outcome, accelerator)
    accelerator.wait_for_everyone()  # the others may be about to load what the first one writes


def lineage(config: PretrainConfig, setup: Setup, start: str) -> dict[str, Any]:
    """Where the weights come from."""
    return {
        "data": config.data,
        "data_sha256": setup.training.fingerprint(),
        "classes": list(setup.training.classes or ()),
        "start": start,
        "seed": config.run.seed,
    } | smoke_mark(config)


def conclude(
    config: PretrainConfig,
    run: Run,
    setup: Setup,
    validator: Validator,
    outcome: Result,
    accelerator: Accelerator,
) -> None:
    """Exports, measures and reports the teacher's transformer."""
    from exuno.fewshot.evaluate import conclude_training

    chosen = validator.best() if config.validation.keep == "best" else {}
    setup.model.card.lineage.update(chosen)
    save_model(setup.model, run.dir)
    save_projection(setup.method.teacher.projection, run.dir)
    measured = conclude_training(run.dir, config, setup.model, setup.test, accelerator.device)
    run.finish(**measured, lineage=setup.model.card.lineage, **asdict(outcome))
    if setup.test is None:
        print(f"No class was held back, so nothing was tested. Do it by: exuno fewshot eval {run.dir} --data SPEC")
    write_report(run.dir)

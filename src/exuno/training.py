"""What the verbs that train share around the loop: checks, the run directory, the loader."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from functools import partial
from typing import Protocol, TypeVar

from accelerate import Accelerator

from exuno.commandline.presets import resolve
from exuno.data.base import Data, modality
from exuno.data.batches import batches
from exuno.data.dali import DaliLoader, check_dali
from exuno.data.loader import Loader, Source
from exuno.data.matching import OtherClasses
from exuno.engine import session
from exuno.engine.check import check_augment, check_optim, check_run
from exuno.engine.configuration import default_folder
from exuno.engine.devices import make_accelerator
from exuno.engine.errors import ExunoError, tell
from exuno.engine.launch import wanted
from exuno.engine.method import Method
from exuno.engine.options import Augment, ClassOrder, MelSpec, Optim, RunOptions
from exuno.engine.probe import Loads, tell_rate
from exuno.engine.ranges import check_fields, require
from exuno.engine.run import ANEW, Changed, Run, check_folder, open_run, rank
from exuno.engine.stop import listening
from exuno.models.classifier import Classifier, hearing_of
from exuno.models.head import for_classes
from exuno.models.load import load_model
from exuno.presets import Preset, to_dict


class TrainingConfig(Protocol):
    """The fields of a configuration that say how it trains."""

    @property
    def size(self) -> int | None: ...
    @property
    def epochs(self) -> int: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def budget(self) -> float: ...
    @property
    def evaluations(self) -> int: ...
    @property
    def augment(self) -> Augment: ...
    @property
    def optim(self) -> Optim: ...
    @property
    def run(self) -> RunOptions: ...


class Configured(Protocol):
    """A configuration that says how it is executed."""

    @property
    def run(self) -> RunOptions: ...


Config = TypeVar("Config", bound=Configured)


def check_training(config: TrainingConfig) -> None:
    """Raises ExunoError for numbers that no training can use."""
    check_fields(config)
    check_optim(config.optim)
    check_augment(config.augment)
    check_run(config.run, plain=True)
    if config.run.loader == "dali":
        check_dali()


def run_training(
    verb: str,
    config: Config,
    preset: Preset | None,
    train: Callable[[Config, Run], None],
    inputs: Mapping[str, str] | None = None,
    smoke: Callable[[Config], Config] = session.smoke,
    again: Callable[[Config, Run], Mapping[str, str]] | None = None,
) -> Run:
    """Calls ``train(config, run)`` in the run directory of a configuration, unless that run is done.

    Args:
        verb: the verb of the command line.
        config: a checked configuration.
        preset: where it came from, for the record.
        train: trains, measures, exports and reports.
        inputs: sha256 of the files that the configuration names.
        smoke: the same configuration on a sliver of work.
        again: opens what the run learned from, where it is done: name -> digest, as ``Run.pin`` recorded them.

    Raises:
        ExunoError: what it learned from is another by now, or what ``train`` raises.
    """
    values = to_dict(config)
    about = session.about_of(preset, values, to_dict(resolve(type(config), preset)) if preset else {})
    about = {"summary": session.summary_of(verb, values), **about}
    if config.run.smoke:
        config = smoke(config)
    name = preset.name if preset else None
    run = open_run(verb, name, to_dict(config), about, config.run, dict(inputs or {}))
    try:
        if run.result is None:
            with listening():
                train(replace(config, run=run.options), run)  # pyright: ignore[reportArgumentType]
        else:
            run.verify()
            lost = compare(run, partial(again, config, run)) if again and rank() == 0 else ""
            tell(f"{run.dir} was finished before; nothing is trained again{lost}.")
    except ExunoError:
        run.forget()
        raise
    finally:
        run.close()
    return run


def compare(run: Run, again: Callable[[], Mapping[str, str]]) -> str:
    """The end of a sentence where what a finished run learned from cannot be opened any more, else ''.

    Raises:
        Changed: it is another by now, or what the teacher that was trained inside the run learned from.
    """
    try:
        found = again()
    except Changed:
        raise
    except OtherClasses as error:  # when the run began they were the same
        raise Changed(
            f"what the run in {run.dir} learned from has other classes than when it began: {error.what}", ANEW
        ) from None
    except (ExunoError, OSError) as error:
        what = error.what if isinstance(error, ExunoError) else str(error)
        return f", and whether its data are still the same is not known: {what.rstrip('.')}"
    run.compare(found)
    return ""


def rehearse(
    verb: str,
    config: Config,
    preset: Preset | None,
    look: Callable[[Config, Accelerator], object],
    inputs: Mapping[str, str] | None = None,
    smoke: Callable[[Config], Config] = session.smoke,
) -> None:
    """What ``run_command`` finds out before the first step, for ``--dry-run``: calls ``look(config, accelerator)``,
    which opens and checks what the run works with, for a sliver of it. Writes nothing."""
    wanted(config.run)
    sliver = smoke(config)
    values = to_dict(sliver if config.run.smoke else config)
    name = preset.name if preset else None
    folder = config.run.run_dir or default_folder(verb, name, values)
    check_folder(Run(folder, verb, name, values, {}, config.run, dict(inputs or {})))
    look(sliver, make_accelerator(config.run))


class Stepping(Protocol):
    """The fields of a configuration that say what a step is."""

    @property
    def batch_size(self) -> int: ...
    @property
    def optim(self) -> Optim: ...
    @property
    def run(self) -> RunOptions: ...


def tell_cost(
    make: Callable[[], Method], batches: Loads, samples: float, config: Stepping, accelerator: Accelerator
) -> None:
    """Says how long a training of so many ``samples`` would take here: see ``engine.probe.tell_rate``."""
    share = config.batch_size // accelerator.num_processes
    tell_rate(make, batches, share, samples, config.optim, config.run, accelerator)


def training_loader(data: Source, config: TrainingConfig, size: tuple[int, int], accelerator: Accelerator) -> Loader:
    """The batches of a training: augmented, shuffled, this process's share of each; made where ``data.choose`` says.

    Raises:
        ExunoError: an augmentation of colours for images that are whitened, one of images for recordings, one of clips
            for images, a run of more frames than clips have, or ``--loader dali`` for images that are not in files.
    """
    augment, name = config.augment, getattr(data, "name", "the source")
    if augment.frames and modality(data) == "image":
        raise ExunoError(f"--augment.frames is for clips, and {name} has single images", "Leave it out.")
    have = getattr(data, "frames", None)
    if augment.frames and have and have < augment.frames:
        raise ExunoError(
            f"--augment.frames is {augment.frames}, and the clips of {name} have {have}",
            "Give no more than they have, or ask for longer clips (--video.frames, or @FRAMES/SECONDSs behind a path).",
        )
    if modality(data) == "recording" and (idle := changed(replace(augment, shift=0.0))):
        flag = idle[0].replace("_", "-")
        raise ExunoError(
            f"--augment.{flag} changes images, and {name} has recordings",
            "Leave it out; --augment.shift moves recordings.",
        )
    if getattr(data, "whitening", None) is not None and (any(augment.jitter) or augment.gray or augment.solarize):
        raise ExunoError(
            "the images are whitened, so they have no colours to change",
            "Leave out --augment.jitter, --augment.gray and --augment.solarize.",
        )
    seed, workers = config.run.seed, config.run.workers
    share = {"rank": accelerator.process_index, "world": accelerator.num_processes}
    if config.run.loader == "dali":
        device, threads = accelerator.device, max(1, workers)
        loader = DaliLoader(data, config.batch_size, augment, seed, size, device=device, threads=threads, **share)
    else:
        how = {"device": accelerator.device, "workers": workers, **share}
        loader = batches(data, config.batch_size, augment, seed, size, **how)
    tell_smaller(loader, config)
    return loader


def tell_smaller(loader: Loader, config: Stepping) -> None:
    """Says that a step sees fewer samples than were asked for, since there are no more; not of a smoke run, whose few
    samples nobody asked for."""
    asked = config.batch_size
    if loader.batch_size < asked and not loader.rank and not config.run.smoke:
        name = getattr(loader.data, "name", "the source")
        tell(
            f"--batch-size is {asked:,}, and the samples of {name} are {len(loader.data):,}: a step sees "
            f"{loader.batch_size:,}, and an epoch is one step"
        )


def changed(options: Augment | MelSpec) -> list[str]:
    """The fields that are not as they are by default."""
    return [field.name for field in fields(options) if getattr(options, field.name) != field.default]


class Sized(Protocol):
    """A configuration that may say the side of its images."""

    @property
    def size(self) -> int | None: ...


def size_of(config: Sized, data: Data) -> tuple[int, int]:
    """(H, W) of the images or frames of a run, by default those of its data; of recordings (1, samples), the seconds
    that a new model is to hear.

    Raises:
        ExunoError: a side for recordings, which have none, a time that is none, or how to hear for other data.
    """
    mel: MelSpec | None = getattr(config, "mel", None)
    if modality(data) == "recording":
        if config.size is not None:
            raise ExunoError(
                f"--size {config.size} is a side of images, and {data.name} has recordings",
                "Leave it out; --mel.seconds is what a model hears of a recording.",
            )
        if mel is None or data.rate is None:
            return data.image_size
        require(0 < mel.seconds < math.inf, "--mel.seconds", mel.seconds, "a positive number")
        return 1, max(1, round(mel.seconds * data.rate))
    if mel is not None and (idle := changed(mel)):
        raise ExunoError(f"--mel.{idle[0]} is for recordings, and {data.name} has none", "Leave it out.")
    return (config.size, config.size) if config.size is not None else data.image_size


def loaded_size(size: tuple[int, int], *models: Classifier) -> tuple[int, int]:
    """The (H, W) that a loader has to deliver for models: ``size``, or (1, samples) of the longest that one of them
    hears; each takes the middle of it."""
    lengths = [model.card.hearing.length for model in models if model.card.hearing]
    return (1, max(lengths)) if lengths else size


def has_weights(spec: str, pretrained: bool) -> bool:
    """Whether a model to be trained starts from weights that were trained before."""
    return pretrained or spec.startswith(("run:", "file:", "hf-hub:", "clip:"))


def model_for(
    spec: str,
    pretrained: bool,
    data: Data,
    size: tuple[int, int],
    mel: MelSpec,
    classes: int,
    class_names: Sequence[str] | None,
    order: ClassOrder = "auto",
) -> Classifier:
    """The model that is to be trained on ``data`` at ``size``: new, or with weights and, if its classes are others, a
    new last layer; if only their order is another (``order``: how they are matched), a last layer in this one.

    Raises:
        ExunoError: what ``load_model`` raises.
    """
    started = has_weights(spec, pretrained)
    model = load_model(
        spec,
        classes=classes,
        class_names=class_names,
        in_chans=data.channels,
        input_size=size,
        # Weights that were trained before know their own normalisation.
        mean=None if started else data.mean,
        std=None if started else data.std,
        pretrained=started,
        new_head=started,
        hearing=None if started else hearing_of(data, size, mel),
    )
    return for_classes(model, spec, tuple(class_names), order) if started and class_names else model


def smoke_mark(config: Configured) -> dict[str, bool]:
    """What the lineage of a smoke run's model says beside all else, so that wherever it goes on to, it is known."""
    return {"smoke": True} if config.run.smoke else {}


def steps_of(config: TrainingConfig, loader: Loader) -> int:
    """The length of a training in optimizer steps."""
    return session.steps(config.epochs, config.budget, len(loader), config.run.smoke)

"""What no distillation can use, and what would do nothing: told before a teacher is trained."""

from dataclasses import replace

from exuno.data.audio.recording import is_recording
from exuno.data.base import Data, modality
from exuno.data.holdout import check as check_holdout
from exuno.data.images.photo import is_photo, is_program, is_single
from exuno.distill.losses import SHARED, OnFeatures, make_loss
from exuno.distill.options import DistillConfig, losses
from exuno.engine.errors import ExunoError
from exuno.engine.idle import refuse_idle
from exuno.engine.options import Augment
from exuno.models.names import embedded, listed
from exuno.synth import options
from exuno.training import check_training

GROUPS = {"image": "synth", "clip": "video", "recording": "audio"}
"""Which options say how samples of a kind are made."""


def check(config: DistillConfig) -> None:
    """Raises ExunoError for numbers that no distillation can use."""
    check_training(config)
    check_holdout(config.held)
    loss, mixing = config.loss, config.mix
    changing = config.augment != Augment() or mixing.cutmix or mixing.mixup or config.adversarial
    if config.cache_logits and (config.fresh or changing):
        raise ExunoError(
            "--cache-logits needs a source that is the same in every epoch",
            "Leave out --fresh, augmentation, mixing and --adversarial, or leave out --cache-logits.",
        )
    teachers = listed(config.teacher)
    if len(teachers) > 1 and (new := next((each for each in teachers if each.startswith("teach:")), None)):
        raise ExunoError(
            f"--teacher {new} is to be trained, and stands among others",
            f"Train it first (exuno {new.replace(':', ' ')} --run-dir DIR), and give run:DIR.",
        )
    if len(teachers) > 1 and (one := next((each for each in teachers if embedded(each) is not None), None)):
        raise ExunoError(f"--teacher {one} answers with a vector, and stands among others", "Give it alone.")
    if config.cache_logits and config.run.loader == "dali":
        raise ExunoError(
            "--cache-logits shows the teacher pixels of the default loader, and --loader dali the student others",
            "Leave out one of them.",
        )
    if config.data is None:
        check_untested(config)
    if embedded(config.teacher) is not None:
        check_vectors(config)
    if config.cache_dir and not config.cache_logits:
        raise ExunoError("--cache-dir says where --cache-logits keeps its answers, which is off", "Give both or none.")
    if isinstance(make_loss(loss), OnFeatures) and config.cache_logits:
        raise ExunoError(
            f"--loss.kind {loss.kind} asks for features, and --cache-logits keeps logits alone",
            "Leave out one of them.",
        )
    if isinstance(make_loss(loss), OnFeatures) and len(teachers) > 1:
        raise ExunoError(
            f"--loss.kind {loss.kind} asks for the features of one teacher, and {len(teachers)} were given",
            "Give one, or another --loss.kind.",
        )


def check_vectors(config: DistillConfig) -> None:
    """Raises ExunoError for what needs classes, of a teacher whose answer is a vector."""
    entry = losses.entries.get(config.loss.kind)
    vectors = [name for name, each in losses.entries.items() if each.facts.get("vectors")]
    if entry and entry.name not in vectors:
        raise ExunoError(
            f"--loss.kind {entry.name} compares classes, and --teacher {config.teacher} answers with a vector",
            f"Give --loss.kind {' or '.join(vectors)}, or a teacher that names classes.",
        )
    needing = ("select", config.select), ("loss.hard", config.loss.hard), ("adversarial", config.adversarial)
    for flag, given in needing:
        if given:
            raise ExunoError(
                f"--{flag} {given} needs the teacher's classes, and {config.teacher} answers with a vector",
                "Leave it out.",
            )
    if config.ema:
        raise ExunoError(
            f"--ema averages the student, and not the linear layer from it to the vectors of {config.teacher}",
            "Leave it out.",
        )


def check_untested(config: DistillConfig) -> None:
    """Raises ExunoError for what needs labelled data, where none were given."""
    if config.teacher.startswith("teach:"):
        raise ExunoError(f"--teacher {config.teacher} is to be trained, and no --data were given", "Give --data.")
    if other := next((spec for spec in config.source if not is_drawn(spec)), None):
        raise ExunoError(
            f"no --data were given, and --source {other} is no photograph, of whose new patches both could be asked",
            "Give --data, or a photograph.",
        )
    if config.split != "test":
        raise ExunoError(f"--split {config.split} is a part of --data, which were not given", "Give --data.")
    if config.held.holdout is not None:
        raise ExunoError("--holdout holds out a part of --data, which were not given", "Give --data, or leave it out.")


def is_drawn(spec: str) -> bool:
    """Whether patches are made of a source spec: a photograph, or a program."""
    return is_photo(spec) or is_program(spec)


def check_source(config: DistillConfig, test: Data) -> None:
    """Raises ExunoError for sources of which nothing can be made that is like ``test``, or options that make no
    sense."""
    specs, kind = config.source, modality(test)
    if not specs or "" in specs:
        raise ExunoError("no source was given", "Give --source a photograph, a folder or a data spec.")
    wanted, noun = (is_recording, "recording") if kind == "recording" else (is_drawn, "photograph")
    single = [spec for spec in specs if is_single(spec)]
    if other := [spec for spec in single if not wanted(spec)]:
        raise ExunoError(f"--source {other[0]} is no {noun}, and {test.name} has {kind}s", f"Give one or more {noun}s.")
    if len(specs) > 1 and len(single) < len(specs):
        raise ExunoError(
            f"--source {' '.join(specs)} mixes {noun}s with other data or names several data sets",
            f"Give {noun}s only, or one folder or data spec.",
        )
    if kind == "recording":
        if config.adversarial:
            raise ExunoError(
                f"--adversarial changes pixels, and {test.name} has recordings, which have none", "Leave it out."
            )
        if config.audio.rate not in (0, test.rate):
            raise ExunoError(
                f"--audio.rate is {config.audio.rate}, and {test.name} has {test.rate:,} samples a second",
                "Leave it out.",
            )
        options.check_audio(replace(config.audio, rate=test.rate, seconds=config.audio.seconds or 1), "audio.")
    else:
        made = config.synth if kind == "image" else replace(config.video, frames=config.video.frames or 1)
        options.check(replace(made, size=made.size or 1), f"{GROUPS[kind]}.")


def check_idle(config: DistillConfig, stated: DistillConfig, test: Data) -> None:
    """Raises ExunoError for an option about samples of which none are made, unless it is that of ``stated``, the
    preset's configuration or the default."""
    imitation, kind = make_loss(config.loss), config.loss.kind
    foreign = [f"loss.{name}" for name in SHARED if not hasattr(imitation, name)]
    refuse_idle(config, stated, foreign, f"--loss.kind {kind} has no such option")
    if is_single(config.source[0]):
        other = [group for group in GROUPS.values() if group != GROUPS[modality(test)]]
        refuse_idle(config, stated, other, f"{test.name} has {modality(test)}s")
    else:
        made = ["patches", "fresh", "select", *GROUPS.values()]
        refuse_idle(config, stated, made, f"nothing is made of --source {config.source[0]}, a data set")
    if not config.select:
        refuse_idle(config, stated, ["candidates"], "--select is off, which chooses among them", "Give both, or none.")

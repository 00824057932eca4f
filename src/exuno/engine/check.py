"""Numbers that no training can use, told before anything is opened."""

from exuno.engine.errors import ExunoError
from exuno.engine.options import Augment, Optim, RunOptions


def need(good: bool, flag: str, value: object, wanted: str) -> None:
    """Raises ExunoError, ``--FLAG is VALUE``, unless ``good``."""
    if not good:
        raise ExunoError(f"{flag} is {value}", f"Give {wanted}.")


def check_length(epochs: int, batch_size: int, budget: float, evaluations: int, size: int | None) -> None:
    """Checks the length of a training and the size of its batches and images."""
    need(epochs >= 1, "--epochs", epochs, "at least 1")
    need(batch_size >= 1, "--batch-size", batch_size, "at least 1")
    need(budget > 0, "--budget", budget, "a positive number; 0.1 is a tenth of the training")
    need(evaluations >= 0, "--evaluations", evaluations, "0 or more")
    need(size is None or size >= 1, "--size", size, "at least 1 pixel")


def check_optim(optim: Optim) -> None:
    """Checks optimizer and schedule."""
    need(optim.lr > 0, "--optim.lr", optim.lr, "a positive --optim.lr")
    need(0 <= optim.lr_end <= optim.lr, "--optim.lr-end", optim.lr_end, f"a rate from 0 to --optim.lr, {optim.lr}")
    good = optim.lr_end == 0 or optim.schedule == "cosine"
    need(good, "--optim.lr-end", optim.lr_end, f"0 with --optim.schedule {optim.schedule}; cosine alone ends there")
    need(optim.weight_decay >= 0, "--optim.weight-decay", optim.weight_decay, "0 or more")
    end = optim.weight_decay_end
    need(end is None or end >= 0, "--optim.weight-decay-end", end, "0 or more, or None")
    need(0 <= optim.momentum < 1, "--optim.momentum", optim.momentum, "a number from 0 to below 1")
    need(0 <= optim.warmup < 1, "--optim.warmup", optim.warmup, "a fraction from 0 to below 1")
    need(optim.clip is None or optim.clip > 0, "--optim.clip", optim.clip, "a positive norm, or None")
    need(not optim.nesterov or optim.momentum > 0, "--optim.nesterov", "on", "a momentum above 0, or leave it out")
    plain = not (optim.nesterov and optim.name == "lars")
    need(plain, "--optim.nesterov with --optim.name lars", "on", "--optim.name sgd, or leave it out")


def check_augment(augment: Augment) -> None:
    """Checks the augmentation."""
    for name in ("flip", "jitter_p", "gray", "solarize"):
        value = getattr(augment, name)
        need(0 <= value <= 1, f"--augment.{name.replace('_', '-')}", value, "a probability from 0 to 1")
    for name in ("pad", "cutout", "rotate", "shift"):
        value = getattr(augment, name)
        need(value >= 0, f"--augment.{name}", value, "0 or more")
    need(0 <= augment.zoom < 1, "--augment.zoom", augment.zoom, "a fraction from 0 to below 1")
    need(min(augment.jitter) >= 0, "--augment.jitter", augment.jitter, "four numbers from 0")
    for name in ("resized_crop", "aspect"):
        if pair := getattr(augment, name):
            need(0 < pair[0] <= pair[1], f"--augment.{name.replace('_', '-')}", pair, "a range of positive numbers")
    crop = augment.resized_crop
    need(crop is None or crop[1] <= 1, "--augment.resized-crop", crop, "fractions of the image, at most 1")
    need(augment.frames is None or augment.frames >= 1, "--augment.frames", augment.frames, "at least 1")
    need(0 <= augment.augmix <= 10, "--augment.augmix", augment.augmix, "a severity from 1 to 10, or 0 for none")
    short = augment.short_side
    need(short is None or 1 <= short[0] <= short[1], "--augment.short-side", short, "a range of pixels: 183 229")
    need(not (crop and short), "--augment.short-side", short, "it or --augment.resized-crop: both say what to cut out")


def check_run(options: RunOptions, any_loader: bool = False, double: bool = False) -> None:
    """Checks how a run is executed; ``any_loader``: whether it reads its images by ``--loader``, ``double``: whether it
    computes in float64."""
    good = not (double and options.devices == "mps")
    need(good, "--devices", options.devices, "cpu: this needs float64, which an Apple GPU has not")
    need(options.workers >= 0, "--workers", options.workers, "0 or more")
    need(any_loader or options.loader == "torch", "--loader", options.loader, "torch; dali is for teach and distill")

"""Numbers that no training can use, told before anything is opened."""

from exuno.engine.options import Augment, Optim, RunOptions
from exuno.engine.ranges import require


def check_optim(optim: Optim) -> None:
    """Checks optimizer and schedule."""
    require(0 <= optim.lr_end <= optim.lr, "--optim.lr-end", optim.lr_end, f"a rate from 0 to --optim.lr, {optim.lr}")
    good = optim.lr_end == 0 or optim.schedule == "cosine"
    require(good, "--optim.lr-end", optim.lr_end, f"0 with --optim.schedule {optim.schedule}; cosine alone ends there")
    require(not optim.nesterov or optim.momentum > 0, "--optim.nesterov", "on", "a momentum above 0, or leave it out")
    plain = not (optim.nesterov and optim.name in ("adam", "adamw", "lars", "muon"))
    require(plain, f"--optim.nesterov with --optim.name {optim.name}", "on", "--optim.name sgd, or leave it out")


def check_augment(augment: Augment) -> None:
    """Checks the augmentation."""
    crop = augment.resized_crop
    require(crop is None or crop[1] <= 1, "--augment.resized-crop", crop, "fractions of the image, at most 1")
    short = augment.short_side
    require(
        not (crop and short), "--augment.short-side", short, "it or --augment.resized-crop: both say what to cut out"
    )


def check_run(options: RunOptions, plain: bool = False, double: bool = False) -> None:
    """Checks how a run is executed; ``plain``: whether it reads its images by ``--loader`` and may be compiled,
    ``double``: whether it computes in float64."""
    good = not (double and options.devices == "mps")
    require(good, "--devices", options.devices, "cpu: this needs float64, which an Apple GPU has not")
    require(plain or options.loader == "torch", "--loader", options.loader, "torch; dali is for teach and distill")
    wanted = "auto or off; only teach, distill and selfsup can be compiled"
    require(plain or options.compile != "on", "--compile", options.compile, wanted)

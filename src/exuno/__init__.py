"""exuno: learning from almost no data. One photograph to a data set, a data set to one poster.

    import exuno
    student = exuno.distill("digits", source="my-photo.jpg")    # exuno distill digits --source my-photo.jpg
    student(images), student.metrics, student.report

The command line is ``exuno``; each capability is a package whose ``__init__`` says what is inside, and which can be
called. Importing exuno imports no torch.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from exuno.api.package import VERBS, Parent
from exuno.version import __version__

if TYPE_CHECKING:
    from exuno.api import (
        distill,
        doctor,
        evaluate,
        explain,
        export,
        fewshot,
        load_model,
        poster,
        predict,
        probe,
        report,
        selfsup,
        study,
        synth,
        teach,
    )
    from exuno.api.outcome import Distilled, Outcome, Trained
    from exuno.data.base import Data
    from exuno.data.loader import Loader
    from exuno.data.open import open_data
    from exuno.distill.options import DistillConfig, Loss, Mix
    from exuno.engine.devices import make_accelerator
    from exuno.engine.errors import ExunoError
    from exuno.engine.loop import fit
    from exuno.engine.method import Batch, Method, Numbers, StepOutput, TrainState
    from exuno.engine.options import Augment, Optim, RunOptions
    from exuno.engine.run import Run, open_run
    from exuno.engine.session import seed_everything
    from exuno.models.card import ModelCard
    from exuno.models.classifier import Classifier
    from exuno.models.files import save_model
    from exuno.poster.options import PosterConfig
    from exuno.predict.answers import Prediction
    from exuno.synth.options import AudioOptions, ImageOptions, VideoOptions
    from exuno.synth.stream import ClipStream, PatchStream, SoundStream
    from exuno.teach.options import TeachConfig
    from exuno.teach.train import Supervised

__all__ = [
    "AudioOptions",
    "Augment",
    "Batch",
    "Classifier",
    "ClipStream",
    "Data",
    "DistillConfig",
    "Distilled",
    "ExunoError",
    "ImageOptions",
    "Loader",
    "Loss",
    "Method",
    "Mix",
    "ModelCard",
    "Numbers",
    "Optim",
    "Outcome",
    "PatchStream",
    "PosterConfig",
    "Prediction",
    "Run",
    "RunOptions",
    "SoundStream",
    "StepOutput",
    "Supervised",
    "TeachConfig",
    "TrainState",
    "Trained",
    "VideoOptions",
    "__version__",
    "distill",
    "doctor",
    "evaluate",
    "explain",
    "export",
    "fewshot",
    "fit",
    "load_model",
    "make_accelerator",
    "open_data",
    "open_run",
    "poster",
    "predict",
    "probe",
    "report",
    "save_model",
    "seed_everything",
    "selfsup",
    "study",
    "synth",
    "teach",
]

_MODULES = {
    "exuno.api": ("export", "load_model"),
    "exuno.api.outcome": ("Distilled", "Outcome", "Trained"),
    "exuno.data.base": ("Data",),
    "exuno.data.loader": ("Loader",),
    "exuno.engine.devices": ("make_accelerator",),
    "exuno.engine.loop": ("fit",),
    "exuno.engine.method": ("Batch", "Method", "Numbers", "StepOutput", "TrainState"),
    "exuno.engine.run": ("Run", "open_run"),
    "exuno.engine.session": ("seed_everything",),
    "exuno.teach.train": ("Supervised",),
    "exuno.data.open": ("open_data",),
    "exuno.distill.options": ("DistillConfig", "Loss", "Mix"),
    "exuno.engine.errors": ("ExunoError",),
    "exuno.engine.options": ("Augment", "Optim", "RunOptions"),
    "exuno.models.card": ("ModelCard",),
    "exuno.models.classifier": ("Classifier",),
    "exuno.models.files": ("save_model",),
    "exuno.poster.options": ("PosterConfig",),
    "exuno.predict.answers": ("Prediction",),
    "exuno.synth.options": ("AudioOptions", "ImageOptions", "VideoOptions"),
    "exuno.synth.stream": ("ClipStream", "PatchStream", "SoundStream"),
    "exuno.teach.options": ("TeachConfig",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in VERBS:
        return import_module(f"exuno.{name}")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'exuno' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


sys.modules[__name__].__class__ = Parent

"""The verbs as functions. Keyword arguments are the options of the command line, groups as dicts or dataclasses.

- ``keywords``, ``values``: from them to a configuration; ``outcome``: what comes back; ``alone``: as by the command,
  whatever else the program does; ``package``: how ``exuno.distill`` is both a package and a function; ``few``: the
  class ``fewshot.Predictor``.

Mistakes are ``ExunoError``. Nothing here imports torch before the work begins.
"""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from exuno.api.alone import alone
from exuno.api.keywords import Plan, as_keywords, configure
from exuno.api.outcome import Distilled, Outcome, Trained

if TYPE_CHECKING:
    from typing import Unpack

    from exuno.api.few import Predictor
    from exuno.api.typed import (
        AttentionKeywords,
        DistillKeywords,
        DoctorKeywords,
        EvalKeywords,
        ExportKeywords,
        FewshotDistillKeywords,
        FewshotEvalKeywords,
        NeuronsKeywords,
        PenultimateKeywords,
        PosterKeywords,
        PretrainKeywords,
        ProbeKeywords,
        SelfsupKeywords,
        StudyKeywords,
        SynthAudioKeywords,
        SynthKeywords,
        SynthVideoKeywords,
        TeachKeywords,
    )
    from exuno.engine.run import Run
    from exuno.models.classifier import Classifier
    from exuno.predict.answers import Prediction

Spec = str | Path | Outcome
"""A model: its spec, the folder of its run, or what a verb handed back."""


def train(verb: str, plan: Plan[Any], work: Callable[[Any, Any], "Run"]) -> Path:
    """Carries out a verb that has presets and may run in several processes; the folder of its run."""
    from exuno.engine.launch import launch, wanted

    config, preset, args = plan
    if (processes := wanted(config.run)) > 1:
        launch(verb, args, processes)  # then the run is done, and work() finds it so
    return work(config, preset).dir


@as_keywords()
@alone()
def teach(preset: str | Path | None = None, /, **options: "Unpack[TeachKeywords]") -> Trained:
    """Trains a model on labelled data: ``exuno teach``; keywords are the fields of ``exuno.TeachConfig``."""
    from exuno.teach.options import TeachConfig

    plan = configure("teach", TeachConfig, options, preset)
    from exuno.teach.train import teach as work

    return Trained(train("teach", plan, work))


@as_keywords()
@alone()
def distill(preset: str | Path | None = None, /, **options: "Unpack[DistillKeywords]") -> Trained:
    """Trains a student to imitate a teacher on any source: ``exuno distill``; keywords: ``exuno.DistillConfig``."""
    from exuno.distill.options import DistillConfig

    plan = configure("distill", DistillConfig, options, preset)
    from exuno.distill.train import distill as work

    return Trained(train("distill", plan, work))


@as_keywords()
@alone()
def selfsup(preset: str | Path | None = None, /, **options: "Unpack[SelfsupKeywords]") -> Trained:
    """Trains a network without labels: ``exuno selfsup``; keywords are the fields of
    ``selfsup.options.SelfsupConfig``."""
    from exuno.selfsup.options import SelfsupConfig

    plan = configure("selfsup", SelfsupConfig, options, preset)
    from exuno.selfsup.train import selfsup as work

    return Trained(train("selfsup", plan, work))


@as_keywords()
@alone()
def poster(preset: str | Path | None = None, /, **options: "Unpack[PosterKeywords]") -> Distilled:
    """Distils a labelled data set into one poster: ``exuno poster``; keywords: ``exuno.PosterConfig``."""
    from exuno.poster.options import PosterConfig
    from exuno.poster.poster import with_budget

    plan = configure("poster", PosterConfig, options, preset, with_budget)
    from exuno.poster.train import make_poster

    return Distilled(train("poster", plan, make_poster))


class Fewshot:
    """``exuno fewshot``: transformers that recognise new classes from a few images."""

    @staticmethod
    @as_keywords()
    @alone()
    def pretrain(preset: str | Path | None = None, /, **options: "Unpack[PretrainKeywords]") -> Trained:
        """Phase 1, from images alone: ``exuno fewshot pretrain``; keywords: ``fewshot.options.PretrainConfig``."""
        from exuno.fewshot.options import PretrainConfig

        plan = configure("fewshot pretrain", PretrainConfig, options, preset)
        from exuno.fewshot.train import pretrain as work

        return Trained(train("fewshot pretrain", plan, work))

    @staticmethod
    @as_keywords()
    @alone()
    def distill(preset: str | Path | None = None, /, **options: "Unpack[FewshotDistillKeywords]") -> Trained:
        """Phase 2, images of one class teach each other: ``exuno fewshot distill``; keywords:
        ``fewshot.options.DistillConfig``."""
        from exuno.fewshot.options import DistillConfig

        plan = configure("fewshot distill", DistillConfig, options, preset)
        from exuno.fewshot.train import distill as work

        return Trained(train("fewshot distill", plan, work))

    @staticmethod
    @as_keywords()
    @alone()
    def evaluate(*models: Spec, **options: "Unpack[FewshotEvalKeywords]") -> dict[str, Any]:
        """Accuracy of any models' features on new classes: ``exuno fewshot eval``; keywords:
        ``fewshot.options.EvalConfig``. Prints the table; returns what result.json would hold: metrics, baselines,
        intervals, n."""
        from exuno.fewshot.eval_options import complete
        from exuno.fewshot.options import EvalConfig

        config = complete(configure("fewshot eval", EvalConfig, {"models": models, **options})[0])
        from exuno.fewshot.eval_measure import numbers
        from exuno.fewshot.evaluate import evaluate as work

        return numbers(work(config))

    @property
    def Predictor(self) -> "type[Predictor]":
        """A classifier of new classes from a few images of each, for images whose class nobody knows."""
        from exuno.api.few import Predictor

        return Predictor


class Explain:
    """``exuno explain``: looking inside a model."""

    @staticmethod
    @as_keywords()
    @alone()
    def penultimate(*models: Spec, **options: "Unpack[PenultimateKeywords]") -> Outcome:
        """The features before the last layer: ``exuno explain penultimate``; keywords:
        ``explain.options.PenultimateConfig``."""
        from exuno.explain.options import PenultimateConfig, complete_penultimate

        config = complete_penultimate(
            configure("explain penultimate", PenultimateConfig, {"models": models, **options})[0]
        )
        from exuno.explain.penultimate import explain_penultimate as work

        return Outcome(work(config).dir)

    @staticmethod
    @as_keywords()
    @alone()
    def neurons(*models: Spec, **options: "Unpack[NeuronsKeywords]") -> Outcome:
        """Activation maximisation of logits or channels: ``exuno explain neurons``; keywords:
        ``explain.options.NeuronsConfig``."""
        from exuno.explain.options import NeuronsConfig, complete_neurons

        config = complete_neurons(configure("explain neurons", NeuronsConfig, {"models": models, **options})[0])
        from exuno.explain.neurons import explain_neurons as work

        return Outcome(work(config).dir)

    @staticmethod
    @as_keywords()
    @alone()
    def attention(model: Spec, *images: str | Path, **options: "Unpack[AttentionKeywords]") -> Outcome:
        """Where a transformer looks in pictures: ``exuno explain attention``; keywords:
        ``explain.options.AttentionConfig``."""
        from exuno.explain.options import AttentionConfig, complete_attention

        given = {"model": model, "images": images, **options}
        config = complete_attention(configure("explain attention", AttentionConfig, given)[0])
        from exuno.explain.attention import explain_attention as work

        return Outcome(work(config).dir)


class Synth:
    """``exuno synth``: a data set from one photograph or recording. ``exuno.PatchStream``, ``ClipStream`` and
    ``SoundStream`` make the same without files. Each returns its folder, ``out``."""

    @as_keywords()
    def __call__(self, *photos: str | Path, out: str | Path, **options: "Unpack[SynthKeywords]") -> Path:
        """Patches of photographs; keywords: ``synth.synth.Synth``."""
        from exuno.synth.synth import Synth as Options
        from exuno.synth.synth import main

        main(configure("synth", Options, {"photos": photos, "out": out, **options})[2])
        return Path(out)

    @as_keywords()
    def video(self, *photos: str | Path, out: str | Path, **options: "Unpack[SynthVideoKeywords]") -> Path:
        """Clips of photographs; keywords: ``synth.synth.SynthVideo``."""
        from exuno.synth.synth import SynthVideo, main_video

        main_video(configure("synth video", SynthVideo, {"photos": photos, "out": out, **options})[2])
        return Path(out)

    @as_keywords()
    def audio(self, *recordings: str | Path, out: str | Path, **options: "Unpack[SynthAudioKeywords]") -> Path:
        """Excerpts of recordings; keywords: ``synth.synth.SynthAudio``."""
        from exuno.synth.synth import SynthAudio, main_audio

        main_audio(configure("synth audio", SynthAudio, {"recordings": recordings, "out": out, **options})[2])
        return Path(out)


fewshot, explain, synth = Fewshot(), Explain(), Synth()


@as_keywords()
@alone()
def study(preset: str | Path | None = None, /, **options: "Unpack[StudyKeywords]") -> Outcome:
    """Runs a grid of commands: ``exuno study``; keywords: ``study.options.StudyConfig``. Its table is
    ``outcome.dir / "table.md"``; cells without a result are warned of, and listed in ``result["failures"]``."""
    from exuno.study.options import StudyConfig
    from exuno.study.study import study as work

    config, found, _ = configure("study", StudyConfig, options, preset)
    outcome = Outcome(work(config, found).dir)
    if failures := outcome.result["failures"]:
        text = f"cells without a result: {len(failures)}; what they printed is in {outcome.dir / 'logs'}"
        warnings.warn(text, stacklevel=5)  # who called: package.py and two decorators lie between
    return outcome


@as_keywords()
@alone()
def doctor(teacher: Spec = "teach:digits", **options: "Unpack[DoctorKeywords]") -> Outcome:
    """Examines a teacher, or ranks photographs for it: ``exuno doctor``; keywords:
    ``doctor.options.DoctorConfig``."""
    from exuno.doctor.doctor import complete
    from exuno.doctor.options import DoctorConfig

    config = complete(configure("doctor", DoctorConfig, {"teacher": teacher, **options})[0])
    from exuno.doctor.examine import doctor as work

    return Outcome(work(config).dir)


@as_keywords()
@alone()
def probe(model: Spec, **options: "Unpack[ProbeKeywords]") -> Outcome:
    """What each layer of a model has learned: ``exuno probe``; keywords: ``probe.options.ProbeConfig``."""
    from exuno.probe.options import ProbeConfig, complete

    config = complete(configure("probe", ProbeConfig, {"probed": model, **options})[0])
    from exuno.probe.measure import probe as work

    return Outcome(work(config).dir)


@as_keywords()
@alone()
def evaluate(model: Spec, **options: "Unpack[EvalKeywords]") -> dict[str, Any]:
    """Measures a model on labelled data, or a poster: ``exuno eval``; keywords: ``evaluate.options.EvalConfig``.
    Prints what was measured; returns the metrics."""
    from dataclasses import replace

    from exuno.evaluate import eval
    from exuno.evaluate.options import EvalConfig

    config = configure("eval", EvalConfig, {"model": model, **options})[0]
    config = eval.complete(replace(config, model=eval.spec_of(config.model)))
    if config.model.startswith(eval.POSTER):
        from exuno.poster.evaluate import evaluate as work

        measured = work(config)
        return measured.metrics if measured else {}
    return eval.evaluate(config)


@as_keywords()
def predict(
    model: "Spec | Classifier",
    images: Any,
    *,
    topk: int = 5,
    size: int | None = None,
    batch_size: int = 64,
    devices: Literal["auto", "cpu"] = "auto",
    workers: int = 0,
    unreadable: Literal["raise", "keep"] = "raise",
) -> "list[Prediction]":
    """The classes of images, with their probabilities: ``exuno predict``.

    Args:
        model: its spec or folder, what a verb handed back, or a ``Classifier``, which stays on its device. Several
            threads may ask one that is at hand.
        images: paths, folders, PIL images, uint8 arrays [H, W, 3], tensors [C, H, W] in [0, 1] or uint8, or a list of
            these; a batch of tensors [B, C, H, W]. Of a model of recordings or clips, these as tensors, or recordings
            by their paths.
        topk: classes of each answer, at most.
        size: side at which pictures are cut out; default: that of the run, else as ``exuno eval`` has it.
        batch_size: images in a batch.
        devices: auto (a GPU if there is one) or cpu, for a model that is loaded by its name.
        workers: processes that decode images.
        unreadable: whether an image that cannot be read is a mistake, or an answer with ``error``.

    Raises:
        ExunoError: no classifier, no image, or one that cannot be read.
    """
    from exuno.engine.ranges import check_fields
    from exuno.predict.options import PredictConfig

    check_fields(PredictConfig("", (), topk=topk, size=size, batch_size=batch_size, workers=workers))
    from exuno.predict.answers import all_read, at_hand, predictions, side_of

    net = model.model if isinstance(model, Trained) else at_hand(model, devices)
    size = size or side_of(model)
    found = predictions(net, images, topk=topk, size=size, batch_size=batch_size, workers=workers)
    return all_read(found) if unreadable == "raise" else found


@as_keywords()
@alone()
def export(model: Spec, to: str | Path, **options: "Unpack[ExportKeywords]") -> Path:
    """Writes a model or a poster as a folder to hand on, which it returns: ``exuno export``; keywords:
    ``exporting.options.ExportConfig``."""
    from exuno.exporting.export import main
    from exuno.exporting.options import ExportConfig

    main(configure("export", ExportConfig, {"model": model, "to": to, **options})[2])
    return Path(to)


@as_keywords()
def report(
    run: str | Path | Outcome, *others: str | Path | Outcome, out: str | Path | None = None, no_images: bool = False
) -> Path:
    """Writes the page of a run, or one that compares several, and returns its path: ``exuno report``."""
    from exuno.report.compare import write_comparison
    from exuno.report.page import write_report

    folders = [each.dir if isinstance(each, Outcome) else Path(each) for each in (run, *others)]
    if len(folders) == 1:
        return write_report(folders[0], Path(out) if out else None, no_images)
    return write_comparison(folders, Path(out or "comparison.html"), no_images)


@as_keywords()
def load_model(spec: Spec, **wishes: Any) -> "Classifier":
    """The model that a spec, a folder or a file of weights names, ready to answer; ``exuno:NAME`` with random weights.

    Keywords are those of ``exuno.models.load.load_model``; ``pretrained`` is True except for ``exuno:NAME``.
    """
    from exuno.evaluate.eval import spec_of
    from exuno.models.load import load_model as load

    name = spec.spec if isinstance(spec, Outcome) else spec_of(str(spec))
    return load(name, **{"pretrained": not name.startswith("exuno:"), **wishes}).eval()

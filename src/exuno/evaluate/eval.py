"""``exuno eval MODEL --data DATA``: its configuration and its work."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exuno.commandline import parsed
from exuno.engine.documents import read_yaml
from exuno.engine.errors import ExunoError
from exuno.engine.files import near_paths
from exuno.engine.options import ClassOrder, Holdout, RunOptions
from exuno.engine.ranges import check_fields
from exuno.engine.session import print_plan
from exuno.evaluate.options import POSTER, EvalConfig, open_eval
from exuno.models.names import named
from exuno.presets import to_dict
from exuno.specs import check_specs, rehearse

if TYPE_CHECKING:
    from exuno.models.classifier import Classifier


MOST_ROWS = 20  # classes for which a terminal still shows the table of each class and the confusion matrix


def main(args: Sequence[str]) -> None:
    """Parses the command line, measures, prints; with --run-dir also writes a run directory with its page."""
    config = parsed("eval", EvalConfig, args)
    config = complete(replace(config, model=spec_of(config.model)))
    if config.dry_run:
        print_plan(to_dict(config), None, [])
        rehearse(config, lambda: run_eval(config))
        return
    run_eval(config)


def run_eval(config: EvalConfig) -> None:
    """Measures a model or a poster; for a dry run only opens and checks all."""
    if config.model.startswith(POSTER):
        from exuno.poster.evaluate import evaluate as evaluate_poster

        evaluate_poster(config)
    else:
        evaluate(config)


def spec_of(model: str) -> str:
    """A model spec; a bare path of a folder or file gets its prefix.

    Raises:
        ExunoError: neither a spec nor a path.
    """
    path = Path(model)
    if ":" not in model and path.is_dir():
        poster = (path / "poster.json").is_file() or path.suffix == ".poster" or (path / "distilled.poster").is_dir()
        return f"{POSTER if poster else 'run:'}{model}"
    if ":" not in model and not path.is_file():
        near = near_paths(path) or (f"Did you mean {' or '.join(specs)}? " if (specs := named(model)) else "")
        raise ExunoError(
            f"there is no run and no file '{model}'", f"{near}Give a run's folder, a file of weights or a model spec."
        )
    return model if ":" in model else f"file:{model}"


def complete(config: EvalConfig) -> EvalConfig:
    """The configuration with what the run of the model knows: data, their root and size, and what is held out of them.

    Raises:
        ExunoError: no data were given and the model is no run.
    """
    check_flags(config)
    if config.teacher:
        config = replace(config, teacher=spec_of(config.teacher))
    check_specs(config)
    if config.model.startswith(POSTER):
        return config
    file = Path(config.model.removeprefix("run:")) / "config.yaml"
    has_run = config.model.startswith("run:") and file.is_file()
    known = config_of(file, needed=config.data is None) if has_run else {}
    if config.data is None:
        if not known:
            raise ExunoError(f"what to test {config.model} on is unknown", "Give --data, for instance --data digits.")
        root = config.data_root or (Path(known["data_root"]) if known.get("data_root") else None)
        config = replace(config, data=known["data"], data_root=root, size=config.size or known.get("size"))
        check_specs(config)
    return replace(config, held=held_by(known, config.data, config.held))


def config_of(file: Path, needed: bool = True) -> dict[str, Any]:
    """The configuration in a run's config.yaml; {} for one that names no data, where none are ``needed``.

    Raises:
        ExunoError: it is damaged, or names no data.
    """
    known = read_yaml(file).get("config")
    if not isinstance(known, dict) or not isinstance(known.get("data"), str):
        if not needed:
            return {}
        raise ExunoError(
            f"{file} does not tell what the model was trained on", "Give --data, for instance --data digits."
        )
    return known


def held_by(known: Mapping[str, Any], data: str | None, held: Holdout) -> Holdout:
    """What is held out of data: what the options say, else what a run that was tested on the same held out."""
    from exuno.data.holdout import recorded

    return recorded(known) if held == Holdout() and known.get("data") == data else held


def check_flags(config: EvalConfig) -> None:
    """Raises ExunoError for an option that the model or poster at hand has no use for."""
    poster = config.model.startswith(POSTER)
    # Not the seed, which a study gives to all its cells.
    idle = ("size", "teacher", "tta") if poster else ("networks", "steps", "arch", "baselines", "ranking")
    given = [name for name in idle if getattr(config, name) not in (None, ())]
    if given:
        raise ExunoError(
            f"--{given[0]} says nothing about {config.model}, which is {'a' if poster else 'no'} poster",
            "Leave it out.",
        )


def evaluate(config: EvalConfig) -> dict[str, Any]:
    """Measures the model of a complete configuration, prints and returns its metrics; a dry run has none.

    Raises:
        ExunoError: anything the user can put right.
    """
    from exuno.data.base import modality
    from exuno.data.holdout import check_seen, lineage_of, open_held
    from exuno.engine.devices import make_accelerator, measuring
    from exuno.engine.session import Subset
    from exuno.evaluate.measure import match_labels, record, scores
    from exuno.metrics import agreement
    from exuno.models.load import load_model
    from exuno.report.page import write_report
    from exuno.training import loaded_size, size_of

    assert config.data is not None
    check_fields(config)
    test: Any = open_held(config.data, config.split, config.data_root, config.held)
    if config.smoke:
        test = Subset(test)
    if config.tta and modality(test) == "recording":
        raise ExunoError(f"--tta {config.tta} mirrors images, and {test.name} has recordings", "Leave it out.")
    size = size_of(config, test)
    device = make_accelerator(measuring(RunOptions(devices=config.devices))).device
    specs = {"model": config.model} | ({"teacher": config.teacher} if config.teacher else {})
    models = {name: load_model(spec, pretrained=True) for name, spec in specs.items()}
    for name, model in models.items():
        check_seen(specs[name], model.card.lineage, config.data, config.data_root, config.held)
    tests = {name: match_labels(model, test, f"the {name}", config.classes) for name, model in models.items()}
    columns = in_columns(models, config.classes)  # told before anything is measured
    size = loaded_size(size, *models.values())
    if config.dry_run:
        return {}
    run = open_eval(config) if config.run_dir else None
    if run and run.result:
        raise ExunoError(f"{run.dir} holds this measurement already", "Choose another --run-dir.")
    folder = run.dir / "evaluation" if run else None
    rest = (size, device, config.workers, not config.no_images, config.tta == "flip")
    measured = {name: record(folder, name, model, tests[name], *rest) for name, model in models.items()}
    summaries = {name: summary for name, (summary, _) in measured.items()}
    metrics = {key: value for name, each in summaries.items() for key, value in scores(name, each).items()}
    if config.teacher:
        both = agreement(measured["teacher"][1][:, columns], measured["model"][1])
        metrics |= {"agreement/top1": both.top1, "agreement/kl": both.kl}
    if run:
        run.finish(
            metrics=metrics,
            intervals={f"{name}/top1": each["interval"] for name, each in summaries.items()},
            n={f"{name}/top1": each["n"] for name, each in summaries.items()},
            baselines=summaries["model"]["guessing"],
            lineage={name: model.card.lineage for name, model in models.items()} | lineage_of(config.held),
        )
        write_report(run.dir)
        run.close()
    show(config.model, test.name, summaries["model"], metrics)
    return metrics


def in_columns(models: "dict[str, Classifier]", order: ClassOrder) -> list[int]:
    """The teacher's logits in the order of the model's classes: their numbers; [] without a teacher.

    Raises:
        ExunoError: the model has classes that the teacher has not.
    """
    from exuno.data.matching import Side, match

    if "teacher" not in models:
        return []
    teacher, model = (
        Side(f"the {name} ({models[name].card.arch})", models[name].card.classes, models[name].card.class_names)
        for name in ("teacher", "model")
    )
    return list(match(teacher, model, order).table)


def show(spec: str, data: str, summary: Any, metrics: dict[str, Any]) -> None:
    """Prints what was measured."""
    low, high = summary["interval"]
    print(f"{spec} on {data}, n = {summary['n']:,}")
    print(f"top-1      {100 * summary['top1']:.2f} %   (95 % interval {100 * low:.2f} to {100 * high:.2f})")
    for name, share in summary["guessing"].items():
        print(f"{name.removesuffix('/top1'):10} {100 * share:.2f} %   (a guess without a look)")
    if "clip_top1" in summary:
        print(f"per clip   {100 * summary['clip_top1']:.2f} %   (above: probabilities of a video's clips averaged)")
    if summary["top5"] is not None:
        print(f"top-5      {100 * summary['top5']:.2f} %")
    if summary["ece"] is not None:
        print(f"ECE        {100 * summary['ece']:.2f} %   (expected calibration error, 15 bins)")
    if summary["invalid"]:
        print(f"invalid    {summary['invalid']}   (logits not finite: counted as wrong)")
    if "agreement/top1" in metrics:
        print(f"teacher    {100 * metrics['teacher/top1']:.2f} %")
        print(f"agreement  {100 * metrics['agreement/top1']:.2f} %   (KL {metrics['agreement/kl']:.4f} nats)")
    names, matrix = summary["class_names"], summary["confusion"]
    if len(names) > MOST_ROWS:
        ranked = sorted((x, name) for x, name in zip(summary["per_class"], names, strict=True) if x is not None)
        print("worst classes: " + ", ".join(f"{name} {100 * x:.0f} %" for x, name in ranked[:10]))
        return
    width = max(5, *(len(str(cell)) + 1 for row in matrix for cell in row))
    left = max(len(name) for name in names)
    print(f"\n{'class':{left}}  top-1  predicted as " + " ".join(f"{name[: width - 1]:>{width - 1}}" for name in names))
    for name, share, row in zip(names, summary["per_class"], matrix, strict=True):
        right = "    –" if share is None else f"{100 * share:5.1f}"
        print(f"{name:{left}}  {right}               " + " ".join(f"{cell:{width - 1}}" for cell in row))

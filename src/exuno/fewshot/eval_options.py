"""The options of ``exuno fewshot eval``, checked and completed by what the first run knows. No torch."""

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from exuno.engine.documents import mapping, read_yaml
from exuno.engine.errors import ExunoError
from exuno.engine.idle import refuse_idle
from exuno.engine.options import EXECUTION
from exuno.engine.ranges import check_fields, require
from exuno.evaluate.eval import spec_of
from exuno.features import SIGNATURE
from exuno.fewshot.options import Classes, EvalConfig
from exuno.models.names import FEATURES, is_table
from exuno.presets import to_args, to_dict
from exuno.specs import check_learner, check_specs

PIXELS = "pixels"
SUFFIXES = (".hdf5", ".h5", ".hdf")
QUERIES = 15
"""Images of each class that an episode of the standard protocol classifies."""
SMOKE_QUERIES = 3
SMOKE_EPISODES = 20
OWN: dict[str, dict[str, Any]] = {
    "omniglot-runs": {"way": 20, "shot": (1,), "queries": 1, "episodes": 20, "protocol": "standard"}
}
"""Data that bring their episodes -> the options that say what these are like."""


def complete(config: EvalConfig) -> EvalConfig:
    """The configuration with model specs for folders, and with data, their root and the choice of classes of the first
    run, where the options leave them open.

    Raises:
        ExunoError: numbers that cannot be measured with, no model, a path that is not there, data unknown.
    """
    if not config.models:
        raise ExunoError("no model was given", "Name one or more: exuno fewshot eval runs/NAME.")
    models = tuple(map(spec_of_row, config.models))
    for spec in models:
        check_learner(spec)
    known = first_config(models)
    data = config.data or known.get("data")
    if data is None and all(is_table(model) for model in models):
        data = models[0]
    if data is None:
        open_ended = next(model for model in models if not is_table(model))
        raise ExunoError(f"what to test {open_ended} on is unknown", "Give --data, for instance --data digits.")
    config = replace(config, models=models, data=data)
    if data == known.get("data"):
        root = config.data_root or (Path(known["data_root"]) if known.get("data_root") else None)
        classes = chosen(known) if config.classes == Classes() else config.classes
        config = replace(config, data_root=root, classes=classes)
    if data in OWN:
        config = own(config, data)
    if is_table(data):
        config = without_images(config)
    if all(model == PIXELS or is_table(model) for model in models):
        names = ("features", "blocks", "views", "size", "resize")
        refuse_idle(config, EvalConfig(models), names, f"{' '.join(models)} asks no network")
    check(config)
    check_specs(config)
    if config.smoke and data not in OWN:
        queries = min(config.queries or SMOKE_QUERIES, SMOKE_QUERIES)
        config = replace(config, queries=queries, episodes=min(config.episodes, SMOKE_EPISODES))
    return config


def spec_of_row(model: str) -> str:
    """What a row of the table measures: ``pixels``, a model spec, or ``features:PATH`` of a file of features, which is
    told by its name or its first bytes.

    Raises:
        ExunoError: neither a spec nor a path.
    """
    if model == PIXELS or model.startswith(FEATURES):
        return model
    spec = spec_of(model)
    prefix, _, path = spec.partition(":")
    if prefix != "file":
        return spec
    known = path.lower().endswith(SUFFIXES)
    if not known and Path(path).is_file():
        with Path(path).open("rb") as file:
            known = file.read(len(SIGNATURE)) == SIGNATURE
    return FEATURES + path if known else spec


def without_images(config: EvalConfig) -> EvalConfig:
    """The configuration where the data are a file of features: no baselines, which are of images.

    Raises:
        ExunoError: a row that needs images, or an option that says how they become features, or which classes.
    """
    images = next((model for model in config.models if not is_table(model)), None)
    if images is not None:
        raise ExunoError(f"{config.data} has no images for {images}", "Give --data that both can be measured on.")
    for name in ("features", "blocks", "views", "size", "resize", "part", "classes"):
        usual = Classes() if name == "classes" else getattr(EvalConfig, name)
        if getattr(config, name) != usual:
            flag = "split" if name == "classes" else name
            raise ExunoError(
                f"--{flag} cannot be chosen: {config.data} holds finished features",
                f"Leave out --{flag}, or give another file.",
            )
    return replace(config, baselines=False)


def own(config: EvalConfig, data: str) -> EvalConfig:
    """The configuration with what the data say of their episodes.

    Raises:
        ExunoError: an option says otherwise.
    """
    usual = {each.name: each.default for each in fields(EvalConfig)}
    for name, value in OWN[data].items():
        if getattr(config, name) not in (usual[name], value):
            raise ExunoError(f"{data} brings its own episodes, so --{name} cannot be chosen", f"Leave out --{name}.")
    return replace(config, **OWN[data])


def check(config: EvalConfig) -> None:
    """Raises ExunoError for numbers that cannot be measured with."""
    check_fields(config)
    require(min(config.shot, default=0) >= 1, "--shot", " ".join(map(str, config.shot)), "numbers from 1")
    require(len(set(config.shot)) == len(config.shot), "--shot", " ".join(map(str, config.shot)), "each number once")
    require(len(config.head) > 0, "--head", "empty", "a classifier, such as prototype")
    require(len(set(config.head)) == len(config.head), "--head", " ".join(config.head), "each classifier once")
    most = config.way * min(config.shot)
    good = "knn" not in config.head or config.neighbours <= most
    require(good, "--neighbours", config.neighbours, f"at most {most}, the labelled images of the smallest episode")
    good = config.resize is None or config.size is None or config.resize >= config.size
    require(good, "--resize", config.resize, "at least --size, which is cut out of it")


def first_config(models: Sequence[str]) -> dict[str, Any]:
    """The configuration of the first run among model specs; empty if none has one."""
    return next((found for found in map(run_config, models) if found), {})


def run_config(spec: str) -> dict[str, Any]:
    """The configuration of a run; empty for what is none."""
    file = Path(spec.removeprefix("run:")) / "config.yaml"
    if not spec.startswith("run:") or not file.is_file():
        return {}
    todo = "Give the weights themselves: file:PATH."
    try:
        return mapping(read_yaml(file, todo=todo)["config"])
    except (KeyError, ValueError) as error:
        raise ExunoError(f"{file} is damaged: {error}", todo) from error


def chosen(known: dict[str, Any]) -> Classes:
    """The choice of classes of a run."""
    switches = (bool(known.get(name)) for name in ("turns", "mirrored", "hold_turns"))
    return Classes(known.get("split") or "auto", *switches)


def split_seed(config: EvalConfig) -> int:
    """The seed that draws the classes: that of the first run, if it is tested on its own data."""
    known = first_config(config.models)
    return int(known["seed"]) if known.get("data") == config.data and "seed" in known else config.seed


def queries_of(config: EvalConfig) -> int | None:
    """Queries of each class; None stands for all images that are not in the support."""
    return QUERIES if config.queries is None and config.protocol == "standard" else config.queries


def values_of(config: EvalConfig) -> dict[str, Any]:
    """The configuration as plain values, each as it is typed; without the place of the cache."""
    values = to_dict(config)
    values.pop("cache")
    return values


def replay(config: EvalConfig) -> list[str]:
    """The command that repeats a measurement."""
    given = {key: value for key, value in values_of(config).items() if value is not None and key not in EXECUTION}
    models = given.pop("models")
    return ["exuno", "fewshot", "eval", *models, *to_args(given)]

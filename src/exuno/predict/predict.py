"""``exuno predict``: the command line. No torch until the work begins."""

from collections.abc import Sequence
from dataclasses import replace

from exuno.commandline import parsed
from exuno.engine.errors import ExunoError
from exuno.engine.session import print_plan
from exuno.evaluate.eval import spec_of
from exuno.evaluate.options import POSTER
from exuno.fewshot.eval_options import run_config
from exuno.predict.options import PredictConfig, check_asked
from exuno.presets import to_dict
from exuno.specs import check_specs, rehearse


def main(args: Sequence[str]) -> None:
    """Parses the command line, then explains or carries it out.

    Raises:
        SystemExit: 1, after all answers, if a picture could not be read.
    """
    config = complete(parsed("predict", PredictConfig, args))
    if config.dry_run:
        print_plan(to_dict(config), None, [])
        rehearse(config, lambda: work(config))
    elif work(config):
        raise SystemExit(1)


def complete(config: PredictConfig) -> PredictConfig:
    """The configuration with a model spec for a folder, and the size of images of its run.

    Raises:
        ExunoError: no picture, no such model, a poster.
    """
    check_asked("predict", config.pictures, config.out)
    config = replace(config, model=spec_of(config.model))
    if config.model.startswith(POSTER):
        raise ExunoError(f"{config.model} is a poster, which trains models", "Give a model.")
    check_specs(config)
    return replace(config, size=config.size or run_config(config.model).get("size"))


def work(config: PredictConfig) -> int:
    """Predicts, or for a dry run only opens; the number of pictures that could not be read."""
    from exuno.predict.answers import predict

    return predict(config)

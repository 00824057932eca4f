"""``exuno app``: the command line. No torch, and no Gradio until the page is served."""

from collections.abc import Sequence

from exuno.app.options import AppConfig
from exuno.commandline import parsed
from exuno.engine.errors import ExunoError
from exuno.engine.session import print_plan
from exuno.presets import to_dict
from exuno.registry import importable


def main(args: Sequence[str]) -> None:
    """Parses the command line, then serves the page until it is told to stop.

    Raises:
        ExunoError: Gradio is not installed, or the address cannot be had.
    """
    config = parsed("app", AppConfig, args)
    if config.dry_run:
        print_plan(to_dict(config), None, ["serves the page until Ctrl-C; a command begins when its button is pressed"])
        return
    if not importable("gradio"):
        raise ExunoError("exuno app needs Gradio, which is not installed", 'pip install "exuno[app]"')
    from exuno.app.serve import serve

    serve(config)

"""What ``--dry-run`` does beside printing: every check of the real run that needs no training and no download.

No torch until a check needs it.
"""

from collections.abc import Callable
from typing import Any

from exuno.data.names import needs_root
from exuno.engine.errors import ExunoError
from exuno.models.published import NotAtHand, none_fetched
from exuno.specs import check_specs, names_what_is_to_come


def rehearse(config: Any, look: Callable[[], object]) -> None:
    """Looks at everything that a run begins with, and prints a line that says how far that went.

    Args:
        config: the complete configuration.
        look: opens data and models and holds them against each other, as the run does.

    Raises:
        ExunoError: what the run would raise.
    """
    try:
        check_specs(config)
    except ExunoError as error:  # of a preset: what was typed has been looked at
        print(f"# not checked: whether all fits, since {error.what}")
        return
    data, root = getattr(config, "data", None), getattr(config, "data_root", None)
    if data and root is None and needs_root(data):
        print(f"# not checked: whether all fits, since {data} needs --data-root")
    elif names_what_is_to_come(config):
        print("# not checked: whether all fits, since it begins with the runs of earlier commands")
    else:
        attempt(look)


def attempt(look: Callable[[], object]) -> None:
    """Looks as far as nothing has to be fetched."""
    try:
        with none_fetched():
            look()
    except NotAtHand as gap:
        print(f"# not checked: {gap}")
    else:
        print("# checked: what this names is there, and fits together")

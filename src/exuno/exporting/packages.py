"""The packages that formats need, looked for before any work. No torch."""

import platform

from exuno.engine.errors import ExunoError
from exuno.exporting.options import formats
from exuno.registry import importable


def check_packages(name: str) -> None:
    """Raises ExunoError if a package that a format needs is not installed.

    Args:
        name: of a registered format, whose facts say what it ``needs`` and how to ``install`` that; ``module:Name`` is
            left to itself.
    """
    facts = formats.entries[name].facts if name in formats.entries else {}
    lacking = [each for each in facts.get("needs", ()) if not importable(each)]
    if lacking:
        here = f"Python {platform.python_version()} on {platform.system()}"
        raise ExunoError(
            f"--format {name} needs {lacking[0]}, which is not installed",
            f"{facts['install']} (if pip finds no version, there is none for {here}).",
        )

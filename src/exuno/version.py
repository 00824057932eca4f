"""The version: that of the git tag, which the build writes into ``_version.py`` (pyproject.toml)."""

from importlib import import_module


def _built() -> str:
    try:
        return import_module("exuno._version").__version__
    except ImportError:  # a checkout that was never built or installed
        return "0+unknown"


__version__ = _built()

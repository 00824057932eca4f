"""The version: that of the git tag, which the build writes into ``_version.py`` (pyproject.toml)."""

try:
    from exuno._version import __version__  # pyright: ignore[reportMissingImports]
except ImportError:  # a checkout that was never built or installed
    __version__ = "0+unknown"

__all__ = ["__version__"]

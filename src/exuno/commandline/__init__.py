"""The words of a command line: what they mean, what is wrong with them, help and completion. No torch."""

from exuno.commandline.read import parsed

__all__ = ["parsed"]

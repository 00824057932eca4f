"""exuno: learning from almost no data. One photograph to a data set, a data set to one poster.

The command line is ``exuno``; each capability is a package whose ``__init__`` says what is inside. Importing exuno
imports no torch.
"""

from exuno.version import __version__

__all__ = ["__version__"]

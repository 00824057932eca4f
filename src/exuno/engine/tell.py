"""What a user should know and is no mistake: one line on standard error, once in a process."""

import sys

_told: set[str] = set()


def tell(text: str, about: str | None = None) -> None:
    """Prints a line on standard error, unless something was told about the same thing before.

    Args:
        text: the line.
        about: what must not be spoken of twice, such as a data set of which both splits are opened; by default the
            line itself.
    """
    about = about or text
    if about not in _told:
        _told.add(about)
        print(text, file=sys.stderr)

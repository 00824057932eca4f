"""A user's mistake, told in one short paragraph: what is wrong, and what to do about it."""


class ExunoError(Exception):
    """Something the user can put right. The command line prints it and exits with code 2; no traceback.

    Args:
        what: what is wrong, with the value and the path.
        todo: what to do about it, as a full sentence.
    """

    def __init__(self, what: str, todo: str = "") -> None:
        self.what = what.rstrip(".") + "."
        self.todo = todo.strip()
        super().__init__(f"{self.what} {self.todo}".strip())

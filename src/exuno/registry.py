"""Things that are found by name: a decorator beside each definition, and a table that imports nothing of its own.

    losses = Registry("loss", "--loss.kind", "exuno.distill.losses")  # in exuno/distill/losses/__init__.py

    @losses.register("dkd", paper="arXiv 2203.08679")  # in any file of that package
    @dataclass(frozen=True)
    class DecoupledDistillation:
        beta: float = 8.0
        def __call__(self, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor: ...

Names and facts are read from the text of the decorators, so they have to be literals, and help and completion know
them without importing torch. Wherever a name is taken, ``module:Name`` of any importable module is taken too, and then
nothing has to be registered. An entry that is a dataclass is its own options: ``make`` fills it from ``key=value``.
"""

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from difflib import get_close_matches
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

from exuno.engine.errors import ExunoError

Thing = TypeVar("Thing")
PACKAGE = Path(__file__).parent
DECORATOR = re.compile(r"^@(?:\w+\.)?register\((.*?)\)\n(?:@[^\n]*\n)*(?:class|def) (\w+)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Entry:
    """One registered thing."""

    name: str
    module: str
    attribute: str
    facts: Mapping[str, Any]
    """What its decorator says beside the name."""

    def load(self) -> Any:
        """The thing itself; imports its module."""
        return getattr(import_module(self.module), self.attribute)


class Registry:
    """The things of one kind.

    Args:
        what: what one is called, for messages: ``loss``.
        flag: the option that takes the name, for messages.
        package: dotted name of the package, or of the one module, whose files register things of this kind.
    """

    def __init__(self, what: str, flag: str, package: str) -> None:
        self.what, self.flag, self.package = what, flag, package

    def register(self, name: str, **facts: Any) -> Callable[[Thing], Thing]:
        """A decorator that names a function or class. ``name`` and ``facts`` have to be literals."""
        return lambda thing: thing

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """Name -> entry, read from the source files of the package."""
        found: dict[str, Entry] = {}
        for file in _files(self.package):
            module = ".".join(("exuno", *file.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
            for said, attribute in DECORATOR.findall(file.read_text(encoding="utf-8")):
                call = ast.parse(f"register({said})", mode="eval").body
                assert isinstance(call, ast.Call)
                name = ast.literal_eval(call.args[0])
                facts = {each.arg: ast.literal_eval(each.value) for each in call.keywords if each.arg}
                found[name] = Entry(name, module, attribute, facts)
        return found

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.entries)

    def check(self, name: str) -> None:
        """Raises ExunoError for a name that is not registered, or a module that does not exist; imports neither."""
        module, colon, attribute = name.partition(":")
        if not colon and name not in self.entries:
            near = get_close_matches(name, self.names, 1)
            hint = f"Did you mean {near[0]}? " if near else ""
            raise ExunoError(
                f"{self.flag} {name} is no {self.what}",
                f"{hint}There are {', '.join(self.names)}; one of your own is module:Name.",
            )
        if colon and not (attribute.isidentifier() and importable(module)):
            raise ExunoError(
                f"{self.flag} {name}: Python finds no module '{module}'",
                "Give module:Name, of a module that `python -c 'import module'` finds; PYTHONPATH=. adds this folder.",
            )

    @property
    def metavar(self) -> str:
        """What an option of this kind takes, for its help."""
        return "|".join((*self.names, "module:Name"))

    def check_value(self, flag: str, value: str | tuple[str, ...]) -> None:
        """As a mark of a field (``engine.ranges``): see :meth:`check`; an empty name is none."""
        for name in value if isinstance(value, tuple) else (value,) if value else ():
            self.check(name)

    def get(self, name: str) -> Any:
        """The thing of a name, or of ``module:Name``.

        Raises:
            ExunoError: there is none.
        """
        self.check(name)
        module, colon, attribute = name.partition(":")
        if not colon:
            return self.entries[name].load()
        try:
            return getattr(import_module(module), attribute)
        except AttributeError:
            raise ExunoError(f"{self.flag} {name}: {module} has no {attribute}", "Check the name.") from None

    def make(self, name: str, settings: Sequence[str] = (), **given: Any) -> Any:
        """An instance of the class of a name, with its options.

        Args:
            name: registered, or ``module:Name``.
            settings: ``key=value`` for fields of the class, as typed.
            given: values that win over its defaults where it has such a field.

        Raises:
            ExunoError: no such thing, no such option, or a value of another type.
        """
        thing = self.get(name)
        if not (isinstance(thing, type) and is_dataclass(thing)):
            if settings:
                raise ExunoError(f"{self.flag} {name} has no options", f"Leave out {' '.join(settings)}.")
            return thing
        known = {each.name: each for each in fields(thing)}
        hints = get_type_hints(thing)
        values = {key: value for key, value in given.items() if key in known}
        for setting in settings:
            key, equals, text = setting.partition("=")
            key = key.replace("-", "_")
            if not equals or key not in known:
                raise ExunoError(f"{self.flag} {name} has no option '{setting}'", f"{_listed(thing)}")
            values[key] = _value(f"{self.flag} {name}: {key}", hints[key], text)
        missing = [key for key, each in known.items() if each.default is each.default_factory is MISSING]
        if lacking := [key for key in missing if key not in values]:
            raise ExunoError(f"{self.flag} {name} needs {', '.join(lacking)}", _listed(thing))
        return thing(**values)


def is_own(spec: str) -> bool:
    """Whether a spec is ``module:Name`` of a module that Python finds."""
    module, colon, name = spec.partition(":")
    return bool(colon) and name.isidentifier() and module.replace(".", "").isidentifier() and importable(module)


def _root(package: str) -> Path:
    """The folder of a package of exuno; of a module, its path without a suffix."""
    return PACKAGE.joinpath(*package.split(".")[1:])


def _files(package: str) -> list[Path]:
    """The source files of a package, or of one module."""
    root = _root(package)
    return sorted(root.rglob("*.py")) if root.is_dir() else [root.with_suffix(".py")]


def importable(module: str) -> bool:
    """Whether Python finds a module of this name; imports at most its parents."""
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _listed(thing: Any) -> str:
    """A sentence that names the options of a dataclass."""
    names = [f"{each.name}={'…' if each.default is MISSING else each.default}" for each in fields(thing)]
    return f"Its options are {', '.join(names)}." if names else "It has no options."


def _value(what: str, kind: Any, text: str) -> Any:
    """A typed value of the kind of a field: bool, int, float or str, perhaps None."""
    kinds = [each for each in get_args(kind) or (kind,) if each is not type(None)]
    if type(None) in get_args(kind) and text.lower() == "none":
        return None
    try:
        if bool in kinds:
            return {"true": True, "false": False, "1": True, "0": False}[text.lower()]
        return kinds[0](text)
    except (ValueError, KeyError):
        raise ExunoError(f"{what} is {text}", f"Give a value of type {kinds[0].__name__}.") from None

"""The house: imports make no circle and point down, files have a size that is read together."""

import ast
from collections.abc import Iterator
from pathlib import Path

import yaml

import exuno

ROOT = Path(exuno.__file__).parent
SHARED = ("engine", "data", "models", "features", "report")
"""Rooms that know no paper."""
FREE = ("errors", "registry", "renamed", "version", "metrics")
"""Modules of the package itself that every room may use."""


def modules() -> dict[str, Path]:
    found = {}
    for path in ROOT.rglob("*.py"):
        name = ".".join(("exuno", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
        found[name] = path
    return found


MODULES = modules()


def imports(name: str, inside: bool) -> Iterator[str]:
    """Modules of exuno that a module imports; ``inside``: also within functions. What is for type checkers is not."""

    def walk(body: list[ast.stmt]) -> Iterator[ast.stmt]:
        for node in body:
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                continue
            yield node
            if inside or not isinstance(node, ast.FunctionDef):
                for part in ("body", "orelse", "finalbody", "handlers"):
                    yield from walk(getattr(node, part, []))

    for node in walk(ast.parse(MODULES[name].read_text(encoding="utf-8")).body):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for each in node.names:
                whole = f"{node.module}.{each.name}"
                if whole in MODULES or node.module in MODULES:
                    yield whole if whole in MODULES else node.module


def circles(inside: bool) -> list[list[str]]:
    """Modules that import each other, in a ring of any length (Tarjan's strongly connected components)."""
    graph = {name: [other for other in imports(name, inside) if other != name] for name in MODULES}
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        number[name] = low[name] = len(number)
        stack.append(name)
        for other in graph[name]:
            if other not in number:
                visit(other)
            if other in stack:
                low[name] = min(low[name], low[other])
        if low[name] == number[name]:
            ring = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(ring) > 1:
                found.append(sorted(ring))

    for name in MODULES:
        if name not in number:
            visit(name)
    return found


def test_imports_of_modules_make_no_circle() -> None:
    assert circles(inside=False) == []


def test_what_is_imported_when_it_is_needed_makes_none_either() -> None:
    assert circles(inside=True) == []


def test_shared_rooms_know_no_paper() -> None:
    wrong = []
    for name in MODULES:
        room = name.split(".")[1] if "." in name else ""
        if room in SHARED:
            for other in imports(name, inside=False):
                target = other.split(".")[1] if "." in other else ""
                if target not in (*SHARED, *FREE) and not other.startswith(("exuno.presets", "exuno.commandline")):
                    wrong.append(f"{name} -> {other}")
    assert wrong == [], wrong


def test_nothing_imports_the_command_line_or_the_functions() -> None:
    users = {name for name in MODULES for other in imports(name, inside=True) if other in ("exuno.cli", "exuno.api")}
    assert users <= {"exuno", "exuno.__main__", "exuno.api.package", "exuno.study.worker"}, users


def test_no_file_is_longer_than_what_is_read_together() -> None:
    written = "exuno.api.typed"  # by a program
    counts = {name: len(path.read_text().splitlines()) for name, path in MODULES.items() if name != written}
    long = {name: count for name, count in counts.items() if count > 440}
    assert long == {}, long


def test_the_workflow_calls_what_is_there() -> None:
    root = Path(__file__).parent.parent
    workflow = yaml.safe_load((root / ".github/workflows/test.yml").read_text())
    commands = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    targets = [line.partition(":")[0] for line in (root / "Makefile").read_text().splitlines() if ":" in line]
    for command in commands:
        for part in command.split(" && "):
            first, *rest = part.split()
            made = first.startswith((".venv/", ".uv/"))  # by the target before
            if first == "python" and rest[:1] == ["-m"]:  # without make
                made = rest[1] == "pip" or (root / rest[1].replace(".", "/") / "__main__.py").is_file()
            assert made or ((root / first).is_file() if not rest else first == "make" and rest[0] in targets)
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13", "3.14"]
    citation = yaml.safe_load((root / "CITATION.cff").read_text())
    assert len(citation["references"]) == 5

"""Writes src/exuno/api/typed.py: the keywords of the functions of exuno for editors and type checkers, from the
dataclasses that the command line is made of. Run it after a change of an option:

    .venv/bin/python tests/typed_keywords.py
"""

import types
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from exuno.api.keywords import is_positional, keywords, metadata
from exuno.verbs import VERBS

FILE = Path(__file__).parent.parent / "src/exuno/api/typed.py"
NAMES = {
    "teach": "Teach",
    "distill": "Distill",
    "selfsup": "Selfsup",
    "poster": "Poster",
    "fewshot pretrain": "Pretrain",
    "fewshot distill": "FewshotDistill",
    "fewshot eval": "FewshotEval",
    "study": "Study",
    "doctor": "Doctor",
    "explain penultimate": "Penultimate",
    "explain neurons": "Neurons",
    "explain attention": "Attention",
    "probe": "Probe",
    "eval": "Eval",
    "export": "Export",
    "synth": "Synth",
    "synth video": "SynthVideo",
    "synth audio": "SynthAudio",
}
"""Words of the command line -> name of the dictionary."""


def written(hint: Any, groups: dict[str, str]) -> str:
    """A type as source text; groups of options may be given as dictionaries."""
    if metadata(hint):
        hint = get_args(hint)[0]
    if is_dataclass(hint) and isinstance(hint, type):
        groups[hint.__name__] = hint.__module__
        return f"{hint.__name__} | Mapping[str, Any]"
    origin, inside = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " | ".join(dict.fromkeys(part for each in inside for part in written(each, groups).split(" | ")))
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, inside))}]".replace("'", '"')
    if origin is tuple:
        one = written(inside[0], groups)
        return f"{one} | Sequence[{one}]" if inside[-1] is ... else f"Sequence[{one}]"
    if hint is type(None):
        return "None"
    return {str: "str | Path | Outcome", Path: "str | Path"}.get(hint) or getattr(hint, "__name__", str(hint))


def bodies(kind: type[Any], name: str, words: str, left_out: tuple[str, ...], groups: dict[str, str],
           done: dict[str, dict[str, str]]) -> None:  # fmt: skip
    """Adds to ``done`` the dictionary of a configuration by its name, after those of the groups that are typed without
    a prefix, which it inherits, as it does those of an earlier one whose keywords are all its own."""
    import tyro

    bases, hints = [], get_type_hints(kind, include_extras=True)
    for each in fields(kind):
        if tyro.conf.OmitArgPrefixes in metadata(hints[each.name]):
            group = get_args(hints[each.name])[0]
            if f"{group.__name__}Keywords" not in done:
                bodies(group, f"{group.__name__}Keywords", "", (), groups, done)
            bases.append(f"{group.__name__}Keywords")
    known = {key: hint for key, hint in keywords(kind).items() if not is_positional(hint) and key not in left_out}
    all_lines = {key: written(hint, groups) for key, hint in known.items()}
    whole = [other for other, lines in INHERITED.items() if other not in bases and lines.items() <= all_lines.items()]
    if words and whole:
        bases = [max(whole, key=lambda other: len(INHERITED[other]))]
    above = {key for base in bases for key in INHERITED[base]}
    INHERITED[name] = all_lines
    about = f"``exuno {words}``." if words else "Options of several verbs."
    head = f'class {name}({", ".join(bases or ["TypedDict"])}, total=False):\n    """{about}"""\n'
    done[name] = {"": head} | {key: f"    {key}: {line}" for key, line in all_lines.items() if key not in above}


INHERITED: dict[str, dict[str, str]] = {}
"""Name of each dictionary -> all its keywords, those of its bases among them."""


def text() -> str:
    """The content of the file."""
    groups: dict[str, str] = {}
    done: dict[str, dict[str, str]] = {}
    INHERITED.clear()
    for verb, entry in VERBS.items():
        for second, place in entry.options.items():
            words = f"{verb} {second}".strip()
            if words not in NAMES:
                continue
            module, _, name = place.partition(":")
            left_out = ("to", "out") if verb == "synth" else ("to",)
            bodies(getattr(import_module(module), name), f"{NAMES[words]}Keywords", words, left_out, groups, done)
    parts = ["\n".join(lines.values()) for lines in done.values()]
    imports = "\n".join(f"from {module} import {name}" for name, module in sorted(groups.items()))
    head = (
        '"""Keywords of the functions of exuno, for editors and type checkers. Written by '
        'tests/typed_keywords.py."""\n\nfrom collections.abc import Mapping, Sequence\nfrom pathlib import Path\n'
        f"from typing import Any, Literal, TypedDict\n\nfrom exuno.api.outcome import Outcome\n{imports}\n\n\n"
    )
    return head + "\n\n\n".join(parts) + "\n"


def formatted() -> str:
    """The same as ruff formats it."""
    import subprocess
    import sys

    command = [sys.executable, "-m", "ruff"]
    fixed = subprocess.run(
        [*command, "check", "--select", "I", "--fix", "--quiet", "--stdin-filename", str(FILE), "-"],
        input=text(), capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    shaped = [*command, "format", "--stdin-filename", str(FILE), "-"]
    return subprocess.run(shaped, input=fixed, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    FILE.write_text(formatted())

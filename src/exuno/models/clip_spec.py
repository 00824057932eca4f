"""``clip:ARCH/TAG?classes=cat,dog``: the spec of a zero-shot classifier, taken apart and looked at. No torch.

The class names are a part of the spec, so that whatever takes a model takes this one: a vision-language model knows no
classes until somebody names them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from exuno.engine.errors import ExunoError
from exuno.engine.files import near_paths
from exuno.registry import importable

FORM = "clip:ARCH/TAG?classes=cat,dog"
HUB, FOLDER = "hf-hub:", "local-dir:"
"""How open_clip calls models whose configuration is not its own."""
CONFIG = "open_clip_config.json"
SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".tar", ".npz")
SETS = ("simple", "imagenet")
"""Names of the prompt sets that open_clip brings."""
INSTALL = 'pip install "exuno[clip]"'


@dataclass(frozen=True)
class ClipSpec:
    """The parts of a spec."""

    spec: str
    """As typed."""
    name: str
    """What open_clip calls the model: ``ViT-B-32``, ``hf-hub:ORG/NAME`` or ``local-dir:PATH``."""
    weights: str
    """Tag of published weights, or the path of a file; empty where the name says it."""
    classes: tuple[str, ...]
    prompts: str | tuple[str, ...]
    """One of ``SETS``, or templates with ``{}`` in the place of a class."""

    @property
    def local(self) -> bool:
        """Whether the weights lie in a file or folder of this machine."""
        return self.name.startswith(FOLDER) or Path(self.weights).is_file()

    @property
    def model(self) -> str:
        """The spec without classes and prompts."""
        return self.spec.partition("?")[0]


def check_clip(spec: str, named: bool = True) -> None:
    """Raises ExunoError for a spec that :func:`parse` refuses, an architecture that open_clip has not, or a file or
    folder that is not there; loads nothing."""
    found = parse(spec, named)
    if not importable("open_clip"):
        raise ExunoError(f"{found.model} needs open_clip, which is not installed", INSTALL)
    name, weights = found.name, found.weights
    if name.startswith(HUB):
        if name.removeprefix(HUB).count("/") != 1:
            raise ExunoError(f"{found.model} names no repository of the hub", "Give clip:hf-hub:ORG/NAME?classes=….")
        return
    if name.startswith(FOLDER):
        folder = Path(name.removeprefix(FOLDER))
        if not folder.is_dir():
            raise ExunoError(f"there is no folder {folder}", near_paths(folder) or "Check the path.")
        if not (folder / CONFIG).is_file():
            raise ExunoError(f"{folder} has no {CONFIG}", "Give a folder that open_clip's push_to_hf_hub has written.")
        return
    check_architecture(name, f"/{weights}" if weights else "")
    if not weights:
        raise ExunoError(f"{found.model} names no weights", f"Give clip:{name}/TAG, or clip:{name}/PATH of a file.")
    path = Path(weights)
    if (path.suffix in SUFFIXES or len(path.parts) > 1) and not path.is_file():
        raise ExunoError(f"there is no file {path}", near_paths(path) or "Check the path.")


def check_architecture(name: str, rest: str = "") -> None:
    """Raises ExunoError, with those that are near, for an architecture that open_clip has not; ``rest`` of the spec is
    repeated."""
    known = architectures()
    if name not in known:
        lower = {each.lower(): each for each in known}
        near = [lower[each] for each in get_close_matches(name.lower(), lower, 3)]
        found = " or ".join(f"clip:{each}{rest}" for each in near)
        raise ExunoError(
            f"open_clip has no model '{name}'", f"Did you mean {found}?" if found else "See open_clip.list_models()."
        )


@cache
def architectures() -> frozenset[str]:
    """The models that open_clip has, told from its files: to import it would take seconds."""
    found = find_spec("open_clip")
    if found is None or not found.origin:
        return frozenset()
    return frozenset(file.stem for file in (Path(found.origin).parent / "model_configs").glob("*.json"))


def parse(spec: str, named: bool = True) -> ClipSpec:
    """Takes a spec apart.

    Args:
        spec: ``clip:ARCH/TAG?classes=…``, TAG being that of published weights or the path of a file;
            ``clip:hf-hub:ORG/NAME?classes=…``; ``clip:local-dir:PATH?classes=…`` of a folder of the same form. Behind
            ``classes=`` stand two or more names with commas, or a file with one name a line; ``&prompts=`` may follow,
            with ``simple``, ``imagenet``, a template with ``{}``, or a file of templates.
        named: whether it has to name classes; without, ``classes`` may be empty, and the model gives embeddings.

    Raises:
        ExunoError: there are no classes, only one, or two that the model would read as the same; or no such option.
    """
    model, mark, text = spec.removeprefix("clip:").partition("?")
    options: dict[str, str] = {}
    # A class may be called salt & pepper: only what begins an option ends the one before.
    for part in re.split(r"&(?=\w+=)", text) if mark else ():
        key, _, value = part.partition("=")
        if key not in ("classes", "prompts"):
            raise ExunoError(f"'{part}' says nothing to clip:{model}", f"The form is '{FORM}&prompts=FILE'.")
        if key in options:
            raise ExunoError(f"{spec} has {key}= twice", "Leave one of them out.")
        options[key] = value
    if not options.get("classes") and (named or options):
        raise ExunoError(
            f"clip:{model} names no classes, and a zero-shot classifier knows none by itself",
            f"Add them: 'clip:{model}?classes=cat,dog', or ?classes=FILE with one name a line.",
        )
    classes = _classes(options["classes"]) if options else ()
    prompts = _prompts(options["prompts"]) if "prompts" in options else SETS[0]
    if model.startswith((HUB, FOLDER)):
        return ClipSpec(spec, model, "", classes, prompts)
    name, _, weights = model.partition("/")
    return ClipSpec(spec, name, weights, classes, prompts)


def wording(name: str) -> str:
    """A class as it stands in a sentence: underscores as spaces."""
    return " ".join(name.replace("_", " ").split())


def _classes(text: str) -> tuple[str, ...]:
    path = Path(text)
    if path.is_file():
        from exuno.data.classes import read_classes  # needs torch

        names, where = read_classes(path), str(path)
    elif "," not in text and (path.suffix or len(path.parts) > 1):
        raise ExunoError(f"there is no file of classes {path}", near_paths(path) or "Check the path.")
    else:
        names, where = tuple(name.strip() for name in text.split(",")), f"classes={text}"
    if "" in names:
        raise ExunoError(f"{where} has an empty name", "Name each class between two commas.")
    if len(names) < 2:
        raise ExunoError(
            f"{where} is one class, and a classifier tells two or more apart",
            "Give two or more with commas between them; in the axes of a study, where commas separate values, name a "
            "file with one class a line.",
        )
    seen: dict[str, str] = {}
    for name in names:
        read = wording(name).lower()
        if read in seen:
            same = "twice" if seen[read] == name else f"and '{seen[read]}', which the model reads as the same"
            raise ExunoError(f"{where} names '{name}' {same}", "Name each class once.")
        seen[read] = name
    return names


def _prompts(text: str) -> str | tuple[str, ...]:
    if text in SETS:
        return text
    path = Path(text)
    if path.is_file():
        from exuno.engine.documents import read_text

        found: Sequence[str] = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    elif "{" in text:
        found = [text]
    else:
        raise ExunoError(
            f"prompts={text} is no set of prompts, and no file",
            f"Give {' or '.join(SETS)}, a template such as 'a photo of a {{}}.', or a file with one template a line.",
        )
    if not found:
        raise ExunoError(f"{path} has no prompts", "Write one template a line.")
    for template in found:
        if template.count("{") != 1 or template.count("}") != 1 or "{}" not in template:
            raise ExunoError(f"the prompt '{template}' has no single {{}}", "Put {} where the name of the class goes.")
    return tuple(found)

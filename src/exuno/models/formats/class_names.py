"""Names of classes that a training leaves beside its weights, in the order of the logits."""

from collections.abc import Mapping
from typing import Any

LISTS = ("class_names", "classes", "CLASSES", "label_names", "categories")
"""Keys of names in order."""
NUMBERS = ("class_to_idx", "class_to_index", "class2idx", "label2id", "label_to_idx", "label_to_id", "cat_to_idx")
"""Keys of name -> number, as torchvision's ``ImageFolder`` has it."""
NAMES = ("idx_to_class", "index_to_class", "idx2class", "id2label", "idx_to_label", "id_to_label")
"""Keys of number -> name, as the configurations of transformers have it."""
INSIDE = ("hyper_parameters", "meta", "dataset_meta", "args", "config", "hparams", "extra")
"""Keys of dictionaries in which one of these may be: those of Lightning, MMPretrain and others."""
DEEPEST = 2


def class_names(content: Mapping[Any, Any], depth: int = 0) -> tuple[str, tuple[str, ...]] | None:
    """The key in a checkpoint behind which names of classes are, and the names, number 0 first; None if there are none
    that number 0 to C - 1 without a gap."""
    for key, read in (
        *((key, _listed) for key in LISTS),
        *((k, _numbers) for k in NUMBERS),
        *((k, _names) for k in NAMES),
    ):
        if found := read(content.get(key)):
            return key, found
    for key in INSIDE if depth < DEEPEST else ():
        inner = content.get(key)
        if isinstance(inner, Mapping) and (found := class_names(inner, depth + 1)):
            return key, found[1]
    return None


def _listed(value: Any) -> tuple[str, ...] | None:
    good = isinstance(value, list | tuple) and all(isinstance(name, str) for name in value)
    return tuple(value) if good and len(set(value)) == len(value) > 0 else None


def _numbers(value: Any) -> tuple[str, ...] | None:
    if not isinstance(value, Mapping) or not all(isinstance(number, int) for number in value.values()):
        return None
    return _names({number: name for name, number in value.items()}) if len(set(value.values())) == len(value) else None


def _names(value: Any) -> tuple[str, ...] | None:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value.values()):
        return None
    try:
        found = {int(number): name for number, name in value.items()}
    except (TypeError, ValueError, OverflowError):
        return None
    ordered = tuple(found[number] for number in sorted(found))
    return ordered if sorted(found) == list(range(len(value))) else None

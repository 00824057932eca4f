"""Models from files and to files: ``file:PATH``, ``run:DIR``, strict loading, ``model.safetensors`` with its card."""

import hashlib
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save
from torch import nn

from exuno.engine.digests import seal_tensors
from exuno.engine.documents import read_bytes
from exuno.engine.errors import ExunoError, first_line, tell
from exuno.engine.files import atomic
from exuno.engine.untrusted import SMALL
from exuno.models.build import build_net
from exuno.models.card import ModelCard
from exuno.models.classifier import Classifier
from exuno.models.formats.ibot import Training, with_mask_token, with_training
from exuno.models.formats.weights import CARD, State, read_contents
from exuno.models.formats.wrapped import stripped
from exuno.models.names import WEIGHTS, check_run
from exuno.models.strict import ANOTHER, fitting, load_strictly, refuse_not_finite

REWRITE = "Its model.json is another model's, or one of the two was changed: write them again, or move model.json away."
MALFORMED = (LookupError, ValueError, ArithmeticError, StopIteration, TypeError, RuntimeError)
"""What reading the shapes of tensors that have the names of a known network, and other shapes, ends in."""


def load_run(folder: Path) -> Classifier:
    """The model of a finished run.

    Raises:
        ExunoError: if there is no run, or it is unfinished.
    """
    check_run(folder)
    return load_file(folder / WEIGHTS)


def load_file(
    path: Path,
    arch: str | None = None,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    part: str | None = None,
) -> Classifier:
    """A model from a file of weights.

    Its card comes from the file's metadata, the JSON file beside it, or ``arch`` and the names and shapes of the
    weights.

    Args:
        path: .safetensors, a torch checkpoint, or the .index of a TensorFlow checkpoint.
        arch: spec of the architecture, if it cannot be known from the file.
        mean: mean of each channel, for a file without a card; None takes that usual for the architecture.
        std: standard deviation likewise.
        part: ``student``, ``teacher`` or ``ema``, of a checkpoint that holds several; see :func:`read_contents`.

    Raises:
        ExunoError: if the file is unreadable, its architecture unknown, or the weights do not fit or are not finite.
    """
    state, metadata, training = read_contents(path, part)
    refuse_not_finite(state, path)
    card = own = _own_card(path, arch, metadata)
    if card is None:
        state, card = _foreign_card(state, path, arch)
        card = card if training is None else named(with_training(card, training), training, path)
        if card.arch.startswith("exuno:vit"):
            state, card = with_mask_token(state, card)
        card = replace(card, mean=mean or card.mean, std=std or card.std)
    net = build_net(card)
    todo = REWRITE if own else ANOTHER
    load_strictly(net, fitting(state, net.state_dict()), card.arch, str(path), todo)
    lineage = {**card.lineage, "file": path.name, "sha256": sha256(path)}
    return Classifier(net, replace(card, lineage=lineage))


def named(card: ModelCard, training: Training, path: Path) -> ModelCard:
    """The card with the names of classes that a checkpoint holds, if they are as many as its logits."""
    names = training.class_names
    if names is None:
        return card
    if len(names) != card.classes:
        tell(f"{path} names {len(names)} classes, and its network has {card.classes}: the names are left out")
        return card
    return replace(card, class_names=names)


def _foreign_card(state: State, path: Path, arch: str | None) -> tuple[State, ModelCard]:
    """The weights in the names of the network that they are of, and its card."""
    from exuno.models.formats.layouts import translated
    from exuno.models.formats.recognise import described, recognise

    first: ExunoError | None = None
    for each in stripped(state):
        try:
            found, told, card = translated(each, path)
            if card is None:
                card = recognise(found, path) if arch is None else described(arch, found, path)
            elif arch not in (None, card.arch):
                raise ExunoError(
                    f"the weights of {path} are those of {card.arch}, not of {arch}", f"Leave out @{arch}."
                )
        except ExunoError as error:
            first = first or error
            continue
        except MALFORMED as error:
            first = first or ExunoError(
                f"the weights of {path} have names of a known network and shapes of none ({first_line(error)})",
                "Fetch or write it again, or name its architecture: @timm:NAME or @torchvision:NAME.",
            )
            continue
        return found, replace(card, lineage={**card.lineage, **told})
    assert first is not None
    raise first


def _own_card(path: Path, arch: str | None, metadata: dict[str, str]) -> ModelCard | None:
    beside = path.with_suffix(".json")
    if CARD in metadata:
        card = ModelCard.from_json(metadata[CARD], f"the metadata of {path}")
    elif beside.exists():
        card = ModelCard.from_json(read_bytes(beside, SMALL), str(beside))
    else:
        return None
    if arch is not None and arch != card.arch:
        raise ExunoError(f"{path} is a model of {card.arch}, not {arch}", f"Leave out @{arch}.")
    return card


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def weights_sha256(module: nn.Module) -> str:
    """SHA-256 of the names, shapes and values of all parameters and buffers, hexadecimal."""
    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def save_model(classifier: Classifier, folder: Path) -> Path:
    """Write the network's weights and card into ``folder``; each file appears whole or not at all.

    Returns:
        The path of the weights.

    Raises:
        ExunoError: if the folder cannot be written.
    """
    text = classifier.card.to_json()
    # Clones, because tied parameters share memory and safetensors stores each tensor by itself.
    state = {key: value.detach().cpu().contiguous().clone() for key, value in classifier.net.state_dict().items()}
    try:
        with atomic(folder / WEIGHTS) as temporary:
            temporary.write_bytes(seal_tensors(save(state), {CARD: text}))
        with atomic(folder / CARD) as temporary:
            temporary.write_bytes(text.encode())
    except OSError as error:
        raise ExunoError(
            f"cannot write the model to {folder}: {error.strerror or error}", "Free or choose a folder."
        ) from error
    return folder / WEIGHTS

"""Vision-language models as classifiers of classes that have names only: Radford et al., "Learning Transferable Visual
Models From Natural Language Supervision" (ICML 2021), section 3.1; SigLIP (Zhai et al., ICCV 2023) alike.

Models, weights, tokenizers and prompts are those of open_clip (the extra ``exuno[clip]``).
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from exuno.engine.errors import ExunoError, first_line
from exuno.models.card import ModelCard
from exuno.models.classifier import Classifier
from exuno.models.clip_spec import (
    CONFIG,
    FOLDER,
    HUB,
    INSTALL,
    ClipSpec,
    check_architecture,
    check_clip,
    parse,
    wording,
)
from exuno.models.names import NotAtHand, may_fetch
from exuno.models.registry import only_known
from exuno.models.strict import refuse_not_finite

NO_TEXT = {"context_length": 1, "vocab_size": 1, "width": 8, "heads": 1, "layers": 1}
"""A text side that costs nothing: it is needed to name the classes, and never again."""
WEIGHTS = "open_clip_model.safetensors"
"""What a repository of the hub calls them."""


class ZeroShot(nn.Module):
    """The image side of a vision-language model, and one linear layer that the names of the classes have made.

    Args:
        visual: normalised images [B, 3, H, W] -> embeddings [B, D].
        width: D.
        classes: number of classes C; 0 gives a network whose output is the embedding.
    """

    def __init__(self, visual: nn.Module, width: int, classes: int) -> None:
        super().__init__()
        self.visual = visual
        self.head = nn.Linear(width, classes) if classes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Normalised images [B, 3, H, W] -> logits [B, C], the scaled cosines of the image with each class; or
        embeddings [B, D]."""
        return self.head(self.embed(x))

    def embed(self, x: Tensor) -> Tensor:
        """Normalised images [B, 3, H, W] -> embeddings [B, D] of length 1."""
        found = self.visual(x)
        return normalize(found[0] if isinstance(found, tuple) else found, dim=-1)  # CoCa gives its tokens, too


def build_clip(name: str, classes: int) -> ZeroShot:
    """The network of ``clip:NAME`` with random weights, without its text side.

    Args:
        name: ``ViT-B-32``, ``hf-hub:ORG/NAME``, of which the configuration is fetched, or ``local-dir:PATH``.
        classes: number of logits.

    Raises:
        ExunoError: open_clip is missing or has no such model, or, of a card from elsewhere, it lies elsewhere.
    """
    open_clip = library(f"clip:{name}")
    if not name.startswith((HUB, FOLDER)):
        check_architecture(name)
    elif only_known():  # a stranger's card names nothing to fetch or to look for
        raise ExunoError(f"this model's card names clip:{name}", "Load that yourself, if you trust it.")
    try:
        with quiet():
            config = open_clip.get_model_config(name)
            vision = {**config["vision_cfg"], "timm_model_pretrained": False}
            quick = config.get("quick_gelu", False)
            whole = open_clip.CLIP(config["embed_dim"], vision, NO_TEXT, quick_gelu=quick)
    except Exception as error:  # a configuration that cannot be had, or is none
        raise ExunoError(
            f"clip:{name} cannot be built: {first_line(error)}", "Check that it is there, and the network."
        ) from error
    return ZeroShot(whole.visual, config["embed_dim"], classes)


def load_clip(spec: str, named: bool = True) -> Classifier:
    """A zero-shot classifier; without ``named``, where the spec has no classes, the image side alone.

    The embeddings of a class in all prompts, each of length 1, are averaged and brought to length 1 (open_clip's
    ``build_zero_shot_classifier``); its logit is the cosine with the image, times the exponential of the model's
    ``logit_scale``, plus its ``logit_bias`` where it has one.

    Args:
        spec: see :func:`exuno.models.clip_spec.parse`.

    Returns:
        The image side with the classes as its last layer, whose input is the embedding of the image. Its card has the
        class names, and open_clip's image size, mean and deviation.

    Raises:
        ExunoError: what ``check_clip`` raises; weights that are unknown, cannot be had, or do not fit.
        NotAtHand: weights would have to be fetched where nothing may be.
    """
    check_clip(spec, named)
    found = parse(spec, named)
    if not may_fetch() and not found.local:
        raise NotAtHand(f"whether the weights of {found.model} are there")
    open_clip = library(found.model)
    model = _opened(open_clip, found)
    refuse_not_finite(model.state_dict(), Path(found.weights or found.name))
    net = _with_texts(open_clip, model, found) if found.classes else ZeroShot(model.visual, 0, 0)
    seen = model.visual.preprocess_cfg
    side = model.visual.image_size
    card = ModelCard(
        f"clip:{found.name}",
        len(found.classes),
        3,
        (side, side) if isinstance(side, int) else (side[0], side[1]),
        tuple(seen["mean"]),
        tuple(seen["std"]),
        found.classes or None,
        lineage={"weights": found.model, **({"prompts": found.prompts} if found.classes else {})},
    )
    return Classifier(net, card)


def _with_texts(open_clip: Any, model: Any, found: ClipSpec) -> ZeroShot:
    """The image side with the classes as its last layer."""
    scale, bias = model.logit_scale.exp(), getattr(model, "logit_bias", None)
    texts = _texts(open_clip, model, found)
    net = ZeroShot(model.visual, len(texts), len(found.classes))
    with torch.no_grad():
        net.head.weight.copy_(scale * texts.T)  # type: ignore[operator]
        net.head.bias.copy_(torch.zeros(()) if bias is None else bias)  # type: ignore[operator, union-attr]
    return net


def library(what: str) -> Any:
    """open_clip. Raises ExunoError, naming ``what`` needs it, where it is not installed."""
    try:
        import open_clip  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ExunoError(f"{what} needs {error.name}, which is not installed", INSTALL) from error
    return open_clip


def _opened(open_clip: Any, found: ClipSpec) -> Any:
    """The whole model with its weights, in evaluation mode."""
    file = Path(found.weights).is_file()
    if found.weights and not file:
        _check_tag(open_clip, found)
    try:
        with quiet():
            model = open_clip.create_model(found.name, found.weights or None, require_pretrained=True)
    except Exception as error:  # no network, a file of something else: each library on the way has its own
        if file or found.name.startswith(FOLDER):
            raise ExunoError(
                f"the weights of {found.model} cannot be loaded: {first_line(error)}",
                "Give the file that was written for this architecture, in open_clip's names.",
            ) from error
        raise ExunoError(
            f"the published weights of {found.model} cannot be had: {first_line(error).rpartition('Last error: ')[2]}",
            _where(open_clip, found),
        ) from error
    return model.eval()


def _check_tag(open_clip: Any, found: ClipSpec) -> None:
    """Raises ExunoError for weights that are not published, or were trained with another activation."""
    name, tags = found.name, open_clip.list_pretrained_tags_by_model(found.name)
    tag = found.weights.lower().replace("-", "_")
    if tag not in tags:
        near = get_close_matches(tag, tags, 1)
        raise ExunoError(
            f"there are no published weights '{found.weights}' of clip:{name}, and no such file",
            f"Did you mean clip:{name}/{near[0]}?"
            if near
            else f"There are {', '.join(tags)}."
            if tags
            else f"Give a file of weights: clip:{name}/PATH.",
        )
    config = open_clip.get_model_config(name)
    quick = f"{name}-quickgelu"
    if open_clip.get_pretrained_cfg(name, tag).get("quick_gelu", False) and not config.get("quick_gelu", False):
        raise ExunoError(
            f"the weights {tag} were trained with the activation QuickGELU, which clip:{name} has not",
            f"Give clip:{quick}/{tag}.",
        )


def _where(open_clip: Any, found: ClipSpec) -> str:
    """What to fetch, and where to put it."""
    if found.name.startswith(HUB):
        repo, files = found.name.removeprefix(HUB), f"{CONFIG} {WEIGHTS}"
        other = f"the folder that holds both: clip:{FOLDER}PATH"
    else:
        published: str = open_clip.get_pretrained_cfg(found.name, found.weights)["hf_hub"]  # ORG/NAME/ or with a file
        repo, _, files = published.rpartition("/")
        other = f"the file of weights itself: clip:{found.name}/PATH"
    return (
        f"With a network: hf download {repo} {files or WEIGHTS} fetches them into the Hugging Face cache (HF_HOME), "
        f"which can be copied to this machine; or give {other}."
    )


def _texts(open_clip: Any, model: Any, found: ClipSpec) -> Tensor:
    """The embeddings of the classes [D, C], each of length 1."""
    sets = {"simple": open_clip.SIMPLE_IMAGENET_TEMPLATES, "imagenet": open_clip.OPENAI_IMAGENET_TEMPLATES}
    prompts = sets[found.prompts] if isinstance(found.prompts, str) else found.prompts
    try:
        with quiet():
            tokenizer = open_clip.get_tokenizer(found.name)
    except Exception as error:  # some are of the hub, and need transformers
        raise ExunoError(
            f"the tokenizer of {found.model} cannot be had: {first_line(error)}",
            "Check the network, and pip install transformers; ViT-B-32 and the like need neither.",
        ) from error
    return open_clip.build_zero_shot_classifier(model, tokenizer, [wording(name) for name in found.classes], prompts)


@contextmanager
def quiet() -> Iterator[None]:
    """Without open_clip's remarks on its own steps, errors among them, which are told as what they are."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(before)

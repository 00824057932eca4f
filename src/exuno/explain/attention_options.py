"""The configuration of ``exuno explain attention``, checked. Plain frozen dataclasses; no torch."""

from dataclasses import dataclass, field, replace
from typing import ClassVar

import tyro

from exuno.engine.check import need
from exuno.engine.errors import ExunoError
from exuno.evaluate.command import spec_of
from exuno.explain.options import Execution
from exuno.specs import check_specs

SMOKE_IMAGES = 1


@dataclass(frozen=True)
class AttentionConfig:
    """Where a vision transformer looks: the attention that [CLS] pays the patches of some pictures."""

    EXAMPLES: ClassVar[tuple[str, ...]] = (
        "exuno explain attention runs/mine photo:cat",
        "exuno explain attention timm:vit_small_patch16_224.dino my-photo.jpg",
        "exuno explain attention runs/mine a.jpg b.jpg --block 0",
    )

    model: tyro.conf.Positional[str]
    """Model spec or folder of a run, a transformer."""
    images: tyro.conf.Positional[tuple[str, ...]]
    """Pictures: PATH[@BITSbit], photo:NAME or noise:SEED."""
    block: int = -1
    """Number of the block, from 0, or from the end, -1 being the last."""
    size: int | None = None
    """Side at which the network sees the pictures, whose middle is cut out; default: its input size."""
    run: tyro.conf.OmitArgPrefixes[Execution] = field(default_factory=Execution)


def complete(config: AttentionConfig) -> AttentionConfig:
    """The configuration with a model spec for a folder.

    Raises:
        ExunoError: no picture, a size that makes no sense, a path that is not there.
    """
    if not config.images:
        raise ExunoError("no picture was given", "Name one or more: exuno explain attention MODEL photo:cat.")
    need(config.size is None or config.size >= 1, "--size", config.size, "at least 1 pixel")
    config = replace(config, model=spec_of(config.model))
    check_specs(config)
    return replace(config, images=config.images[:SMOKE_IMAGES]) if config.run.smoke else config

"""``exuno explain attention``: the attention maps of a transformer over pictures."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from exuno.data.images.photo import load_photo, photo_sha256
from exuno.engine.ranges import require
from exuno.engine.run import Run
from exuno.explain.neurons import least_of, sheet
from exuno.explain.options import AttentionConfig, replay, values_of
from exuno.explain.work import open_models, run_word
from exuno.features.attention import attention, check_attention, overlay
from exuno.features.cache import weights_digest
from exuno.features.extract import check_size, crops
from exuno.fewshot.eval_measure import Table
from exuno.report import figures
from exuno.report.images import save_png

PAPER = "Caron et al.: Emerging Properties in Self-Supervised Vision Transformers, ICCV 2021, arXiv 2104.14294"
MOST = 128**2
"""Patches of a picture: each looks at all others, so ten times as many take a hundred times as long."""
TOGETHER = 4096
"""Patches, of all pictures of a batch."""


def explain_attention(config: AttentionConfig) -> Run:
    """Draws; prints a table and writes a run directory. A finished run is only shown again.

    Raises:
        ExunoError: anything the user can put right.
    """
    ((name, model),) = open_models([config.model], config.size).items()
    size = (config.size, config.size) if config.size else model.card.input_size
    check_attention(model, config.block)
    check_size(model, size)
    net: Any = model.net
    patch = net.patch_embed.patch_size
    patches = (size[0] // patch[0]) * (size[1] // patch[1])
    require(patches <= MOST, "--size", config.size, f"at most {patch[0] * int(MOST**0.5):,}: {MOST:,} patches")
    pictures = {name: load_photo(spec) for name, spec in names_of(config.images).items()}

    def work(run: Run, device: torch.device) -> dict[str, Any]:
        model.to(device)
        pixels = torch.cat([_cut(picture, size) for picture in pictures.values()]).to(device)
        maps = torch.cat([attention(model, part, config.block) for part in pixels.split(max(1, TOGETHER // patches))])
        block = f"block {range(len(net.blocks))[config.block]}"
        if not run.options.no_images:
            heads = [f"head {head}" for head in range(maps.shape[1])]
            picture = sheet(overlay(pixels, maps), list(pictures), ["picture", "mean", *heads])
            save_png(picture, run.dir / "figures" / "attention.png")
            caption = f"of [CLS] to the patches in {block}, mean and head by head; each map has its own scale."
            figures.add(run.dir / "figures", "attention.png", "Attention", caption, least=least_of(picture))
        tables = [table(list(pictures), maps, block)]
        return {"metrics": {}, "tables": tables, "lineage": {"model": model.card.lineage}}

    about = {"summary": f"Where {name} looks in {len(pictures)} picture{'s' * (len(pictures) != 1)}", "paper": PAPER}
    known = {config.model: weights_digest(model.net)} | {spec: photo_sha256(spec) for spec in config.images}
    values = values_of(config)
    again = replay("explain attention", values, "model", "images")
    return run_word("explain attention", values, config.run, about, known, again, work)


def names_of(specs: tuple[str, ...]) -> dict[str, str]:
    """Name of a picture -> its spec; each once."""
    listed = list(dict.fromkeys(specs))
    short = [spec.rpartition("/")[2].rpartition(":")[2] for spec in listed]
    return {name if short.count(name) == 1 else spec: spec for name, spec in zip(short, listed, strict=True)}


def _cut(picture: np.ndarray, size: tuple[int, int]) -> Tensor:
    """uint8 [H, W, 3] -> its middle, as large as it goes, float [1, 3, *size] in [0, 1]."""
    images = torch.from_numpy(picture).permute(2, 0, 1)[None].float().div(255)
    return crops(images, size, min(size)).clamp(0, 1)


def shares(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Of maps [B, heads, rows, columns]: the share of the attention that goes to patches, and over how many patches it
    is spread, the exponential of its entropy; [B, heads] each."""
    flat = maps.flatten(2).cpu()
    whole = flat.sum(2)
    share = flat / whole[..., None].clamp_min(1e-12)
    return whole, torch.exp(-(share * share.clamp_min(1e-12).log()).sum(2))


def table(names: list[str], maps: Tensor, block: str) -> Table:
    """A line for each picture: for each head over how many patches it is spread."""
    whole, spread = shares(maps)
    rows = [
        [name, *(f"{spread[row, head]:.0f} ({100 * whole[row, head]:.0f} %)" for head in range(maps.shape[1]))]
        for row, name in enumerate(names)
    ]
    note = (
        f"Over how many of the {maps.shape[2] * maps.shape[3]} patches the attention of [CLS] in {block} is spread "
        "(the exponential of its entropy), and in brackets the share of it that goes to patches, not to [CLS] itself."
    )
    head = ["picture", *(f"head {number}" for number in range(maps.shape[1]))]
    return {"title": "Attention", "head": head, "rows": rows, "note": note}

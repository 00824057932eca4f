"""A model or a poster as a folder, and its way to the Hugging Face hub."""

from pathlib import Path
from typing import Any

from exuno.data.poster.format import load, save
from exuno.data.poster.ledger import byte_breakdown
from exuno.engine.errors import ExunoError
from exuno.engine.files import write_text
from exuno.exporting.onnx import signature, write_onnx
from exuno.exporting.readme import Origin, document, lineage_of, origin_of, percent
from exuno.models.classifier import Classifier
from exuno.models.files import save_model
from exuno.models.load import load_model
from exuno.report.html import flatten

TASKS = {3: "audio-classification", 4: "image-classification", 5: "video-classification"}
"""Axes of a model's input -> the hub's name for what it does."""


def export_model(spec: str, folder: Path, *, onnx: bool = False, license: str | None = None) -> dict[str, str]:
    """Write the model of a spec; a run's results go into its README.md.

    Args:
        spec: model spec; a network without published weights is an error.
        folder: new or empty.
        onnx: whether to write model.onnx.
        license: as the hub names it, or None if it is not stated.

    Returns:
        What was written: title -> text.

    Raises:
        ExunoError: what load_model, save_model and write_onnx raise.
    """
    model = load_model(spec, pretrained=True).eval()
    lines: dict[str, str] = {}
    if onnx:  # first, so that a network that cannot be exported leaves nothing behind
        difference = write_onnx(model, folder / "model.onnx")
        lines["model.onnx"] = f"logits differ from torch's by {difference:.1e} at most"
    lines = {"weights": f"{save_model(model, folder)}; use it as run:{folder}", **lines}
    write_text(folder / "README.md", describe(model, origin_of(spec), folder.resolve().name, onnx, license))
    return lines


def describe(model: Classifier, origin: Origin, name: str, onnx: bool, license: str | None) -> str:
    """The model card: what it is, how to load it, where it comes from, what was measured."""
    card = model.card
    numbers = sum(parameter.numel() for parameter in model.net.parameters())
    classes = f"{card.classes:,}" if card.classes else "none: it extracts features"
    values = "samples in [-1, 1]" if card.hearing else "pixels in [0, 1]"
    own = (
        "transforms"
        if card.hearing
        else f"resizes and normalises (mean {_numbers(card.mean)}, std {_numbers(card.std)})"
    )
    facts = {
        "network": f"`{card.arch}`, {numbers:,} parameters",
        "input": f"{card.takes}; {values}, which the model itself {own}",
        "classes": classes
        + (f": {', '.join(card.class_names[:20])}" if card.class_names else "")
        + (", …" if card.class_names and card.classes > 20 else ""),
    }
    load = (
        "```python\n"
        "from exuno.models.load import load_model\n\n"
        'model = load_model("run:DIR", pretrained=True).eval()  # DIR: this folder; of the hub, hf-hub:ORG/NAME\n'
        f"logits = model({signature(card)[0]})  # float, {values}\n"
        "```\n\n"
        f"```sh\nexuno {'eval' if card.classes else 'fewshot eval'} run:DIR --data DATA\n```"
    )
    if onnx:
        entry, axes = signature(card)
        load += (
            f"\n\n`model.onnx` holds the preprocessing, too: `{entry}` [batch, {axes}], {values}, of any batch and "
            f"{'length' if card.hearing else 'size'} in, `logits` [batch, {card.classes or 'features'}] out."
        )
    sections = {"How to load it": load}
    if table := measured(origin.result):
        sections["What was measured"] = table
    lineage = {**card.lineage, **origin.result.get("lineage", {})}
    sections["Where it comes from"] = lineage_of(lineage, origin.command)
    smoke = origin.smoke or bool(card.lineage.get("smoke"))
    return document(name, facts, sections, license, [TASKS[model.ndim]] if card.classes else [], origin.summary, smoke)


def measured(result: dict[str, Any]) -> str:
    """A table of the metrics of a run and of its baselines, with n and 95 % interval where there are any; empty where
    nothing was measured."""
    rows = []
    for key, value in {**(result.get("metrics") or {}), **(result.get("baselines") or {})}.items():
        if value is None:
            continue
        low_high = result.get("intervals", {}).get(key)
        between = " to ".join(percent(key, each) for each in low_high) if low_high else ""
        rows.append(f"| {key} | {percent(key, value)} | {result.get('n', {}).get(key, '')} | {between} |")
    return "\n".join(["| | | n | 95 % interval |", "|---|---|---|---|", *rows]) if rows else ""


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:.4g}" for value in values)


NAME = "distilled.poster"


def export_poster(path: Path, folder: Path, license: str | None = None) -> dict[str, str]:
    """Write the poster at ``path`` (a .poster folder, or the run that made it) into a new or empty folder.

    Returns:
        What was written: title -> text.

    Raises:
        ExunoError: there is no poster, or it is damaged.
    """
    poster, origin = load(path), origin_of(f"run:{path}")
    folder.mkdir(parents=True, exist_ok=True)
    where = save(poster, folder / NAME)
    spent, (height, width) = byte_breakdown(poster), poster.pixels.shape[1:]
    facts = {
        "poster": f"{width}x{height} pixels, {poster.ipc:.3g} images per class, {spent['png']:,} bytes as PNG",
        "stands for": f"`{poster.data}`, {poster.classes} classes: {', '.join(poster.class_names[:20])}"
        + (", …" if poster.classes > 20 else ""),
        "labels": "learned" if poster.labels is not None else "by the areas of the classes",
        "all that it takes": f"{spent['total']:,} bytes",
    }
    sections = {
        "How to learn from it": "```sh\nexuno teach --data poster:DIR --model exuno:convnet"
        "\nexuno eval poster:DIR\n```\n\nDIR is this folder."
        + "\n\nThe protocol that it was made for: `"
        + ", ".join(f"{key} {value}" for key, value in flatten(poster.protocol) if value != "")
        + "`.",
    }
    if table := measured(origin.result):
        sections["What was measured"] = table
    lineage = {"data_sha256": poster.data_sha256, **poster.lineage, **origin.result.get("lineage", {})}
    sections["Where it comes from"] = lineage_of(lineage, origin.command)
    smoke = origin.smoke or bool(poster.lineage.get("smoke"))
    name, tags = folder.resolve().name, ["dataset-distillation"]
    text = document(name, facts, sections, license, tags, origin.summary, smoke)
    write_text(folder / "README.md", text.replace("\n## ", f"\n![The poster]({NAME}/poster.png)\n\n## ", 1))
    return {"poster": f"{where}; use it as poster:{folder}"}


def push(folder: Path, repo: str, message: str) -> str:
    """Upload a folder; the repository is made if it is not there.

    Returns:
        Its address.

    Raises:
        ExunoError: no network, or no right to write there. The folder stays.
    """
    import huggingface_hub

    try:
        huggingface_hub.create_repo(repo, exist_ok=True)
        huggingface_hub.upload_folder(repo_id=repo, folder_path=folder, commit_message=message)
    except Exception as error:  # no network, no token, no such organisation: the library has many exceptions
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ExunoError(
            f"{folder} was written, but not pushed to {repo}: {first}",
            f"Sign in with hf auth login, then: hf upload {repo} {folder}",
        ) from error
    return f"https://huggingface.co/{repo}"

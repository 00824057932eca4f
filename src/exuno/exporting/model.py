"""A model as a folder: model.safetensors, model.json, README.md, and model.onnx if wanted."""

from pathlib import Path
from typing import Any

from exuno.engine.documents import read_result
from exuno.engine.files import write_text
from exuno.exporting.onnx import signature, write_onnx
from exuno.exporting.readme import document, lineage_of, percent
from exuno.models.classifier import Classifier
from exuno.models.load import load_model
from exuno.models.save import save_model

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
    write_text(folder / "README.md", describe(model, spec, folder.name, onnx, license))
    return lines


def describe(model: Classifier, spec: str, name: str, onnx: bool, license: str | None) -> str:
    """The model card: what it is, how to load it, where it comes from, what was measured."""
    card, result = model.card, result_of(spec)
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
        "```sh\nexuno eval run:DIR --data DATA\n```"
    )
    if onnx:
        name, axes = signature(card)
        load += (
            f"\n\n`model.onnx` holds the preprocessing, too: `{name}` [batch, {axes}], {values}, "
            f"of any batch and {'length' if card.hearing else 'size'} in, `logits` [batch, {card.classes}] out."
        )
    sections = {"How to load it": load}
    if result.get("metrics"):
        sections["What was measured"] = measured(result)
    sections["Where it comes from"] = lineage_of({**card.lineage, **result.get("lineage", {})}, result)
    return document(name, facts, sections, license, [TASKS[model.ndim]] if card.classes else [])


def result_of(spec: str) -> dict[str, Any]:
    """result.json of a run; empty for another spec, or a folder that holds a model alone."""
    file = Path(spec.removeprefix("run:")) / "result.json"
    return read_result(file) if spec.startswith("run:") and file.is_file() else {}


def measured(result: dict[str, Any]) -> str:
    """A table of the metrics of a run, with n, 95 % interval and the published number where there are any."""
    rows = ["| | | n | 95 % interval |", "|---|---|---|---|"]
    for key, value in result["metrics"].items():
        low_high = result.get("intervals", {}).get(key)
        between = " to ".join(percent(key, each) for each in low_high) if low_high else ""
        rows.append(f"| {key} | {percent(key, value)} | {result.get('n', {}).get(key, '')} | {between} |")
    return "\n".join(rows)


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:.4g}" for value in values)

"""A model as a folder, and the way of folders to the Hugging Face hub."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from exuno.engine.errors import ExunoError, first_line
from exuno.engine.files import write_text
from exuno.exporting.check import Written, signature
from exuno.exporting.int8 import FILE as INT8
from exuno.exporting.int8 import Quantised, check_quantisable, write_int8
from exuno.exporting.options import ExportConfig, formats
from exuno.exporting.readme import Origin, document, lineage_of, origin_of, percent, quoted
from exuno.models.classifier import Classifier
from exuno.models.files import save_model
from exuno.models.load import load_model

TASKS = {3: "audio-classification", 4: "image-classification", 5: "video-classification"}
"""Axes of a model's input -> the hub's name for what it does."""


def export_model(config: ExportConfig) -> dict[str, str]:
    """Write the model that a complete configuration names; a run's results go into its README.md.

    Returns:
        What was written: title -> text.

    Raises:
        ExunoError: what load_model, save_model and the formats raise; nothing is left behind.
    """
    folder = config.to
    model = load_model(config.model, pretrained=True).eval()
    if config.int8:
        check_quantisable(model)
    with nothing_left(folder):
        written = [formats.get(name)(model, folder) for name in config.format]
        quantised = write_int8(model, folder, config) if config.int8 else None
        lines = {"weights": f"{save_model(model, folder)}; use it as run:{folder}"}
        lines |= {each.file: f"logits differ from torch's by {each.difference:.1e} at most" for each in written}
        sections = {}
        if quantised:
            lines[INT8] = in_short(quantised)
            sections["In 8 bits"] = in_8_bits(quantised, config.calibrate)
        name = folder.resolve().name
        text = describe(model, origin_of(config.model), name, written, sections, config.license)
        write_text(folder / "README.md", text)
    return lines


@contextmanager
def nothing_left(folder: Path) -> Iterator[None]:
    """Takes away what was written into a folder that was new or empty, if it comes to a mistake."""
    new = not folder.exists()
    try:
        yield
    except BaseException:
        for path in folder.iterdir() if folder.exists() else ():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if new and folder.exists():
            folder.rmdir()
        raise


def in_short(found: Quantised) -> str:
    """A quantised network in a line."""
    first, *_, last = found.forms
    line = f"{last.size:,} bytes for {first.size:,}; {percent('top1', last.agreement)} of the predictions are those of "
    line += f"float32{f' after {found.steps:,} steps of learning' if found.steps else ''}"
    summaries = [each.measured for each in found.forms if each.measured]
    if summaries:
        shares = " -> ".join(percent("top1", each["top1"]) for each in summaries)
        return f"{line}; top-1 on {found.data} {shares} (n = {summaries[0]['n']:,})"
    return f"{line}; accuracy not measured: {found.why}"


def in_8_bits(found: Quantised, source: tuple[str, ...]) -> str:
    """What the model card says of a quantised network."""
    named = ", ".join(map(quoted, source))
    told = (
        f"`{INT8}` is `model.onnx` with weights and activations in 8 bits (post-training static quantisation; resizing "
        f"and normalisation stay in float32). The ranges of the activations are those on {found.images:,} images of "
        f"{named}."
    )
    if found.steps:
        told += (
            f" After that it learned, in {found.steps:,} steps on other images of {named}, to answer in 8 bits as it "
            f"does in float32 (quantisation-aware distillation)."
        )
    if not found.data:
        told += f" Its accuracy was not measured: {quoted(found.why)}."
    heads = ["", "bytes", *([f"top-1 on {quoted(found.data)}", "n", "95 % interval"] if found.data else [])]
    heads.append("predictions of float32 on these images")
    rows = [heads, ["---"] * len(heads)]
    for each in found.forms:
        cells = [each.name, f"{each.size:,}"]
        if each.measured:
            top1, low, high = (percent("top1", x) for x in (each.measured["top1"], *each.measured["interval"]))
            cells += [top1, f"{each.measured['n']:,}", f"{low} to {high}"]
        rows.append([*cells, percent("top1", each.agreement)])
    return "\n".join([told, "", *(f"| {' | '.join(row)} |" for row in rows)])


def describe(
    model: Classifier,
    origin: Origin,
    name: str,
    written: list[Written],
    extra: dict[str, str],
    license: str | None,
) -> str:
    """The model card: what it is, how to load it, in which formats it is there, further sections, where it comes from,
    what was measured."""
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
    if written:
        entry, axes = signature(card)
        load += (
            f"\n\nIn other formats, with the preprocessing inside: `{entry}` [batch, {axes}], {values}, in, `logits` "
            f"[batch, {card.classes or 'features'}] out. Compared with PyTorch in several batches and sizes:\n\n"
        )
        side = "length" if card.hearing else "size"
        rows = [
            f"| `{each.file}` | {each.batch} | {'any' if each.any_size else 'own'} | {each.difference:.1e} |"
            for each in written
        ]
        load += "\n".join([f"| file | batch | {side} | largest difference of a logit |", "|---|---|---|---|", *rows])
    sections = {"How to load it": load, **extra}
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


def push(folder: Path, repo: str, message: str, kind: str = "model") -> str:
    """Upload a folder; the repository, of a ``model`` or a ``dataset``, is made if it is not there.

    Returns:
        Its address.

    Raises:
        ExunoError: no network, or no right to write there. The folder stays.
    """
    import huggingface_hub

    try:
        huggingface_hub.create_repo(repo, repo_type=kind, exist_ok=True)
        huggingface_hub.upload_folder(repo_id=repo, repo_type=kind, folder_path=folder, commit_message=message)
    except Exception as error:  # no network, no token, no such organisation: the library has many exceptions
        option = " --repo-type dataset" if kind == "dataset" else ""
        raise ExunoError(
            f"{folder} was written, but not pushed to {repo}: {first_line(error)}",
            f"Sign in with hf auth login, then: hf upload {repo} {folder}{option}",
        ) from error
    return f"https://huggingface.co/{'datasets/' * (kind == 'dataset')}{repo}"

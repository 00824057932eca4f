"""A poster as a folder: distilled.poster, and README.md with its picture."""

from pathlib import Path

from exuno.data.poster import ledger, load, save
from exuno.engine.files import write_text
from exuno.exporting.model import measured
from exuno.exporting.origin import origin_of
from exuno.exporting.readme import document, lineage_of
from exuno.report.html import flatten

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
    spent, (height, width) = ledger(poster), poster.pixels.shape[1:]
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

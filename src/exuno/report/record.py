"""What a run directory says, read without trusting it; and the same without what is private."""

import json
import math
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exuno.engine.documents import parse_json, parse_yaml, read_bytes
from exuno.engine.errors import ExunoError
from exuno.engine.untrusted import SMALL, UNPACKED, Arrays
from exuno.metrics import Summary, predict, softmax, summarise

MARKS = ("config.yaml", "metrics.jsonl", "result.json")
Curve = list[tuple[float, float]]
LONGEST = 300
"""Digits of a whole number that a float can hold."""
LAST_STEP = 1e15
"""No run takes more steps, and beyond it a float tells them no longer apart."""
DRAWN = 1e100
"""Values beyond it, which no float32 has, are left out as infinite ones are, and those nearer to 0 than 1 / ``DRAWN``
are drawn as 0: differences and ratios of such values would overflow."""


@dataclass(frozen=True)
class Figure:
    """One picture of ``figures/``."""

    path: Path
    title: str
    caption: str = ""
    shows: str = "data"
    """numbers (a chart), model (what a model made of noise), or data."""
    least: int = 0
    """Width in pixels of the page below which its labels are too small to be read; 0 where it has none."""


@dataclass(frozen=True)
class Evaluation:
    """One file of ``evaluation/``: what a model answered on N test samples with C classes."""

    name: str
    logits: NDArray[np.float32]
    """[N, C]"""
    labels: NDArray[np.int64]
    """[N]"""
    class_names: list[str]
    images: NDArray[np.uint8] | None
    """M test samples, [M, H, W] or [M, H, W, C], clips [M, T, H, W, C]; None where the file has none."""
    index: NDArray[np.int64]
    """Their places among the N samples, [M]: the file's ``index``, by default the first M."""

    @cached_property
    def predictions(self) -> NDArray[np.int64]:
        return predict(self.logits)

    @cached_property
    def probabilities(self) -> NDArray[np.floating[Any]]:
        return softmax(self.logits)

    @cached_property
    def summary(self) -> Summary:
        return summarise(self.logits, self.labels, self.class_names)


@dataclass
class Record:
    """A run as its directory tells it."""

    dir: Path
    config_text: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    command: str = ""
    environment: dict[str, Any] = field(default_factory=dict)
    curves: dict[str, Curve] = field(default_factory=dict)
    """Metric name -> (step, value), steps rising."""
    seconds: float | None = None
    """Time of the last line of metrics.jsonl."""
    result: dict[str, Any] | None = None
    figures: list[Figure] = field(default_factory=list)
    evaluations: list[Evaluation] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What could not be read, in sentences."""

    @property
    def about(self) -> dict[str, Any]:
        return mapping(self.config.get("about"))

    @property
    def name(self) -> str:
        return self.dir.resolve().name

    @property
    def verb(self) -> str:
        return str(self.config.get("verb") or "run")

    @property
    def smoke(self) -> bool:
        """Whether the run was only a trial of the path."""
        return bool(mapping(self.config.get("config")).get("smoke"))

    @property
    def bare(self) -> bool:
        """Whether its page must not show images of its data."""
        return bool(self.config.get("no_images"))

    @property
    def preset(self) -> str:
        return str((self.result or {}).get("preset") or self.config.get("preset") or "")

    def part(self, name: str) -> dict[str, Any]:
        """A mapping of result.json, empty where there is none."""
        return mapping((self.result or {}).get(name))

    @property
    def published(self) -> Any:
        return (self.result or {}).get("published") or self.about.get("published")


def mapping(value: Any) -> dict[str, Any]:
    """``value`` if it is a dict, else an empty one."""
    return value if isinstance(value, dict) else {}


def read_record(run_dir: Path) -> Record:
    """Read a run directory.

    Raises:
        ExunoError: there is no such directory, or no run in it.
    """
    run_dir = Path(run_dir)
    if not run_dir.is_dir():
        what = f"{run_dir} is a file, not a run directory" if run_dir.exists() else f"there is no directory {run_dir}"
        raise ExunoError(what, "Give the RUN_DIR that a command printed.")
    if not any((run_dir / mark).is_file() for mark in MARKS):
        inside = sorted({path.parent.name for mark in MARKS for path in run_dir.glob(f"*/{mark}")})
        todo = f"Runs inside it: {', '.join(inside[:8])}." if inside else f"A run has a {MARKS[0]}."
        raise ExunoError(f"{run_dir} is not a run directory", todo)
    record = Record(run_dir)
    record.config_text = _text(record, "config.yaml")
    record.command = _text(record, "command.txt").strip()
    record.config = _config(record)
    record.environment = mapping(_json(record, "environment.json"))
    result = _json(record, "result.json")
    record.result = result if isinstance(result, dict) else None
    _read_curves(record)
    _read_figures(record)
    _read_evaluations(record)
    return record


def _text(record: Record, name: str) -> str:
    path = record.dir / name
    try:
        limit = UNPACKED if name.endswith(".jsonl") else SMALL  # a line for each of many steps
        return read_bytes(path, limit).decode(errors="replace") if path.is_file() else ""
    except ExunoError as error:
        record.notes.append(f"{name} is passed over: {error.what}")
        return ""


def _json(record: Record, name: str) -> Any:
    text = _text(record, name)
    try:
        return parse_json(text, _whole) if text else None
    except (ValueError, RecursionError) as error:
        record.notes.append(f"{name} is not valid JSON: {error}.")
        return None


def _config(record: Record) -> dict[str, Any]:
    if not record.config_text:
        return {}
    try:
        return parse_yaml(record.config_text)
    except ValueError as error:
        record.notes.append(f"config.yaml holds no configuration: {error}.")
        return {}


def _read_curves(record: Record) -> None:
    broken = 0
    for line in _text(record, "metrics.jsonl").splitlines():
        try:
            row = json.loads(line, parse_int=_whole)
            step = float(row["step"])
            if not abs(step) <= LAST_STEP:
                raise ValueError
        except (ValueError, KeyError, TypeError, RecursionError):
            broken += bool(line.strip())
            continue
        if _number(row.get("time")):
            record.seconds = float(row["time"])
        for name, value in row.items():
            if name in ("step", "epoch", "time") or not _number(value) or abs(value) > DRAWN:
                continue
            curve = record.curves.setdefault(name, [])
            while curve and curve[-1][0] >= step:  # a resumed run went back to its checkpoint: its lines replace these
                curve.pop()
            curve.append((step, float(value) if abs(value) > 1 / DRAWN else 0.0))
    if broken:
        record.notes.append(
            f"{broken} line(s) of metrics.jsonl could not be read (a run that was killed cuts one off)."
        )


def _whole(digits: str) -> int | float:
    """A whole number of a file; one that no float can hold is infinite."""
    return int(digits) if len(digits) < LONGEST else float(digits)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _read_figures(record: Record) -> None:
    folder = record.dir / "figures"
    listed = _json(record, "figures/figures.json")
    if isinstance(listed, list):
        rows = [row for row in map(mapping, listed) if row.get("file")]
    else:
        rows = [{"file": path.name} for path in sorted(folder.glob("*.png"))]
    for row in rows:
        path = folder / Path(str(row["file"])).name  # a name, never a way out of the folder
        if path.is_file():
            title = str(row.get("title") or path.stem.replace("_", " ").capitalize())
            least = row.get("least") if _number(row.get("least")) else 0
            told = (str(row.get("caption") or ""), str(row.get("shows") or "data"))
            record.figures.append(Figure(path, title, *told, int(least or 0)))
        else:
            record.notes.append(f"figures/{path.name} is listed but missing.")


def _read_evaluations(record: Record) -> None:
    first = {"teacher": 0, "student": 1}
    paths = (record.dir / "evaluation").glob("*.npz")
    for path in sorted(paths, key=lambda path: (first.get(path.stem, 2), path.stem)):
        try:
            evaluation = _evaluation(path)
            _ = evaluation.summary  # fails here, not in the middle of the page
            record.evaluations.append(evaluation)
        except ExunoError as error:
            record.notes.append(f"evaluation/{path.name} makes no sense: {error.what}")
        except Exception as error:  # NumPy raises BadZipFile, EOFError, KeyError, … for a damaged file
            record.notes.append(f"evaluation/{path.name} could not be read ({type(error).__name__}).")


def _evaluation(path: Path) -> Evaluation:
    file = Arrays(path)
    images = file["images"] if "images" in file else None  # noqa: SIM401
    index = file["index"].astype(np.int64) if "index" in file else None
    names = [str(name) for name in file["class_names"]]
    logits, labels = file["logits"].astype(np.float32), file["labels"].astype(np.int64)
    if images is not None and (images.dtype != np.uint8 or images.ndim not in (3, 4, 5) or not images.size):
        images = None
    count = 0 if images is None else min(len(images), len(labels))
    if index is None or len(index) != count or index.min() < 0 or index.max() >= len(labels):
        index = np.arange(count)
    return Evaluation(path.stem, logits, labels, names, images, index)


SHOWN = ("numbers", "model")
"""What a figure may show: numbers (a chart) or what a model made of noise. All others show data or a source."""
NAMES = ("hf-hub", "timm", "torchvision", "exuno", "photo", "noise", "sound", "teach", "http", "https")
"""Prefixes of specs that are followed by a name, not by a path."""
ABSOLUTE = re.compile(r"(?<![\w/.~-])(?:(?:~|\.{1,2})(?:/[^\s/'\"<>|,;()]+)+|(?:/[^\s/'\"<>|,;()]+){2,})/?")
"""A path in a text that says by itself that it is one."""
REMARK = "# Paths are shown by their last names (--no-images); command.txt beside this page has them whole."


def private(record: Record) -> Record:
    """The same run without images of its data or sources, and with each path reduced to its last name."""
    paths = sorted({path for path in _paths(record) if name_of(path) != path}, key=len, reverse=True)
    known = re.compile("|".join(rf"(?<![\w./~-]){re.escape(path)}(?![\w/-])" for path in paths)) if paths else None

    def text(value: str) -> str:
        value = known.sub(lambda found: name_of(found[0]), value) if known else value
        return ABSOLUTE.sub(lambda found: name_of(found[0]), value)

    def every(value: Any) -> Any:
        if isinstance(value, dict):
            return {every(key): every(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [every(inner) for inner in value]
        return text(value) if isinstance(value, str) else value

    config = every(record.config)
    figures = [figure for figure in record.figures if figure.shows in SHOWN]
    return replace(
        record,
        config=config,
        config_text=_dump(config),
        command="\n".join([text(" ".join(_words(record.command))), REMARK]) if record.command else "",
        environment=every(record.environment),
        result=every(record.result),
        figures=[replace(each, title=text(each.title), caption=text(each.caption)) for each in figures],
        evaluations=[replace(each, images=None) for each in record.evaluations],
    )


def name_of(path: str) -> str:
    """``data/cats/`` -> ``cats``."""
    return path.rstrip("/").rpartition("/")[2] or path


def _paths(record: Record) -> Iterator[str]:
    """What looks like a path in configuration, command and lineage."""
    inside = [record.config.get("config"), record.config.get("inputs"), record.config.get("preset")]
    for value in _strings([*inside, record.part("lineage"), _words(record.command)]):
        parts = re.split(r"[\s=,]+", value) if record.verb == "study" else [value]
        for part in parts:
            prefix, colon, rest = part.partition(":")
            if colon and prefix.lstrip("@") in NAMES:
                continue
            path = rest if colon and "/" not in prefix else part
            if "/" in path:
                yield path


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _strings([key, inner])
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)
    elif isinstance(value, str):
        yield value


def _words(command: str) -> list[str]:
    """The words of the first line of command.txt, quoted where they need it."""
    first = next((line for line in command.splitlines() if line and not line.startswith("#")), "")
    try:
        return [shlex.quote(word) for word in shlex.split(first)]
    except ValueError:  # somebody changed it
        return first.split()


def _dump(config: dict[str, Any]) -> str:
    import yaml

    shown = {key: value for key, value in mapping(config).items() if key != "no_images"}
    return yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=10**6) if shown else ""

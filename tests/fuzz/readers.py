"""Every reader of files that a stranger may have written, fed with bytes: a result or a sentence; all else is a bug.

A reader is a function ``(folder, content) -> None``, which puts ``content`` in the place of one file in ``folder``.
"""

import io
import pickle
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from exuno import presets
from exuno.data.audio.recording import read_recording
from exuno.data.classes import read_classes
from exuno.data.images.cifar import FILES, open_cifar
from exuno.data.images.photo import load_photo
from exuno.data.open import open_data
from exuno.data.poster.format import load as load_poster
from exuno.engine import checkpoint
from exuno.engine.errors import ExunoError, as_mistake
from exuno.exporting.model import export_model
from exuno.exporting.options import ExportConfig
from exuno.fewshot.classes import read_class_file
from exuno.models.files import save_model
from exuno.models.formats.tensorflow import read_bundle
from exuno.models.formats.weights import read_weights
from exuno.models.load import load_model
from exuno.report.page import write_report
from exuno.study.gather import measured
from exuno.study.grid import Cell

Reader = Callable[[Path, bytes], Any]
WEIGHTS_FOLLOW = b"-----SAFETENSORS-----"


def cifar(folder: Path, content: bytes) -> None:
    place = folder / "cifar-10-batches-py"
    place.mkdir(exist_ok=True)
    (place / FILES["cifar10"]["test"][0]).write_bytes(content)
    (place / "batches.meta").write_bytes(pickle.dumps({b"label_names": [b"cat", b"dog", b"cow", b"ox"]}, 2))
    open_cifar("cifar10", "test", folder)


def npz(folder: Path, content: bytes) -> None:
    (folder / "d.npz").write_bytes(content)
    data = open_data(f"npz:{folder / 'd.npz'}", "test")
    data.fetch(np.arange(min(2, len(data))))


def shards(folder: Path, content: bytes) -> None:
    path = folder / ("s.tar.gz" if content[:2] == b"\x1f\x8b" else "s.tar")
    path.write_bytes(content)
    data = open_data(f"wds:{path}", "test")
    data.fetch(np.arange(min(2, len(data))))


def model(folder: Path, content: bytes) -> None:
    """A card, behind a mark the weights."""
    card, _, weights = content.partition(WEIGHTS_FOLLOW)
    (folder / "model.json").write_bytes(card)
    (folder / "model.safetensors").write_bytes(weights)
    load_model(f"run:{folder}", pretrained=True)


def pth(folder: Path, content: bytes) -> None:
    (folder / "m.pth").write_bytes(content)
    load_model(f"file:{folder / 'm.pth'}", classes=3, pretrained=True)


def safetensors(folder: Path, content: bytes) -> None:
    (folder / "m.safetensors").write_bytes(content)
    read_weights(folder / "m.safetensors")


def yamlcfg(folder: Path, content: bytes) -> None:
    (folder / "y.yaml").write_bytes(content)
    for verb in ("teach", "distill"):
        try:
            found = presets.read(verb, str(folder / "y.yaml"))
        except ExunoError:
            continue
        presets.to_args(found.config)


def synthjson(folder: Path, content: bytes) -> None:
    from exuno.synth.job import Job, is_there

    (folder / "synth.json").write_bytes(content)
    is_there(Job("patches", ("ab",), None, 0, 10, "jpeg", 75, "folder", 5), folder)


def tfbundle(folder: Path, content: bytes) -> None:
    (folder / "t.index").write_bytes(content)
    (folder / "t.data-00000-of-00001").write_bytes(bytes(64))
    read_bundle(folder / "t.index")


def picture(folder: Path, content: bytes) -> None:
    (folder / "p.png").write_bytes(content)
    load_photo(folder / "p.png")


def step(folder: Path, content: bytes) -> None:
    (folder / "step-000000001.pt").write_bytes(content)
    checkpoint.load(folder / "step-000000001.pt")


def poster(folder: Path, content: bytes) -> None:
    """poster.json of a whole poster."""
    place = folder / "p.poster"
    place.mkdir(exist_ok=True)
    (place / "poster.json").write_bytes(content)
    Image.fromarray(np.zeros((16, 20), np.uint8)).save(place / "poster.png")
    load_poster(place)


def result(folder: Path, content: bytes) -> None:
    """result.json of a finished run, for every verb that reads it."""
    (folder / "config.yaml").write_text("verb: teach\nconfig: {data: digits}\n")
    (folder / "result.json").write_bytes(content)
    tell(lambda: write_report(folder))
    tell(lambda: measured(Cell(folder.name, "stage", "teach", (), {}, ()), "", folder.parent))
    if not (folder / "model.safetensors").exists():
        save_model(load_model("exuno:convnet_2_4", classes=3, in_chans=1, input_size=(8, 8), pretrained=False), folder)
    export_model(ExportConfig(f"run:{folder}", to=folder / "out"))


def evaluation(folder: Path, content: bytes) -> None:
    """An evaluation of a run, for its page: noted there where it makes no sense."""
    (folder / "config.yaml").write_text("verb: teach\nconfig: {data: digits}\n")
    (folder / "evaluation").mkdir(exist_ok=True)
    (folder / "evaluation/teacher.npz").write_bytes(content)
    write_report(folder)


def curves(folder: Path, content: bytes) -> None:
    """metrics.jsonl and the list of figures of a run, for its page."""
    (folder / "config.yaml").write_bytes(content)
    (folder / "metrics.jsonl").write_bytes(content)
    (folder / "figures").mkdir(exist_ok=True)
    (folder / "figures/figures.json").write_bytes(content)
    write_report(folder)


def lists(folder: Path, content: bytes) -> None:
    """Lists of classes, of splits and of videos."""
    (folder / "l.csv").write_bytes(content)
    tell(lambda: read_classes(folder / "l.csv"))
    tell(lambda: open_data(f"videos:{folder / 'l.csv'}"))
    read_class_file(folder / "l.csv")


def recording(folder: Path, content: bytes) -> None:
    (folder / "r.wav").write_bytes(content)
    read_recording(folder / "r.wav", 8000)


def spec(folder: Path, content: bytes) -> None:
    text = content.decode(errors="surrogateescape")
    tell(lambda: open_data(text))
    tell(lambda: load_model(text, classes=3, pretrained=False))
    load_photo(text)


def tell(call: Callable[[], Any]) -> str | None:
    """The sentence of a mistake, None if there was none; every other exception goes on."""
    try:
        with redirect_stderr(io.StringIO()), redirect_stdout(io.StringIO()):
            call()
    except (ExunoError, OSError) as error:  # the command line tells errors of the system by the same function
        mistake = as_mistake(error)
        return mistake and f"{mistake.what} {mistake.todo}"
    return None


READERS: dict[str, Reader] = {
    each.__name__: each
    for each in (
        *(cifar, npz, shards, model, pth, safetensors, yamlcfg, synthjson, tfbundle, picture, step, poster, spec),
        *(evaluation, curves, lists, recording),
    )
}
READERS |= dict.fromkeys(("rundir", "rerun", "exportrun"), result)
"""Kind -> how it is read. The three kinds of result.json are read alike."""

"""Fixtures of all tests. The shared folder is beside the checkout or at EXUNO_SHARED; without it, its tests skip."""

import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

# Tests work on small tensors, on which threads only wait for each other, and pytest-xdist runs several at once.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Containers often set this. Every process that a test starts would compile torch anew, for five seconds.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A shell starts what runs in the background with Ctrl-C ignored, and every process that a test starts would inherit it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module", autouse=True)
def garbage() -> Iterator[None]:
    """Ends a module of tests without what it has left behind. A failure that was expected holds its frames, and they
    models and data; Python looks for such cycles the more rarely the more is imported, here by gigabytes too rarely.
    What was there before the module is not looked at, so that looking takes milliseconds."""
    gc.freeze()
    yield
    gc.collect()
    gc.unfreeze()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The shared folder: data and weights that are not part of the repository."""
    folder = Path(os.environ.get("EXUNO_SHARED") or Path(__file__).parents[1].parent / "shared")
    if not (folder / "data").is_dir():
        pytest.skip(f"there is no shared folder at {folder} (set EXUNO_SHARED)")
    return folder


@pytest.fixture(scope="session")
def cifar10_test(shared: Path) -> tuple[np.ndarray, np.ndarray]:
    """The CIFAR-10 test set, bit-exact, sorted by class: uint8 [10000, 3, 32, 32] and labels int64 [10000]."""
    from PIL import Image

    classes = (shared / "data/cifar10/classes.txt").read_text().split()
    images = []
    for name in classes:
        with Image.open(shared / f"data/cifar10/test/{name}.webp") as sheet:
            pixels = np.asarray(sheet.convert("RGB"))
        rows, columns = pixels.shape[0] // 32, pixels.shape[1] // 32
        tiles = pixels.reshape(rows, 32, columns, 32, 3).transpose(0, 2, 4, 1, 3)
        images.append(tiles.reshape(-1, 3, 32, 32))
    return np.concatenate(images), np.repeat(np.arange(10), [len(part) for part in images])


@pytest.fixture(scope="session")
def tiny_poster() -> Callable[..., Any]:
    """``tiny_poster(whitened=False, learned=False, **changes)``: a poster of the digits on 16 x 20 pixels with 12
    patches, its values random; nothing was distilled."""
    import torch

    from exuno.data.open import open_data
    from exuno.data.poster.format import Poster
    from exuno.data.poster.layout import Layout
    from exuno.data.poster.quantisation import quantise
    from exuno.data.poster.whitening import fit

    def make(whitened: bool = False, learned: bool = False, **changes: Any) -> Poster:
        random = np.random.default_rng(0)
        data: Any = open_data("digits", "train")
        pixels, low, high = quantise(torch.from_numpy(random.normal(size=(1, 16, 20))))
        parts: dict[str, Any] = {
            "pixels": pixels,
            "low": low,
            "high": high,
            "layout": Layout(size=(16, 20), image=(8, 8), patch=(8, 8), patches=(3, 4), grid=(2, 5), area=(8, 4)),
            "order": random.permutation(10).reshape(2, 5),
            "class_names": data.classes,
            "data": "digits",
            "data_sha256": data.fingerprint(),
            "mean": data.mean,
            "std": data.std,
            "labels": random.random((10, 4, 5)).astype(np.float16) if learned else None,
            "whitening": fit(data.images[:500]) if whitened else None,
            "protocol": {"network": "exuno:convnet_2_16", "lr": 1e-3},
            "lineage": {"seed": 3},
        }
        return Poster(**{**parts, **changes})

    return make


@pytest.fixture
def nothing_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a command names counts as there, and a dry run only resolves it: for commands of pages."""
    monkeypatch.setattr("exuno.specs.is_to_come", lambda spec: True)


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that must fail; returns what it told the user."""
    from exuno.cli import main

    def run(*args: str | Path) -> str:
        assert main([str(arg) for arg in args]) == 2
        said = capsys.readouterr()
        assert "Traceback" not in said.err + said.out
        return " ".join(said.err.split()) + " ".join(said.out.split())

    return run

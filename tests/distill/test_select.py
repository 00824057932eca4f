"""The teacher chooses patches: the rules, that a choice is a function of its inputs alone, and what users do wrong."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from hypothesis import given
from hypothesis import strategies as st

from exuno.cli import main
from exuno.distill.options import DistillConfig
from exuno.distill.select import FreshChosen, balanced, boundary, quotas, select, tell_absent
from exuno.distill.source import FreshPatches, Patches
from exuno.engine.errors import ExunoError
from exuno.models.classifier import Classifier
from exuno.models.load import load_model
from exuno.synth.options import ImageOptions
from exuno.synth.stream import PatchStream


@given(st.lists(st.integers(0, 40), min_size=1, max_size=12), st.data())
def test_quotas_are_as_even_as_the_classes_allow(have: list[int], data: st.DataObject):
    count = data.draw(st.integers(0, sum(have)))
    taken = quotas(np.array(have), count)
    assert taken.sum() == count
    assert (taken <= have).all()
    short = taken < have
    if short.any():  # who could give more gives at least as much, but for one, as anybody
        assert taken[short].min() >= taken.max() - 1


@given(st.integers(0, 2**32 - 1), st.integers(1, 200), st.integers(1, 6))
def test_rules_keep_the_first_and_the_nearest_of_each_class(seed: int, n: int, known: int):
    random = np.random.default_rng(seed)
    classes, margins = random.integers(0, known, n), random.random(n).astype(np.float32)
    count = int(random.integers(1, n + 1))
    want = quotas(np.bincount(classes, minlength=known), count)
    first, near = balanced(classes, margins, count, known), boundary(classes, margins, count, known)
    for c in range(known):
        mine = np.flatnonzero(classes == c)
        assert first[classes[first] == c].tolist() == mine[: want[c]].tolist()
        assert set(near[classes[near] == c]) == set(mine[np.argsort(margins[mine], kind="stable")][: want[c]])
    assert (np.diff(near) > 0).all()


@pytest.fixture(scope="module")
def teacher() -> Classifier:
    torch.manual_seed(0)
    return load_model("exuno:convnet_2_64", classes=5, input_size=(8, 8), in_chans=1, pretrained=False).eval()


def patches(kind: type[Patches]) -> Patches:
    return kind(PatchStream("photo:coffee", 60, ImageOptions(size=8), 3), 1, "coffee")


def chosen(teacher: Classifier, kind: type[Patches], folder: Path | None = None, **options: object) -> Patches:
    config = DistillConfig("t", "s", "d", **{"select": "balanced", "candidates": 8, **options})  # pyright: ignore
    return select(config, teacher, patches(kind), (8, 8), Accelerator(cpu=True), folder, 3)


def test_fresh_patches_are_chosen_epoch_by_epoch(teacher: Classifier):
    source, all_patches = chosen(teacher, FreshPatches), patches(FreshPatches)
    assert isinstance(source, FreshChosen)
    assert len(source) == 60
    assert source.numbers.shape == (180,)
    for epoch in range(3):
        pool = np.arange(epoch * 480, (epoch + 1) * 480)
        with torch.inference_mode():
            tops = teacher(all_patches.fetch(pool)[0] / 255).argmax(1).numpy()
        kept = source.numbers[epoch * 60 : (epoch + 1) * 60]
        assert kept.tolist() == (pool[0] + balanced(tops, np.zeros(480, np.float32), 60, 5)).tolist()
        drawn = source.fetch_draws(np.arange(epoch * 60, (epoch + 1) * 60))[0]
        assert torch.equal(drawn, all_patches.fetch(kept)[0])


def test_fixed_patches_are_in_memory_and_the_choice_is_read_again(teacher: Classifier, tmp_path: Path):
    first = chosen(teacher, Patches, tmp_path)
    [file] = tmp_path.iterdir()
    with np.load(file) as kept:
        again = {key: value.copy() for key, value in kept.items()}
    again["labels"][:] = np.arange(60)  # so that one sees that the file was read
    np.savez(file, **again)
    second = chosen(teacher, Patches, tmp_path)
    everything = np.arange(60)
    assert torch.equal(second.fetch(everything)[0], patches(Patches).fetch(everything)[0])
    assert not torch.equal(first.fetch(everything)[0], second.fetch(everything)[0])
    assert chosen(teacher, Patches, tmp_path, select="boundary").fingerprint() != first.fingerprint()


def test_a_class_that_no_candidate_has_is_told(teacher: Classifier, capsys: pytest.CaptureFixture[str]):
    tell_absent(np.array([4, 0, 1, 0, 7]), teacher)
    assert "the teacher takes no candidate for 1, 3:" in capsys.readouterr().err


def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run = tmp_path / "run"
    words = ["distill", "digits", "--smoke", "--devices", "cpu", "--candidates", "3", "--run-dir", str(run)]
    assert main([*words, "--select", "boundary"]) == 0
    assert list(run.glob("chosen-*.npz"))
    (tmp_path / "my_rules.py").write_text(
        "def last(classes, margins, count, known): return range(len(classes))[-count:]"
    )
    monkeypatch.syspath_prepend(tmp_path)
    own = tmp_path / "own"
    assert main([*words[:-1], str(own), "--select", "my_rules:last"]) == 0
    with np.load(next(own.glob("chosen-*.npz"))) as kept:
        count = len(kept["labels"])
        assert kept["labels"].tolist() == list(range(2 * count, 3 * count))
    assert json.loads((own / "result.json").read_text())["metrics"]["student/top1"] >= 0


def test_fewer_patches_than_a_smoke_run_takes_steps(tmp_path: Path) -> None:
    """20 patches are one step of 16, and a smoke run takes four steps: each has patches that were chosen for it."""
    words = ["distill", "digits", "--smoke", "--devices", "cpu", "--patches", "20", "--fresh", "--select", "balanced"]
    assert main([*words, "--candidates", "2", "--run-dir", str(tmp_path / "run")]) == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--select", "balance"], "--select balance is no rule. Did you mean balanced?"),
        (["--select", "nowhere:last"], "Python finds no module 'nowhere'"),
        (["--candidates", "3"], "--candidates would do nothing"),
        (["--candidates", "0", "--select", "balanced"], "--candidates is 0. Give at least 1"),
        (["--source", "digits", "--no-fresh", "--select", "balanced"], "--select would do nothing"),
    ],
)
def test_mistakes(words: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["distill", "digits", "--smoke", "--run-dir", str(tmp_path / "run"), *words]) == 2
    assert told in " ".join(capsys.readouterr().err.split())


def test_a_rule_that_answers_nonsense(teacher: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "bad_rules.py").write_text("def few(classes, margins, count, known): return [0]")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ExunoError, match="60 positions are wanted"):
        chosen(teacher, Patches, select="bad_rules:few")

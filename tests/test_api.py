"""The verbs as functions: the same runs as by the command line, mistakes told with keywords."""
# Mistakes that a type checker would tell are made here on purpose.
# pyright: reportArgumentType=false, reportCallIssue=false

import importlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
import torch

import exuno
from exuno.api.alone import alone
from exuno.api.keywords import as_keywords
from exuno.cli import main
from exuno.engine.errors import ExunoError
from exuno.engine.session import seed_everything

SMOKE: dict[str, Any] = {"smoke": True, "devices": "cpu"}


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> exuno.Trained:
    folder = tmp_path_factory.mktemp("runs") / "student"
    return exuno.distill("digits", loss={"temperature": 4}, run_dir=folder, **SMOKE)


def test_import_is_without_torch_and_every_name_is_there() -> None:
    code = "import exuno, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    assert set(exuno.__all__) <= set(dir(exuno))
    assert all(getattr(exuno, name) for name in exuno.__all__)
    with pytest.raises(AttributeError, match="destill"):
        exuno.destill  # noqa: B018 # pyright: ignore[reportAttributeAccessIssue]


def test_a_verb_stays_its_package() -> None:
    import exuno.fewshot.evaluate
    from exuno.distill import losses
    from exuno.fewshot.eval_measure import numbers

    package: Any = sys.modules["exuno.distill"]
    assert exuno.distill is package
    assert package.losses is losses
    assert not callable(losses)
    assert callable(exuno.fewshot.evaluate)
    assert sys.modules["exuno.fewshot"].eval_measure.numbers is numbers
    with pytest.raises(TypeError, match=r"by a word: exuno\.explain\.attention, exuno\.explain\.neurons"):
        exuno.explain("runs/mine")  # pyright: ignore[reportCallIssue]
    with pytest.raises(AttributeError, match="nothing"):
        exuno.fewshot.nothing  # noqa: B018 # pyright: ignore[reportAttributeAccessIssue]


def test_what_comes_back_is_the_run_and_answers(student: exuno.Trained) -> None:
    assert student.metrics == json.loads((student.dir / "result.json").read_text())["metrics"]
    assert student.report.is_file()
    digits = exuno.open_data("digits", "test")
    images, labels = digits.fetch(np.arange(64) * len(digits) // 64)  # those of a smoke run
    logits = student(images)
    assert logits.shape == (64, 10)
    assert not logits.requires_grad
    assert (logits.argmax(1) == labels).float().mean().item() == pytest.approx(student.metrics["student/top1"])
    assert isinstance(images, torch.Tensor)
    torch.testing.assert_close(student([*images]), student(images / 255), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(student(images.numpy() / 255.0), logits, rtol=1e-4, atol=1e-4)  # float64
    assert [each.name for each in student.predict(images)] == [str(label) for label in logits.argmax(1).tolist()]
    assert "student/top1" in repr(student)


@pytest.mark.parametrize(
    ("images", "told"),
    [
        (np.full((1, 1, 8, 8), 255.0), "far outside"),
        (np.full((1, 1, 8, 8), 2.0), "seems to be normalised"),
        (np.full((1, 1, 8, 8), np.nan), "not finite"),
        (np.full((1, 1, 8, 8), 255, np.int64), "is of int64"),
        (np.full((1, 1, 8, 8), 255, np.uint16), "is of uint16"),
        (np.ones((1, 1, 8, 8), bool), "is of bool"),
    ],
)
def test_what_is_no_picture_gets_no_answer(student: exuno.Trained, images: np.ndarray, told: str) -> None:
    """Neither of the model that is called, nor of ``predict``: the two would answer differently, and both wrongly."""
    with pytest.raises(exuno.ExunoError, match=told):
        student(images)
    with pytest.raises(exuno.ExunoError, match=told):
        student.predict(torch.as_tensor(images))


@pytest.mark.parametrize(
    ("images", "told"),
    [
        (None, "a NoneType is no tensor"),
        ("a.jpg", "a str is no tensor"),
        ((np.zeros((1, 8, 8)),), "a tuple is no tensor"),
        (["a.jpg"], "a str is no tensor"),
        ([[0.5]], "a list is no tensor"),
        (np.array([["a"]]), "a ndarray is no tensor and no array of numbers"),
        (np.zeros((1, 8, 8), np.uint8), "a tensor \\[1, 8, 8\\] is one sample, not a batch"),
    ],
)
def test_what_is_no_batch_is_told(student: exuno.Trained, images: Any, told: str) -> None:
    with pytest.raises(exuno.ExunoError, match=told):
        student(images)


def test_arrays_may_be_views_and_of_either_byte_order(student: exuno.Trained) -> None:
    images = np.random.default_rng(0).random((2, 1, 8, 8), np.float32)
    wanted = student(images)
    for same in (images[:, :, :, ::-1].copy()[:, :, :, ::-1], images.astype(">f4")):
        torch.testing.assert_close(student(same), wanted, rtol=0, atol=0)


def test_no_images_have_no_logits(student: exuno.Trained) -> None:
    assert student([]).shape == (0, 10) == student(torch.zeros(0, 1, 8, 8)).shape


def test_it_is_the_run_of_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, student: exuno.Trained
) -> None:
    """The same default folder, so the second of the two finds the first one's run; and the same weights elsewhere."""
    monkeypatch.chdir(tmp_path)
    args = ["teach", "digits", "--smoke", "--devices", "cpu", "--optim.lr", "0.01", "--augment.jitter", *"0000"]
    assert main(args) == 0

    def files() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in tmp_path.rglob("[!.]*") if path.is_file()}

    before = files()
    taught = exuno.teach("digits", optim={"lr": 0.01}, augment={"jitter": [0.0, 0, 0, 0]}, **SMOKE)
    assert files() == before
    assert taught.dir == Path(*next(iter(tmp_path.glob("runs/*"))).parts[-2:])
    args = ["distill", "digits", "--smoke", "--devices", "cpu", "--loss.temperature", "4", "--run-dir", "typed"]
    assert main(args) == 0
    assert Path("typed/model.safetensors").read_bytes() == (student.dir / "model.safetensors").read_bytes()


def test_outcomes_and_dataclasses_are_values(tmp_path: Path, student: exuno.Trained) -> None:
    again = exuno.distill(
        "digits", teacher=student, loss=exuno.Loss(temperature=2.0), fresh=False, run_dir=tmp_path / "run", **SMOKE
    )
    assert again.result["lineage"]["teacher"]["spec"] == f"run:{student.dir}"
    command = (tmp_path / "run/config.yaml").read_text()
    assert "temperature: 2.0" in command
    assert "fresh: false" in command
    measured = exuno.evaluate(again, teacher=student, smoke=True)
    assert measured["agreement/top1"] == again.metrics["agreement/top1"]
    assert exuno.report(again, student, out=tmp_path / "both.html").is_file()
    assert not exuno.load_model(student).training
    assert (exuno.export(student, tmp_path / "handed-on") / "model.safetensors").is_file()


def test_words_of_two_and_several_models(tmp_path: Path, student: exuno.Trained) -> None:
    told = exuno.explain.penultimate(student, student.dir / "teacher", run_dir=tmp_path / "inside", **SMOKE)
    assert len(told.result["tables"][0]["rows"]) == 2
    drawn = exuno.explain.neurons(student, student.dir / "teacher", units=[3], run_dir=tmp_path / "drawn", **SMOKE)
    assert [(row["model"], row["unit"]) for row in drawn.result["units"]] == [("student", 3), ("teacher", 3)]
    with pytest.raises(exuno.ExunoError, match="has no attention to draw"):
        exuno.explain.attention(student, "photo:cat", run_dir=tmp_path / "seen", **SMOKE)
    found = exuno.fewshot.evaluate("pixels", data="digits", shot=[1, 5], smoke=True)
    assert set(found["metrics"]) == {"raw pixels/5-way-1-shot/prototype", "raw pixels/5-way-5-shot/prototype"}


def test_a_poster(tmp_path: Path) -> None:
    made = exuno.poster("digits", ipc=0.25, algorithm="dm", run_dir=tmp_path / "poster", **SMOKE)
    assert made.poster.class_names == tuple("0123456789")
    assert len(exuno.open_data(made.spec)) > 0
    assert "poster/top1" in exuno.evaluate(made, smoke=True)


def test_synth_and_stream_give_the_same_patches(tmp_path: Path) -> None:
    from PIL import Image

    folder = exuno.synth("photo:coffee", out=tmp_path / "patches", count=4, size=16, format="png", workers=1)
    stream = exuno.PatchStream("photo:coffee", length=4, options=exuno.ImageOptions(size=16))
    for file, (patch, _) in zip(sorted(folder.rglob("0*.png")), stream, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(file)), patch.permute(1, 2, 0).numpy())


@pytest.mark.slow
def test_several_processes_if_devices_are_asked_for(tmp_path: Path) -> None:
    taught = exuno.teach("digits", smoke=True, devices="cpu:2", run_dir=tmp_path / "run")
    assert taught.result["device"] == "cpu"
    with pytest.raises(exuno.ExunoError, match="there is no file nowhere"):
        exuno.teach("digits", smoke=True, devices="cpu:2", data="npz:nowhere.npz", run_dir=tmp_path / "other")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"preset": "digits"}, "'preset' is no keyword of distill. A preset is the first argument, without a name"),
        ({"epochz": 3}, "'epochz' is no keyword of distill. Did you mean epochs?"),
        ({"temperature": 3}, "Did you mean loss={'temperature': …}?"),
        ({"zzz": 3}, "The keywords are: teacher, student"),
        ({"dry_run": True}, "for the command line"),
        ({"loss": {"temprature": 3}}, "'temprature' is nothing that loss has. Did you mean 'temperature'?"),
        ({"loss": 3}, "loss is 3. Give a dict of its fields, or a Loss."),
        ({"loss": exuno.Optim()}, "Give a dict of its fields, or a Loss."),
        ({"loss": {"temperature": 0}}, "loss.temperature is 0.0. Give a temperature above 0"),
        ({"epochs": "three"}, "epochs: 'three' is no whole number"),
        ({"epochs": [3, 5]}, "epochs is [3, 5]. It has to be one value."),
        ({"epochs": True}, "epochs is True"),
        ({"fresh": "yes"}, "fresh is 'yes'. It has to be True or False."),
        ({"optim": {"name": "adamm"}}, "optim.name adamm is no optimizer. Did you mean adam?"),
        ({"augment": {"resized_crop": 0.1}}, "augment.resized_crop: no type matching"),
        ({"teacher": torch.nn.Flatten()}, "teacher is a Flatten. A model is given by its folder"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"source": "nowhere.jpg"}, "no picture"),
        ({"source": ""}, "no source was given"),
    ],
)
def test_mistakes_are_told_with_keywords(options: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(exuno.ExunoError) as told:
        exuno.distill("digits", **{**SMOKE, "run_dir": tmp_path / "run", **options})
    assert words in str(told.value)
    assert not str(told.value).startswith("--")
    assert not list(tmp_path.rglob("result.json"))


def test_more_mistakes() -> None:
    for call, words in (
        (lambda: exuno.distill(teacher="run:x"), "distill needs student"),
        (lambda: exuno.study(), "study needs stages. What"),
        (lambda: exuno.explain.penultimate("exuno:convnet_1_4"), "Give data, for instance data='digits'."),
        (lambda: exuno.distill("digit"), "Did you mean 'digits'?"),
        (lambda: exuno.evaluate("nowhere"), "no run and no file 'nowhere'"),
        (lambda: exuno.doctor("teach:digits", sources="a.jpg"), "sources is a.jpg. Give two photographs or more"),
        (lambda: exuno.fewshot.evaluate(), "no model was given"),
        (lambda: exuno.load_model("tim:resnet18"), "unknown model prefix"),
    ):
        with pytest.raises(exuno.ExunoError) as told:
            call()
        assert words in str(told.value)


def test_every_option_of_every_verb_is_a_keyword() -> None:
    """What a preset may hold, a keyword may: no group is lost."""
    from exuno.api.keywords import TERMINAL, keywords
    from exuno.presets import to_dict

    for kind in (exuno.TeachConfig, exuno.DistillConfig):
        config = kind(**dict.fromkeys(("model", "teacher", "student", "data") & kind.__dataclass_fields__.keys(), "x"))
        assert {*keywords(kind), *TERMINAL} == set(to_dict(config))


@pytest.mark.parametrize(("code", "kind"), [(75, SystemExit), (130, KeyboardInterrupt), (1, ExunoError)])
def test_processes_that_ended_end_a_program_alike(code: int, kind: type[BaseException]) -> None:
    with pytest.raises(kind), as_keywords():
        raise SystemExit(code)


def weights(run: exuno.Trained) -> dict[str, torch.Tensor]:
    return {name: each.clone() for name, each in run.model.state_dict().items()}


def test_trainings_in_two_threads_are_those_of_one(tmp_path: Path) -> None:
    """They draw from one generator, torch's: done at once, each would get numbers of the other."""

    def run(seed: int, at: str) -> dict[str, torch.Tensor]:
        return weights(exuno.teach("digits", seed=seed, run_dir=tmp_path / f"{at}{seed}", **SMOKE))

    with ThreadPoolExecutor(2) as threads:
        together = list(threads.map(run, (1, 2), "tt"))
    for seed, found in enumerate(together, 1):
        for name, wanted in run(seed, "alone").items():
            torch.testing.assert_close(found[name], wanted, rtol=0, atol=0)


def drawn() -> tuple[float, float, float]:
    return random.random(), np.random.random(), torch.rand(()).item()  # noqa: NPY002


def test_the_random_numbers_of_a_program_go_on_after_a_verb() -> None:
    """And are not, after each, those of the seed of the verb."""
    seed_everything(5)
    wanted = drawn(), drawn()
    seed_everything(5)
    first = drawn()
    with alone():
        seed_everything(0)
    assert (first, drawn()) == wanted


def test_a_verb_that_waits_for_another_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, told, said = Event(), Event(), []

    def hold() -> None:
        with alone():
            begun.set()
            told.wait(60)

    def tell(text: str) -> None:
        said.append(text)
        told.set()

    monkeypatch.setattr(sys.modules["exuno.api.alone"], "tell", tell)
    with ThreadPoolExecutor(1) as threads:
        threads.submit(hold)
        begun.wait(60)
        with alone(), alone():  # a verb may call another
            pass
    assert said == ["exuno: waits for the verb that another thread has called."]


FORKED = """
import os, signal, threading
from exuno.api.alone import alone
begun, end = threading.Event(), threading.Event()
def hold():
    with alone():
        begun.set()
        end.wait()
thread = threading.Thread(target=hold)
thread.start()
begun.wait()
if not (child := os.fork()):
    signal.alarm(30)
    with alone():
        os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
end.set()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_process_forked_from_beside_a_verb_does_not_wait_for_it() -> None:
    """The thread that it would wait for is not in the new process."""
    command = [sys.executable, "-W", "ignore", "-c", FORKED]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    assert said.stdout == "7\n"


@contextmanager
def doubles() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(
    "state",
    [doubles, torch.no_grad, torch.inference_mode, partial(torch.autocast, "cpu"), partial(torch.device, "meta")],
)
def test_a_verb_is_done_as_by_its_command_whatever_the_program_has_set(
    state: Callable[[], AbstractContextManager[None]], tmp_path: Path
) -> None:
    plain = weights(exuno.teach("digits", run_dir=tmp_path / "plain", **SMOKE))
    with state():
        run = exuno.teach("digits", run_dir=tmp_path / "within", **SMOKE)
    for name, found in weights(run).items():
        torch.testing.assert_close(found, plain[name], rtol=0, atol=0)


def test_what_one_call_has_told_the_next_one_tells_too(
    student: exuno.Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        exuno.distill("digits", loss={"temperature": 4}, run_dir=student.dir, **SMOKE)
        assert "was finished before; nothing is trained again" in capsys.readouterr().err


def test_a_study_with_lost_cells_warns_of_the_line_that_called_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "result.json").write_text('{"metrics": {}, "failures": [{"cell": "teach"}]}')
    work = importlib.import_module("exuno.study.study")
    monkeypatch.setattr(work, "study", lambda config, preset: exuno.Outcome(tmp_path))
    with pytest.warns(UserWarning, match="cells without a result: 1;") as told:
        exuno.study(stages=("teach digits",))
    assert told[0].filename == __file__

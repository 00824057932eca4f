"""The probe of a dry run: it measures steps, of the batch that was asked for, and says what they come to."""

from collections.abc import Iterator

import pytest
import torch

from exuno.engine import probe
from exuno.engine.devices import make_accelerator
from exuno.engine.graph import WARM
from exuno.engine.method import Batch, Numbers, StepOutput
from exuno.engine.options import Optim, RunOptions
from exuno.engine.probe import enlarged, samples_per_second, tell_rate
from exuno.models.load import load_model
from exuno.teach.train import Supervised
from tape import Tape

OPTIONS = RunOptions(devices="cpu")


class Counted(Supervised):
    """Counts its steps and their images."""

    def __init__(self) -> None:
        net = load_model("exuno:convnet_1_8", classes=5, in_chans=1, input_size=(8, 8), pretrained=False)
        super().__init__(net)
        self.seen: list[int] = []

    def forward(self, batch: Batch, numbers: Numbers) -> StepOutput:
        self.seen.append(len(batch["images"]))
        return super().forward(batch, numbers)


class Batches:
    batch_size = 3

    def __len__(self) -> int:
        return 1

    def epoch(self, epoch: int, start_batch: int = 0) -> Iterator[Batch]:
        raise AssertionError("a probe begins no epoch: what it begins with may take hours")

    def first(self) -> Batch:
        return {"images": torch.rand(3, 1, 8, 8), "labels": torch.arange(3)}


def test_steps_are_timed_after_some_that_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    method, batch = Counted(), enlarged(Batches().first(), 7)
    times = iter(range(100))
    monkeypatch.setattr(probe.time, "perf_counter", lambda: next(times) / 4)
    rate = samples_per_second(method, batch, Optim(), OPTIONS, make_accelerator(OPTIONS))
    assert method.seen == [7] * (1 + 3)  # looked at the clock after 1/4, 2/4, 3/4 and 1 second
    assert rate == pytest.approx(3 * 7 / 1.25)


def test_recorded_steps_are_timed_where_steps_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    tape, method = Tape(), Counted()
    monkeypatch.setattr(probe, "recorder_for", lambda options, accelerator: tape)
    batch = Batches().first()
    assert samples_per_second(method, batch, Optim(), OPTIONS, make_accelerator(OPTIONS), 0.01) > 0
    assert (tape.recordings, len(method.seen)) == (1, WARM + 1)


def test_a_batch_is_enlarged_by_repeating_it() -> None:
    assert enlarged({"labels": torch.arange(3)}, 7)["labels"].tolist() == [0, 1, 2, 0, 1, 2, 0]


def test_on_a_processor_a_batch_grows_until_it_tells(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def rate(method: Counted, batch: Batch, *rest: object) -> float:
        asked.append((len(batch["images"]), rest[-1]))
        return 40.0

    monkeypatch.setattr(probe, "samples_per_second", rate)
    accelerator = make_accelerator(OPTIONS)
    tell_rate(Counted, Batches(), 64, 7200.0, Optim(), OPTIONS, accelerator)
    assert asked == [(4, 0.0), (16, 0.0)]  # of which a step takes 0.4 s
    assert capsys.readouterr().out == "# 40 samples/s in a probe of its steps on cpu: about 3:00\n"
    asked.clear()
    monkeypatch.setattr(Counted, "by_sample", False)
    tell_rate(Counted, Batches(), 64, 7200.0, Optim(), OPTIONS, accelerator)
    assert not asked
    assert not capsys.readouterr().out
    monkeypatch.undo()
    monkeypatch.setattr(probe, "samples_per_second", rate)
    tell_rate(Counted, Batches(), 6, 7200.0, Optim(), OPTIONS, accelerator)
    assert asked == [(4, 0.0), (6, 0.0)]


def test_what_is_told_on_a_gpu(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    rest = (Batches(), 6, 7200.0, Optim(), OPTIONS)

    class Gpu:
        device = torch.device("cuda")

    monkeypatch.setattr(probe, "samples_per_second", lambda method, batch, *rest: 60.0 * len(batch["images"]) / 6)
    tell_rate(Counted, *rest, Gpu())  # pyright: ignore[reportArgumentType]
    assert capsys.readouterr().out == "# 60 samples/s in a probe of its steps on cuda: about 2:00\n"

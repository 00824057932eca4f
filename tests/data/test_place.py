"""Recordings brought to one length: the middle for a test, a moved window for training."""

import numpy as np
import torch

from exuno.data.audio.mel import pad_or_trim
from exuno.engine.options import Augment


def ramp(samples: int) -> torch.Tensor:
    return torch.arange(1, samples + 1, dtype=torch.float32)[None]


def test_a_long_one_is_cut_to_its_middle_and_a_short_one_surrounded_by_silence() -> None:
    out = pad_or_trim([ramp(10), ramp(4), ramp(1)], 4)
    assert out.shape == (3, 1, 4)
    assert out[:, 0].tolist() == [[4, 5, 6, 7], [1, 2, 3, 4], [0, 0, 1, 0]]
    assert pad_or_trim([ramp(2)], 5)[0, 0].tolist() == [0, 0, 1, 2, 0]


def test_a_batch_of_one_length_is_as_its_recordings() -> None:
    batch = torch.randn(3, 1, 7)
    assert torch.equal(pad_or_trim(batch, 5), pad_or_trim(list(batch), 5))


def test_training_moves_the_window_by_at_most_the_shift() -> None:
    draws = np.arange(400)
    out = pad_or_trim([ramp(30)] * 400, 10, Augment(shift=0.4), 0, draws)
    first = out[:, 0, 0]
    assert (first.min(), first.max()) == (11 - 4, 11 + 4)
    assert first.unique().numel() == 9
    assert torch.equal(out, pad_or_trim([ramp(30)] * 400, 10, Augment(shift=0.4), 0, draws))
    assert not torch.equal(out, pad_or_trim([ramp(30)] * 400, 10, Augment(shift=0.4), 1, draws))


def test_a_draw_belongs_to_its_number() -> None:
    whole = pad_or_trim([ramp(30)] * 8, 10, Augment(shift=0.4), 0, np.arange(8))
    part = pad_or_trim([ramp(30)] * 3, 10, Augment(shift=0.4), 0, np.array([5, 2, 7]))
    assert torch.equal(part, whole[[5, 2, 7]])


def test_a_window_moved_off_a_recording_is_silence() -> None:
    out = pad_or_trim([ramp(1)] * 50, 10, Augment(shift=3.0), 0, np.arange(50))
    assert out.isfinite().all()
    assert (out.abs().sum((1, 2)) == 0).any()

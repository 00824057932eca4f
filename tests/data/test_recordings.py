"""Recordings as data: folders, tar shards, benchmarks, rates, and files that cannot be read."""

import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from exuno.data.audio.recording import read_recording
from exuno.data.audio.recordings import RecordingData, in_folder
from exuno.data.loader import Loader
from exuno.data.open import check_apart, open_data
from exuno.engine.errors import ExunoError
from exuno.engine.options import Augment

soundfile = pytest.importorskip("soundfile", reason="recordings need the extra [audio]")
RNG = np.random.default_rng(0)


def write(path: Path, samples: np.ndarray | int, rate: int = 8000, **options: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, RNG.uniform(-0.5, 0.5, samples) if isinstance(samples, int) else samples, rate, **options)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes, recordings of several lengths."""
    for split, count in (("train", 3), ("test", 2)):
        for name in ("no", "yes"):
            for i in range(count):
                write(tmp_path / split / name / f"{i}.wav", 500 + 100 * i)
    return tmp_path


def test_folder(folder: Path) -> None:
    train, test = (open_data(f"recordings:{folder}", split) for split in ("train", "test"))
    assert (len(train), len(test), train.classes, train.num_classes) == (6, 4, ("no", "yes"), 2)
    assert (train.rate, train.channels, train.image_size) == (8000, 1, (1, 8000))
    recordings, labels = train.fetch(np.array([5, 0]))
    assert [tuple(each.shape) for each in recordings] == [(1, 700), (1, 500)]
    assert recordings[0].dtype == torch.float32
    assert labels.tolist() == [1, 0]
    check_apart("it", train, test)
    with pytest.raises(ExunoError, match="train and test splits are the same"):
        check_apart("it", train, open_data(f"recordings:{folder}", "train"))


def test_files_of_one_size_are_told_apart(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write(tmp_path / split / "a" / "0.wav", 500)
    check_apart("it", *(open_data(f"recordings:{tmp_path}", split) for split in ("train", "test")))


def test_every_kind_that_can_be_read_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kinds = {".mp3": "MP3", ".opus": "OGG", ".oga": "OGG", ".aiff": "AIFF", ".aif": "AIFF", ".aifc": "AIFF"}
    kinds |= {".au": "AU", ".snd": "AU", ".caf": "CAF", ".w64": "W64", ".rf64": "RF64", ".sph": "NIST", ".WAV": "WAV"}
    samples = 0.5 * np.sin(np.arange(8000) / 7)
    for number, (suffix, kind) in enumerate(kinds.items()):
        how = "OPUS" if suffix == ".opus" else soundfile.default_subtype(kind)
        write(tmp_path / "ab"[number % 2] / f"{number:02}{suffix}", samples, format=kind, subtype=how)
    (tmp_path / "a/notes.m4a").write_bytes(b"not read by libsndfile")
    data = open_data(f"recordings:{tmp_path}", "train")
    assert (len(data), data.classes) == (len(kinds), ("a", "b"))
    assert {each.shape[1] for each in data.fetch(np.arange(len(kinds)))[0]} == {8000}
    assert "1 file left out: 1 .m4a" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["AIFF", "AU", "MP3"])
def test_the_end_of_every_kind_is_missed(kind: str, tmp_path: Path) -> None:
    content = write(tmp_path / "a", 8000, format=kind).read_bytes()
    assert len(read_recording(content, 8000)) == 8000
    with pytest.raises(ExunoError, match="is cut off"):
        read_recording(content[: len(content) // 2], 8000)


def test_a_flat_folder_has_no_labels(tmp_path: Path) -> None:
    write(tmp_path / "a.flac", 800)
    write(tmp_path / "b.ogg", 900)
    data = open_data(f"recordings:{tmp_path}", "train")
    assert (len(data), data.num_classes, data.fetch(np.arange(2))[1].tolist()) == (2, 0, [-1, -1])


@pytest.mark.parametrize("suffix", ["tar", "tar.gz"])
def test_shards(tmp_path: Path, suffix: str) -> None:
    waves = RNG.uniform(-0.9, 0.9, (3, 400)).astype(np.float32)
    for split, chosen in (("train", [0, 1]), ("test", [2])):
        with tarfile.open(tmp_path / f"{split}.{suffix}", "w:gz" if suffix == "tar.gz" else "w") as tar:
            for i in chosen:
                sound = io.BytesIO()
                soundfile.write(sound, waves[i], 8000, format="WAV", subtype="FLOAT")
                for name, content in ((f"{i}.wav", sound.getvalue()), (f"{i}.cls", str(i).encode())):
                    entry = tarfile.TarInfo(name)
                    entry.size = len(content)
                    tar.addfile(entry, io.BytesIO(content))
    train, test = (open_data(f"recordings:{tmp_path}/{{split}}.{suffix}", split) for split in ("train", "test"))
    recordings, labels = train.fetch(np.array([1, 0]))
    assert np.array_equal(recordings[0][0].numpy(), waves[1])
    assert (labels.tolist(), test.fetch(np.array([0]))[1].tolist()) == ([1, 0], [2])


def test_one_rate_for_all(folder: Path) -> None:
    write(folder / "test/no/0.wav", 16000, 16000)  # the first of the test split
    test = open_data(f"recordings:{folder}", "test")
    assert test.rate == 8000  # that of training
    assert test.fetch(np.array([0]))[0][0].shape == (1, 8000)
    other = open_data(f"recordings:{folder}@4000", "train")
    assert (other.rate, other.fetch(np.array([0]))[0][0].shape) == (4000, (1, 250))
    with pytest.raises(ExunoError, match="a rate of 5 samples a second"):
        open_data(f"recordings:{folder}@5", "train")


def test_broken_files_are_left_out_with_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    yes = folder / "train" / "yes"
    (yes / "empty.wav").write_bytes(b"")
    (yes / "text.wav").write_text("this is no sound")
    whole = (yes / "0.wav").read_bytes()
    (yes / "cut.wav").write_bytes(whole[: len(whole) // 2])
    (yes / "header.wav").write_bytes(whole[:20])
    write(yes / "bare.wav", 0)
    kept = {
        "silent": (np.zeros(300), {}),
        "single": (np.full(1, 0.3), {}),
        "clipped": (np.full(300, 3.0), {"subtype": "FLOAT"}),
        "stereo": (np.stack([np.full(300, 0.5), np.full(300, 0.1)], 1), {}),
        "bytes": (RNG.uniform(-0.5, 0.5, 300), {"subtype": "PCM_U8"}),
    }
    for name, (samples, options) in kept.items():
        write(yes / f"{name}.wav", samples, **options)
    data = open_data(f"recordings:{folder}", "train")
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "5 of 16 recordings" in said
    assert "the first: yes/bare.wav, the recording has no sample" in said
    assert len(data) == 6 + len(kept)
    recordings, labels = data.fetch(np.arange(len(data)))
    assert labels.tolist() == [0] * 3 + [1] * 8
    assert all(each.isfinite().all() and each.abs().max() <= 1 for each in recordings)
    order = sorted([*kept, "0", "1", "2"])
    assert recordings[3 + order.index("stereo")].mean().item() == pytest.approx(0.3, abs=1e-4)


def test_all_broken(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_text("no")
    with pytest.raises(ExunoError, match="none of the 1 recordings of"):
        open_data(f"recordings:{tmp_path}", "train")


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(ExunoError, match="there is no folder"):
        open_data(f"recordings:{tmp_path}/nowhere", "train")
    with pytest.raises(ExunoError, match="there is no shard"):
        open_data(f"recordings:{tmp_path}/nowhere.tar", "train")
    with pytest.raises(ExunoError, match="there are no recordings in"):
        open_data(f"recordings:{tmp_path}", "train")


@pytest.mark.parametrize("workers", [0, 2])
def test_decoded_again_where_they_do_not_fit(folder: Path, workers: int) -> None:
    files = [f"{name}/{i}.wav" for name in ("no", "yes") for i in range(3)]
    labels = np.repeat([0, 1], 3)
    held, read = (
        RecordingData("it", in_folder(folder / "train", files, labels, ("no", "yes")), limit=limit)
        for limit in (1 << 30, 3000)
    )
    assert (held.held is not None, read.held) == (True, None)
    read = pickle.loads(pickle.dumps(read))  # as a worker may get it
    batches = [
        next(iter(Loader(data, 4, Augment(shift=0.2), 3, (1, 600), workers=workers).epoch(1))) for data in (held, read)
    ]
    assert batches[0]["images"].shape == (4, 1, 600)
    assert all(torch.equal(batches[0][key], batches[1][key]) for key in ("images", "labels", "index"))


def test_fsdd_by_its_official_split(tmp_path: Path) -> None:
    for digit in (3, 9):
        for index in (0, 4, 5, 12):
            write(tmp_path / "free-spoken-digit-dataset" / "recordings" / f"{digit}_some_one_{index}.wav", 300 + index)
    train, test = (open_data("fsdd", split, root=tmp_path) for split in ("train", "test"))
    assert (len(train), len(test), train.num_classes, train.rate) == (4, 4, 10, 8000)
    recordings, labels = test.fetch(np.arange(4))
    assert [(each.shape[1], label) for each, label in zip(recordings, labels.tolist(), strict=True)] == [
        (300, 3), (304, 3), (300, 9), (304, 9),
    ]  # fmt: skip
    with pytest.raises(ExunoError, match="recordings/DIGIT_SPEAKER_INDEX"):
        open_data("fsdd", "test", root=tmp_path / "free-spoken-digit-dataset" / "recordings")


def test_speech_commands_by_its_lists(tmp_path: Path) -> None:
    for word in ("up", "down", "_background_noise_"):
        for i in range(3):
            write(tmp_path / word / f"{i}_nohash_0.wav", 400, 16000)
    (tmp_path / "validation_list.txt").write_text("up/1_nohash_0.wav\n")
    (tmp_path / "testing_list.txt").write_text("up/2_nohash_0.wav\ndown/0_nohash_0.wav\n")
    found = {split: open_data("speechcommands", split, root=tmp_path) for split in ("train", "val", "test")}
    assert {split: len(data) for split, data in found.items()} == {"train": 3, "val": 1, "test": 2}
    assert found["test"].classes == ("down", "up")
    assert found["test"].fetch(np.arange(2))[1].tolist() == [0, 1]
    with pytest.raises(ExunoError, match="must hold speech_commands"):
        open_data("speechcommands", root=tmp_path / "up")


def test_the_spoken_digits(shared: Path) -> None:
    test = open_data(f"recordings:{shared}/data/fsdd/{{split}}.tar.gz", "test")
    assert (len(test), test.rate, test.num_classes) == (300, 8000, 10)
    assert test.fetch(np.arange(300))[1].bincount().tolist() == [30] * 10

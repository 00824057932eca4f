"""``exuno synth audio`` as a user meets it: what it writes, how it goes on, what it says to mistakes."""

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from exuno.cli import main
from exuno.data.audio.recording import load_recording, recording_sha256
from exuno.synth.audio import ExcerptSampler
from exuno.synth.options import AudioOptions

BASE = ["synth", "audio", "sound:noise", "--count", "20", "--group", "6", "--seconds", "0.25", "--workers", "1"]
OPTIONS = AudioOptions(seconds=0.25)


def run(out: Path, *more: str, base: list[str] = BASE) -> dict[str, bytes]:
    """The files that a command writes, by relative path."""
    assert main([*base, "--out", str(out), *more]) == 0
    return files(out)


def files(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return run(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("format", ["wav", "flac"])
def test_the_files_are_the_excerpts(tmp_path, format):
    written = run(tmp_path, "--format", format, "--seed", "2")
    assert len(written) == 20 + 1
    expected = ExcerptSampler(load_recording("sound:noise", 16000), OPTIONS, seed=2)(range(20))
    for i in (0, 5, 6, 19):
        samples, rate = soundfile.read(tmp_path / f"excerpts/{i // 6:06d}/{i:09d}.{format}")
        assert rate == 16000
        assert np.abs(samples - expected[i]).max() <= 1 / 32768
    manifest = json.loads((tmp_path / "synth.json").read_text())
    assert manifest["inputs"] == [recording_sha256("sound:noise")]
    assert manifest["options"]["seconds"] == 0.25


def test_processes_change_nothing(tmp_path, whole):
    assert run(tmp_path, "--workers", "2") == whole


def test_it_goes_on_where_it_stopped(tmp_path, whole):
    run(tmp_path)
    kept = tmp_path / "excerpts/000000/000000003.wav"
    before = kept.stat().st_mtime_ns
    for path in (tmp_path / "excerpts/000002").iterdir():
        path.unlink()
    (tmp_path / "excerpts/000002").rmdir()
    assert run(tmp_path) == whole
    assert kept.stat().st_mtime_ns == before


def test_shards_are_disjoint_and_their_union_is_the_whole(tmp_path):
    more = ("--container", "wds", "--format", "flac")
    undivided = run(tmp_path / "undivided", *more)
    parts = [run(tmp_path / name, *more, "--shard", f"{name}/2") for name in "01"]
    assert not (parts[0].keys() & parts[1].keys()) - {"synth.json"}
    assert parts[0] | parts[1] == undivided
    with tarfile.open(tmp_path / "undivided/000003.tar") as tar:
        assert tar.getnames() == ["000000018.flac", "000000019.flac", "__crc32__"]


def test_of_several_recordings_excerpt_i_comes_from_number_i_mod_n(tmp_path, whole):
    mixed = run(tmp_path, base=[*BASE[:3], "sound:music", *BASE[3:]])
    for path, content in whole.items():
        if path != "synth.json":
            assert (mixed[path] == content) == (int(Path(path).stem) % 2 == 0)


def test_a_dry_run_tells_and_writes_nothing(tmp_path, capsys):
    assert main([*BASE, "--out", str(tmp_path / "out"), "--dry-run", "--smoke"]) == 0
    out = capsys.readouterr().out
    assert "stretch: [0.8, 1.25]" in out
    assert "20 excerpts in 4 subfolders" in out
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--stretch", "2", "1"], "--stretch is (2.0, 1.0)"),
        (["--seconds", "100"], "the recording lasts"),
        (["--count", "0"], "--count is 0"),
        (["nowhere.wav"], "there is no recording 'nowhere.wav'"),
        ([__file__], "not a recording that can be read"),
    ],
)
def test_mistakes_are_told(tmp_path, capsys, more, message):
    assert main([*BASE[:3], *more, "--out", str(tmp_path / "out")]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def test_other_options_are_refused(tmp_path, capsys):
    run(tmp_path)
    assert main([*BASE, "--out", str(tmp_path), "--noise", "1"]) == 2
    assert "excerpts made with other options (noise: 0.5, now 1.0)." in " ".join(capsys.readouterr().err.split())


def test_a_stream_gives_the_same_excerpts():
    torch = pytest.importorskip("torch")
    from exuno.synth.stream import SoundStream

    recordings = [load_recording("sound:noise", 16000), load_recording("sound:music", 16000)]
    stream = SoundStream(recordings, 20, OPTIONS, seed=2)
    assert (len(stream), stream.channels, stream.image_size, stream.rate) == (20, 1, (1, 4000), 16000)
    sounds, labels = stream.fetch(np.arange(6))
    assert sounds.dtype == torch.float32
    assert sounds.shape == (6, 1, 4000)
    assert (labels == -1).all()
    assert (sounds[1::2, 0].numpy() == ExcerptSampler(recordings[1], OPTIONS, seed=2)([1, 3, 5])).all()
    assert not torch.equal(stream.fetch_draws(np.arange(20, 26))[0], sounds)
    assert torch.equal(stream[3][0], sounds[3])

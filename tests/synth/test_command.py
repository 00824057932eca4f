"""``exuno synth`` as a user meets it: what it writes, how it goes on, what it says to mistakes."""

import errno
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from exuno.cli import main
from exuno.data.images.folder import open_folder
from exuno.data.images.photo import load_photo
from exuno.synth import job as jobs
from exuno.synth import writer
from exuno.synth.image import Sampler
from exuno.synth.mixture import Mixture
from exuno.synth.options import ImageOptions
from exuno.synth.synth import parse, resolve
from exuno.synth.writer import PatchFiles

BASE = ["synth", "photo:coffee", "--count", "50", "--group", "8", "--size", "16"]


def run(out: Path, *more: str, base: list[str] = BASE) -> dict[str, bytes]:
    """The files that a command writes, by relative path."""
    assert main([*base, "--out", str(out), *more]) == 0
    return files(out)


def maker(job: jobs.Job) -> PatchFiles:
    return PatchFiles(Mixture([load_photo("photo:coffee")], job.options, job.seed), "jpeg", job.quality)


def files(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return run(tmp_path_factory.mktemp("whole"), "--workers", "1")


def test_the_files_are_the_patches(tmp_path):
    written = run(tmp_path, "--format", "png", "--contact-sheet", "50")
    assert len(written) == 50 + 2
    expected = Sampler(load_photo("photo:coffee"), ImageOptions(size=16))(range(50))
    for i in (0, 7, 8, 49):
        path = tmp_path / f"patches/{i // 8:06d}/{i:09d}.png"
        assert (np.asarray(Image.open(path)) == expected[i]).all()
    sheet = np.asarray(Image.open(tmp_path / "contact-sheet.png"))
    assert (sheet[2:18, 20:36] == expected[1]).all()
    assert json.loads((tmp_path / "synth.json").read_text())["count"] == 50


@pytest.mark.parametrize("format", ["jpeg", "webp"])
def test_quality_counts(tmp_path, format):
    low = run(tmp_path / "low", "--format", format, "--quality", "10")
    high = run(tmp_path / "high", "--format", format, "--quality", "95")
    assert sum(map(len, low.values())) < sum(map(len, high.values()))


def test_torchvision_reads_the_folder(tmp_path):
    datasets = pytest.importorskip("torchvision.datasets")
    run(tmp_path)
    folder = datasets.ImageFolder(str(tmp_path))
    assert folder.classes == ["patches"]
    assert len(folder) == 50


@pytest.mark.parametrize("workers", ["2", "3"])
def test_processes_change_nothing(tmp_path, whole, workers):
    assert run(tmp_path, "--workers", workers) == whole


@pytest.mark.parametrize("container", ["folder", "wds"])
def test_shards_are_disjoint_and_their_union_is_the_whole(tmp_path, container):
    more = ("--container", container, "--workers", "1")
    undivided = run(tmp_path / "undivided", *more)
    parts = [run(tmp_path / str(i), *more, "--shard", f"{i}/3") for i in range(3)]
    names = [set(part) - {"synth.json"} for part in parts]
    assert sum(map(len, names)) == len(set().union(*names))
    assert parts[0] | parts[1] | parts[2] == undivided
    together = [run(tmp_path / "together", *more, "--shard", f"{i}/3") for i in range(3)]
    assert together[-1] == undivided


def test_tar_shards_are_webdatasets(tmp_path):
    run(tmp_path, "--container", "wds", "--format", "png")
    expected = Sampler(load_photo("photo:coffee"), ImageOptions(size=16))(range(50))
    with tarfile.open(tmp_path / "000006.tar") as tar:
        assert tar.getnames() == ["000000048.png", "000000049.png", "__crc32__"]
        assert {(member.mtime, member.uid, member.gid) for member in tar.getmembers()} == {(0, 0, 0)}
    wds = pytest.importorskip("webdataset")
    shards = sorted(str(path) for path in tmp_path.glob("*.tar"))
    samples = list(wds.WebDataset(shards, shardshuffle=False).decode("rgb8"))
    assert [sample["__key__"] for sample in samples] == [f"{i:09d}" for i in range(50)]
    assert (samples[49]["png"] == expected[49]).all()


def test_several_photographs_take_turns(tmp_path):
    run(tmp_path, "--format", "png", base=["synth", "photo:coffee", "noise:1", "--count", "4", "--size", "16"])
    for i, spec in enumerate(["photo:coffee", "noise:1"] * 2):
        expected = Sampler(load_photo(spec), ImageOptions(size=16))([i])[0]
        assert (np.asarray(Image.open(tmp_path / f"patches/000000/{i:09d}.png")) == expected).all()


@pytest.mark.parametrize("container", ["folder", "wds"])
def test_a_killed_run_goes_on_and_ends_identical(tmp_path, container):
    base = ["synth", "photo:coffee", "--count", "1500", "--group", "25", "--size", "48", "--container", container]
    undivided = run(tmp_path / "undivided", base=base)
    out = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, "-m", "exuno", *base, "--out", str(out), "--workers", "2"],
        start_new_session=True,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    pattern = "*.tar" if container == "wds" else "patches/0*"
    deadline = time.monotonic() + 30
    while len(list(out.glob(pattern))) < 3 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    done = len(list(out.glob(pattern)))
    assert 3 <= done < 60
    assert run(out, base=base) == undivided


def test_orphans_end_when_their_parent_is_killed(tmp_path):
    base = ["synth", "photo:coffee", "--count", "200000", "--group", "500", "--out", str(tmp_path / "o")]
    process = subprocess.Popen([sys.executable, "-m", "exuno", *base, "--workers", "2"], stderr=subprocess.DEVNULL)
    while not list(tmp_path.glob("o/patches/0*")):
        time.sleep(0.01)
    process.kill()
    process.wait()
    time.sleep(1.0)
    before = len(list(tmp_path.glob("o/patches/0*")))
    time.sleep(0.5)
    assert len(list(tmp_path.glob("o/patches/0*"))) == before < 400


def test_a_second_writer_of_the_same_patches_is_refused_and_the_first_ends_complete(
    tmp_path, whole, monkeypatch, capsys
):
    monkeypatch.setattr(jobs, "PATIENCE", 0.1)
    job = resolve(parse([*BASE[1:], "--out", str(tmp_path)]))
    make = maker(job)
    with jobs.claim(job, tmp_path):
        first = writer.write_unit(job, make, tmp_path, 0)
        next(first)
        for shard in ("0/1", "0/2", "3/7"):
            told = mistake(capsys, *BASE[1:], "--out", str(tmp_path), "--workers", "1", "--shard", shard)
            assert "another process is writing" in told
        assert sum(1 for _ in first) == 7
    assert run(tmp_path) == whole


def test_shards_of_one_folder_can_run_at_once(tmp_path, whole, capsys):
    job = resolve(parse([*BASE[1:], "--out", str(tmp_path)]))
    starting = tmp_path.joinpath(".synth.json.99.tmp")  # another shard is just starting, and holds it locked
    starting.write_text("{")
    tmp_path.joinpath(".lock-2-of-3").touch()
    with starting.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with jobs.claim(job, tmp_path, 1, 3):
            run(tmp_path, "--shard", "0/3")
            run(tmp_path, "--shard", "2/3")
    starting.unlink()
    assert run(tmp_path, "--shard", "1/3") == whole


def test_the_lock_of_a_killed_run_lives_as_long_as_its_processes(tmp_path):
    """They may still write; then they see that their parent is gone, and the same command goes on."""
    base = ["synth", "photo:coffee", "--count", "3000", "--group", "100"]
    undivided = run(tmp_path / "undivided", base=base)
    out = tmp_path / "o"
    command = [sys.executable, "-m", "exuno", *base, "--out", str(out), "--workers", "2"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while not list(out.glob("patches/0*")):
        time.sleep(0.001)
    process.kill()
    process.wait()
    assert len(list(out.glob("patches/0*"))) < 30
    assert run(out, base=base) == undivided


@pytest.mark.parametrize("container", ["folder", "wds"])
def test_what_a_killed_run_left_is_no_content_and_goes(tmp_path, container):
    datasets = pytest.importorskip("torchvision.datasets")
    more = ("--container", container)
    undivided = run(tmp_path / "undivided", *more)
    out = tmp_path / "o"
    job = resolve(parse([*BASE[1:], "--out", str(out), *more]))
    run(out, *more, "--shard", "1/2")
    unfinished = writer.write_unit(job, maker(job), out, 0)
    next(unfinished)  # a killed process leaves what is on the disk at such a moment
    left = [path for path in out.rglob("*") if "partial" in path.name]
    assert left
    if container == "folder":
        assert len(datasets.ImageFolder(str(out))) == len(open_folder(out, "train")) == 26 - 2
    else:
        assert len(list(out.glob("*.tar"))) == 3
    assert run(out, *more) == undivided


def test_a_finished_run_writes_nothing_again(tmp_path, capsys):
    written = run(tmp_path)
    times = [path.stat().st_mtime_ns for path in tmp_path.rglob("*.jpg")]
    assert run(tmp_path) == written
    assert [path.stat().st_mtime_ns for path in tmp_path.rglob("*.jpg")] == times
    assert "already" in capsys.readouterr().out


def mistake(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    assert main(["synth", *args]) == 2
    told = capsys.readouterr().err
    assert "Traceback" not in told
    return told


def test_a_folder_of_other_options_is_refused(tmp_path, capsys):
    written = run(tmp_path)
    told = mistake(capsys, *BASE[1:], "--out", str(tmp_path), "--seed", "1")
    assert "seed: 0, now 1" in told
    assert files(tmp_path) == written
    other = tmp_path / "other"
    other.mkdir()
    (other / "precious.txt").write_text("mine")
    assert "not empty" in mistake(capsys, *BASE[1:], "--out", str(other))
    assert files(other) == {"precious.txt": b"mine"}


def test_a_folder_of_patches_of_an_older_version_is_continued(tmp_path, whole, capsys):
    """It has the manifest that was written when patches were all there was."""
    assert run(tmp_path) == whole
    written = json.loads((tmp_path / "synth.json").read_text())
    assert written.pop("what") == "patches"
    written["photos"] = written.pop("inputs")
    old = json.dumps(written, indent=1)
    (tmp_path / "synth.json").write_text(old)
    shutil.rmtree(tmp_path / "patches/000003")
    assert run(tmp_path) == {**whole, "synth.json": old.encode()}
    assert "seed: 0, now 1" in mistake(capsys, *BASE[1:], "--out", str(tmp_path), "--seed", "1")


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ([], "no photograph"),
        (["photo:coffee"], "no folder to write to"),
        (["photo:cofee", "--out", "x"], "coffee"),
        (["missing.jpg", "--out", "x"], "missing.jpg"),
        (["photo:coffee", "--out", "x", "--shard", "4/4"], "from 0 to n - 1"),
        (["photo:coffee", "--out", "x", "--shard", "half"], "half"),
        (["photo:coffee", "--out", "x", "--count", "0"], "--count is 0"),
        (["photo:coffee", "--out", "x", "--quality", "101"], "--quality is 101"),
        (["photo:coffee", "--out", "x", "--workers", "-1"], "--workers is -1"),
        (["photo:coffee", "--out", "x", "--area", "1", "0.1"], "--area"),
        (["photo:coffee", "--out", "x", "--first-crop", "0.001"], "too small"),
    ],
)
def test_mistakes(tmp_path, monkeypatch, capsys, args, told):
    monkeypatch.chdir(tmp_path)
    assert told in mistake(capsys, *args)
    assert list(tmp_path.iterdir()) == []


def test_tyro_tells_what_it_cannot_parse(capsys):
    assert main(["synth", "photo:coffee", "--size", "big"]) == 2
    assert "--size" in capsys.readouterr().err


def test_a_corrupt_picture(tmp_path, capsys):
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    assert "a.jpg" in mistake(capsys, str(tmp_path / "a.jpg"), "--out", str(tmp_path / "x"))


@pytest.mark.parametrize(("number", "message"), [(errno.ENOSPC, "disk is full"), (errno.EROFS, "cannot be written")])
@pytest.mark.parametrize("container", ["folder", "wds"])
def test_a_full_or_read_only_disk_leaves_nothing_half_written(
    tmp_path, monkeypatch, capsys, container, number, message
):
    def full(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(writer, "write_bytes", full)
    monkeypatch.setattr(tarfile.TarFile, "addfile", full)
    out = tmp_path / "x"
    told = mistake(capsys, *BASE[1:], "--out", str(out), "--workers", "1", "--container", container)
    assert message in told
    assert set(files(out)) == {"synth.json"}
    monkeypatch.undo()
    assert len(run(out, "--container", container)) > 5


def test_a_mistake_in_a_process_reaches_the_user(tmp_path, monkeypatch, capsys):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writer, "write_bytes", full)
    from exuno.synth import work

    monkeypatch.setattr(work, "get_context", lambda _: __import__("multiprocessing").get_context("fork"))
    assert "disk is full" in mistake(capsys, *BASE[1:], "--out", str(tmp_path / "x"), "--workers", "2")


def test_out_is_a_file(tmp_path, capsys):
    (tmp_path / "x").write_text("mine")
    assert "is a file" in mistake(capsys, *BASE[1:], "--out", str(tmp_path / "x"))


def test_dry_run_writes_nothing_and_tells_the_cost(tmp_path, capsys):
    assert main([*BASE, "--out", str(tmp_path / "x"), "--dry-run", "--shard", "0/2"]) == 0
    assert "26 patches in 4 subfolders" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_no_torch_on_the_way_to_the_disk_and_quick(tmp_path):
    code = f"""
import sys
from exuno.cli import main
assert main(["synth", "photo:coffee", "--count", "100", "--out", {str(tmp_path / "x")!r}]) == 0
print([name for name in ("torch", "torchvision", "skimage", "scipy") if name in sys.modules])
"""
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert time.monotonic() - started < 10  # 1 s on an idle machine


def test_processes_start_although_opencv_used_threads_before(tmp_path):
    """A process forked beside OpenCV's threads waits for ever when it touches their pool."""
    code = """
import sys, cv2, numpy as np
from exuno.cli import main
for turn in range(8):
    cv2.setNumThreads(2)
    cv2.warpAffine(np.zeros((2000, 2000, 3), np.uint8), np.eye(2, 3), (2000, 2000))
    assert main([*sys.argv[2:], "--out", f"{sys.argv[1]}/{turn}", "--workers", "2"]) == 0
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path), *BASE], check=True, capture_output=True, timeout=60)

"""Shards as people write them: whatever holds the label, and whatever else lies beside the images."""

import gzip
import io
import json
import pickle
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from exuno.cli import main
from exuno.data.images import picture
from exuno.data.images.picture import plain_size
from exuno.data.open import open_data
from exuno.data.shards import NoLabel, parse
from exuno.engine.errors import ExunoError


def image(format: str = "JPEG", shade: int = 99) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((8, 9, 3), shade, np.uint8)).save(stream, format)
    return stream.getvalue()


JPEG = image()


def npy(value: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, value)
    return stream.getvalue()


def shard(path: Path, members: Iterable[tuple[str, bytes]]) -> str:
    """A tar file of the members; returns the spec."""
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return f"wds:{path}"


def samples(*labels: bytes | None, extension: str = "cls", picture: str = "jpg") -> list[tuple[str, bytes]]:
    """For each label an image and, unless it is None, a member that holds it."""
    every = enumerate(labels)
    return [
        member
        for i, label in every
        for member in [(f"{i:03}.{picture}", JPEG), (f"{i:03}.{extension}", label)]
        if member[1] is not None
    ]  # type: ignore[misc]


UNDERSTOOD = {
    "capitals": samples(b"0", b"2", b"1", extension="CLS", picture="JPEG"),
    "line ends": samples(b"0\n", b"2\r\n", b"\xef\xbb\xbf1"),
    "written as floats": samples(b"0.0", b"2.0", b"1.0"),
    "text": samples(b"0", b"2", b"1", extension="txt"),
    "called class": samples(b"0", b"2", b"1", extension="class"),
    "text of a label": samples(b"0", b"2", b"1", extension="label.txt"),
    "scalars": samples(npy(0), npy(np.int16(2)), npy(1.0), extension="cls.npy"),
    "arrays of one": samples(npy([0]), npy([[2]]), npy([1]), extension="npy"),
    "JSON numbers": samples(b"0", b"2", b"1", extension="json"),
    "JSON fields": samples(b'{"id": 7, "Label": 0}', b'{"Label": "2"}', b'{"Label": 1.0}', extension="json"),
    "numbers before names": samples(
        *(json.dumps({"label": "cat", "class_id": each}).encode() for each in (0, 2, 1)), extension="json"
    ),
    "several images, one plain": [
        member for i, label in enumerate((b"0", b"2", b"1"))
        for member in [(f"{i}.seg.png", b"no image"), (f"{i}.jpg", JPEG), (f"{i}.cls", label)]
    ],
    "a longer extension": samples(b"0", b"2", b"1", picture="left.jpg"),
    "dots in the folder": [(f"v1.0/{name}", content) for name, content in samples(b"0", b"2", b"1")],
    "a caption beside it": [*samples(b"0", b"2", b"1"), *((f"{i:03}.txt", b"a cat") for i in range(3))],
}  # fmt: skip


@pytest.mark.parametrize("kind", UNDERSTOOD)
def test_labels_that_are_understood(kind: str, tmp_path: Path) -> None:
    data = open_data(shard(tmp_path / "s.tar", UNDERSTOOD[kind]))
    images, labels = data.fetch(np.arange(len(data)))
    assert labels.tolist() == [0, 2, 1]
    assert data.num_classes == 3
    assert all(each.shape == (3, 8, 9) for each in images)


@pytest.mark.parametrize("extension", ["cls", "txt", "json"])
def test_names_of_classes_txt(extension: str, tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("cat\nbig dog\nox\n")
    names = [b"ox", b"cat", b"big dog\n"]
    if extension == "json":
        names = [json.dumps({"class": name.decode().strip()}).encode() for name in names]
    data = open_data(shard(tmp_path / "s.tar", samples(*names, extension=extension)))
    assert data.fetch(np.arange(3))[1].tolist() == [2, 0, 1]
    assert data.classes == ("cat", "big dog", "ox")


REFUSED = {
    "a name": (samples(b"1", b"cat"), r"001\.cls is 'cat'\. A label is a whole number from 0, or a name in"),
    "a name in JSON": (samples(b'{"label": "cat"}', extension="json"), r"000\.json is 'cat'"),
    "nothing": (samples(b"1", b""), r"001\.cls is empty"),
    "below 0": (samples(b"1", b"-1"), r"001\.cls is -1"),
    "a fraction": (samples(b"0.5"), r"000\.cls is '0\.5'"),
    "two labels": (samples(b"1,2"), r"000\.cls is '1,2'"),
    "true": (samples(b'{"label": true}', extension="json"), r"000\.json is 'True'"),
    "a list": (samples(b'{"label": [1, 2]}', extension="json"), r"000\.json is '\[1, 2\]'"),
    "one-hot": (samples(npy([0, 1, 0]), extension="cls.npy"), r"000\.cls\.npy is an array int64 \[3\]"),
    "no array": (samples(b"x", extension="cls.npy"), r"000\.cls\.npy is no array of NumPy"),
    "objects": (samples(npy(np.array([None])), extension="cls.npy"), r"is no array of NumPy"),
    "a pickle": (samples(pickle.dumps(1), extension="cls.pkl"), "is a pickle"),
    "a number among captions": (samples(b"1", b"a cat", extension="txt"), r"001\.txt is 'a cat'"),
    "some without": (samples(b"0", None, b"1", None), r"001\.jpg has no label, others have \(2 of 4 images"),
    "far apart": (samples(b"0", b"1", b"1000000"), "3 different labels that go up to 1,000,000"),
    "very far": (samples(b"0", b"9" * 30), "2 different labels"),
    "twice": (samples(b"0") * 2, r"holds 000\.jpg twice"),
    "twice but for capitals": ([("a.jpg", JPEG), ("a.JPG", JPEG)], r"holds both a\.jpg and a\.JPG"),
    "two formats": ([("a.jpg", JPEG), ("a.png", JPEG)], r"2 images of one key.*a\.jpg, a\.png.*wds:PATTERN@jpg"),
    "left and right": ([("a.left.jpg", JPEG), ("a.right.jpg", JPEG)], r"a\.left\.jpg, a\.right\.jpg.*@left\.jpg"),
    "no image": ([("a.heic", b""), ("b.heic", b"")], r"no images in .*, but 2 \.heic without images \(a\.heic, …\)"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_refused_is_named(kind: str, tmp_path: Path) -> None:
    members, told = REFUSED[kind]
    with pytest.raises(ExunoError, match=told):
        open_data(shard(tmp_path / "s.tar", members))


def test_more_labels_than_names(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("cat\ndog\nox\n")
    with pytest.raises(ExunoError, match=r"names 3 classes, its labels go up to 3 \(row 2 is 3\)"):
        open_data(shard(tmp_path / "s.tar", samples(b"1", b"2", b"3")))
    (tmp_path / "classes.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ExunoError, match=r"classes\.txt is damaged: it is not UTF-8"):
        open_data(f"wds:{tmp_path}/s.tar")


def test_what_is_left_out_is_told_once(tmp_path: Path, capsys) -> None:
    members = [
        *samples(b"0", b"1"),
        ("7.cls", b"1"),
        ("8.cls", b"1"),
        ("000.seg.png", b""),
        ("._000.jpg", b""),
        ("README", b""),
    ]
    spec = shard(tmp_path / "s.tar", members)
    assert len(open_data(spec)) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "2 without a key (._000.jpg, …), 2 .cls without images (7.cls, …), 1 .seg.png (000.seg.png)" in told
    open_data(spec, "test")
    assert capsys.readouterr().err == ""


def test_captions_are_no_labels(tmp_path: Path, capsys) -> None:
    spec = shard(tmp_path / "s.tar", samples(b"a cat", b"two dogs", extension="txt"))
    data = open_data(spec)
    assert (data.num_classes, data.fetch(np.arange(2))[1].tolist()) == (0, [-1, -1])
    assert "2 .txt (000.txt, …); 000.txt is no label but 'a cat'" in capsys.readouterr().err


def test_labels_from_1_are_told(tmp_path: Path, capsys) -> None:
    assert open_data(shard(tmp_path / "s.tar", samples(b"1", b"2", b"3"))).num_classes == 4
    assert "1 of 4 classes has no image (0); if they count from 1, subtract 1" in capsys.readouterr().err


def test_links_are_left_out(tmp_path: Path, capsys) -> None:
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        for i, kind in enumerate((tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE)):
            entry = tarfile.TarInfo(f"{i}.jpg")
            entry.type, entry.linkname = kind, "0.jpg" if i else ""
            entry.size = 0 if i else len(JPEG)
            tar.addfile(entry, None if i else io.BytesIO(JPEG))
    assert len(open_data(f"wds:{tmp_path}/s.tar")) == 1
    assert "2 links (1.jpg, …)" in capsys.readouterr().err


def test_one_image_of_each_key_is_chosen(tmp_path: Path, capsys) -> None:
    one, other = image("PNG", 10), image("PNG", 200)
    members = [(f"{i}.{side}.png", content) for i in range(2) for side, content in (("left", one), ("Right", other))]
    spec = shard(tmp_path / "s.tar", [*members, ("0.cls", b"1"), ("1.cls", b"0")])
    for side, shade in (("left", 10), ("right", 200)):
        data = open_data(f"{spec}@{side}.png")
        assert [each.max() for each in data.fetch(np.arange(2))[0]] == [shade, shade]
        assert data.fetch(np.arange(2))[1].tolist() == [1, 0]
    assert open_data(f"{spec}@left.png").fingerprint() != data.fingerprint()
    assert "2 .left.png" in capsys.readouterr().err
    with pytest.raises(ExunoError, match=r"no images \.up\.png in .*, but 2 \.left\.png without images"):
        open_data(f"{spec}@up.png")


def test_a_name_with_an_at_sign(tmp_path: Path) -> None:
    assert len(open_data(shard(tmp_path / "s@home.tar", samples(b"0", b"1")))) == 2
    assert len(open_data(f"wds:{tmp_path}/s@*.tar")) == 2


def test_recordings_and_videos_know_the_same_labels(tmp_path: Path) -> None:
    import wave

    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(2000))
    shard(tmp_path / "s.tar", [("a.wav", stream.getvalue()), ("a.json", b'{"label": 3}')])
    assert open_data(f"recordings:{tmp_path}/s.tar").fetch(np.array([0]))[1].tolist() == [3]


def test_a_gzip_with_a_wrong_byte(tmp_path: Path) -> None:
    import gzip

    shard(tmp_path / "s.tar", samples(b"0", b"1"))
    content = bytearray(gzip.compress((tmp_path / "s.tar").read_bytes()))
    content[content.index(b"\0", 10) + 1] = 0xFF  # behind the name of the file: a block of no known kind
    (tmp_path / "s.tar.gz").write_bytes(content)
    with pytest.raises(ExunoError, match="not a whole tar"):
        open_data(f"wds:{tmp_path}/s.tar.gz")


def test_plain_jpeg_takes_the_fast_way(tmp_path: Path, monkeypatch) -> None:
    assert plain_size(JPEG) == (8, 9)
    data = open_data(shard(tmp_path / "s.tar", samples(b"0")))
    slow = picture.stored(JPEG, "it")
    assert isinstance(slow, np.ndarray)
    monkeypatch.setattr(picture, "stored", None)
    assert np.array_equal(data.fetch(np.array([0]))[0][0].permute(1, 2, 0).numpy(), slow)


@given(st.integers(0, 10**6), st.sampled_from(["{}", "{}.0", " {}\n", "+{}", "{}e0"]))
def test_every_way_to_write_a_number(number: int, form: str) -> None:
    assert parse(form.format(number).encode(), "cls", {}) == number


@given(st.binary(max_size=60), st.sampled_from(["cls", "txt", "json", "npy", "cls.npy", "label.json"]))
def test_a_label_is_a_number_or_refused(content: bytes, extension: str) -> None:
    try:
        found = parse(content, extension, {"a": 1})
    except NoLabel:
        found = 0
    assert found >= 0


def test_the_command_line_names_the_member(fails, tmp_path: Path) -> None:
    spec = shard(tmp_path / "s.tar", samples(b"0", b"cat"))
    told = fails("teach", "--data", spec, "--model", "exuno:resnet8", "--run-dir", tmp_path / "run")
    assert "001.cls is 'cat'" in told
    assert "classes.txt" in told


def synthesised(folder: Path) -> Path:
    """Shards of patches, with checksums."""
    args = ["synth", "photo:coffee", "--count", "12", "--size", "8", "--container", "wds", "--workers", "1"]
    assert main([*args, "--format", "jpeg", "--out", str(folder)]) == 0
    return folder / "000000.tar"


def test_every_flipped_bit_in_a_shard_of_ours_that_matters_is_noticed(tmp_path: Path) -> None:
    shard = synthesised(tmp_path / "s")
    whole = shard.read_bytes()
    right = [image.clone() for image in open_data(f"wds:{shard}").fetch(np.arange(12))[0]]
    noticed = 0
    for bit in np.random.default_rng(0).choice(8 * len(whole), 150, replace=False).tolist():
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        shard.write_bytes(content)
        try:
            found = open_data(f"wds:{shard}").fetch(np.arange(12))[0]
        except ExunoError:
            noticed += 1
        else:  # in the zeros that fill a block up
            assert all(torch.equal(a, b) for a, b in zip(found, right, strict=True))
            assert whole[bit // 8] == 0
    assert noticed > 50


def test_a_flipped_header_is_not_taken_for_the_end(tmp_path: Path) -> None:
    path = tmp_path / "s.tar"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for number in range(3):
            for name, content in ((f"{number}.jpg", JPEG), (f"{number}.cls", b"0")):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    content = bytearray(path.read_bytes())
    content[content.index(b"2.jpg")] ^= 1
    path.write_bytes(content)
    with pytest.raises(ExunoError, match="not a whole tar file"):
        open_data(f"wds:{path}")


def test_bombs_are_refused_before_they_are_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ExunoError, match="EXUNO_MAX_FILES"):
        open_data("wds:{000..999999999999}.tar")
    with pytest.raises(ExunoError, match="EXUNO_MAX_FILES"):
        open_data("wds:" + "{0..999}" * 3 + ".tar")
    monkeypatch.setenv("EXUNO_MAX_BYTES", "1e6")
    (tmp_path / "s.tar.gz").write_bytes(gzip.compress(bytes(5_000_000)))
    with pytest.raises(ExunoError, match="set EXUNO_MAX_BYTES"):
        open_data(f"wds:{tmp_path / 's.tar.gz'}")


def test_small_pictures_of_one_size_keep_it_as_in_a_folder(tmp_path: Path) -> None:
    data = open_data(shard(tmp_path / "small.tar", samples(b"0", b"1")))
    assert (data.image_size, data.resize) == ((8, 9), None)
    stream = io.BytesIO()
    Image.new("RGB", (100, 9)).save(stream, "PNG")
    large = open_data(shard(tmp_path / "large.tar", [("0.png", stream.getvalue()), ("0.cls", b"0")]))
    assert (large.image_size, large.resize) == ((224, 224), 256)

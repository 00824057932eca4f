"""The one decoder: the same file gives the same pixels whoever reads it, the right ones, or the same sentence."""

import io
import struct
import tarfile
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from exuno.data.constants import PICTURES
from exuno.data.images.deep import SUFFIXES, split_bits
from exuno.data.images.photo import is_photo, load_photo, photo_sha256
from exuno.data.images.picture import decode
from exuno.data.open import open_data
from exuno.engine.errors import ExunoError

SIDE = 64
RAMP = np.linspace(0, 65535, SIDE * SIDE).astype(np.uint16).reshape(SIDE, SIDE)
EIGHT = np.rint(RAMP / 257).astype(np.uint8)
COLOUR = np.stack([RAMP, RAMP[::-1], RAMP.T], -1)
CLEAR = np.zeros((SIDE, SIDE, 4), np.uint8)
CLEAR[6:18, 6:18] = [255, 0, 0, 255]
ON_WHITE = np.where(CLEAR[..., 3:] == 0, 255, CLEAR[..., :3]).astype(np.uint8)


def saved(image: Image.Image, format: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def opencv(suffix: str, values: np.ndarray) -> bytes:
    done, content = cv2.imencode(
        suffix, values[..., [2, 1, 0, *range(3, values.shape[2])]] if values.ndim == 3 else values
    )
    assert done
    return content.tobytes()


def translucent(opacity: float) -> bytes:
    """A TIFF of floats, one pixel of which has this opacity."""
    values = np.full((8, 8, 4), 0.5, np.float32)
    values[1, 2, 3] = opacity
    return opencv(".tiff", values)


def tiff(values: np.ndarray, sample: int = 1, photometric: int = 1, orientation: int = 1) -> bytes:
    """An uncompressed TIFF of any numbers in their byte order; ``sample`` 1: unsigned, 2: signed, 3: floats."""
    order = ">" if values.dtype.byteorder == ">" else "<"
    count = values.shape[2] if values.ndim == 3 else 1
    data = values.tobytes()
    ifd = 8 + len(data)
    tags = [
        (256, 4, 1, values.shape[1]), (257, 4, 1, values.shape[0]), (258, 3, count, values.dtype.itemsize * 8),
        (259, 3, 1, 1), (262, 3, 1, 2 if count > 2 else photometric), (273, 4, 1, 8), (274, 3, 1, orientation),
        (277, 3, 1, count), (278, 4, 1, values.shape[0]), (279, 4, 1, len(data)), (339, 3, count, sample),
    ]  # fmt: skip
    body, more = struct.pack(order + "H", len(tags)), b""
    for tag, kind, number, value in tags:
        each = struct.pack(order + ("H" if kind == 3 else "I"), value) * number
        if len(each) > 4:
            each, more = struct.pack(order + "I", ifd + 6 + 12 * len(tags) + len(more)), more + each
        body += struct.pack(order + "HHI", tag, kind, number) + each.ljust(4, b"\0")
    return (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, ifd) + data + body + bytes(4) + more


def png(values: np.ndarray, colour: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG file of 16 bits a channel; ``colour`` 0: gray, 2: RGB, 4: gray and opacity, 6: RGB and opacity."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, colour, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    parts = [(b"IHDR", head), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def grey(pixels: np.ndarray) -> np.ndarray:
    return np.repeat(pixels[..., None], 3, 2)


def colours(values: np.ndarray) -> np.ndarray:
    return np.rint(values / 257).astype(np.uint8)


HALF = np.concatenate([COLOUR, np.full((SIDE, SIDE, 1), 32768, np.uint16)], -1)
GRAY_ON_WHITE = np.where(CLEAR[..., 3:] == 0, 255, 255 - (255 - 38) * 127 / 255).repeat(3, 2).round()
HALF_ON_WHITE = np.rint(255 - (255 - colours(COLOUR).astype(float)) * (32768 / 65535)).astype(np.uint8)
EXPECTED: dict[str, tuple[bytes, np.ndarray]] = {
    "16-bit PNG": (saved(Image.fromarray(RAMP), "PNG"), grey(EIGHT)),
    "16-bit TIFF": (saved(Image.fromarray(RAMP), "TIFF"), grey(EIGHT)),
    "16-bit TIFF, big-endian": (tiff(RAMP.astype(">u2")), grey(EIGHT)),
    "16-bit TIFF, 0 is white": (tiff(RAMP, photometric=0), grey(255 - EIGHT)),
    "16-bit TIFF, signed": (tiff((RAMP // 2).astype(np.int16), 2), grey(np.rint(RAMP // 2 / 32767 * 255))),
    "16-bit RGB PNG": (opencv(".png", COLOUR), colours(COLOUR)),
    "16-bit RGB TIFF": (opencv(".tiff", COLOUR), colours(COLOUR)),
    "16-bit RGB TIFF, big-endian": (tiff(COLOUR.astype(">u2")), colours(COLOUR)),
    "16-bit RGB PPM": (b"P6\n# made up\n64 64\n65535\n" + COLOUR.astype(">u2").tobytes(), colours(COLOUR)),
    "12-bit RGB PPM": (b"P6 64 64 4095\n" + (COLOUR // 16).astype(">u2").tobytes(), np.rint(COLOUR // 16 / 4095 * 255)),
    "12-bit PGM": (b"P5 64 64 4095\n" + (RAMP // 16).astype(">u2").tobytes(), grey(np.rint(RAMP // 16 / 4095 * 255))),
    "16-bit RGBA PNG": (opencv(".png", HALF), HALF_ON_WHITE),
    "16-bit gray PNG with opacity": (
        png(np.stack([RAMP, HALF[..., 3]], -1), 4),
        grey(np.rint(255 - (255 - EIGHT.astype(float)) * (32768 / 65535))),
    ),
    "16-bit PNG with a colour that is clear": (
        png(RAMP, 0, (b"tRNS", struct.pack(">H", int(RAMP[3, 3])))),
        grey(np.where(RAMP[3, 3] == RAMP, 255, EIGHT)),
    ),
    "16-bit RGB PNG with a colour that is clear": (
        png(COLOUR, 2, (b"tRNS", struct.pack(">HHH", *COLOUR[3, 3].tolist()))),
        np.where((COLOUR[3, 3] == COLOUR).all(-1, keepdims=True), 255, colours(COLOUR)),
    ),
    "32-bit TIFF": (tiff(RAMP.astype(np.uint32)), grey(EIGHT)),
    "32-bit TIFF, very high": (tiff(RAMP.astype(np.uint32) * 65537), grey(EIGHT)),
    "32-bit RGB TIFF": (tiff(COLOUR.astype(np.uint32)), colours(COLOUR)),
    "float TIFF": (tiff((RAMP / 65535).astype(np.float32), 3), grey(EIGHT)),
    "double TIFF": (tiff(RAMP / 65535 * 255, 3), grey(np.rint(RAMP / 257).astype(np.uint8))),
    "float RGB TIFF": (tiff((COLOUR / 65535).astype(np.float32), 3), colours(COLOUR)),
    "RGBA": (saved(Image.fromarray(CLEAR), "PNG"), ON_WHITE),
    "palette with a clear colour": (saved(Image.fromarray(CLEAR).quantize(4), "PNG"), ON_WHITE),
    "WebP with opacity": (saved(Image.fromarray(CLEAR), "WEBP", lossless=True), ON_WHITE),
    "gray with opacity": (saved(Image.fromarray(CLEAR // 2, "RGBA").convert("LA"), "PNG"), GRAY_ON_WHITE),
    "gray with a clear colour": (saved(Image.new("L", (8, 8), 7), "PNG", transparency=7), np.full((8, 8, 3), 255)),
    "1 bit": (saved(Image.fromarray(EIGHT > 99), "PNG"), grey(np.where(EIGHT > 99, 255, 0))),
    "CMYK": (saved(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "TIFF"), np.full((8, 8, 3), [255, 0, 0])),
    "animation": (
        saved(Image.new("RGB", (8, 8), (1, 2, 3)), "PNG", save_all=True, append_images=[Image.new("RGB", (8, 8))]),
        np.full((8, 8, 3), [1, 2, 3]),
    ),
}  # fmt: skip


def folder_and_shard(tmp_path: Path, content: bytes, suffix: str = ".png", bits: str = ""):
    """The first image of ``folder:`` and of ``wds:``, which hold the same file."""
    (tmp_path / "d").mkdir()
    (tmp_path / f"d/a{suffix}").write_bytes(content)
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        tar.add(tmp_path / f"d/a{suffix}", f"a{suffix}")
    for spec in (f"folder:{tmp_path}/d{bits}", f"wds:{tmp_path}/s.tar{bits}"):
        yield spec, lambda spec=spec: open_data(spec).fetch(np.array([0]))[0][0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("kind", EXPECTED)
def test_every_reader_finds_the_same_pixels(kind: str, tmp_path: Path) -> None:
    content, expected = EXPECTED[kind]
    assert np.array_equal(decode(content, "it"), expected)
    for _, fetch in folder_and_shard(tmp_path, content):
        assert np.array_equal(fetch(), expected)
    assert np.array_equal(load_photo(tmp_path / "d/a.png"), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("gray", [True, False])
def test_deep_pictures_are_turned_as_flat_ones(gray: bool, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    values = COLOUR[:12, :, 0] if gray else COLOUR[:12]
    expected = decode(saved(Image.fromarray(colours(values)), "PNG", exif=exif), "it")
    chunk = b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")
    assert np.array_equal(decode(png(values, 0 if gray else 2, chunk), "it"), expected)
    assert np.array_equal(decode(tiff(values, orientation=orientation), "it"), expected)


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
@pytest.mark.parametrize("form", [".png", ".tiff", "rgb.png", "rgb.tiff", ".jp2", "rgb.jp2", ".ppm"])
def test_fewer_bits_in_files_of_16(bits: int, form: str, tmp_path: Path, capsys) -> None:
    values = (COLOUR if "rgb" in form or form == ".ppm" else RAMP) >> (16 - bits)
    suffix = "." + form.rpartition(".")[2]
    content = b"P6 64 64 65535\n" + values.astype(">u2").tobytes() if suffix == ".ppm" else opencv(suffix, values)
    expected = np.rint(values / (2**bits - 1) * 255).astype(np.uint8)
    expected = grey(expected) if expected.ndim == 2 else expected
    for spec, fetch in folder_and_shard(tmp_path, content, suffix):
        assert fetch().max() <= 64
        told = capsys.readouterr().err
        assert told.count("\n") == 1
        assert f"{spec}@{bits}bit takes {2**bits - 1:,} for white" in told
        open_data(spec, "test")  # the other split
        assert capsys.readouterr().err == ""
        assert np.array_equal(open_data(f"{spec}@{bits}bit").fetch(np.array([0]))[0][0].permute(1, 2, 0), expected)
        assert open_data(f"{spec}@{bits}bit").fingerprint() != open_data(spec).fingerprint()
        with pytest.raises(ExunoError, match=rf"values up to .*, and {bits - 1} bits end at"):
            open_data(f"{spec}@{bits - 1}bit").fetch(np.array([0]))
    photo = tmp_path / f"d/a{suffix}"
    load_photo(photo)
    assert f"{photo}@{bits}bit" in capsys.readouterr().err
    assert np.array_equal(load_photo(f"{photo}@{bits}bit"), expected)
    assert capsys.readouterr().err == ""
    assert photo_sha256(f"{photo}@{bits}bit") != photo_sha256(photo)
    assert is_photo(f"{photo}@{bits}bit")


def test_16_bits_that_are_used_are_not_spoken_of(tmp_path: Path, capsys) -> None:
    for _, fetch in folder_and_shard(tmp_path, EXPECTED["16-bit PNG"][0]):
        fetch()
    load_photo(tmp_path / "d/a.png")
    assert capsys.readouterr().err == ""


def test_a_deep_picture_among_many_flat_ones_is_found(tmp_path: Path, capsys) -> None:
    for i in range(200):
        (tmp_path / f"{i}.jpg").write_bytes(b"never opened")
    (tmp_path / "z.png").write_bytes(opencv(".png", RAMP >> 4))
    open_data(f"folder:{tmp_path}")
    assert "@12bit" in capsys.readouterr().err


def test_12_bits_that_are_packed() -> None:
    values = RAMP >> 4
    first, second = values.reshape(-1, 2).T
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], -1).astype(np.uint8)
    content = bytearray(tiff(packed.reshape(SIDE, SIDE * 3 // 2)))
    for old, new in (((256, 4, 1, SIDE * 3 // 2), (256, 4, 1, SIDE)), ((258, 3, 1, 8), (258, 3, 1, 12))):
        at = content.index(struct.pack("<HHII", *old))
        content[at : at + 12] = struct.pack("<HHII", *new)
    assert np.array_equal(decode(bytes(content), "it")[..., 0], np.rint(values / 4095 * 255))


def test_values_below_0_get_an_error_and_no_hint(tmp_path: Path, capsys) -> None:
    for _, fetch in folder_and_shard(tmp_path, BROKEN["below 0"][0]):
        with pytest.raises(ExunoError, match="go from -1000"):
            fetch()
    assert capsys.readouterr().err == ""


def test_bits_that_do_nothing_are_told(tmp_path: Path, capsys) -> None:
    for _, fetch in folder_and_shard(tmp_path, EXPECTED["RGBA"][0], bits="@12bit"):
        assert np.array_equal(fetch(), ON_WHITE)
        assert "@12bit does nothing" in capsys.readouterr().err


def test_12_bit_colours_may_have_an_opacity_of_16(tmp_path: Path) -> None:
    values = np.concatenate([COLOUR >> 4, np.full((SIDE, SIDE, 1), 65535, np.uint16)], -1)
    assert np.array_equal(decode(opencv(".png", values), "it", 12), np.rint((COLOUR >> 4) / 4095 * 255))


@given(st.integers(8, 16), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_bits_scale_by_their_highest_number(bits: int, seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 2**bits, (5, 7)).astype(np.uint16)
    found = decode(opencv(".png", values), "it", bits)
    assert np.array_equal(found[..., 0], np.rint(values / (2**bits - 1) * 255))


def test_what_names_bits(tmp_path: Path) -> None:
    assert split_bits("a/b.png@12bit") == ("a/b.png", 12)
    assert split_bits("a@home/b.png") == ("a@home/b.png", None)
    (tmp_path / "b@12bit").mkdir()
    assert split_bits(f"{tmp_path}/b@12bit") == (f"{tmp_path}/b@12bit", None)
    with pytest.raises(ExunoError, match="asks for 40 bits"):
        split_bits("a.png@40bit")


BROKEN = {
    "web page": (b"\xef\xbb\xbf\n<!DOCTYPE html>\n<html><body>404", "is a web page, not a picture"),
    "web page of XML": (b'<?xml version="1.0"?>\n<html xmlns="http://www.w3.org/1999/xhtml">', "is a web page"),
    "drawing": (b'<svg xmlns="http://www.w3.org/2000/svg"></svg>', "is a drawing in SVG"),
    "LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "Git LFS pointer.*git lfs pull"),
    "annex": (b"/annex/objects/SHA256E-s5--00.jpg\n", "pointer of git-annex"),
    "empty": (b"", "is an empty file"),
    "zeros": (bytes(5000), "nothing but zeros"),
    "text": (b'{"error": "not found"}', 'is a text, .*begins with \'{"error"'),
    "HEIC": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "is a HEIC picture"),
    "PDF": (b"%PDF-1.7\n", "is a PDF"),
    "noise": (bytes(range(255, 100, -1)), "is not a picture of a known format"),
    "half a PNG": (EXPECTED["RGBA"][0][:60], "damaged or incomplete"),
    "half a deep PNG": (EXPECTED["16-bit RGB PNG"][0][:-300], "damaged or incomplete"),
    "half a PPM": (EXPECTED["16-bit RGB PPM"][0][:-300], "damaged or incomplete"),
    "odd TIFF": (tiff(np.zeros((8, 8, 5), np.uint16)), "is a kind of TIFF that is not read"),
    "below 0": (tiff((RAMP >> 4).astype(np.int16) - 1000, 2), "go from -1000 to 3095.*lowest is 0"),
    "floats": (tiff((RAMP >> 4).astype(np.float32), 3), "go from 0 to 4095"),
    "no numbers": (tiff(np.full((8, 8), np.nan, np.float32), 3), "infinite or not a number"),
    "infinite": (tiff(np.full((8, 8, 3), np.inf, np.float32), 3), "infinite or not a number"),
    "opacity NaN": (translucent(np.nan), "has an opacity that is no number from 0 to 255"),
    "opacity infinite": (translucent(np.inf), "has an opacity that is no number from 0 to 255"),
    "opacity below 0": (translucent(-1), "has an opacity that is no number from 0 to 255"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_no_picture_says_what_it_is_and_where(kind: str, tmp_path: Path) -> None:
    content, told = BROKEN[kind]
    for spec, fetch in folder_and_shard(tmp_path, content, ".tif"):
        with pytest.raises(ExunoError, match=rf"(?s)a\.tif.*{told}") as error:
            fetch()
        assert ("s.tar" in str(error.value)) == spec.startswith("wds:")
    with pytest.raises(ExunoError, match=rf"(?s)a\.tif.*{told}"):
        load_photo(tmp_path / "d/a.tif")


WRITTEN = {".jif": "JPEG", ".psd": None, ".pfm": None, ".ras": None}
"""The format of a suffix where Pillow has no own one; None: nothing here writes it."""


@pytest.mark.parametrize("suffix", [suffix for suffix in PICTURES if WRITTEN.get(suffix, "") is not None])
def test_every_suffix_is_read(suffix: str, tmp_path: Path) -> None:
    format = WRITTEN.get(suffix) or Image.registered_extensions()[suffix]
    Image.init()
    if format not in Image.SAVE:
        pytest.skip(f"this Pillow writes no {format}")
    image = Image.fromarray(np.full((20, 30, 3), 255, np.uint8))
    (tmp_path / f"train{suffix}").write_bytes(saved(image.convert("1") if suffix == ".pbm" else image, format))
    [image] = open_data(f"folder:{tmp_path}").fetch(np.array([0]))[0]
    assert image.shape == (3, 20, 30)
    assert image.min() > 250
    assert is_photo(f"a{suffix.upper()}")


def test_deep_suffixes_are_pictures() -> None:
    assert set(SUFFIXES) < set(PICTURES)


def test_images_of_torchvision_take_the_same_way() -> None:
    from exuno.data.images.torchvision import _Decoded

    class Found:
        targets = (0, 1)
        images = (Image.fromarray(RAMP), Image.fromarray(CLEAR))

        def __getitem__(self, position: int) -> tuple[Image.Image, int]:
            return self.images[position], self.targets[position]

    images, _ = _Decoded("torchvision:made", Found()).fetch(np.arange(2))
    assert np.array_equal(images[0].permute(1, 2, 0), grey(EIGHT))
    assert np.array_equal(images[1].permute(1, 2, 0), ON_WHITE)

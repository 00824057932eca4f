"""Plain JPEG files, which take the fast way: the pixels of Pillow; and everything else, which must not take it."""

import io

import numpy as np
import pytest
from PIL import Image

from exuno.data.images import picture
from exuno.data.images.photo import load_photo
from exuno.data.images.picture import plain_size
from exuno.engine.errors import ExunoError

RNG = np.random.default_rng(0)
SMOOTH = np.asarray(
    Image.fromarray(RNG.integers(0, 256, (7, 9, 3), np.uint8)).resize((61, 43), Image.Resampling.BICUBIC)
)


def jpeg(image: Image.Image, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", **options)
    return stream.getvalue()


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return jpeg(RGB, exif=exif)


RGB = Image.fromarray(SMOOTH)
GOOD = jpeg(RGB, quality=90)
PLAIN = {
    "usual": GOOD,
    "progressive": jpeg(RGB, progressive=True),
    "without chroma subsampling": jpeg(RGB, subsampling=0, quality=100),
    "coarse chroma": jpeg(RGB, subsampling=2),
    "stored as RGB": jpeg(RGB, keep_rgb=True),
    "gray": jpeg(RGB.convert("L")),
    "with an upright tag": turned(1),
    "with a profile and a comment": jpeg(RGB, icc_profile=b"x" * 300, comment=b"\xff\xd9 not the end"),
}
OTHER = {
    "turned": turned(6),
    "mirrored": turned(2),
    "CMYK": jpeg(RGB.convert("CMYK")),
    "cut off": GOOD[:-1],
    "half": GOOD[: len(GOOD) // 2],
    "followed by something": GOOD + b"\0",
    "without a scan": GOOD[: GOOD.index(b"\xff\xda")] + b"\xff\xd9",
    "without a frame": b"\xff\xd8\xff\xda" + GOOD[-40:],
    "nothing but a start and an end": b"\xff\xd8\xff\xd9",
    "no image": b"not a picture",
    "empty": b"",
}


@pytest.mark.parametrize("kind", PLAIN)
def test_the_fast_way_gives_the_pixels_of_pillow(kind, tmp_path, monkeypatch) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(PLAIN[kind])
    assert plain_size(PLAIN[kind]) == (43, 61)
    by_pillow = picture.stored(PLAIN[kind], "a.jpg")
    assert isinstance(by_pillow, np.ndarray)
    monkeypatch.setattr(picture, "stored", None)
    found = load_photo(path)
    assert found.dtype == np.uint8
    assert np.array_equal(found, by_pillow)


@pytest.mark.parametrize("kind", OTHER)
def test_all_else_goes_to_pillow(kind) -> None:
    assert plain_size(OTHER[kind]) is None


def test_a_turned_file_is_turned(tmp_path) -> None:
    (tmp_path / "a.jpg").write_bytes(OTHER["turned"])
    assert load_photo(tmp_path / "a.jpg").shape == (61, 43, 3)


def test_a_broken_table_gets_the_message_of_pillow(tmp_path) -> None:
    content = bytearray(GOOD)
    table = GOOD.index(b"\xff\xc4") + 5
    content[table : table + 25] = b"\xff" * 25
    assert plain_size(bytes(content)) is not None
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(ExunoError, match="damaged or incomplete"):
        load_photo(tmp_path / "a.jpg")


def test_a_bomb_is_left_to_pillow(monkeypatch) -> None:
    monkeypatch.setenv("EXUNO_MAX_PIXELS", str(43 * 61 - 1))
    assert plain_size(GOOD) is None

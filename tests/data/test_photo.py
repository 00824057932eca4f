"""Pictures of every kind become uint8 RGB; what is none gets a message."""

import hashlib

import numpy as np
import pytest
from PIL import Image

from exuno.data.images.photo import EMBEDDED, load_photo, photo_sha256
from exuno.engine.errors import ExunoError

RGB = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)


@pytest.mark.parametrize("name", EMBEDDED)
def test_every_embedded_photograph_loads(name):
    photo = load_photo(f"photo:{name}")
    assert photo.ndim == 3
    assert photo.shape[2] == 3
    assert photo.dtype == np.uint8
    assert photo.std() > 0


def test_noise_is_a_function_of_its_seed():
    assert load_photo("noise:3").shape == (512, 512, 3)
    assert (load_photo("noise:3") == load_photo("noise:3")).all()
    assert (load_photo("noise:3") != load_photo("noise:4")).any()
    assert photo_sha256("noise:3") != photo_sha256("noise:4")


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "webp"])
def test_lossless_formats_give_back_the_pixels(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(RGB).save(path, lossless=True)
    assert (load_photo(path) == RGB).all()
    assert photo_sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_exif_rotation(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it rotated by 90 degrees clockwise
    Image.fromarray(RGB).save(tmp_path / "a.png", exif=exif)
    assert (load_photo(tmp_path / "a.png") == np.rot90(RGB, -1)).all()


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_16_bits_are_scaled_and_not_clipped(tmp_path, suffix):
    gray = np.arange(0, 65536, 64, dtype=np.uint16).reshape(32, 32)
    Image.fromarray(gray).save(tmp_path / f"a.{suffix}")
    photo = load_photo(tmp_path / f"a.{suffix}")
    assert (photo[..., 0] == np.rint(gray / 257)).all()
    assert (photo[..., 0] == photo[..., 2]).all()


def test_float_tiff(tmp_path):
    ramp = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    Image.fromarray(ramp).save(tmp_path / "a.tiff")
    assert (load_photo(tmp_path / "a.tiff")[..., 0] == np.rint(ramp * 255)).all()
    Image.fromarray(ramp * 1000).save(tmp_path / "b.tiff")
    with pytest.raises(ExunoError, match="1000"):
        load_photo(tmp_path / "b.tiff")
    Image.fromarray(ramp * np.nan).save(tmp_path / "c.tiff")
    with pytest.raises(ExunoError, match="not a number"):
        load_photo(tmp_path / "c.tiff")


def test_transparency_is_laid_on_white(tmp_path):
    rgba = np.zeros((4, 4, 4), np.uint8)
    rgba[:2] = [10, 20, 30, 255]
    Image.fromarray(rgba).save(tmp_path / "a.png")
    photo = load_photo(tmp_path / "a.png")
    assert (photo[0, 0] == [10, 20, 30]).all()
    assert (photo[3, 3] == 255).all()


@pytest.mark.parametrize(("mode", "suffix"), [("P", "png"), ("L", "png"), ("1", "png"), ("CMYK", "jpg"), ("LA", "png")])
def test_other_modes(tmp_path, mode, suffix):
    picture = Image.fromarray(RGB).convert("L" if mode in ("1", "LA") else "RGB").convert(mode)
    picture.save(tmp_path / f"a.{suffix}")
    photo = load_photo(tmp_path / f"a.{suffix}")
    assert photo.shape == (20, 30, 3)
    assert photo.dtype == np.uint8
    if mode != "CMYK":
        assert (photo == np.asarray(picture.convert("RGB"))).all()


def test_one_pixel(tmp_path):
    Image.new("RGB", (1, 1), (1, 2, 3)).save(tmp_path / "a.png")
    assert load_photo(tmp_path / "a.png").tolist() == [[[1, 2, 3]]]


def test_a_missing_file_gets_a_suggestion(tmp_path):
    (tmp_path / "ameyoko.jpg").touch()
    with pytest.raises(ExunoError, match=r"no picture.*ameyako.*ameyoko\.jpg"):
        load_photo(tmp_path / "ameyako.jpg")
    with pytest.raises(ExunoError, match="photo:NAME"):
        load_photo(tmp_path / "nowhere" / "a.jpg")


def test_what_is_no_picture(tmp_path):
    with pytest.raises(ExunoError, match="folder"):
        load_photo(tmp_path)
    (tmp_path / "a.jpg").write_bytes(b"not a picture")
    with pytest.raises(ExunoError, match="known format"):
        load_photo(tmp_path / "a.jpg")
    for suffix in ("jpg", "png"):
        Image.fromarray(RGB).save(tmp_path / f"b.{suffix}")
        data = (tmp_path / f"b.{suffix}").read_bytes()
        (tmp_path / f"b.{suffix}").write_bytes(data[: len(data) * 2 // 3])
        with pytest.raises(ExunoError, match="damaged or incomplete"):
            load_photo(tmp_path / f"b.{suffix}")


def test_a_decompression_bomb(tmp_path, monkeypatch):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    monkeypatch.setenv("EXUNO_MAX_PIXELS", "100")
    with pytest.raises(ExunoError, match=r"pixels; at most 100 are taken.*EXUNO_MAX_PIXELS"):
        load_photo(tmp_path / "a.png")


def test_unknown_names():
    with pytest.raises(ExunoError, match=r"photo:astronot.*astronaut, brick"):
        load_photo("photo:astronot")
    with pytest.raises(ExunoError, match="noise:0"):
        load_photo("noise:x")

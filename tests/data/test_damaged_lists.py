"""Published data sets whose lists and arrays are damaged or do not belong together."""

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from exuno.data.named.archives import cub200, flowers102, pets37, places365, stl10, tiny_imagenet
from exuno.data.open import open_data
from exuno.data.video.open import ucf101
from exuno.engine.errors import ExunoError


def png(side: int = 4) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (side, side)).save(out, "PNG")
    return out.getvalue()


def mat(name: str, numbers: np.ndarray) -> bytes:
    from scipy.io import savemat

    out = io.BytesIO()
    savemat(out, {name: numbers})
    return out.getvalue()


def fill(root: Path, files: dict[str, Any]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


FLOWERS = {
    **{f"flowers-102/jpg/image_{i:05}.jpg": png() for i in (1, 2, 3)},
    "flowers-102/imagelabels.mat": mat("labels", np.array([[1, 2, 102]])),
    "flowers-102/setid.mat": mat("trnid", np.array([[1, 3]])),
}
PETS = {
    **{f"oxford-iiit-pet/images/{name}_1.jpg": png() for name in ("pug", "boxer")},
    "oxford-iiit-pet/annotations/trainval.txt": "#\npug_1 1 1 1\nboxer_1 2 1 1\n",
}
CUB = {
    **{f"CUB_200_2011/images/00{i}.{name}/a.jpg": png() for i, name in ((1, "A"), (2, "B"))},
    "CUB_200_2011/images.txt": "1 001.A/a.jpg\n2 002.B/a.jpg\n",
    "CUB_200_2011/image_class_labels.txt": "1 1\n2 2\n",
    "CUB_200_2011/train_test_split.txt": "1 1\n2 1\n",
    "CUB_200_2011/classes.txt": "1 001.A\n2 002.B\n",
}
STL = {
    "stl10_binary/test_X.bin": bytes(2 * 3 * 96 * 96),
    "stl10_binary/train_X.bin": bytes(2 * 3 * 96 * 96),
    "stl10_binary/train_y.bin": b"\1\2",
    "stl10_binary/class_names.txt": "a\nb\n",
}
TINY = {
    **{f"tiny-imagenet-200/train/{wnid}/images/0.JPEG": png() for wnid in ("n1", "n2")},
    **{f"tiny-imagenet-200/val/images/{i}.JPEG": png() for i in (0, 1)},
    "tiny-imagenet-200/wnids.txt": "n1\nn2\n",
    "tiny-imagenet-200/words.txt": "n1\tcat\n",
    "tiny-imagenet-200/val/val_annotations.txt": "0.JPEG\tn1\n1.JPEG\tn2\n",
}
PLACES = {
    **{f"data_256/a/{i}.jpg": png() for i in (0, 1)},
    "categories_places365.txt": "/a/airfield 0\n/a/alley 1\n",
    "places365_train_standard.txt": "/a/0.jpg 0\n/a/1.jpg 1\n",
}
UCF = {
    **{f"UCF-101/{name}/v.avi": b"x" for name in ("ApplyEyeMakeup", "Archery")},
    "ucfTrainTestlist/classInd.txt": "1 ApplyEyeMakeup\n2 Archery\n",
    "ucfTrainTestlist/trainlist01.txt": "ApplyEyeMakeup/v.avi 1\nArchery/v.avi 2\n",
}


@pytest.mark.parametrize(
    ("reader", "files", "split", "name", "content"),
    [
        (flowers102, FLOWERS, "train", "flowers-102/setid.mat", mat("trnid", np.array([[1, 9]]))),
        (flowers102, FLOWERS, "train", "flowers-102/imagelabels.mat", mat("lebals", np.array([[1, 2, 102]]))),
        (flowers102, FLOWERS, "train", "flowers-102/imagelabels.mat", mat("labels", np.array([[1, 2, 102]]))[:-9]),
        (pets37, PETS, "train", "oxford-iiit-pet/annotations/trainval.txt", "pug_1 x\n"),
        (pets37, PETS, "train", "oxford-iiit-pet/annotations/trainval.txt", "pug_1\n"),
        (pets37, PETS, "train", "oxford-iiit-pet/annotations/trainval.txt", "pug_1 1\nboxer_1 1\n"),
        (pets37, PETS, "train", "oxford-iiit-pet/annotations/trainval.txt", "pug_1 1\npug_1 2\n"),
        (pets37, PETS, "train", "oxford-iiit-pet/annotations/trainval.txt", ""),
        (cub200, CUB, "train", "CUB_200_2011/train_test_split.txt", "1 1\n"),
        (cub200, CUB, "train", "CUB_200_2011/train_test_split.txt", "1 1\n2 2\n"),
        (cub200, CUB, "train", "CUB_200_2011/images.txt", "1 001.A/a.jpg\n2 002.B/a.jpg\n1 002.B/a.jpg\n"),
        (cub200, CUB, "train", "CUB_200_2011/classes.txt", "2 002.B\n1 001.A\n"),
        (stl10, STL, "train", "stl10_binary/train_X.bin", bytes(27647)),
        (stl10, STL, "train", "stl10_binary/train_X.bin", b""),
        (stl10, STL, "train", "stl10_binary/train_y.bin", b"\1"),
        (stl10, STL, "train", "stl10_binary/class_names.txt", ""),
        (tiny_imagenet, TINY, "train", "tiny-imagenet-200/wnids.txt", "n1\n"),
        (tiny_imagenet, TINY, "train", "tiny-imagenet-200/wnids.txt", "n1\nn2\nn1\n"),
        (tiny_imagenet, TINY, "test", "tiny-imagenet-200/val/val_annotations.txt", "0.JPEG\tn1\n"),
        (tiny_imagenet, TINY, "test", "tiny-imagenet-200/val/val_annotations.txt", "0.JPEG\tn1\n1.JPEG\n"),
        (tiny_imagenet, TINY, "test", "tiny-imagenet-200/val/val_annotations.txt", "0.JPEG\tn1\n1.JPEG\tn9\n"),
        (places365, PLACES, "train", "categories_places365.txt", "/a/alley 1\n/a/airfield 0\n"),
        (places365, PLACES, "train", "categories_places365.txt", ""),
        (places365, PLACES, "train", "places365_train_standard.txt", "/a/0.jpg\n"),
        (places365, PLACES, "train", "places365_train_standard.txt", ""),
        (ucf101, UCF, "train", "ucfTrainTestlist/classInd.txt", "1\n2 Archery\n"),
        (ucf101, UCF, "train", "ucfTrainTestlist/classInd.txt", "1 Archery\n3 ApplyEyeMakeup\n"),
        (ucf101, UCF, "train", "ucfTrainTestlist/trainlist01.txt", "ApplyEyeMakeup/v.avi 2\n"),
        (ucf101, UCF, "train", "ucfTrainTestlist/trainlist01.txt", " \n"),
    ],
)
def test_lists_that_do_not_fit(reader, files, split: str, name: str, content: Any, tmp_path: Path) -> None:
    fill(tmp_path / "whole", files)
    if reader is not ucf101:  # whose videos are none here
        assert len(reader(tmp_path / "whole", split)) == 2
    fill(tmp_path / "damaged", {**files, name: content})
    with pytest.raises(ExunoError) as caught:
        reader(tmp_path / "damaged", split)
    assert "none of the" not in caught.value.what


def test_a_list_of_recordings_that_are_not_there(tmp_path: Path) -> None:
    base = tmp_path / "speech_commands_v0.02"
    fill(base, {f"{word}/0.wav": b"" for word in ("no", "yes")})
    fill(base, {"validation_list.txt": "yes/0.wav\n", "testing_list.txt": "no/0.w"})
    with pytest.raises(ExunoError, match=r"names no/0\.w, which is not there"):
        open_data("speechcommands", "train", root=tmp_path)


def test_what_a_system_left_beside_tiny_imagenet(tmp_path: Path) -> None:
    left = {"train/.ipynb_checkpoints/x": b"", "train/__MACOSX/x": b"", "val/images/._0.JPEG": b"x"}
    fill(tmp_path, {**TINY, **{f"tiny-imagenet-200/{name}": content for name, content in left.items()}})
    assert [len(tiny_imagenet(tmp_path, split)) for split in ("train", "test")] == [2, 2]


def test_links_of_a_benchmark_that_lead_nowhere_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path, TINY)
    (tmp_path / "tiny-imagenet-200/train/n1/images/1.JPEG").symlink_to("../annex/x")
    assert len(tiny_imagenet(tmp_path, "train")) == 2
    assert "1 broken links" in capsys.readouterr().err


def test_files_of_torchvision_in_each_others_places(tmp_path: Path) -> None:
    head = struct.pack(">4i", 2051, 2, 28, 28)
    names = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
    raw = fill(tmp_path / "MNIST/raw", {name: struct.pack(">2i", 2049, 2) + b"\0\1" for name in names})
    fill(raw, {name: head + bytes(2 * 28 * 28) for name in names[::2]})
    assert len(open_data("torchvision:MNIST", root=tmp_path)) == 2
    fill(raw, {names[1]: head + bytes(2 * 28 * 28)})
    with pytest.raises(ExunoError, match="are damaged"):
        open_data("torchvision:MNIST", root=tmp_path)

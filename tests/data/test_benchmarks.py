"""The named data sets, each on a few images laid out as its owners publish it."""

import io
import os
import pickle
import shlex
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from exuno.data.named.benchmarks import BENCHMARKS
from exuno.data.open import open_data
from exuno.engine.errors import ExunoError

RNG = np.random.default_rng(0)


def picture(path: Path, side: int = 20) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 256, (side, side, 3), np.uint8)).save(path)


def cifar(root: Path, name: str) -> np.ndarray:
    """The official files, with few images; returns the test images."""
    folder = root / ("cifar-10-batches-py" if name == "cifar10" else "cifar-100-python")
    folder.mkdir(parents=True)
    test = RNG.integers(0, 256, (4, 3072), np.uint8)
    if name == "cifar10":
        files = {f"data_batch_{i}": {b"data": test[:2], b"labels": [i, 9]} for i in range(1, 6)}
        files |= {"test_batch": {b"data": test, b"labels": [0, 1, 2, 9]}}
        files |= {"batches.meta": {b"label_names": [f"c{i}".encode() for i in range(10)]}}
    else:
        files = {"train": {b"data": test[:2], b"fine_labels": [3, 99], b"coarse_labels": [0, 0]}}
        files |= {"test": {b"data": test, b"fine_labels": [0, 1, 2, 99], b"coarse_labels": [0] * 4}}
        files |= {"meta": {b"fine_label_names": [f"c{i}".encode() for i in range(100)]}}
    for file, content in files.items():
        (folder / file).write_bytes(pickle.dumps(content, 2))
    return test.reshape(-1, 3, 32, 32)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
@pytest.mark.parametrize("packed", [False, True])
def test_cifar_pickles(name: str, packed: bool, tmp_path: Path) -> None:
    expected = cifar(tmp_path, name)
    (folder,) = tmp_path.iterdir()
    if packed:
        archive = "cifar-10-python.tar.gz" if name == "cifar10" else "cifar-100-python.tar.gz"
        with tarfile.open(tmp_path / archive, "w:gz") as tar:
            tar.add(folder, folder.name)
        folder.rename(tmp_path / "elsewhere")
    test = open_data(name, "test", root=tmp_path)
    images, labels = test.fetch(np.arange(4))
    assert np.array_equal(np.asarray(images), expected)
    assert labels.tolist() == [0, 1, 2, test.num_classes - 1]
    assert test.num_classes == BENCHMARKS[name].classes
    assert test.classes is not None
    assert test.classes[1] == "c1"
    assert test.mean == (0.4914, 0.4822, 0.4465)
    assert len(open_data(name, "train", root=tmp_path)) == (10 if name == "cifar10" else 2)


class Attack:
    def __reduce__(self):
        return (os.system, ("exit 1",))


@pytest.mark.parametrize("content", [pickle.dumps(Attack()), b"", b"junk", pickle.dumps({b"data": 3})])
def test_cifar_pickles_run_nothing(content: bytes, tmp_path: Path) -> None:
    cifar(tmp_path, "cifar10")
    (tmp_path / "cifar-10-batches-py/test_batch").write_bytes(content)
    with pytest.raises(ExunoError, match=r"system|cannot be read|other content"):
        open_data("cifar10", "test", root=tmp_path)


def test_cifar_as_npz_or_folders(tmp_path: Path) -> None:
    images = RNG.integers(0, 256, (10, 32, 32, 3), np.uint8)
    names = np.array([f"c{i}" for i in range(10)])
    np.savez(tmp_path / "cifar10.npz", test_images=images, test_labels=np.arange(10), class_names=names)
    data = open_data("cifar10", "test", root=tmp_path)
    assert (len(data), data.num_classes, data.mean[0]) == (10, 10, 0.4914)
    for split in ("train", "test"):
        for i in range(10):
            picture(tmp_path / f"png/{split}/c{i}/a.png", 32)
    data = open_data("cifar10", "test", root=tmp_path / "png")
    assert (len(data), data.num_classes, data.image_size, data.std[0]) == (10, 10, (32, 32), 0.2023)


def flowers102(root: Path) -> None:
    from scipy.io import savemat

    base = root / "flowers-102"
    for i in range(1, 7):
        picture(base / f"jpg/image_{i:05}.jpg")
    savemat(base / "imagelabels.mat", {"labels": np.array([[102, 1, 1, 2, 3, 4]], np.uint8)})
    savemat(base / "setid.mat", {"trnid": [[2, 4]], "valid": [[5]], "tstid": [[1, 3, 6]]})


def pets37(root: Path) -> None:
    base = root / "oxford-iiit-pet"
    (base / "annotations").mkdir(parents=True)
    head = "#Image CLASS-ID SPECIES BREED ID\n"
    (base / "annotations/trainval.txt").write_text(head + "Abyssinian_1 1 1 1\nyorkshire_terrier_9 37 2 25\n")
    (base / "annotations/test.txt").write_text("yorkshire_terrier_9 37 2 25\nAbyssinian_1 1 1 1\nAbyssinian_1 1 1 1\n")
    picture(base / "images/Abyssinian_1.jpg")
    picture(base / "images/yorkshire_terrier_9.jpg")


def cub200(root: Path) -> None:
    base = root / "CUB_200_2011"
    names = [f"{i + 1:03}.Bird_{i}" for i in range(200)]
    for i in (0, 1, 2, 199):
        picture(base / f"images/{names[i]}/a.jpg")
    (base / "classes.txt").write_text("".join(f"{i + 1} {name}\n" for i, name in enumerate(names)))
    (base / "images.txt").write_text("".join(f"{k + 1} {names[i]}/a.jpg\n" for k, i in enumerate((0, 1, 199, 199, 2))))
    (base / "image_class_labels.txt").write_text("1 1\n2 2\n3 200\n4 200\n5 3\n")
    (base / "train_test_split.txt").write_text("1 1\n2 0\n3 0\n4 0\n5 1\n")


def stl10(root: Path) -> None:
    base = root / "stl10_binary"
    base.mkdir()
    for split, count in (("train", 2), ("test", 3), ("unlabeled", 4)):
        images = np.zeros((count, 3, 96, 96), np.uint8)
        images[:, 0, 5, 7] = 200  # column 5, row 7 as stored
        images.tofile(base / f"{split}_X.bin")
    np.array([1, 10], np.uint8).tofile(base / "train_y.bin")
    np.array([10, 1, 2], np.uint8).tofile(base / "test_y.bin")
    (base / "class_names.txt").write_text("\n".join(f"c{i}" for i in range(10)) + "\n")


def tiny_imagenet(root: Path) -> None:
    base = root / "tiny-imagenet-200"
    wnids = [f"n{i:08}" for i in range(200)]
    for wnid in (wnids[3], wnids[199]):
        picture(base / f"train/{wnid}/images/{wnid}_0.JPEG", 64)
    for i in range(3):
        picture(base / f"val/images/val_{i}.JPEG", 64)
    (base / "wnids.txt").write_text("\n".join(reversed(wnids)))
    (base / "words.txt").write_text("".join(f"{wnid}\tthing {i}, other\n" for i, wnid in enumerate(wnids)))
    rows = [f"val_{i}.JPEG\t{wnids[label]}\t0\t0\t5\t5\n" for i, label in enumerate((199, 0, 3))]
    (base / "val/val_annotations.txt").write_text("".join(rows))


def places365(root: Path) -> None:
    names = [f"/p/place_{i}" for i in range(365)]
    (root / "categories_places365.txt").write_text("".join(f"{name} {i}\n" for i, name in enumerate(names)))
    (root / "places365_train_standard.txt").write_text("/p/place_0/1.jpg 0\n/p/place_364/1.jpg 364\n")
    (root / "places365_val.txt").write_text("v1.jpg 364\nv2.jpg 0\nv3.jpg 1\n")
    for path in ("data_256/p/place_0/1.jpg", "data_256/p/place_364/1.jpg", *(f"val_256/v{i}.jpg" for i in (1, 2, 3))):
        picture(root / path)


def imagenet(root: Path, count: int = 1000, inside: str = "ILSVRC/Data/CLS-LOC") -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 20)).save(buffer, "JPEG")
    for i in range(count):
        for split in ("train", "val"):
            folder = root / inside / split / f"n{i:08}"
            folder.mkdir(parents=True)
            if split == "train" and i in (0, count - 1):
                (folder / "a.JPEG").write_bytes(buffer.getvalue())
            if split == "val" and i in (0, 1, count - 1):
                (folder / "v.JPEG").write_bytes(buffer.getvalue())


def in100(root: Path) -> None:
    imagenet(root, 100, ".")


@pytest.mark.parametrize(
    ("name", "make", "labels"),
    [
        ("flowers102", flowers102, [101, 0, 3]),
        ("pets37", pets37, [36, 0, 0]),
        ("cub200", cub200, [1, 199, 199]),
        ("stl10", stl10, [9, 0, 1]),
        ("tiny-imagenet", tiny_imagenet, [199, 0, 3]),
        ("places365", places365, [364, 0, 1]),
        ("imagenet", imagenet, [0, 1, 999]),
        ("in100", in100, [0, 1, 99]),
    ],
)
def test_archives(name: str, make, labels: list[int], tmp_path: Path) -> None:
    with pytest.raises(ExunoError, match="data-root"):
        open_data(name, "test", root=tmp_path)
    make(tmp_path)
    train, test = (open_data(name, split, root=tmp_path) for split in ("train", "test"))
    assert (len(train), len(test)) == (2, 3)
    assert train.num_classes == test.num_classes == BENCHMARKS[name].classes
    images, found = test.fetch(np.arange(3))
    assert found.tolist() == labels
    assert images[0].shape[0] == 3
    assert train.classes is not None
    assert len(train.classes) == len(set(train.classes)) == BENCHMARKS[name].classes
    assert train.fingerprint() != test.fingerprint()
    with pytest.raises(ExunoError, match="no split 'middle'"):
        open_data(name, "middle", root=tmp_path)


@pytest.mark.parametrize("moved", ["val/{wnid}/images", "val/{wnid}"])
@pytest.mark.parametrize("count", [3, 1])
def test_tiny_imagenet_whose_validation_images_were_moved(moved: str, count: int, tmp_path: Path) -> None:
    """Into folders of their class, as PoDD's README asks for, all of them or (a move that was cut off) some; the list
    stays. Or the list is gone as well."""
    tiny_imagenet(tmp_path)
    base = tmp_path / "tiny-imagenet-200"
    for i, label in list(enumerate((199, 0, 3)))[:count]:
        folder = base / moved.format(wnid=f"n{label:08}")
        folder.mkdir(parents=True)
        (folder / f"n{label:08}_boxes.txt").touch()
        (base / f"val/images/val_{i}.JPEG").rename(folder / f"val_{i}.JPEG")
    if count == 3:
        (base / "val/images").rmdir()
    test = open_data("tiny-imagenet", "test", root=tmp_path)
    images, labels = test.fetch(np.arange(3))
    assert sorted(labels.tolist()) == [0, 3, 199]
    assert [image.shape for image in images] == [(3, 64, 64)] * 3
    if count == 3:
        (base / "val/val_annotations.txt").unlink()
        assert open_data("tiny-imagenet", "test", root=tmp_path).fingerprint() == test.fingerprint()
    else:
        (base / "val/images/val_1.JPEG").unlink()
        with pytest.raises(ExunoError, match=r"1 of 3 images of tiny-imagenet are not in .*val/images/val_1\.JPEG"):
            open_data("tiny-imagenet", "test", root=tmp_path)


NESTED = [
    (flowers102, "flowers102", "flowers-102"),
    (pets37, "pets37", "oxford-iiit-pet"),
    (cub200, "cub200", "CUB_200_2011"),
    (stl10, "stl10", "stl10_binary"),
    (tiny_imagenet, "tiny-imagenet", "tiny-imagenet-200"),
]


@pytest.mark.parametrize(("make", "name", "folder"), NESTED)
def test_a_folder_within_a_folder_or_of_another_spelling(make, name: str, folder: str, tmp_path: Path) -> None:
    make(tmp_path)
    expected = open_data(name, "test", root=tmp_path).fingerprint()
    others = (
        f"{folder}/{folder}",
        f"my downloads/{folder}",
        folder.upper().replace("_", "-"),
        name,
        f"{name}/{folder}",
    )
    for number, other in enumerate(others):
        new = tmp_path / str(number) / other
        new.parent.mkdir(parents=True)
        (tmp_path / folder).rename(new)
        assert open_data(name, "test", root=tmp_path / str(number)).fingerprint() == expected, other
        assert open_data(name, "test", root=new).fingerprint() == expected, other
        new.rename(tmp_path / folder)


def test_cifar10_is_not_taken_from_cifar100(tmp_path: Path) -> None:
    cifar(tmp_path / "cifar-100", "cifar100")
    assert open_data("cifar100", "test", root=tmp_path).num_classes == 100
    for split in ("train", "test"):
        picture(tmp_path / f"cifar100/{split}/c0/a.png", 32)
    (tmp_path / "cifar-100-python.tar.gz").touch()
    with pytest.raises(ExunoError, match="cifar10 is not in"):
        open_data("cifar10", root=tmp_path)


@pytest.mark.parametrize(
    ("name", "archive", "command"),
    [
        ("cub200", "CUB_200_2011.tgz", "tar xzf {} -C {}"),
        ("cub200", "CUB200/CUB_200_2011.tgz", "tar xzf {} -C {}"),
        ("stl10", "stl10_binary.tar.gz", "tar xzf {} -C {}"),
        ("tiny-imagenet", "tiny-imagenet-200.zip", "unzip -q {} -d {}"),
        ("places365", "places365standard_easyformat.tar", "tar xf {} -C {}"),
        ("flowers102", "102flowers.tgz", "tar xzf {} -C {}"),
        ("pets37", "annotations.tar.gz", "tar xzf {} -C {}"),
        ("ucf101", "UCF101TrainTestSplits-RecognitionTask.zip", "unzip -q {} -d {}"),
        ("mini-imagenet", "miniImagenet.tar.gz", "tar xzf {} -C {}"),
        ("tiered-imagenet", "tiered_imagenet.tar", "tar xf {} -C {}"),
        ("cifar-fs", "cifar_fs.zip", "unzip -q {} -d {}"),
        ("fc100", "my data/FC100.zip", "unzip -q {} -d {}"),
        ("speechcommands", "speech_commands_v0.02.tar.gz", "tar xzf {} -C {}"),
        ("omniglot", "images_background.zip", "unzip -q {} -d {}"),
    ],
)
def test_an_archive_that_is_still_packed(name: str, archive: str, command: str, tmp_path: Path) -> None:
    """It is named, with the command that unpacks it; one of other data is not."""
    packed = tmp_path / archive
    for other in ("annotations_trainval2017.zip", "imagenet.tar.gz", "cifar-10-python.tar.gz", "notes.txt"):
        (tmp_path / other).touch()
    with pytest.raises(ExunoError, match="data-root must hold"):
        open_data(name, root=tmp_path)
    packed.parent.mkdir(exist_ok=True)
    packed.touch()
    with pytest.raises(ExunoError) as error:
        open_data(name, root=tmp_path)
    assert error.value.what == f"{packed} is still packed."
    words = command.format(shlex.quote(str(packed)), shlex.quote(str(packed.parent)))
    assert error.value.todo == f"Unpack it: {words}"


def test_images_that_are_still_packed_beside_their_lists(tmp_path: Path) -> None:
    pets37(tmp_path)
    base = tmp_path / "oxford-iiit-pet"
    (base / "images").rename(base / "elsewhere")
    with pytest.raises(ExunoError, match=r"2 of 2 images of pets37 are not in .*Unpack the archive completely"):
        open_data("pets37", root=tmp_path)
    (base / "images.tar.gz").touch()
    with pytest.raises(ExunoError, match=r"2 of 2 images of pets37.*tar xzf .*images\.tar\.gz -C .*oxford-iiit-pet$"):
        open_data("pets37", root=tmp_path)


def test_the_archives_of_imagenet_are_more_than_one(tmp_path: Path) -> None:
    (tmp_path / "ILSVRC2012_img_train.tar").touch()
    with pytest.raises(ExunoError, match=r"ILSVRC2012_img_train\.tar is still packed.*extract_ILSVRC\.sh"):
        open_data("imagenet", root=tmp_path)


def test_stl10_is_stored_by_columns(tmp_path: Path) -> None:
    stl10(tmp_path)
    images, labels = open_data("stl10", "unlabeled", root=tmp_path).fetch(np.array([3]))
    assert images[0][0, 7, 5] == 200
    assert labels.tolist() == [-1]


def test_in100_as_a_list_beside_imagenet(tmp_path: Path) -> None:
    imagenet(tmp_path, 120, ".")
    with pytest.raises(ExunoError, match="has 120 class folders, in100 has 100"):
        open_data("in100", root=tmp_path)
    (tmp_path / "imagenet100.txt").write_text("\n".join(f"n{i:08}" for i in range(20, 120)))
    data = open_data("in100", root=tmp_path)
    assert (len(data), data.num_classes, data.fetch(np.array([0]))[1].item()) == (1, 100, 99)


def test_places_in_folders(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for i in range(3):
            picture(tmp_path / f"places365_standard/{split}/place_{i}/a.jpg")
    assert len(open_data("places365", "test", root=tmp_path)) == 3


@pytest.mark.parametrize("name", list(BENCHMARKS))
def test_a_benchmark_tells_what_it_needs(name: str, tmp_path: Path) -> None:
    with pytest.raises(ExunoError, match="Give --data-root PATH"):
        open_data(name)
    with pytest.raises(ExunoError, match="no folder"):
        open_data(name, root=tmp_path / "nowhere")


def test_a_package_that_torchvision_misses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(root: Path, split: str) -> None:
        raise ModuleNotFoundError(f"No module named 'h5py' for {root}, {split}", name="h5py")

    monkeypatch.setattr("torchvision.datasets.PCAM", missing)
    with pytest.raises(ExunoError, match="needs a package that is not installed") as caught:
        open_data("torchvision:pcam", root=tmp_path)
    assert caught.value.todo == "pip install h5py"


def test_torchvision(tmp_path: Path) -> None:
    """One data set that torchvision holds as an array, one that it decodes; and its mistakes."""
    folder = tmp_path / "USPS-is-not-here"
    folder.mkdir()
    with pytest.raises(ExunoError, match=r"(?s)torchvision\.datasets\.CIFAR10\('.*', train=False, download=True\)"):
        open_data("torchvision:cifar10", "test", root=folder)
    with pytest.raises(ExunoError, match="Did you mean torchvision:cifar100"):
        open_data("torchvision:cifar1000", root=folder)
    with pytest.raises(ExunoError, match="data-root"):
        open_data("torchvision:cifar10")
    with pytest.raises(ExunoError, match="no split 'val'"):
        open_data("torchvision:mnist", "val", root=folder)
    with pytest.raises(ExunoError, match=r"more than a folder and a split: .*annotation_path"):
        open_data("torchvision:hmdb51", root=folder)
    stl10(tmp_path)  # too few bytes for torchvision's check of integrity, so:
    with pytest.raises(ExunoError, match="torchvision:stl10"):
        open_data("torchvision:stl10", "test", root=tmp_path)
    mnist = tmp_path / "MNIST/raw"
    mnist.mkdir(parents=True)
    for prefix in ("t10k", "train"):
        images = RNG.integers(0, 256, (3, 28, 28), np.uint8)
        head = np.array([0x803, 3, 28, 28], ">i4").tobytes()
        (mnist / f"{prefix}-images-idx3-ubyte").write_bytes(head + images.tobytes())
        (mnist / f"{prefix}-labels-idx1-ubyte").write_bytes(np.array([0x801, 3], ">i4").tobytes() + bytes([7, 0, 9]))
    data = open_data("torchvision:MNIST", "train", root=tmp_path)
    assert (len(data), data.num_classes, data.channels) == (3, 10, 1)
    assert np.array_equal(np.asarray(data.fetch(np.arange(3))[0])[:, 0], images)
    test = open_data("torchvision:MNIST", "test", root=tmp_path)
    assert (test.mean, test.std) == (data.mean, data.std)
    for split in ("trainval", "test"):
        (tmp_path / "oxford-iiit-pet/annotations").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"oxford-iiit-pet/annotations/{split}.txt").write_text("Abyssinian_1 1 1 1\n")
    picture(tmp_path / "oxford-iiit-pet/images/Abyssinian_1.jpg")
    pets = open_data("torchvision:OxfordIIITPet", "trainval", root=tmp_path)
    images, labels = pets.fetch(np.array([0]))
    assert (labels.tolist(), images[0].shape) == ([0], (3, 20, 20))
    before = pets.content()
    picture(tmp_path / "oxford-iiit-pet/images/Abyssinian_1.jpg")
    assert pets.content() != before

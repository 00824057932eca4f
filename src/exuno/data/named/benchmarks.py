"""The data sets of the papers by name: what each is, and where ``--data-root`` must point."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from exuno.data.audio.recordings import COMMANDS, COMMANDS_URL, FSDD, FSDD_URL, open_commands, open_fsdd
from exuno.data.base import Data
from exuno.data.constants import CIFAR
from exuno.data.images.cifar import has_cifar, open_cifar
from exuno.data.named import archives
from exuno.data.named.fewshot import CIFAR100, open_cifar_part, open_imagenet_part
from exuno.data.named.omniglot import NEEDS, RUNS_NEEDS, open_omniglot, open_run_data
from exuno.data.named.packed import absent, called
from exuno.data.video.open import k400, ucf101
from exuno.engine.errors import ExunoError


@dataclass(frozen=True)
class Benchmark:
    """A named data set."""

    classes: int
    """Number of classes; of a few-shot benchmark, of all its parts together."""
    root: str
    """What the folder ``--data-root`` must hold."""
    url: str
    """Where its owners publish it."""
    read: Callable[[Path, str], Data]
    """(root, split) -> one split."""


def _cifar(name: str, root: Path, split: str) -> Data:
    if (root / f"{name}.npz").exists():
        from exuno.data.images.npz import open_npz

        return open_npz(root / f"{name}.npz", split, name, CIFAR)
    for folder in (root, *called(root, name)):
        if has_cifar(name, folder):
            return open_cifar(name, split, folder)
    for folder in (*called(root, name), root):
        if (folder / "train").is_dir() or (folder / "test").is_dir():
            from exuno.data.images.folder import open_folder

            return open_folder(folder, split, name, CIFAR)
    raise absent(name, root, f"{BENCHMARKS[name].root} ({BENCHMARKS[name].url})")


_CIFAR_URL = "https://www.cs.toronto.edu/~kriz/cifar.html"
_OWN = f"train/CLASS, val and test; or CIFAR-100: {CIFAR100}"

_cifar100 = partial(_cifar, "cifar100")

BENCHMARKS = {
    "cifar10": Benchmark(
        10,
        "cifar-10-batches-py/, cifar-10-python.tar.gz, cifar10.npz, or train/CLASS and test/CLASS",
        _CIFAR_URL,
        partial(_cifar, "cifar10"),
    ),
    "cifar100": Benchmark(
        100,
        CIFAR100,
        _CIFAR_URL,
        _cifar100,
    ),
    "imagenet": Benchmark(
        1000, "train/WNID/*.JPEG and val/WNID/*.JPEG", "https://image-net.org/download", archives.imagenet
    ),
    "in100": Benchmark(
        100,
        "train/WNID and val/WNID of 100 classes, or ImageNet and imagenet100.txt",
        "https://image-net.org/download",
        partial(archives.imagenet, name="in100", count=100),
    ),
    "places365": Benchmark(
        365, "places365_standard/train and val", "http://places2.csail.mit.edu/download.html", archives.places365
    ),
    "flowers102": Benchmark(
        102,
        "flowers-102/jpg, imagelabels.mat and setid.mat",
        "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/",
        archives.flowers102,
    ),
    "pets37": Benchmark(
        37,
        "oxford-iiit-pet/images and annotations",
        "https://www.robots.ox.ac.uk/~vgg/data/pets/",
        archives.pets37,
    ),
    "stl10": Benchmark(10, "stl10_binary/", "https://cs.stanford.edu/~acoates/stl10/", archives.stl10),
    "cub200": Benchmark(200, "CUB_200_2011/", "https://www.vision.caltech.edu/datasets/cub_200_2011/", archives.cub200),
    "tiny-imagenet": Benchmark(
        200, "tiny-imagenet-200/", "http://cs231n.stanford.edu/tiny-imagenet-200.zip", archives.tiny_imagenet
    ),
    "cifar-fs": Benchmark(100, f"cifar-fs/{_OWN}", _CIFAR_URL, partial(open_cifar_part, "cifar-fs", _cifar100)),
    "fc100": Benchmark(100, f"fc100/{_OWN}", _CIFAR_URL, partial(open_cifar_part, "fc100", _cifar100)),
    "mini-imagenet": Benchmark(
        100,
        "mini-imagenet/train/WNID, val and test, or imagenet/train/WNID",
        "https://image-net.org/download",
        partial(open_imagenet_part, "mini-imagenet"),
    ),
    "tiered-imagenet": Benchmark(
        608,
        "tiered-imagenet/train/WNID, val and test, or imagenet/train/WNID",
        "https://image-net.org/download",
        partial(open_imagenet_part, "tiered-imagenet"),
    ),
    "fsdd": Benchmark(10, FSDD, FSDD_URL, open_fsdd),
    "speechcommands": Benchmark(35, COMMANDS, COMMANDS_URL, open_commands),
    "ucf101": Benchmark(
        101, "UCF-101/CLASS/*.avi and ucfTrainTestlist/", "https://www.crcv.ucf.edu/data/UCF101.php", ucf101
    ),
    "k400": Benchmark(
        400,
        "k400/train/CLASS and k400/val/CLASS, or k400/annotations/train.csv and val.csv",
        "https://github.com/cvdfoundation/kinetics-dataset",
        k400,
    ),
    "omniglot": Benchmark(1623, NEEDS, "https://github.com/brendenlake/omniglot", open_omniglot),
    "omniglot-runs": Benchmark(400, RUNS_NEEDS, "https://github.com/brendenlake/omniglot", open_run_data),
}


def open_benchmark(name: str, split: str, root: Path | None) -> Data:
    """One split of a named data set.

    Raises:
        ExunoError: if ``root`` is missing or does not hold the data set, or there is no such split.
    """
    benchmark = BENCHMARKS[name]
    if root is None:
        raise ExunoError(
            f"{name} needs the folder of its files",
            f"Give --data-root PATH, a folder with {benchmark.root} ({benchmark.url}).",
        )
    if not root.is_dir():
        raise ExunoError(f"there is no folder {root}", "Check --data-root.")
    return benchmark.read(root, split)

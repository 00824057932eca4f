"""Data specs: a name, or ``PREFIX:PATH`` -> Data."""

from pathlib import Path

from exuno.data.base import Data
from exuno.data.images.folder import FileData
from exuno.data.names import FORMS, HOLD_OUT, no_data, unknown_prefix
from exuno.engine.errors import ExunoError


def open_data(spec: str, split: str = "train", *, root: Path | None = None) -> Data:
    """Open the data set that ``spec`` names.

    Args:
        spec: ``digits``, the name of a benchmark, ``folder:PATH``, ``npz:PATH``, ``wds:PATTERN``,
            ``recordings:PATH``, ``videos:PATH``, ``poster:PATH`` or ``torchvision:NAME``.
        split: ``train``, ``test`` or another one that the data set has; the splits ``train``, ``val`` and ``test`` of a
            few-shot benchmark have different classes. A ``folder:`` without split folders and a
            ``wds:`` pattern without ``{split}`` are one set, which is returned for every split.
        root: folder in which the files of a named data set lie.

    Raises:
        ExunoError: for an unknown spec or split, and for missing or broken files.
    """
    prefix, colon, rest = spec.partition(":")
    if not colon:
        return _named(spec, split, root)
    if not rest:
        raise ExunoError(f"'{spec}' names nothing after the colon", f"The forms are {FORMS}.")
    if prefix == "folder":
        from exuno.data.images.folder import open_folder

        return open_folder(Path(rest), split)
    if prefix == "npz":
        from exuno.data.images.npz import open_npz

        return open_npz(Path(rest), split)
    if prefix == "wds":
        from exuno.data.images.shards import open_shards

        return open_shards(rest, split)
    if prefix == "poster":
        from exuno.data.poster.data_set import open_poster

        return open_poster(Path(rest), split, root)
    if prefix == "recordings":
        from exuno.data.audio.recordings import open_recordings

        return open_recordings(rest, split)
    if prefix == "videos":
        from exuno.data.video.open import open_videos

        return open_videos(rest, split)
    if prefix == "torchvision":
        from exuno.data.images.torchvision import open_torchvision

        return open_torchvision(rest, split, root)
    raise unknown_prefix(spec)


def check_apart(spec: str, train: Data, test: Data) -> None:
    """Raises ExunoError if both splits of a data set are the same images."""
    if same_samples(train, test):
        raise ExunoError(
            f"{spec} has no test images of its own: its train and test splits are the same",
            f"Give it both, for a folder as PATH/train/CLASS/ and PATH/test/CLASS/.{HOLD_OUT}",
        )


def same_samples(one: Data, other: Data) -> bool:
    """Whether two splits hold the same samples."""
    # Fingerprints read all images or ask for the sizes of all files: only where the lengths leave a doubt.
    if isinstance(one, FileData) and isinstance(other, FileData) and one.root.resolve() != other.root.resolve():
        return False  # of files, fingerprints know names and sizes only
    if len(one) != len(other) and one.groups is None and other.groups is None:  # not clips of the same videos
        return False
    return one is other or one.fingerprint() == other.fingerprint()


def lacks_split(error: ExunoError, split: str) -> bool:
    """Whether data could not be opened because they have no such split."""
    signs = (f"no split '{split}'", f"no {split}_images", "there is no shard", "no file matches")
    return any(sign in error.what for sign in signs)


def _named(name: str, split: str, root: Path | None) -> Data:
    if name == "digits":
        from exuno.data.images.digits import open_digits

        return open_digits(split)
    if name.partition("@")[0] == "moving-digits":
        from exuno.data.images.digits import open_moving

        return open_moving(split, name.partition("@")[2] or "direction")
    from exuno.data.named.benchmarks import BENCHMARKS, open_benchmark

    if name in BENCHMARKS:
        return open_benchmark(name, split, root)
    raise no_data(name)

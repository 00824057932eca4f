"""The real images of a distillation: three parts that share none, of which the test images decide nothing."""

from collections.abc import Container
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_images import make, write

from exuno.data.poster.whitening import fit
from exuno.engine.errors import ExunoError
from exuno.engine.options import Optim, RunOptions
from exuno.poster.options import Evaluation, Inner, PosterConfig, Unroll
from exuno.poster.real import Images, Sets, hold_out, open_splits, read_sets
from exuno.poster.train import make_poster


def config(spec: str, **changes: object) -> PosterConfig:
    plain = PosterConfig(spec, ipc=1, run=RunOptions(devices="cpu"))
    return replace(plain, **changes)  # pyright: ignore[reportArgumentType]


def opened(config: PosterConfig, folder: Path) -> Sets:
    return read_sets(config, open_splits(config), folder)


def rows(images: torch.Tensor) -> set[bytes]:
    return {image.numpy().tobytes() for image in images}


def test_every_class_gives_the_same_share() -> None:
    labels = torch.tensor([0] * 50 + [1] * 20 + [2] * 7)[torch.randperm(77, generator=torch.Generator().manual_seed(0))]
    held = hold_out(labels, 0.1, 3)
    assert labels[held].bincount(minlength=3).tolist() == [5, 2, 1]
    assert torch.equal(held, hold_out(labels, 0.1, 3))
    assert not torch.equal(held, hold_out(labels, 0.1, 4))
    assert not hold_out(labels, 0.0, 3).any()


def test_a_class_keeps_at_least_one_image() -> None:
    labels = torch.tensor([0, 1, 1, 2, 2, 2, 2])
    held = hold_out(labels, 0.9, 0)
    assert labels[~held].bincount().tolist() == [1, 1, 1]
    assert labels[held].bincount(minlength=3).tolist() == [0, 1, 3]


def test_the_three_parts_share_no_image_and_lose_none(tmp_path: Path) -> None:
    spec = write(tmp_path / "a.npz")
    sets = opened(config(spec, eval=Evaluation(holdout=0.25)), tmp_path)
    train, held, test = (rows(part[0]) for part in (sets.train, sets.held, sets.test))
    assert (len(train), len(held), len(test)) == (90, 30, 60)
    assert not train & held
    assert not (train | held) & test
    assert sets.held[1].bincount().tolist() == [10, 10, 10]
    assert len(train | held) == len(sets.source)
    again = opened(config(spec, eval=Evaluation(holdout=0.25)), tmp_path)
    assert torch.equal(again.train[0], sets.train[0])
    other = opened(config(spec, eval=Evaluation(holdout=0.25), run=RunOptions(devices="cpu", seed=1)), tmp_path)
    assert rows(other.held[0]) != held


def test_without_a_holdout_posters_are_judged_on_what_they_learn_from(tmp_path: Path) -> None:
    sets = opened(config(write(tmp_path / "a.npz"), eval=Evaluation(holdout=0.0)), tmp_path)
    assert torch.equal(sets.held[0], sets.train[0])
    assert len(sets.train[0]) == 120


def test_images_are_normalised_by_the_training_split_alone(tmp_path: Path) -> None:
    images = make(120, 3, 3, 8, 0)[0] / 255
    mean, std = images.mean((0, 1, 2)), images.std((0, 1, 2))
    sets = opened(config(write(tmp_path / "a.npz", channels=3), eval=Evaluation(holdout=0.0)), tmp_path)
    np.testing.assert_allclose(sets.train[0].permute(0, 2, 3, 1), (images - mean) / std, atol=1e-4)
    test = make(60, 3, 3, 8, 1)[0] / 255
    np.testing.assert_allclose(sets.test[0].permute(0, 2, 3, 1), (test - mean) / std, atol=1e-4)


def test_the_whitening_is_fitted_to_the_training_split_alone(tmp_path: Path) -> None:
    spec = write(tmp_path / "a.npz", channels=3)
    sets = opened(config(spec, zca=True, eval=Evaluation(holdout=0.0)), tmp_path)
    train, test = (torch.from_numpy(make(n, 3, 3, 8, seed)[0]).permute(0, 3, 1, 2) for n, seed in ((120, 0), (60, 1)))
    expected = fit(train)
    assert sets.space.whitening is not None
    torch.testing.assert_close(sets.space.whitening.matrix, expected.matrix, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(sets.test[0], expected.apply(test), rtol=1e-3, atol=1e-3)


def test_images_can_be_of_another_size(tmp_path: Path) -> None:
    sets = opened(config(write(tmp_path / "a.npz"), size=5), tmp_path)
    assert sets.train[0].shape[1:] == (1, 5, 5)
    assert sets.test[0].shape[1:] == (1, 5, 5)


def test_the_loader_gets_images_and_labels_by_position() -> None:
    images, labels = torch.rand(9, 1, 4, 6), torch.arange(9)
    data = Images(images, labels, "nine")
    found, own = data.fetch(np.array([3, 0]))
    assert torch.equal(found, images[[3, 0]])
    assert torch.equal(own, labels[[3, 0]])
    assert (len(data), data.image_size) == (9, (4, 6))


def test_data_without_test_images_or_labels(tmp_path: Path) -> None:
    images, labels = make(30, 3, 1, 8, 0)
    for split in ("a", "b"):
        np.savez(
            tmp_path / f"{split}.npz", train_images=images, train_labels=labels, test_images=images, test_labels=labels
        )
    with pytest.raises(ExunoError, match="no test images of its own"):
        opened(config(f"npz:{tmp_path}/a.npz"), tmp_path)
    np.savez(tmp_path / "b.npz", train_images=images, test_images=images)
    with pytest.raises(ExunoError, match="no classes to distill"):
        opened(config(f"npz:{tmp_path}/b.npz"), tmp_path)


def test_poisoned_test_images_change_nothing_but_the_number_at_the_end(tmp_path: Path) -> None:
    """The same training images with other test images, and with test labels that lie: the same poster, whole."""
    made = {}
    for name in ("true", "noise", "lies"):
        spec = write(tmp_path / "a.npz")
        if name != "true":
            arrays = dict(np.load(tmp_path / "a.npz"))
            if name == "noise":
                arrays["test_images"] = np.random.default_rng(5).integers(0, 256, arrays["test_images"].shape, np.uint8)
            arrays["test_labels"] = (arrays["test_labels"] + 1) % 3
            np.savez(tmp_path / "a.npz", **arrays)
        run = make_poster(
            config(
                spec,
                model="exuno:convnet_1_8",
                labels="learned",
                zca=True,
                steps=6,
                batch_size=30,
                evaluations=3,
                inner=Inner(lr=0.01),
                unroll=Unroll(window=2, total=4),
                eval=Evaluation(networks=2, steps=(2, 10), holdout=0.2, trials=1, baselines=1),
                optim=Optim(lr=0.05, schedule="constant"),
                run=RunOptions(devices="cpu", run_dir=tmp_path / name),
            )
        )
        assert run.result is not None
        files = sorted((run.dir / "distilled.poster").iterdir()) + sorted((run.dir / "frames").iterdir())
        judged = [line for line in (run.dir / "metrics.jsonl").read_text().splitlines() if "held/top1" in line]
        assert len(judged) == 3
        made[name] = (
            {file.name: file.read_bytes() for file in files},
            run.result["metrics"]["held/accuracy"],
            run.result["training_steps"],
            run.result["metrics"]["poster/top1"],
        )
    assert made["true"][:3] == made["noise"][:3] == made["lies"][:3]
    assert made["true"][3] != made["lies"][3]


def files_of(folder: Path, coloured: Container[int] = ()) -> str:
    """Images of 3 classes as gray PNG files, ``coloured`` training images in colours; returns their spec."""
    for split, seed in (("train", 0), ("test", 1)):
        pixels, labels = make(60, 3, 3, 8, seed)
        for number, (image, label) in enumerate(zip(pixels, labels, strict=True)):
            path = folder / split / f"class{label}" / f"{number:03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image if number in coloured and split == "train" else image[..., 2]).save(path)
    return f"folder:{folder}"


def test_gray_files_make_a_gray_poster_with_statistics_of_their_own(tmp_path: Path) -> None:
    spec = files_of(tmp_path)
    splits = open_splits(config(spec))
    assert (splits.train.channels, splits.channels) == (3, 1)
    sets = opened(config(spec, eval=Evaluation(holdout=0.0)), tmp_path)
    gray = make(60, 3, 3, 8, 0)[0][..., 2] / 255
    assert sets.space.mean == pytest.approx((gray.mean(),), abs=1e-5)
    assert sets.space.std == pytest.approx((gray.std(),), abs=1e-5)
    assert sets.train[0].shape == (60, 1, 8, 8)
    by_class = np.argsort(make(60, 3, 3, 8, 0)[1], kind="stable")
    np.testing.assert_allclose(sets.train[0][:, 0], ((gray - gray.mean()) / gray.std())[by_class], atol=1e-3)
    assert sets.test[0].shape == (60, 1, 8, 8)


def test_colours_of_files_stay_colours_with_the_usual_constants(tmp_path: Path) -> None:
    spec = files_of(tmp_path, coloured=range(60))
    sets = opened(config(spec), tmp_path)
    assert open_splits(config(spec)).channels == 3
    assert sets.train[0].shape[1] == 3
    assert sets.space.mean == sets.source.mean


def test_channels_that_are_asked_for(tmp_path: Path) -> None:
    coloured = files_of(tmp_path / "colours", coloured=range(60))
    assert opened(config(coloured, channels=1), tmp_path).train[0].shape[1] == 1
    sets = opened(config(files_of(tmp_path / "gray"), channels=3), tmp_path)
    assert sets.train[0].shape[1] == 3
    digits = opened(config("digits", channels=3), tmp_path)
    assert digits.space.mean == pytest.approx((0.305183,) * 3, abs=1e-5)
    assert torch.equal(digits.train[0][:, 0], digits.train[0][:, 2])


def test_coloured_images_among_gray_ones_are_told(tmp_path: Path) -> None:
    spec = files_of(tmp_path, coloured=[3])  # the second file of the first class, which is not among those looked at
    with pytest.raises(ExunoError, match="gray images and coloured ones") as error:
        opened(config(spec), tmp_path)
    assert "--channels 3" in str(error.value)
    assert opened(config(spec, channels=3), tmp_path).train[0].shape[1] == 3

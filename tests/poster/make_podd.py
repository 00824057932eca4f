"""Makes golden/podd.json from the published code: python make_podd.py CHECKOUT_OF_AsafShul/PoDD (needs pandas, tqdm).

Nothing of that code is here: its functions are called on the geometries of its README's four commands, with inputs that
test_podd_golden.py takes from here. Arrays are recorded as weighted sums and some entries.
"""

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from numpy.typing import NDArray

# name of the data there: (height, width, class rows, class columns, patch rows, patch columns, patch, class area)
GEOMETRIES = {
    "cifar10": (60, 153, 2, 5, 6, 16, 32, 32),
    "cifar100": (303, 303, 10, 10, 20, 20, 32, 32),
    "cub-200": (302, 610, 10, 20, 30, 60, 32, 32),
    "tiny-imagenet-200": (608, 1211, 10, 20, 20, 40, 64, 64),
}


def summary(array: NDArray) -> list[float]:
    """Sums of entries and of their squares, weighted differently from entry to entry, and seven entries."""
    flat = np.asarray(array, np.float64).ravel()
    weights = 1 + np.arange(flat.size) % 1009 / 1009
    entries = flat[np.linspace(0, flat.size - 1, 7).round().astype(int)]
    return [float(flat @ weights), float(flat**2 @ weights), *entries.tolist()]


def distances(classes: int) -> NDArray[np.float64]:
    """A symmetric matrix of whole numbers, so that sums are exact."""
    i = np.arange(classes)
    return ((np.outer(i, i) * 31 + np.add.outer(i, i) * 17) % 997).astype(np.float64)


def order(rows: int, columns: int) -> NDArray[np.int64]:
    """Each class once; 7 divides none of 10, 100, 200."""
    return ((np.arange(rows * columns) * 7 + 3) % (rows * columns)).reshape(rows, columns)


def label_array(rows: int, columns: int) -> torch.Tensor:
    """Positive float32 [classes, rows, columns]."""
    classes = rows * columns
    return (torch.arange(classes**2) * 37 % 101 + 1).float().view(classes, rows, columns)


def areas(classes: int, side: int) -> torch.Tensor:
    """Float32 [classes, 1, side, side]."""
    return (torch.arange(classes * side**2) % 1013 / 1013).view(classes, 1, side, side)


def record(dataset: str, utils: ModuleType, poddl: ModuleType, poco: ModuleType) -> dict:
    """What the published code answers on one geometry."""
    height, width, rows, columns, down, across, patch, area = GEOMETRIES[dataset]
    classes = rows * columns
    label = (order(rows, columns), patch, patch, area, area, width, height, columns, rows, across, down)
    places = utils._get_patch_index_lst(patch, patch, width, height, across, down)
    start = poddl.PoDDL.init_label_array((1, 3, height, width), order(rows, columns), 1)
    crops = poddl.PoDDL.get_labels_from_array(
        label_array(rows, columns)[None], columns / width, rows / height, patch, patch, across, down
    )
    names = getattr(poco, f"{dataset.replace('-', '_').upper().replace('CUB_', 'CUB')}_LABELS_DICT")
    numbers = {label: number for number, label in enumerate(names.values())}
    walked = poco.PoCO.optimize_poster_class_order((rows, columns), dataset, "cpu")
    return {
        "boxes": summary(np.array([(y1, x1, y2, x2) for (x1, x2), (y1, y2) in places])),
        "softmax": summary(poddl.PoDDL.get_poster_labels(*label).numpy()),
        "share": summary(poddl.PoDDL.get_poster_labels(*label, use_softmax=False).numpy()),
        "crops": summary(crops.numpy()),
        "label_array": list(start.shape[2:]),
        "classes_without_a_cell": int((start.sum((0, 2, 3)) == 0).sum()),
        "order": [[numbers[label] for label in row] for row in walked],
        "faded": summary(utils.combine_images_with_fade(areas(classes, area), width, height, columns, rows).numpy()),
    }


def main(checkout: str) -> None:
    sys.path.insert(0, checkout)
    transformers = ModuleType("transformers")  # imported there for CLIP, which the recorded functions do not use
    vars(transformers).update(CLIPTokenizer=None, CLIPTextModel=None)
    sys.modules["transformers"] = transformers
    pandas, utils, poddl, poco = map(importlib.import_module, ("pandas", "src.PoDD_utils", "src.PoDDL", "src.PoCO"))
    poco.PoCO._calc_CLIP_distance_matrix = staticmethod(
        lambda names, _device: pandas.DataFrame(distances(len(names)), index=names, columns=names)
    )
    found = {dataset: record(dataset, utils, poddl, poco) for dataset in GEOMETRIES}
    tall = utils.combine_images_with_fade(torch.ones(10, 1, 32, 32), 60, 153, 2, 5)
    marked = torch.zeros(6, 1, 8, 12)
    marked[1] = 1  # second place of the first row of three
    oblong = utils.combine_images_with_fade(marked, 30, 14, 3, 2)[0, 0]
    wrong = {
        "tall_shape": list(tall.shape[1:]),
        "oblong_start": int(oblong.nonzero()[0]),
        "oblong_stop": int(oblong.nonzero()[-1]) + 1,
    }
    path = Path(__file__).with_name("golden") / "podd.json"
    path.write_text(json.dumps(found | {"wrong": wrong}, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])

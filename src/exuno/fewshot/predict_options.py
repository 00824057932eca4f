"""The configuration of ``exuno fewshot predict``. No torch."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

import tyro

from exuno.engine.idle import Acts
from exuno.engine.ranges import FROM_1, PIXELS, SEED
from exuno.features import Count, FeatureName
from exuno.fewshot.options import heads
from exuno.predict.options import Answering, Pictures


@dataclass(frozen=True)
class PredictConfig(Answering):
    """The classes of pictures, told from a few images of each class by the features of any model."""

    OFTEN: ClassVar[str] = (
        "support head neighbours features blocks views topk format out size resize devices workers dry_run"
    )
    EXAMPLES: ClassVar[tuple[str, ...]] = (
        "exuno fewshot predict runs/mine --support five-of-each my-photo.jpg",
        "exuno fewshot predict timm:vit_small_patch16_224.dino --support birds new --out birds.csv",
        "exuno fewshot predict timm:resnet18 --support five-of-each --head logistic photo:cat",
    )

    model: tyro.conf.Positional[str]
    """Model spec, or the folder of a run; a backbone without a last layer will do."""
    pictures: Pictures
    """Pictures: PATH[@BITSbit], photo:NAME; folders, with all pictures below them; - for paths from standard input, one
    a line."""
    support: Path = field(kw_only=True)
    """Folder with a sub-folder for each class, and a handful of images in each."""
    head: Annotated[str, heads] = "prototype"
    """Classifier on the features."""
    neighbours: Annotated[int, FROM_1, Acts(lambda config: config.head == "knn", "--head is {head}")] = 1
    """knn: neighbours that vote."""
    features: FeatureName = "auto"
    """auto: cls+patch for a vision transformer of exuno, the input of the last layer (last) for any other network."""
    blocks: Annotated[int, FROM_1] = 1
    """cls+patch and cls: last blocks whose [CLS] tokens are joined."""
    views: Count = 1
    """Of each picture, whose features are averaged: 1, the centre; 2, with its mirror image; 5, with the four corners;
    10, all these mirrored, too."""
    size: Annotated[int | None, PIXELS] = field(default=None, kw_only=True)
    """Side at which the model sees the images; default: its input size."""
    resize: Annotated[int | None, FROM_1] = None
    """Short side before the centre crop; default: 8/7 of the size for photographs, the size for others."""
    seed: Annotated[int, SEED] = 0
    """linear and cosine: seed of weights and batches."""

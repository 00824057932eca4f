"""TensorBoard: files in ``RUN_DIR/tensorboard``."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from exuno.engine.options import trackers
from exuno.engine.tracking import Sink, numbers_of


@trackers.register("tensorboard", needs=("tensorboard",), install="pip install 'exuno[tensorboard]'")
@contextmanager
def tensorboard(folder: Path, config: dict[str, Any]) -> Iterator[Sink]:
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder / "tensorboard"))

    def send(values: dict[str, Any]) -> None:
        for name, value in numbers_of(values).items():
            writer.add_scalar(name, value, values["step"])

    yield send
    writer.close()

"""The configuration of ``exuno app``. No torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from exuno.engine.ranges import Range


@dataclass(frozen=True)
class AppConfig:
    """A page in the browser to try exuno on: one photograph, a poster, a few images a class. Runs on this machine."""

    OFTEN: ClassVar[str] = "out host port devices dry_run"
    EXAMPLES: ClassVar[tuple[str, ...]] = (
        "exuno app --port 8080",
        "exuno app --out runs/mine --port 0",
        "exuno app --devices cpu",
    )

    out: Path = Path("runs/app")
    """Folder for all that the page makes: runs, uploads, logs."""
    host: str = "127.0.0.1"
    """Address to listen at. Any other than the default lets other machines use the page, and whoever can use it can run
    programs on this one."""
    port: Annotated[int, Range(low=0, high=65535)] = 7860
    """Port to listen at; 0 takes a free one."""
    devices: Literal["auto", "cpu"] = "auto"
    """auto (a GPU if there is one) or cpu."""
    dry_run: bool = False
    """Print the resolved configuration, serve nothing."""
    debug: bool = False
    """Show tracebacks."""

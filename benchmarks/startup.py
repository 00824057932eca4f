"""How long a user waits for an answer: whole processes, from the shell's point of view.

The last row is what any command that imports torch would take before its first line.

    .venv/bin/python benchmarks/startup.py
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import record, spread

EXUNO = [sys.executable, "-m", "exuno"]


def seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def main(rounds: int = 9) -> None:
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        patches = [*EXUNO, "synth", "photo:astronaut", "--count", "100", "--out"]
        commands = {
            "exuno --help": lambda turn: [*EXUNO, "--help"],
            "exuno distill --help": lambda turn: [*EXUNO, "distill", "--help"],
            "exuno presets": lambda turn: [*EXUNO, "presets"],
            "exuno synth, 100 patches to disk": lambda turn: [*patches, str(Path(folder) / str(turn))],
            "python -c 'import torch'": lambda turn: [sys.executable, "-c", "import torch"],
        }
        for name, command in commands.items():
            seconds(command(-1))  # bytecode, file cache
            median, low, high = spread([seconds(command(turn)) for turn in range(rounds)])
            rows.append({"command": name, "seconds": f"{median:.2f} ({low:.2f} to {high:.2f})"})
    record("startup", rows, f"Wall-clock of whole processes, median (min to max) of {rounds}.")


if __name__ == "__main__":
    main()

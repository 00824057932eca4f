"""What exuno does with one GPU, unattended: the commands that a user types, beside plain loops that hold their data on
the device, and how far some minutes go towards published accuracies.

Each part runs in a process of its own with a time limit, and its tables are in OUT/RESULTS.md, as they grow, and its
words in OUT/results.txt; ``--keep`` moves the tables into benchmarks/RESULTS.md afterwards.

    python benchmarks/gpu/measure.py [PART ...] [--out DIR] [--minutes M] [--data-root DIR] [--teacher SPEC]
        [--source PHOTO]
    python benchmarks/gpu/measure.py --keep DIR
    parts: first   = agree students clips posters views patches price fewshot, and compiled if time is left
           second  = photo poster
           of these, fewshot needs CIFAR-100 in --data-root, photo and poster CIFAR-10; photo trains a teacher if it
           gets none
    --tiny: the same path on any processor, for nothing but to see that it works
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]

LIMITS = {
    "agree": 60, "students": 100, "clips": 25, "posters": 50, "views": 35, "patches": 30, "price": 30, "fewshot": 90,
    "compiled": 60, "photo": 270, "poster": 130,
}  # fmt: skip
"""Seconds that a part may take; of a goal, those that it plans with."""
GOALS = ("fewshot", "photo", "poster")
CALLS = {"first": [part for part in LIMITS if part not in ("photo", "poster")], "second": ["photo", "poster"]}
SLOW = 20  # times as long on any processor


def parsed(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=" ".join([*CALLS, *LIMITS]), default=["first"])
    out = Path(os.environ.get("OUT", "results"))
    parser.add_argument("--out", type=Path, default=out, help="gets tables and curves; a new folder")
    parser.add_argument("--minutes", type=float, default=7.0, help="of all parts together")
    parser.add_argument("--data-root")
    parser.add_argument("--teacher")
    parser.add_argument("--source", default="photo:astronaut")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="take the tables of DIR into benchmarks/RESULTS.md")
    parser.add_argument("--here", type=float, help=argparse.SUPPRESS)  # seconds; the part runs in this process
    found = parser.parse_args(words)
    found.parts = [part for word in found.parts for part in CALLS.get(word, [word])]
    if unknown := set(found.parts) - set(LIMITS):
        parser.error(f"no part {', '.join(sorted(unknown))}; the parts are {' '.join([*CALLS, *LIMITS])}")
    return found


def part(asked: argparse.Namespace) -> None:
    """One part, in this process."""
    import goals
    import speeds
    from agree import agree

    [name] = asked.parts
    with tempfile.TemporaryDirectory() as folder:
        if name in GOALS:
            plan = goals.Plan(asked.here, asked.data_root, asked.teacher, asked.source, asked.tiny)
            shutil.rmtree(asked.out / name, ignore_errors=True)
            getattr(goals, name)(asked.out / name, plan)
        else:
            (agree if name == "agree" else getattr(speeds, name))(Path(folder), asked.tiny)


def keep(folder: Path) -> None:
    """Takes tables into benchmarks/RESULTS.md, in the place of those of the same name."""
    results = HERE.parents[1] / "RESULTS.md"
    head, *sections = re.split(r"^(?=## )", results.read_text(), flags=re.MULTILINE)
    _, *new = re.split(r"^(?=## )", (folder / "RESULTS.md").read_text(), flags=re.MULTILINE)
    kept = {text.splitlines()[0]: text.strip() + "\n" for text in [*sections, *new]}
    results.write_text(head.strip() + "\n\n" + "\n".join(kept[name] for name in sorted(kept)))


def main(words: Sequence[str]) -> int:
    asked = parsed(words)
    if asked.keep:
        keep(asked.keep)
        return 0
    if asked.here:
        part(asked)
        return 0
    asked.out.mkdir(parents=True, exist_ok=True)
    kept = {"EXUNO_RESULTS": str(asked.out / "RESULTS.md")}
    given = [("--data-root", asked.data_root), ("--teacher", asked.teacher), ("--source", asked.source)]
    more = [word for pair in given if pair[1] for word in pair] + ["--tiny"] * asked.tiny + ["--out", str(asked.out)]
    failed, end = 0, time.monotonic() + 60 * asked.minutes
    with (asked.out / "results.txt").open("a") as log:
        for name in asked.parts:
            limit = LIMITS[name] * SLOW if asked.tiny else min(LIMITS[name], end - time.monotonic())
            planned = 2.0 if asked.tiny else limit - 20
            how, started = "no time left", time.monotonic()
            if limit > 15:
                line = [sys.executable, str(HERE), name, "--here", str(planned), *more]
                try:
                    done = subprocess.run(
                        line, stdout=log, stderr=subprocess.STDOUT, timeout=limit, env=os.environ | kept
                    )
                    how = "done" if done.returncode == 0 else f"failed ({done.returncode})"
                except subprocess.TimeoutExpired:
                    how = "out of time"
            failed += how != "done"
            for file in (log, sys.stdout):
                print(f"{name}: {how}, {time.monotonic() - started:.0f} s", file=file, flush=True)
    return failed


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
